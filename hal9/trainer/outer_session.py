"""One whole outer run: minds, topology, results, report."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hal9.budgets import BudgetStore
from hal9.clock import Clock, SystemClock
from hal9.errors.trainer import OptimiserMissing, ScratchpadInvalid, TrainingRunExists
from hal9.minds.protocol import Usage
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.corpus import Queries
from hal9.trainer.inner.loop import InnerSettings, Listener
from hal9.trainer.outer.context import OuterContext
from hal9.trainer.outer.population import run_population
from hal9.trainer.outer.promptgrams import PromptRegistry
from hal9.trainer.outer.searching import run_search, runs_at_most
from hal9.trainer.outer.stack import OuterResult, OuterSettings, hall_of_fame, run_stack
from hal9.trainer.record.changes import open_ledger
from hal9.trainer.record.detection import EXPLANATIONS
from hal9.trainer.record.run_log import RunLog, only_writer
from hal9.trainer.record.runs import EvaluationData, checked_run_name, final_results, write_results
from hal9.trainer.reporting.plots import plot_outer
from hal9.trainer.reporting.report import cost_lines
from hal9.trainer.session import (
    RunStoppedEarly,
    TrainOptions,
    open_corpus,
    open_ground,
    open_trainer_mind,
    run_limits,
    run_stop,
)

__all__ = ["OuterOptions", "as_begun", "train_outer"]

ROOT = Path("training-outer")
_FIXED = (
    "corpus",
    "queries",
    "space",
    "agent_inner",
    "agent_outer",
    "topology",
    "seed",
    "repeats",
    "warm_start",
    "episodes_inner",
)


Topology = Literal["stack", "search", "population"]
_TOPOLOGIES = {"stack": run_stack, "search": run_search, "population": run_population}
_CELL = 160
_UNRECORDED = ("root", "resume", "run_name", "usd_per_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterOptions:
    """What an outer run is asked to do; see `TrainOptions` for what both have."""

    run_name: str
    root: Path = ROOT
    corpus: str = "curated"
    queries: Queries = "plain"
    space: str = "live"
    workers: int = 1
    executor: str = "local"
    seed: int = 0
    resume: bool = False
    steps_outer: int = 10
    episodes_inner: int = 20
    agent_inner: str = "claude"
    agent_outer: str = "codex"
    topology: Topology = "stack"
    repeats: int = 2
    explore: float = 0.2
    warm_start: bool = False
    limits: Mapping[Literal["tokens", "usd", "seconds", "calls"], float] = field(default_factory=dict)
    usd_per_call: float | None = None
    score_test: bool = True

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.root / "runs" / checked_run_name(self.run_name)

    def to_json(self) -> dict[str, Any]:
        """All but where it lies."""
        values = asdict(self)
        return {
            **{k: v for k, v in values.items() if k not in _UNRECORDED},
            "limits": dict(self.limits),
        }

    def train_options(self) -> TrainOptions:
        """The part that inner runs share."""
        return TrainOptions(
            run_name=self.run_name,
            corpus=self.corpus,
            queries=self.queries,
            space=self.space,
            workers=self.workers,
            executor=self.executor,
            seed=self.seed,
            limits=self.limits,
        )


def as_begun(options: OuterOptions, given: Collection[str]) -> OuterOptions:
    """The options of a run that is gone on with: as it was begun with, but for those given now.

    Raises:
        ScratchpadInvalid: the run's record is damaged.
    """
    record = options.folder / "outer_scratchpad.json"
    if not options.resume or not record.is_file():
        return options
    begun = {name: value for name, value in RunLog.load(record).settings.items() if name not in given}
    return replace(options, **begun)


async def train_outer(
    options: OuterOptions,
    *,
    on_step: Callable[[Mapping[str, Any]], None] | None = None,
    on_episode: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
    ground: EvaluationData | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run L2 over L1 and write everything the run leaves behind; returns results.json's content.

    Raises:
        TrainerError, MindError: with what to do.
    """
    folder, cap, asked = options.folder, options.usd_per_call, options.train_options()
    stop = run_stop(asked, stop)
    with (
        only_writer(folder),
        BudgetStore(folder / "budget.sqlite", run_limits(asked)) as book,
        open_ledger(folder, clock=clock) as ledger,
    ):
        pad = _record(options)
        # Minds come first: one that is missing is told before a corpus has been read.
        async with (
            open_trainer_mind(options.agent_inner, book, usd_per_call=cap) as inner,
            open_trainer_mind(options.agent_outer, book, usd_per_call=cap) as outer,
        ):
            try:
                measured_on = (
                    ground if ground is not None else await asyncio.to_thread(open_ground, asked, stop, say)
                )
            except RunStoppedEarly as early:
                return _nothing_measured(options, pad, early.results)
            try:
                workshop = OuterContext(
                    measured_on, inner, outer, folder,
                    PromptRegistry(options.root / "prompts" / "inner"),
                    InnerSettings.for_mind(
                        options.agent_inner, episodes=options.episodes_inner, seed=options.seed
                    ),
                    repeats=options.repeats, listener=on_episode, clock=clock or SystemClock(), stop=stop,
                    task_id=options.run_name,
                    asking=InnerSettings.for_mind(options.agent_outer, repairs=2),
                    ledger=ledger,
                )  # fmt: skip
                settings = OuterSettings(
                    steps=options.steps_outer, seed=options.seed,
                    explore=options.explore, warm_start=options.warm_start,
                )  # fmt: skip
                done = await _TOPOLOGIES[options.topology](workshop, pad, settings, listener=on_step)
                if done.reason == "cancelled" and stop.reason:
                    done = replace(done, reason=stop.reason, detail=stop.detail)
                done = replace(done, params=ledger.parameters.changes())
                # In a thread: the splits that judge are prepared only now.
                return await asyncio.to_thread(_finish, options, pad, measured_on, done)
            finally:
                if ground is None:
                    measured_on.close()


