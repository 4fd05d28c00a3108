"""Training as a task of a running cluster: one function that takes a payload and tells its progress."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from hal9.errors.trainer import TrainerSettingInvalid
from hal9.trainer.evaluation.corpus import check_queries
from hal9.trainer.outer_session import OuterOptions, train_outer
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.reporting.views import episode_line
from hal9.trainer.session import TrainOptions, train_with_mind, train_with_strategy

__all__ = ["run_workload"]

Progress = Callable[[Mapping[str, Any]], Awaitable[None] | None]
_TALLY = ("calls", "prompt_tokens", "completion_tokens", "usd", "seconds")
_COMMON = {"run_name", "root", "corpus", "queries", "space", "workers", "executor", "seed", "limits"} | {
    "score_test",
    "usd_per_call",
}
_INNER = _COMMON | {"mind", "episodes", "strategy", "budget", "promptgram"}
_OUTER = _COMMON | {
    "steps_outer",
    "episodes_inner",
    "agent_inner",
    "agent_outer",
    "topology",
    "repeats",
    "explore",
    "warm_start",
}


async def run_workload(
    payload: Mapping[str, Any], progress: Progress, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Run `ripmap-train`, or `ripmap-train-outer` when the payload names `steps_outer`.

    A run that exists is gone on with, so that a task delivered again after a crash does no work twice.

    Args:
        payload: options by name, as in `TrainOptions` or `OuterOptions`; `run_name` is required.
        progress: called with {"line", "episode", "best_ndcg", "fraction", "tally"} after each episode, and
            with {"line", "fraction", "tally"} while cases are prepared.
        cancelled: asked before each episode; True ends the run cleanly with the best kept.

    Returns:
        What results.json says, in a few lines (see `summary`), and the run's folder.

    Raises:
        TrainerSettingInvalid: an option is unknown or missing.
        TrainerError, MindError: with what to do.
    """
    outer = "steps_outer" in payload
    values = _checked(payload, _OUTER if outer else _INNER)
    if outer:
        options = OuterOptions(**values, resume=True)
        total = (1 + options.steps_outer) * options.repeats * options.episodes_inner
        done = sum(
            len(RunLog.load(path).entries)
            for path in (options.folder / "inner_runs").glob("step_*/*/scratchpad.json")
        )
        tell, say = _teller(progress, total, done), _sayer(progress)
        results = await train_outer(options, on_episode=tell, stop=cancelled, say=say)
        return summary(results, options.folder)
    single = TrainOptions(**values, resume=True)
    folder = single.root / single.run_name
    if single.strategy:
        results = await _strategy(single, progress, cancelled)
    elif single.mind:
        tell = _teller(progress, single.episodes)
        say = _sayer(progress)
        results = await train_with_mind(single, listener=tell, stop=cancelled, say=say)
    else:
        raise TrainerSettingInvalid(name="mind", detail="name a mind, a strategy, or steps_outer")
    return summary(results, folder)


def summary(results: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A run's results for a person: the verdict, a line per split, what it took, where the rest is."""
    told: dict[str, Any] = {"verdict": results["verdict"], "reason": results["reason"]}
    if results.get("detail"):
        told["detail"] = results["detail"]
    if "best_prompt_id" in results:
        told["best_prompt_id"] = results["best_prompt_id"]
        told["helped"] = f"{sum(one['proven'] for one in results['what_helped'])} of "
        told["helped"] += f"{len(results['what_helped'])} measured edits"
    for name, cell in results["splits"].items():
        low, high = cell["interval"]
        told[name] = (
            f"NDCG@10 {cell['start']['ndcg']:.4f} -> {cell['best']['ndcg']:.4f} ({cell['gain']:+.4f}, "
            f"95% {low:+.4f} to {high:+.4f}, p {cell['p']:.3f}, {cell['cases']} cases)"
        )
    told["changed"] = results["changed"]
    told["evaluations"] = results["evaluations"]
    if usage := results.get("usage"):
        told["tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return {**told, "folder": str(folder)}


async def _strategy(
    options: TrainOptions, progress: Progress, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """A strategy ranks without pause, so it runs in a thread and its progress comes back to the loop."""
    loop, total = asyncio.get_running_loop(), options.budget or 100
    tell = _teller(progress, total)

    async def told(entry: Mapping[str, Any]) -> None:
        made = tell(entry)
        if inspect.isawaitable(made):
            await made

    def listener(entry: dict[str, object]) -> None:
        asyncio.run_coroutine_threadsafe(told(entry), loop).result()

    say = _sayer(progress)
    return await asyncio.to_thread(train_with_strategy, options, listener=listener, stop=cancelled, say=say)


def _sayer(progress: Progress) -> Callable[[str], None]:
    """Tells a line from the thread that prepares cases, so that nobody waits in silence."""
    loop = asyncio.get_running_loop()

    async def told(line: str) -> None:
        made = progress({"line": line, "fraction": 0.0, "tally": {}})
        if inspect.isawaitable(made):
            await made

    def say(line: str) -> None:
        asyncio.run_coroutine_threadsafe(told(line), loop).result()

    return say


def _teller(progress: Progress, total: int, done: int | None = None) -> Progress:
    """Tells an episode; `done` counts episodes of several inner runs before now, else its number counts."""
    count = [done or 0]

    def tell(entry: Mapping[str, Any]) -> Awaitable[None] | None:
        count[0] = entry["episode"] + 1 if done is None else count[0] + 1
        usage = entry.get("usage") or {}
        return progress(
            {
                "line": episode_line(entry),
                "episode": entry["episode"],
                "best_ndcg": entry["best_ndcg"],
                "fraction": min(1.0, count[0] / max(1, total)),
                "tally": {key: usage[key] for key in _TALLY if key in usage},
            }
        )

    return tell


def _checked(payload: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    unknown = sorted(set(payload) - known)
    if unknown:
        raise TrainerSettingInvalid(
            name=unknown[0], detail=f"is no option (known: {', '.join(sorted(known))})"
        )
    if not payload.get("run_name"):
        raise TrainerSettingInvalid(
            name="run_name", detail="is required, so that the run can be gone on with"
        )
    values = dict(payload)
    for name in ("root", "promptgram"):
        if values.get(name) is not None:
            values[name] = Path(values[name])
    if "queries" in values:
        values["queries"] = check_queries(values["queries"])
    return values
