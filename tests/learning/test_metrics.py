"""The four figures, from real rows: values known by hand, intervals that hold what they promise."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hal9.clock import ManualClock
from hal9.learning.reporting.metrics import measure, wilson
from hal9.memory import MemoryStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db", clock=ManualClock()) as opened:
        yield opened


def outcome(
    store: MemoryStore,
    number: int,
    passed: bool | None,
    *,
    recalled: list[int] | None = None,
    family: str = "f",
) -> None:
    row = {
        "task_id": f"t{number}",
        "at": float(number),
        "task_class": "code",
        "workspace": "",
        "module": "",
        "task_family": family,
        "state": "done",
        "passed": None if passed is None else int(passed),
        "judged_by": "check",
        "error_type": "" if passed else "incorrect_output",
        "prompts": "{}",
        "routes": "[]",
        "recalled": json.dumps(recalled or []),
    }
    with store.writing() as tables:
        marks = ", ".join("?" * len(row))
        tables.conn.execute(f"INSERT INTO outcomes ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def test_without_data_there_is_a_reason_and_no_figure(store: MemoryStore) -> None:
    found = measure(store)
    figures = (found.error_reduction, found.pattern_accuracy, found.adjustment_success, found.improvement)
    assert [figure.value for figure in figures] == [None] * 4
    assert all(figure.why_not for figure in figures)
    assert found.error_reduction.why_not == "needs 30 judged tasks, there are 0"


def test_error_reduction_and_improvement_compare_the_first_with_the_last_third(store: MemoryStore) -> None:
    for number in range(60):
        outcome(store, number, passed=number % 20 >= 12 if number < 20 else number % 20 >= 3)
    outcome(store, 999, passed=None)
    found = measure(store)
    assert found.judged == 60
    assert found.error_reduction.value == pytest.approx(1 - 3 / 12)
    assert found.error_reduction.low is not None
    assert found.error_reduction.high is not None
    assert 0 < found.error_reduction.low < 0.75 < found.error_reduction.high < 1
    assert found.improvement.value == pytest.approx(17 / 20 - 8 / 20)
    assert found.improvement.low is not None
    assert found.improvement.low > 0


def test_an_easier_mix_of_tasks_is_no_improvement(store: MemoryStore) -> None:
    # Hard ones always fail, easy ones always pass; later there are more easy ones.
    for number in range(60):
        easy = number % 5 == 0 if number < 20 else number % 5 != 0
        outcome(store, number, passed=easy, family="easy" if easy else "hard")
    found = measure(store)
    assert found.error_reduction.value is not None
    assert found.error_reduction.value > 0.5
    assert found.improvement.value == pytest.approx(0.0)


def test_patterns_count_as_recognised_only_when_it_helped(store: MemoryStore) -> None:
    with store.writing() as tables:
        tables.conn.execute(
            "INSERT INTO patterns (id, signature, error_type, workspace, module, task_family, title, "
            "occurrences, threshold, first_seen, last_seen) "
            "VALUES (1, 's', 'incorrect_output', '', '', '', '', 5, 3, 0, 0)"
        )
        for number in (0, 1, 2, 3, 3, 4):
            tables.conn.execute(
                "INSERT INTO occurrences (pattern_id, signature, error_type, neuron, layer, workspace, module, "
                "task_family, task_id, magnitude, at) "
                "VALUES (1, 's', 'incorrect_output', 'l2', 2, '', '', '', ?, 0.7, ?)",
                (f"t{number}", float(number)),
            )
    for number in range(4):
        outcome(store, number, passed=False)  # t0..t2 form the pattern, t3 should have been recognised
    outcome(store, 4, passed=False, recalled=[1])  # recognised, of no use
    for number in (5, 6, 7):
        outcome(store, number, passed=True, recalled=[1])
    found = measure(store)
    assert found.pattern_accuracy.value == pytest.approx(3 / 5)
    assert found.pattern_precision.value == pytest.approx(3 / 4)
    assert found.pattern_recall.value == pytest.approx(3 / 4)


def test_adjustments_count_once_they_are_decided(store: MemoryStore) -> None:
    rows = [
        ("applied", {"watched": True}),
        ("applied", {"watched": True}),
        ("applied", {}),
        ("rolled_back", {}),
        ("canary", {}),
        ("denied", {}),
    ]
    with store.writing() as tables:
        for number, (state, figures) in enumerate(rows):
            tables.table("adjustments").insert(
                {
                    "id": str(number),
                    "time": 1.0,
                    "actor": "learning",
                    "cause": "c",
                    "kind": "prompt",
                    "target": "l2",
                    "before": "a",
                    "after": "b",
                    "figures": json.dumps(figures),
                    "content_hash": "x",
                    "state": state,
                }
            )
    found = measure(store).adjustment_success
    assert found.value == pytest.approx(2 / 3)
    assert found.counts == (("stayed", 2), ("of", 3))


def test_the_journal_tells_how_many_tasks_there_were(store: MemoryStore) -> None:
    journal = sqlite3.connect(":memory:")
    journal.execute("CREATE TABLE tasks (state TEXT, workload TEXT)")
    rows = [("done", "neurons"), ("done", "neurons"), ("failed", "neurons"), ("failed", "ripmap-train")]
    journal.executemany("INSERT INTO tasks VALUES (?, ?)", rows)
    assert measure(store, journal).tasks == {"done": 2, "failed": 1}
    journal.close()


def test_wilsons_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    for rate in (0.05, 0.3, 0.9):
        bounds = [wilson(int(k), 40) for k in rng.binomial(40, rate, 2000)]
        held = np.mean([low <= rate <= high for low, high in bounds])
        assert held > 0.92
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_the_reductions_interval_holds_the_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    held = 0
    for number in range(40):
        with MemoryStore(tmp_path / f"{number}.db", clock=ManualClock()) as fresh:
            with fresh.writing():
                for task in range(90):
                    outcome(fresh, task, passed=bool(rng.random() > (0.6 if task < 30 else 0.3)))
            found = measure(fresh).error_reduction
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert held >= 35