def _record(options: OuterOptions) -> RunLog:
    path = options.folder / "outer_scratchpad.json"
    if not path.is_file():
        return RunLog.create(path, "outer", options.to_json())
    found = RunLog.load(path)
    begun = bool(found.entries) or (options.folder / "inner_runs").is_dir()
    if not begun:
        return RunLog.create(path, "outer", options.to_json())
    if not options.resume:
        raise TrainingRunExists(run=options.run_name, folder=str(options.root / "runs"))
    wanted = json.loads(json.dumps(options.to_json()))
    differing = [key for key in _FIXED if found.settings.get(key) != wanted[key]]
    if differing:
        raise ScratchpadInvalid(
            path=str(path), detail=f"the run was started with other settings ({', '.join(differing)})"
        )
    return found


def _nothing_measured(options: OuterOptions, pad: RunLog, results: dict[str, Any]) -> dict[str, Any]:
    """The results and the report of a run that ended while its cases were prepared."""
    none = {"topology": options.topology, "steps": 0, "best_prompt_id": "", "meta_loss": None}
    told = {**results, **none, "what_helped": [], "hall_of_fame": [], "kept": 0, "detections": {}}
    write_results(options.folder, told, Parameters())
    _report(options, pad, told)
    return told


def _finish(options: OuterOptions, pad: RunLog, ground: EvaluationData, done: OuterResult) -> dict[str, Any]:
    best, spent = Parameters(done.params), _spent(options.folder / "inner_runs")
    facts = {
        "reason": done.reason,
        "detail": done.detail,
        "stopped": done.reason in ("cancelled", "budget"),
        "topology": options.topology,
        "steps": done.steps,
        "best_prompt_id": done.best,
        "meta_loss": {"mean": done.mean, "interval": list(done.interval)} if done.best else None,
        "evaluations": ground.train.calls,
        "usage": asdict(sum(spent, Usage(calls=0))),
        "usd_known": sum(usage.usd or 0.0 for usage in spent),
        "what_helped": sorted(done.edits, key=lambda item: -float(item["gain"])),
        "hall_of_fame": hall_of_fame(done.measured),
        "episodes": sum(measured.episodes for measured in done.measured.values()),
        "kept": sum(measured.kept for measured in done.measured.values()),
        "detections": dict(
            sum((Counter(measured.detections) for measured in done.measured.values()), Counter[str]())
        ),
    }
    results = final_results(ground, best, Parameters(), facts=facts, score_test=options.score_test)
    if done.measured:
        try:
            plot_outer(done.measured, options.folder / "progress.png")
        except OptimiserMissing as error:
            results["progress"] = str(error)
    write_results(options.folder, results, best)
    _report(options, pad, results)
    return results


def _spent(runs: Path) -> list[Usage]:
    """What the run's calls took, those before a crash included: read from what they left behind."""
    spent = [
        Usage(**entry["usage"])
        for path in sorted(runs.glob("step_*/*/scratchpad.json"))
        for entry in RunLog.load(path).entries
    ]
    proposals = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("proposal_*.json"))
    ]
    return spent + [Usage(**proposal["usage"]) for proposal in proposals]


