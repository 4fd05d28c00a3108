"""Does one correction in ordinary words help? The stream through the whole cluster, arm by arm.

Usage: python -m benchmarks.learning.ordinary [--mind local] [--arms off "rules file" top-k hal9] [--wording 0]
       [--families NAME …] [--unrelated 24] [--minutes 9]

The simulated user runs a hidden check on each answer; it is not in the workspace, for a model that sees it copies it.
The first time a rule is broken (and the first time after it changed) they reject it in their words and show the right
file; any later failure is only rejected, any success accepted.
A run that is stopped after --minutes goes on where it was when it is started again.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.__main__ import difference, mcnemar
from benchmarks.learning.arms import Arm, make_home
from benchmarks.learning.ordinary.records import OrdinaryTask, judge
from benchmarks.learning.ordinary.stream import build
from benchmarks.report import RESULTS, table, write
from hal9.cluster import Cluster, Daemon, connect
from hal9.cluster.services.learning import choose_embedder
from hal9.memory import MemoryScope, Recall, SolvedExample
from hal9.neurons import NeuronServices

ARMS = ("off", "rules file", "top-k", "hal9")
_K = 3


def _recall(rule: str, example: SolvedExample | None = None) -> Recall:
    return Recall(rule=rule, example=example, rule_id=0, pattern_id=None, scope=MemoryScope(), source="user",
                  score=1.0, similarity=None, lower_bound=1.0, why="benchmark")  # fmt: skip


@dataclass(slots=True)
class OtherMemory:
    """What others do with what the user said: all rules of the repository, or the k most similar of all."""

    how: str
    embedder: Any = None
    told: list[tuple[OrdinaryTask, Any]] = field(default_factory=list)
    repository: str = ""
    shown: list[str] = field(default_factory=list)

    def learn(self, task: OrdinaryTask) -> None:
        """The user has corrected an answer; a newer word on the same thing stands below the older one."""
        vector = self.embedder.embed([task.words])[0] if self.embedder else None
        self.told.append((task, vector))

    async def recall(self, objective: str, **_: Any) -> Recall | None:
        """The rules that this memory shows."""
        if self.how == "rules file":
            known = [task for task, _vector in self.told if task.repository == self.repository]
            self.shown = [task.family for task in known]
            return _recall("\n".join(f"- {task.correction}" for task in known)) if known else None
        if not self.told:
            self.shown = []
            return None
        query = self.embedder.embed([objective])[0]
        ranked = sorted(self.told, key=lambda one: -float(np.dot(one[1], query)))[:_K]
        self.shown = [task.family for task, _vector in ranked]
        best = ranked[0][0]
        answer = f"`{best.target}`\n```\n{best.solution}```"
        return _recall(
            "\n".join(task.correction for task, _vector in ranked), SolvedExample(best.words, answer)
        )


class OtherDaemon(Daemon):
    """A daemon with another memory."""

    memory_of_others: OtherMemory

    def neuron_services(self, services: NeuronServices) -> NeuronServices:
        return replace(services, memory=self.memory_of_others)


def lay_out(folder: Path, task: OrdinaryTask) -> Path:
    """The checkout of a task's repository as it is before the task: git's folder and the task's files."""
    place = folder / task.repository
    (place / ".git").mkdir(parents=True, exist_ok=True)
    (place / ".git" / "config").write_text(
        f'[remote "origin"]\n\turl = https://example.org/{task.repository}.git\n'
    )
    for path in place.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in task.files.items():
        (place / name).write_text(text)
    return place


async def do(cluster: Cluster, task: OrdinaryTask, folder: Path) -> dict[str, Any]:
    """One task through the cluster."""
    task_id = await cluster.submit(
        task.words,
        workspace=lay_out(folder, task),
        targets=(task.target,),
        timeout_seconds=900,
    )
    done = await cluster.wait(task_id)
    assert done.result is not None
    steps = await cluster.steps(task_id)
    written = next((change.content for change in done.result.changes if change.path == task.target), None)
    passed, said = judge(task, written)
    recalled = sorted({one for step in steps for one in step.recalled if one != "0"})
    return {"id": task.id, "kind": task.kind, "family": task.family, "scored": task.scored, "passed": passed, "said": said,
            "rules": sorted(task.rules), "recalled": recalled, "task_id": task_id,
            "tokens": done.result.tally.prompt_tokens + done.result.tally.completion_tokens}  # fmt: skip


async def tell(cluster: Cluster, task: OrdinaryTask, row: dict[str, Any], families: dict[str, str]) -> None:
    """The user's verdict; notes which family's correction made which rule."""
    body: dict[str, Any] = {"verdict": "accept"}
    if not row["passed"]:
        body = {"verdict": "reject"}
        if row["correct"]:
            body |= {"why": task.correction, "expected": task.solution}
    request = await cluster.request("feedback", body, task_id=row["task_id"])
    row["told"] = answer = json.loads(await cluster.answer(request, timeout_seconds=600))
    number = answer.get("mitigation")
    if number is not None:
        families.setdefault(str(number), task.family)


