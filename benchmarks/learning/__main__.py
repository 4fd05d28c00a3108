"""Does the cluster do better after feedback? A stream of 160 tasks through the whole cluster, arm by arm.

Usage: scripts/bench learning [--mind local] [--arms on off …] [--seed 1] [--size 160] [--families FILE].

The simulated user runs a hidden check on every answer. In learning arms a failed answer is rejected with the
reason and, except in "error text only", the corrected file and the rule; a passed one is accepted. Nothing else is
handed to the cluster. Prints pass rates, wrong recalls, tokens, paired McNemar against "off", and draws the curve.
"""

import argparse
import asyncio
import json
import math
import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.learning.arms import ARMS, Arm, make_home
from benchmarks.learning.stream import RECURRING, StreamTask, build
from benchmarks.report import RESULTS, table, write
from hal9.cluster import Cluster, Daemon, Home, connect
from hal9.memory import MemoryScope, Recall, SolvedExample
from hal9.neurons import NeuronServices


@dataclass(frozen=True, slots=True)
class OracleRecaller:
    """Hands out the right rule and a solved example of the task's family; the first of a family gets nothing."""

    by_objective: dict[str, Recall]

    async def recall(self, objective: str, **_: Any) -> Recall | None:
        return self.by_objective.get(objective)


class OracleDaemon(Daemon):
    """A daemon whose memory is perfect."""

    memory: OracleRecaller

    def neuron_services(self, services: NeuronServices) -> NeuronServices:
        return replace(services, memory=self.memory)


def oracle(stream: list[StreamTask]) -> OracleRecaller:
    examples: dict[str, StreamTask] = {}
    found: dict[str, Recall] = {}
    for task in stream:
        if not task.recurring:
            continue
        example = examples.get(task.family)
        if example is not None:
            answer = f"`{example.target}`\n```python\n{example.solution}```"
            found[task.objective] = Recall(
                rule=task.rule,
                example=SolvedExample(task=example.objective, answer=answer),
                rule_id=0,
                pattern_id=None,
                scope=MemoryScope(),
                source="user",
                score=1.0,
                similarity=None,
                lower_bound=1.0,
                why="oracle",
            )
        examples[task.family] = task
    return OracleRecaller(found)


def wrong_content(stream: list[StreamTask], task: StreamTask) -> StreamTask:
    """A task of another recurring family, for the shuffled arm."""
    families = sorted({other.family for other in stream if other.recurring})
    other = families[(families.index(task.family) + 1) % len(families)]
    return next(one for one in stream if one.family == other)


async def run_task(cluster: Cluster, task: StreamTask, workspace: Path) -> dict[str, Any]:
    for path in workspace.iterdir():
        path.unlink()
    for name, text in {**task.files, "check.py": task.check}.items():
        (workspace / name).write_text(text)
    task_id = await cluster.submit(
        task.objective,
        workspace=workspace,
        check="python -m check",  # a file that a check names is shown, and small models copy it
        targets=(task.target,),
        timeout_seconds=1800,
    )
    done = await cluster.wait(task_id)
    assert done.result is not None
    steps = await cluster.steps(task_id)
    written = next((change.content for change in done.result.changes if change.path == task.target), None)
    passed, said = task.judge(written)
    return {
        "id": task.id,
        "kind": task.kind,
        "family": task.family,
        "position": task.position,
        "scored": task.scored,
        "passed": passed,
        "said": said,
        "recalled": sorted({one for step in steps for one in step.recalled}),
        "tokens": done.result.tally.prompt_tokens + done.result.tally.completion_tokens,
        "task_id": task_id,
    }


async def give_feedback(
    cluster: Cluster, arm: Arm, stream: list[StreamTask], task: StreamTask, row: dict[str, Any]
) -> None:
    body: dict[str, Any] = {"verdict": "accept"}
    if not row["passed"]:
        body = {"verdict": "reject", "why": row["said"] or "the check failed"}
        if arm.corrected and task.solution:
            content = wrong_content(stream, task) if arm.shuffled and task.recurring else task
            body["expected"] = content.solution
            if content.rule:
                body["note"] = content.rule
    request = await cluster.request("feedback", body, task_id=row["task_id"])
    row["feedback"] = await cluster.answer(request, timeout_seconds=600)


def origins(home: Home, known: dict[str, str], family: str) -> None:
    """Note which family's feedback made which rule."""
    if not home.memory.exists():
        return
    connection = sqlite3.connect(f"file:{home.memory}?mode=ro", uri=True)
    try:
        for (identifier,) in connection.execute("SELECT id FROM mitigations"):
            known.setdefault(str(identifier), family)
    except sqlite3.Error:
        return
    finally:
        connection.close()