def _report(options: OuterOptions, pad: RunLog, results: Mapping[str, Any]) -> None:
    """Write report.md."""
    helped = results["what_helped"]
    refused = [entry for entry in pad.entries if entry.get("problem")]
    lines = [
        f"# Outer run {options.run_name}",
        "",
        _opening(options, results),
        "",
        f"**Parameters: {results['verdict']}.**",
        _promptgrams(results),
        *_tell_apart(results),
        "",
        *_effect_rows(helped),
        *_fame_rows(results["hall_of_fame"]),
    ]
    if refused:
        lines += ["", f"## Proposals refused: {len(refused)}", ""]
        lines += [f"- step {entry['outer_step'] + 1}: {_cell(entry['problem'])}" for entry in refused]
    lines += ["", "## What the best parameters are worth"]
    lines += ["", "| split | cases | start | best | gain (95% interval) | p |", "|---|---|---|---|---|---|"]
    for name, cell in results["splits"].items():
        low, high = cell["interval"]
        lines.append(
            f"| {name} | {cell['cases']} | {cell['start']['ndcg']:.4f} | {cell['best']['ndcg']:.4f} "
            f"| {cell['gain']:+.4f} ({low:+.4f} to {high:+.4f}) | {cell['p']:.3f} |"
        )
    if (options.folder / "progress.png").is_file():
        lines += ["", "![progress](progress.png)"]
    lines += ["", "The training split was searched on, so its gain is biased upward; validation was not."]
    lines += ["", *_detections(results), *cost_lines(results)]
    (options.folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _effect_rows(helped: Sequence[Mapping[str, Any]]) -> list[str]:
    if not helped:
        return ["No edit was measured."]
    rows = [
        "| promptgram | from | gain in final NDCG@10 (95% interval over seeds) | edit | hypothesis |",
        "|---|---|---|---|---|",
    ]
    for item in helped:
        low, high = item["interval"]
        effect = f"{item['gain']:+.4f} ({low:+.4f} to {high:+.4f})"
        if item["seeds"] < 2:
            effect = f"{item['gain']:+.4f} (one seed, no interval)"
        told = [_cell(item[key]) for key in ("edit", "hypothesis")]
        rows.append(f"| {item['prompt_id']} | {item['parent']} | {effect} | {told[0]} | {told[1]} |")
    return rows


def _cell(text: str) -> str:
    """A text for a table's cell: one line, no bars, cut at a word."""
    plain = " ".join(text.replace("|", "/").split())
    return plain if len(plain) <= _CELL else plain[:_CELL].rsplit(" ", 1)[0] + " …"


def _fame_rows(fame: Sequence[Mapping[str, Any]]) -> list[str]:
    if not fame:
        return []
    rows = [
        "",
        "## Hall of fame",
        "",
        "| promptgram | mean final NDCG@10 (95% interval) | runs | episodes that kept a step |",
    ]
    rows.append("|---|---|---|---|")
    for one in fame:
        low, high = one["interval"]
        rows.append(
            f"| {one['prompt_id']} | {one['mean']:.4f} ({low:.4f} to {high:.4f}) | {one['runs']} "
            f"| {one['kept']} of {one['episodes']} |"
        )
    return rows


def _opening(options: OuterOptions, results: Mapping[str, Any]) -> str:
    return (
        f"{options.agent_outer} steers {options.agent_inner}, {options.topology}, "
        f"{results['steps']} steps of "
        f"{options.repeats} inner runs with {options.episodes_inner} episodes; "
        f"ended because: {results['reason']}" + (f" ({results['detail']})." if results["detail"] else ".")
    )


def _promptgrams(results: Mapping[str, Any]) -> str:
    helped = results["what_helped"]
    proven = sum(item["proven"] for item in helped)
    return (
        f"**Promptgrams: {proven} of {len(helped)} measured edits helped beyond their interval; "
        f"best is {results['best_prompt_id'] or 'none'}.**"
    )


def _tell_apart(results: Mapping[str, Any]) -> list[str]:
    """How much the inner runs had to say about promptgrams at all."""
    told = f"{results['kept']} of {results['episodes']} inner episodes kept a step."
    if not results["kept"]:
        told += " So every inner run ended where it began, and no promptgram can be told from another."
    return ["", told]


def _detections(results: Mapping[str, Any]) -> list[str]:
    found = results["detections"].items()
    lines = [f"- {name} ({count} episodes): {EXPLANATIONS[name]}" for name, count in found]
    return ["## Detected in inner runs", "", *lines, ""] if lines else []


def dry_run(options: OuterOptions) -> list[str]:
    """What a run would do, without asking a mind or writing anything."""
    corpus = open_corpus(options.train_options())
    runs = (1 + options.steps_outer) * options.repeats
    if options.topology == "search":
        runs = runs_at_most(options.steps_outer, options.repeats)
    calls = options.steps_outer + runs * options.episodes_inner
    told = (
        f"L2 {options.agent_outer}, L1 {options.agent_inner}: at most {calls} calls and "
        f"{3 * (calls - options.steps_outer)} evaluations"
    )
    described = {name: facts["cases"] for name, facts in corpus.describe().items()}
    return [
        f"run {options.folder}, topology {options.topology}",
        f"corpus {corpus.name}: " + ", ".join(f"{count} {name}" for name, count in described.items()),
        told,
        "limits: " + (", ".join(f"{k} {v:g}" for k, v in options.limits.items()) or "none"),
    ]