async def run_arm(
    name: str, options: argparse.Namespace, stream: list[OrdinaryTask], state: Path
) -> list[dict[str, Any]]:
    """Run an arm until it is done or the minutes are over; what is done is kept in `state`."""
    state.mkdir(parents=True, exist_ok=True)
    kept = state / "rows.json"
    saved = json.loads(kept.read_text()) if kept.exists() else {"rows": [], "families": {}}
    rows, families = saved["rows"], saved["families"]
    if len(rows) == len(stream):
        return rows
    arm = Arm(name, learns=name == "hal9", oracle=name in ("rules file", "top-k"))
    home_folder = state / "home"
    from hal9.cluster import Home

    home = Home(home_folder) if home_folder.exists() else make_home(home_folder, arm)
    daemon: Daemon = Daemon(home)
    other = None
    if name in ("rules file", "top-k"):
        other = OtherMemory(name, choose_embedder("auto")[0] if name == "top-k" else None)
        for row in rows:
            if row["corrected"]:
                other.learn(next(task for task in stream if task.id == row["id"]))
        daemon = OtherDaemon(home)
        daemon.memory_of_others = other
    owed = {(one["family"], one["phase"]) for one in rows if one["corrected"]}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        async with daemon, connect(home.root) as cluster:
            for task in stream[len(rows) :]:
                if other is not None:
                    other.repository = task.repository
                row = await do(cluster, task, Path(scratch) if name == "off" else state / "checkouts")
                if other is not None:
                    row["recalled"] = other.shown
                row["phase"] = task.phase
                due = (task.family, task.phase)
                row["correct"] = not row["passed"] and bool(task.correction) and due not in owed
                row["corrected"] = row["correct"]
                if row["correct"]:
                    owed.add(due)
                if name == "hal9":
                    await tell(cluster, task, row, families)
                    row["recalled"] = [families.get(one, "?") for one in row["recalled"]]
                elif row["correct"] and other is not None:
                    other.learn(task)
                row["wrong"] = bool(
                    set(row["recalled"]) - set(row["rules"]) - ({task.family} if task.correction else set())
                )
                rows.append(row)
                kept.write_text(json.dumps({"rows": rows, "families": families}))
                print(f"{name}: {len(rows)}/{len(stream)}, {sum(one['passed'] for one in rows)} passed, "
                      f"{time.monotonic() - begun:.0f} s", flush=True)  # fmt: skip
                if time.monotonic() - begun > 60 * options.minutes:
                    break
    return rows


def report(title: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """A table of the arms; differences are paired with "off"."""
    base = results.get("off")
    rows = []
    for name, found in results.items():
        recurring = [row for row in found if row["scored"] and row["kind"] == "recurring"]
        controls = [row for row in found if row["kind"] != "recurring"]
        cells = [
            name,
            f"{sum(r['passed'] for r in recurring)}/{len(recurring)}",
            f"{sum(r['passed'] for r in controls)}/{len(controls)}",
        ]
        if base is not None and name != "off":
            pairs = list(zip(found, base, strict=False))
            mine = [(a, b) for a, b in pairs if a["scored"] and a["kind"] == "recurring"]
            gain, low, high = difference([a for a, _ in mine], [b for _, b in mine])
            wins = sum(a["passed"] and not b["passed"] for a, b in mine)
            losses = sum(b["passed"] and not a["passed"] for a, b in mine)
            lost = sum(int(b["passed"]) - int(a["passed"]) for a, b in pairs if a["kind"] != "recurring")
            cells += [f"{gain:+.0f} [{low:+.0f}, {high:+.0f}]", f"{mcnemar(wins, losses):.0e}", str(lost)]
        else:
            cells += ["", "", ""]
        cells += [
            f"{sum(r.get('wrong', False) for r in found)}/{len(found)}",
            str(sum(r["tokens"] for r in found)),
        ]
        rows.append(cells)
    table(
        title,
        (
            "arm",
            "recurring",
            "controls",
            "gain, points",
            "McNemar p",
            "controls lost",
            "wrong recall",
            "tokens",
        ),
        rows,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mind", default="local")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--wording", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unrelated", type=int, default=24)
    parser.add_argument("--first", type=int, default=1_000, help="how many tasks of the stream")
    parser.add_argument("--minutes", type=float, default=600)
    options = parser.parse_args()
    os.environ["HAL9_MODEL"] = options.mind
    stream = build(options.seed, wording=options.wording, unrelated=options.unrelated)
    stream = stream[: options.first]
    title = f"learning-ordinary-{options.mind.replace(':', '-')}-{options.wording}"
    state = RESULTS / title
    results = {}
    for name in options.arms:
        results[name] = await run_arm(name, options, stream, state / name.replace(" ", "-"))
    write(title, {"seed": options.seed, "wording": options.wording}, results, "xllamacpp")
    report(title, results)


if __name__ == "__main__":
    asyncio.run(main())
