"""How long do recall and a guard take together, with 100 rules and with 10,000? The bar: 95 of 100 within 5 ms.

One repository; its rules hold for the whole project, for folders and for files, with a guard for one rule in
fifty. A task names a file. The embedding of the task is counted, by the embedder of hashed words; the real
one adds its own time, once per task. Guards are asked as before each tool call, with nothing fired.

    python -m benchmarks.memory.rules [--sizes 100 10000] [--queries 200]
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import report
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import (
    EVERYWHERE,
    MemoryScope,
    MemoryStore,
    NewRule,
    RecallPolicy,
    RuleStore,
    recall_many,
    scope_of,
)
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.tools.action import command_action

_PER_GUARD = 50
_FILES = 8


def fill(store: MemoryStore, workspace: str, size: int) -> None:
    """Rules for the project (1%), folders (a third) and files, and their guards."""
    book, guards = RuleStore(store), GuardStore(store)
    with store.writing():
        for number in range(size):
            folder = f"src/part{number // (3 * _FILES)}"
            place = f"{folder}/file{number % _FILES}.py"
            place = EVERYWHERE if number % 100 == 0 else f"{folder}/**" if number % 3 == 0 else place
            rule = f"word{number % 977} is written as form{number} in thing{number % 89}"
            scope = MemoryScope(workspace, place=place)
            one = book.propose(NewRule(rule=rule, scope=scope, source="user", trusted_by="user"))
            book.set_state(one, "admitted", "benchmark")
            if number % _PER_GUARD == 0:
                text = (
                    f"when: {{program: tool{number}, flag: '--bad'}}\neffect: require\nsay: Not tool{number}."
                )
                guards.accept(
                    guards.add(parse_guard(text), workspace=workspace, source="user", cause=text),
                    [],
                    cause=text,
                )


def measure(size: int, queries: int) -> dict[str, list[float]]:
    """Milliseconds of each query: recall, guard, both."""
    found: dict[str, list[float]] = {"recall": [], "guard": [], "together": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        MemoryStore(Path(folder, "memory.db"), embedder=HashingEmbedder()) as store,
    ):
        fill(store, folder, size)
        advisor = ActionAdvisor(store)
        watch = RunWatch.begin(folder, RunState(root=folder, view=LiveView(root=folder)))
        for number in range(queries + 5):
            part = (number * 37) % max(1, size // (3 * _FILES))
            task = (
                f"Add word{number % 977} to src/part{part}/file{number % _FILES}.py, with thing{number % 89}"
            )
            action = command_action(f"python -m tool{number} --check src/part{part}")
            begun = time.perf_counter()
            recall_many(store, task, scope_of(task, workspace=folder), RecallPolicy(limit=3))
            recalled = time.perf_counter()
            advisor.before(action, watch)
            ended = time.perf_counter()
            if number >= 5:  # the first ones load modules
                found["recall"].append(1000 * (recalled - begun))
                found["guard"].append(1000 * (ended - recalled))
                found["together"].append(1000 * (ended - begun))
    return found


def main() -> None:
    """Measure both sizes and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 10_000])
    parser.add_argument("--queries", type=int, default=200)
    given = parser.parse_args()
    figures = {str(size): measure(size, given.queries) for size in given.sizes}
    rows = []
    for size, found in figures.items():
        for what, values in found.items():
            ordered = sorted(values)
            middle, most = ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))]
            rows.append((size, what, f"{middle:.2f}", f"{most:.2f}"))
    report.table("recall and guard, milliseconds", ("rules", "", "median", "95 %"), rows)
    report.write("memory-rules", {"queries": given.queries, "sizes": given.sizes}, figures)


if __name__ == "__main__":
    main()
