"""Does the right rule reach the right task? The whole stream without a model: teaching and recall only.

Usage: python -m benchmarks.learning.ordinary.without_model [--embedder auto|hashing] [--targets given|half|none] [--limit 3]

Every first task of a family is "rejected" in the user's words with the corrected file; what is recalled for every
other task is compared with the rules that hold for it. All four wordings, two orders.
"""

import argparse
import asyncio
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.learning.ordinary.records import OrdinaryTask
from benchmarks.learning.ordinary.stream import build
from benchmarks.report import table, write
from hal9.cluster.services.learning import choose_embedder
from hal9.journal.tasks import TaskRow
from hal9.learning import RuleLearner, parse_feedback
from hal9.memory import MemoryStore, Recall, RecallPolicy, RuleStore, open_embedder, recall_many, scope_of
from hal9.signals import FileChange, ResultPayload, StepRecord, TaskPayload, TaskScope, new_id

__all__ = ["Counted", "Learner", "run"]


@dataclass(slots=True)
class Counted:
    """What recall did over a stream."""

    wanted: int = 0
    reached: int = 0
    tasks: int = 0
    wrong: int = 0
    by_family: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    misses: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    probabilities: list[tuple[float, bool]] = field(default_factory=list)


class Learner:
    """Memory with a teacher and no mind."""

    def __init__(self, store: MemoryStore, folder: Path, *, limit: int, targets: str) -> None:
        self.store = store
        self.folder = folder
        self.limit = limit
        self.targets = targets
        self.learner = RuleLearner(store)
        self.family: dict[int, str] = {}
        self.now = 1_700_000_000.0
        self._told: dict[str, bool] = {}

    def workspace(self, task: OrdinaryTask) -> str:
        """The checkout of a task's repository."""
        place = self.folder / task.repository
        if not place.exists():
            (place / ".git").mkdir(parents=True)
            (place / ".git" / "config").write_text(
                f'[remote "origin"]\n\turl = https://example.org/{task.repository}.git\n'
            )
        return str(place)

    def paths(self, task: OrdinaryTask) -> list[str]:
        """Files that the user names beside the words."""
        if self.targets == "half":
            return [task.target] if hash_of(task.id) % 2 else []
        return [task.target] if self.targets == "given" else []

    def recall(self, task: OrdinaryTask) -> list[Recall]:
        """What a neuron would be reminded of."""
        scope = scope_of(task.words, workspace=self.workspace(task), paths=self.paths(task))
        return recall_many(self.store, task.words, scope, RecallPolicy(limit=self.limit, unplaced=1))

    def weighed(self, task: OrdinaryTask) -> list[Recall]:
        """Every rule that might apply, with its probability, however small."""
        scope = scope_of(task.words, workspace=self.workspace(task), paths=self.paths(task))
        policy = RecallPolicy(limit=1_000, tokens=1_000_000, min_probability=0.0, words_probability=0.0)
        return [one for one in recall_many(self.store, task.words, scope, policy) if one.scope.place]

    async def teach(self, task: OrdinaryTask, recalled: list[Recall]) -> str:
        """The user rejects the answer in their words and shows the right file."""
        self.now += 60
        workspace = self.workspace(task)
        payload = TaskPayload(
            objective=task.words,
            workspace=workspace,
            targets=self.paths(task),
            scope=TaskScope(workspace=workspace),
        )
        change = FileChange(path=task.target, action="created", diff="")
        result = ResultPayload(ok=True, answer="done", changes=[change])
        row = TaskRow(
            id=new_id(now=self.now),
            payload=payload,
            state="done",
            created_at=self.now,
            started_at=self.now,
            finished_at=self.now,
            deadline=self.now + 900,
            result=result,
        )
        step = StepRecord(
            id=new_id(now=self.now),
            task_id=row.id,
            signal_id="s",
            neuron="l2-implementer",
            layer=2,
            kind="think",
            started_at=self.now,
            ended_at=self.now,
            promptgram_version=1,
            promptgram_hash="",
            recalled=[str(one.rule_id) for one in recalled],
        )
        body = {"verdict": "reject", "why": task.correction, "expected": task.solution}
        learned = await self.learner.from_feedback(parse_feedback(body), row, [step], cause=row.id)
        if learned.rule_id is not None:
            self.family.setdefault(learned.rule_id, task.family)
        return f"{learned.state}: {learned.holds_for} {learned.reason} replaced={learned.replaced}"


