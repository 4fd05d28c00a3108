"""The four figures that say whether learning works, with 95% intervals; `docs/metrics.md` defines them.

They are computed from the memory file (how tasks were judged, what was recalled, what was changed) and from
the journal (what was asked at all). A figure that the data cannot give is None, never 0.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hal9.database import Connection
from hal9.memory import MemoryStore

__all__ = ["Figure", "Judged", "Metrics", "judged_tasks", "measure", "wilson"]

_Z = 1.959964
_LEAST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure with its 95% interval and the counts it comes from; `why_not` says what is missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    counts: tuple[tuple[str, float], ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A task that somebody or something has judged."""

    task_id: str
    at: float
    task_class: str
    passed: bool
    error_type: str
    recalled: bool
    seconds: float
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """All figures, and how many tasks there were by state."""

    error_reduction: Figure
    pattern_accuracy: Figure
    pattern_precision: Figure
    pattern_recall: Figure
    adjustment_success: Figure
    improvement: Figure
    tasks: dict[str, int]
    judged: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95% score interval of a proportion (Wilson 1927); 0..1 without trials."""
    if trials <= 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z * _Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    half /= 1 + square / trials
    return max(0.0, centre - half), min(1.0, centre + half)


def judged_tasks(store: MemoryStore) -> list[Judged]:
    """Every judged task, oldest first."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM outcomes WHERE passed IS NOT NULL ORDER BY at, rowid"
        ).fetchall()
    return [
        Judged(
            task_id=row["task_id"],
            at=row["at"],
            task_class=row["task_family"] or row["task_class"],
            passed=bool(row["passed"]),
            error_type=row["error_type"],
            recalled=bool(json.loads(row["recalled"])),
            seconds=row["seconds"],
            usd=row["usd"],
        )
        for row in rows
    ]


def measure(store: MemoryStore, journal: Connection | None = None) -> Metrics:
    """Compute everything.

    Args:
        store: the open memory file.
        journal: a connection that may read the journal; None leaves the counts of tasks empty.
    """
    judged = judged_tasks(store)
    right, wrong, missed = _recognitions(store, judged)
    states: dict[str, int] = {}
    if journal is not None:
        # A workload's end says nothing of the neurons.
        states = dict(
            journal.execute(
                "SELECT state, count(*) FROM tasks WHERE workload = 'neurons' GROUP BY state"
            ).fetchall()
        )
    return Metrics(
        error_reduction=_reduction(judged),
        pattern_accuracy=_share(
            "recognised rightly", right, right + wrong + missed, "no known pattern came up"
        ),
        pattern_precision=_share("recalled and passed", right, right + wrong, "nothing was recalled"),
        pattern_recall=_share("recognised", right, right + missed, "no known pattern came up"),
        adjustment_success=_adjustments(store),
        improvement=_improvement(judged),
        tasks=states,
        judged=len(judged),
    )


def _share(name: str, part: int, whole: int, why_not: str) -> Figure:
    if whole == 0:
        return Figure(why_not=why_not)
    low, high = wilson(part, whole)
    return Figure(value=part / whole, low=low, high=high, counts=((name, part), ("of", whole)))


def _ends(judged: Sequence[Judged]) -> tuple[Sequence[Judged], Sequence[Judged]]:
    """The first and the last third."""
    third = len(judged) // 3
    return judged[:third], judged[len(judged) - third :]


def _reduction(judged: Sequence[Judged]) -> Figure:
    """1 - late/early error rate; the interval from the log of the ratio (Katz 1978), half a task added."""
    early, late = _ends(judged)
    if len(early) < _LEAST:
        return Figure(why_not=f"needs {3 * _LEAST} judged tasks, there are {len(judged)}")
    first = sum(not task.passed for task in early)
    last = sum(not task.passed for task in late)
    counts = (
        ("errors early", first),
        ("of early", len(early)),
        ("errors late", last),
        ("of late", len(late)),
    )
    if first == 0:
        return Figure(counts=counts, why_not="there was no error to reduce")
    n = len(early)
    ratio = ((last + 0.5) / (n + 0.5)) / ((first + 0.5) / (n + 0.5))
    spread = math.sqrt(max(0.0, 1 / (last + 0.5) - 1 / (n + 0.5) + 1 / (first + 0.5) - 1 / (n + 0.5)))
    low, high = (1 - ratio * math.exp(sign * _Z * spread) for sign in (1, -1))
    value = 1 - last / first
    # Half a task more keeps the logarithm finite; it must not push the value itself out of its interval.
    return Figure(value=value, low=min(low, value), high=max(high, value), counts=counts)