async def run_arm(arm: Arm, mind: str, stream: list[StreamTask]) -> list[dict[str, Any]]:
    os.environ["HAL9_MODEL"] = mind
    rows: list[dict[str, Any]] = []
    families: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = make_home(Path(folder) / "home", arm)
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        daemon = OracleDaemon(home) if arm.oracle else Daemon(home)
        if isinstance(daemon, OracleDaemon):
            daemon.memory = oracle(stream)
        begun = time.monotonic()
        async with daemon, connect(home.root) as cluster:
            origins(home, families, "(shipped)")
            for task in stream:
                row = await run_task(cluster, task, workspace)
                row["wrong_recall"] = any(
                    families.get(one, task.family) != task.family for one in row["recalled"]
                )
                if arm.learns:
                    await give_feedback(cluster, arm, stream, task, row)
                    origins(home, families, task.family)
                rows.append(row)
                passed = sum(one["passed"] for one in rows)
                print(
                    f"\r{arm.name}: {len(rows)}/{len(stream)}, {passed} passed, {time.monotonic() - begun:.0f} s ",
                    end="",
                    flush=True,
                )
    print()
    return rows


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value."""
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1)) / 2**n if n else 1.0
    return min(1.0, 2 * tail)


def difference(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Paired difference in points with its 95% interval (normal approximation over pairs)."""
    pairs = [int(one["passed"]) - int(other["passed"]) for one, other in zip(rows, base, strict=True)]
    mean = sum(pairs) / len(pairs)
    spread = math.sqrt(sum((pair - mean) ** 2 for pair in pairs) / max(len(pairs) - 1, 1) / len(pairs))
    return 100 * mean, 100 * (mean - 1.96 * spread), 100 * (mean + 1.96 * spread)


def report(mind: str, results: dict[str, list[dict[str, Any]]]) -> None:
    base = results.get("off")
    rows = []
    for name, found in results.items():
        recurring = [row for row in found if row["scored"] and row["kind"] in ("convention", "strategy")]
        shop = [row for row in found if row["scored"] and row["kind"] == "shop"]
        control = [row for row in found if row["kind"] not in RECURRING]
        cells = [name, _rate(recurring), _rate(shop), _rate(control)]
        if base is not None and name != "off":
            pairs = [
                (row, other)
                for row, other in zip(found, base, strict=True)
                if row["scored"] and row["kind"] in ("convention", "strategy")
            ]
            gain, low, high = difference([row for row, _ in pairs], [other for _, other in pairs])
            wins = sum(row["passed"] and not other["passed"] for row, other in pairs)
            losses = sum(other["passed"] and not row["passed"] for row, other in pairs)
            lost = sum(
                int(other["passed"]) - int(row["passed"])
                for row, other in zip(found, base, strict=True)
                if row["kind"] not in RECURRING
            )
            cells += [f"{gain:+.0f} [{low:+.0f}, {high:+.0f}]", f"{mcnemar(wins, losses):.1e}", f"{lost}"]
        else:
            cells += ["", "", ""]
        wrong = sum(row["wrong_recall"] for row in found)
        cells += [f"{wrong}/{len(found)}", str(sum(row["tokens"] for row in found))]
        rows.append(cells)
    columns = ("arm", "recurring", "shop", "controls", "gain, points", "McNemar p", "controls lost", "wrong recall",
               "tokens")  # fmt: skip
    table(f"learning, {mind}", columns, rows)


def _rate(rows: list[dict[str, Any]]) -> str:
    return f"{sum(row['passed'] for row in rows)}/{len(rows)}"


def curve(mind: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """Pass rate over the n-th task of its family, for every arm."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5))
    for name, rows in results.items():
        points: dict[int, list[bool]] = {}
        for row in rows:
            if row["kind"] in ("convention", "strategy"):
                points.setdefault(row["position"] + 1, []).append(row["passed"])
        places = sorted(points)
        axes.plot(places, [100 * sum(points[at]) / len(points[at]) for at in places], marker="o", label=name)
    axes.set_xlabel("n-th task of its family")
    axes.set_ylabel("passed, %")
    axes.set_ylim(-3, 103)
    axes.set_title(f"Recurring families, {mind}")
    axes.legend(fontsize=8)
    figure.tight_layout()
    path = RESULTS / f"learning-{mind.replace(':', '-')}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"curve: {path}")


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mind", default="local")
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, help="run a smaller stream of the same shape")
    options = parser.parse_args()
    stream = build(options.seed, size=options.size)
    name = f"learning-{options.mind.replace(':', '-')}"
    results: dict[str, list[dict[str, Any]]] = {}
    previous = RESULTS / f"{name}.json"
    if previous.exists():
        stored = json.loads(previous.read_text())
        if stored["settings"].get("seed") == options.seed and stored["settings"].get("size") == options.size:
            results = stored["figures"]
    for arm in ARMS:
        if arm.name in options.arms:
            results[arm.name] = await run_arm(arm, options.mind, stream)
            write(name, {"seed": options.seed, "size": options.size}, results, "xllamacpp", "reasoning_gym")
    report(options.mind, results)
    curve(options.mind, results)


if __name__ == "__main__":
    asyncio.run(main())