def hash_of(text: str) -> int:
    """A number of a text that is the same in every run."""
    return sum(ord(sign) * (at + 1) for at, sign in enumerate(text))


async def run(learner: Learner, stream: list[OrdinaryTask], counted: Counted) -> None:
    """Teach and recall in the order of the stream."""
    taught: set[str] = set()
    for task in stream:
        found = learner.recall(task)
        names = {learner.family.get(one.rule_id, "?") for one in found}
        known = task.rules & taught
        counted.tasks += 1
        if task.scored and not task.correction:
            counted.probabilities += [
                (one.probability, learner.family.get(one.rule_id, "?") in task.rules)
                for one in learner.weighed(task)
            ]
        if task.scored:
            counted.wanted += len(known)
            hits = len(names & known)
            counted.reached += hits
            counted.by_family[task.family]["wanted"] += len(known)
            counted.by_family[task.family]["reached"] += hits
            if hits < len(known):
                counted.misses.append(f"{task.id} [{task.words[:60]}]: got {sorted(names)}")
        allowed = task.rules | ({task.family} if task.correction else set())
        if names - allowed:
            counted.wrong += 1
            counted.by_family[task.family]["wrong"] += 1
            counted.errors.append(f"{task.id} [{task.words[:60]}]: got {sorted(names - allowed)}")
        if task.correction:
            said = await learner.teach(task, found)
            counted.by_family[task.family][said.split(" ")[0]] += 1
            if not (said.startswith(("admitted", "retired"))):
                counted.errors.append(f"taught {task.id} ({task.correction[:50]}): {said}")
            taught.add(task.family)
            if not task.rules:
                taught.discard(task.family)
    left = RuleStore(learner.store).all(states=("admitted",))
    double = Counter(learner.family.get(one.id, "?") for one in left)
    counted.errors += [f"in force {count} times: {name}" for name, count in double.items() if count > 1]


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedder", default="auto")
    parser.add_argument("--targets", default="half", choices=("given", "half", "none"))
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--wordings", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    embedder = choose_embedder("auto")[0] if options.embedder == "auto" else open_embedder(options.embedder)
    rows, figures = [], {}
    everything: list[tuple[float, bool]] = []
    for wording in options.wordings:
        counted = Counted()
        for seed in options.seeds:
            with (
                tempfile.TemporaryDirectory() as folder,
                MemoryStore(Path(folder) / "m.db", embedder=embedder) as store,
            ):
                learner = Learner(store, Path(folder), limit=options.limit, targets=options.targets)
                await run(learner, build(seed, wording=wording), counted)
        rows.append([str(wording), f"{counted.reached}/{counted.wanted}", f"{counted.wrong}/{counted.tasks}"])
        figures[str(wording)] = {
            "reached": counted.reached,
            "wanted": counted.wanted,
            "wrong": counted.wrong,
            "tasks": counted.tasks,
        }
        everything += counted.probabilities
        if options.verbose:
            print("\n".join([*counted.misses, "--", *counted.errors]))
            for name, counts in counted.by_family.items():
                print("   ", name, dict(counts))
    table(
        "recall in ordinary words, no model",
        ("wording", "right rule reached", "tasks with a wrong one"),
        rows,
    )
    reliability = diagram(everything)
    table(
        "is the probability right?", ("probability told", "pairs", "mean told", "really applied"), reliability
    )
    write("learning-ordinary-recall", vars(options), {"recall": figures, "reliability": reliability})


def diagram(pairs: list[tuple[float, bool]]) -> list[list[str]]:
    """By tenths of the probability that was told: how many pairs, the mean told, and how many really applied."""
    rows = []
    for tenth in range(10):
        low = tenth / 10
        mine = [(p, right) for p, right in pairs if low <= p < low + 0.1 or (tenth == 9 and p == 1.0)]
        if mine:
            told, true = (sum(one[at] for one in mine) / len(mine) for at in (0, 1))
            rows.append([f"{low:.1f} to {low + 0.1:.1f}", str(len(mine)), f"{told:.2f}", f"{true:.2f}"])
    return rows


if __name__ == "__main__":
    asyncio.run(main())