def _improvement(judged: Sequence[Judged]) -> Figure:
    """Late minus early success rate, class by class, so that a change of the mix of tasks is no improvement.

    Weighted as Mantel and Haenszel do; the variance of each class by Agresti and Caffo (2000).
    """
    early, late = _ends(judged)
    if len(early) < _LEAST:
        return Figure(why_not=f"needs {3 * _LEAST} judged tasks, there are {len(judged)}")
    cells: dict[str, list[list[bool]]] = defaultdict(lambda: [[], []])
    for end, tasks in enumerate((early, late)):
        for task in tasks:
            cells[task.task_class][end].append(task.passed)
    total = difference = variance = 0.0
    compared = 0
    for before, after in cells.values():
        if not before or not after:
            continue
        weight = len(before) * len(after) / (len(before) + len(after))
        compared += len(before) + len(after)
        difference += weight * (sum(after) / len(after) - sum(before) / len(before))
        for side in (before, after):
            share = (sum(side) + 1) / (len(side) + 2)
            variance += weight * weight * share * (1 - share) / (len(side) + 2)
        total += weight
    if total == 0:
        return Figure(why_not="no class of tasks occurs both early and late")
    value, half = difference / total, _Z * math.sqrt(variance) / total
    return Figure(
        value=value,
        low=max(-1.0, value - half),
        high=min(1.0, value + half),
        counts=(("tasks compared", compared), ("early", len(early)), ("late", len(late))),
    )


def _recognitions(store: MemoryStore, judged: Sequence[Judged]) -> tuple[int, int, int]:
    """Tasks recalled for that passed, that failed, and those failed by a known pattern nobody recalled."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT o.task_id, o.pattern_id, p.threshold FROM occurrences o JOIN patterns p "
            "ON p.id = o.pattern_id ORDER BY o.at, o.id"
        ).fetchall()
    recalled = {task.task_id for task in judged if task.recalled}
    right = sum(task.recalled and task.passed for task in judged)
    wrong = sum(task.recalled and not task.passed for task in judged)
    # One error is noted by every neuron it reaches; it occurred once per task.
    tasks_of: dict[int, list[str]] = defaultdict(list)
    missed: set[str] = set()
    for row in rows:
        known = tasks_of[row["pattern_id"]]
        if row["task_id"] in known:
            continue
        if len(known) >= row["threshold"] and row["task_id"] not in recalled:
            missed.add(row["task_id"])
        known.append(row["task_id"])
    return right, wrong, len(missed)


def _adjustments(store: MemoryStore) -> Figure:
    """Of the changes that were tried on tasks and decided, the share that stayed.

    A prompt change counts once it has stood its watch after promotion; one that was rejected by the gate or
    rolled back has failed. Rules count when they are retired or have been tried at least twice.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT state, figures FROM adjustments WHERE kind IN ('prompt', 'parameter', 'model')"
        ).fetchall()
        rules = connection.execute(
            "SELECT state, helped, failed, hurt FROM mitigations WHERE tried >= 2 OR state = 'retired'"
        ).fetchall()
    stayed = failed = 0
    for row in rows:
        if row["state"] in ("rejected", "rolled_back"):
            failed += 1
        elif row["state"] == "applied" and json.loads(row["figures"]).get("watched"):
            stayed += 1
    for row in rules:
        if row["state"] == "retired" or row["failed"] + row["hurt"] >= row["helped"]:
            failed += 1
        else:
            stayed += 1
    return _share("stayed", stayed, stayed + failed, "no adjustment has been decided yet")
