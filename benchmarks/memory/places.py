"""Recall and guards together at many rules: CPU time of one task and one action in the daemon."""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.memory.report import write
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.guards.guard_form import read_guard
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import MemoryScope, MemoryStore, NewRule, RecallPolicy, RuleStore, recall_many, scope_of
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.tools.action import command_action

__all__ = ["measure"]

_TASKS = 200


def measure() -> None:
    """Print and write p50 and p95 at 100 and 10,000 rules with 10 guards."""
    figures = {}
    for count in (100, 10_000):
        with (
            tempfile.TemporaryDirectory() as folder,
            MemoryStore(Path(folder) / "m.db", embedder=HashingEmbedder(64)) as store,
        ):
            figures[str(count)] = _at(store, folder, count)
            print(count, figures[str(count)])
    write("places", {"guards": 10, "tasks": _TASKS}, figures)


def _at(store: MemoryStore, folder: str, count: int) -> dict[str, float]:
    book = RuleStore(store)
    with store.writing() as tables:
        for number in range(count):
            scope = MemoryScope(folder, place=f"src/part{number % (count // 2)}/**")
            made = book.propose(NewRule(rule=f"rule {number}", scope=scope, source="user", trusted_by="user"))
            tables.conn.execute("UPDATE mitigations SET state = 'admitted' WHERE id = ?", (made,))
    advisor = ActionAdvisor(store)
    for number in range(10):
        guard = read_guard({"when": {"program": f"tool{number}"}, "say": "no", "effect": "require"})
        advisor.guards.accept(
            advisor.guards.add(guard, workspace="*", source="user", cause="b"), [], cause="b"
        )
    watch = RunWatch.begin(folder, RunState(root=folder, view=LiveView(root=folder)))
    spent = []
    for number in range(_TASKS):
        task = f"Mend the totals in src/part{number % (count // 2)}/totals.py"
        started = time.process_time()
        found = recall_many(store, task, scope_of(task, workspace=folder), RecallPolicy(limit=3))
        advisor.before(command_action(f"python src/part{number}/totals.py --check"), watch)
        spent.append(time.process_time() - started)
        assert len(found) == 2
    p50, p95 = np.percentile(spent, [50, 95]) * 1000
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


if __name__ == "__main__":
    measure()
