"""Sparse routing in a cluster with many neurons: regret, and the cost of a choice.

Six designers, each with implementers of its own; each class of tasks is solved well by a few of them. A task goes
strategist → designer → implementer through real weights in a real memory file; its outcome teaches both edges.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import table
from hal9.learning.routing.relevance import RelevanceFilter
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings

DESIGNERS, EACH, CLASSES, TASKS, SEEDS = 6, 12, 3, 500, 3
KEPT = (0, 2, 4, 8)


def world(seed: int) -> dict[tuple[str, str], float]:
    """Success rate of every implementer for every class: most are poor, each designer has a good one per class."""
    rng = np.random.default_rng(seed)
    rates = {}
    for designer in range(DESIGNERS):
        for kind in range(CLASSES):
            able = rng.integers(0, EACH)
            top = 0.5 + 0.4 * ((designer + kind) % DESIGNERS) / (DESIGNERS - 1)
            for number in range(EACH):
                rates[f"l2-{designer}-{number}", f"c{kind}"] = (
                    top if number == able else float(rng.uniform(0.1, 0.4))
                )
    return rates


def play(seed: int, keep: int) -> tuple[float, float]:
    """Regret and milliseconds per choice."""
    rates, rng = world(seed), np.random.default_rng(1000 + seed)
    settings = RoutingSettings(relevance_edges=keep, seed=seed)
    designers = [f"l3-{number}" for number in range(DESIGNERS)]
    lost = spent = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        MemoryStore(Path(folder) / "m.db") as store,
        store.writing(),
    ):
        book = WeightStore(store, lambda: settings, narrow=RelevanceFilter(store, k=lambda: keep))
        for task in range(TASKS):
            kind = f"c{rng.integers(0, CLASSES)}"
            best = max(rate for (_, of), rate in rates.items() if of == kind)
            began = time.perf_counter()
            first = book.choose("l4", designers, task_class=kind, task_id=str(task)).target
            team = [f"l2-{first[3:]}-{number}" for number in range(EACH)]
            second = book.choose(first, team, task_class=kind, task_id=str(task)).target
            spent += time.perf_counter() - began
            success = bool(rng.random() < rates[second, kind])
            lost += best - rates[second, kind]
            book.observe(
                str(task),
                [
                    HandOver(source="l4", target=first, task_class=kind, success=success),
                    HandOver(source=first, target=second, task_class=kind, success=success),
                ],
            )
    return lost, 1000 * spent / (2 * TASKS)


def compare() -> dict[str, object]:
    rows: list[list[object]] = []
    figures: dict[str, object] = {}
    for keep in KEPT:
        found = [play(seed, keep) for seed in range(SEEDS)]
        regrets = np.array([one[0] for one in found])
        half = 1.96 * regrets.std(ddof=1) / SEEDS**0.5
        ms = float(np.median([one[1] for one in found]))
        rows.append([keep or "all", f"{regrets.mean():.0f} ±{half:.0f}", f"{ms:.2f}"])
        figures[str(keep)] = {"regret": regrets.tolist(), "ms per choice": ms}
    table(
        f"sparse routing: {DESIGNERS}x{EACH} neurons, {CLASSES} classes, {TASKS} tasks, {SEEDS} seeds",
        ["edges kept", "regret", "ms per choice"],
        rows,
    )
    return figures
