"""What one choice costs, and what its probabilities cost beside the same integral by scipy's incomplete beta function."""

import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.special import betainc

from benchmarks.report import table
from hal9.learning.routing.betas import best_arm_probability
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings

ARMS, TASKS, ROUNDS, CELLS = (2, 4, 8), 300, 300, 1024


def by_cells(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact masses of equal cells of 0..1; so many cells give the same accuracy for hundreds of tasks."""
    below = betainc(a[..., None], b[..., None], np.linspace(0.0, 1.0, CELLS + 1))
    mass, middle = np.diff(below, axis=-1), (below[..., 1:] + below[..., :-1]) / 2.0
    probabilities = [
        (mass[:, arm] * np.delete(middle, arm, axis=1).prod(axis=1)).sum(axis=-1) for arm in range(a.shape[1])
    ]
    return np.stack(probabilities, axis=1)


def choices(arms: int) -> tuple[list[float], list[float]]:
    """Seconds of each choice right after an outcome, and of the next one."""
    rng, settings = np.random.default_rng(0), RoutingSettings()
    names, rates = [f"l2-{number}" for number in range(arms)], np.linspace(0.5, 0.9, arms)
    fresh, again = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        with MemoryStore(path) as reading, MemoryStore(path) as writing:
            chooses, learns = (WeightStore(store, lambda: settings) for store in (reading, writing))
            for task in range(TASKS):
                times = [time.perf_counter()]
                for _ in range(2):
                    pick = chooses.choose("l3", names, task_class="code", task_id=str(task))
                    times.append(time.perf_counter())
                fresh.append(times[1] - times[0])
                again.append(times[2] - times[1])
                success = bool(rng.random() < rates[names.index(pick.target)])
                over = HandOver(source="l3", target=pick.target, task_class="code", success=success)
                learns.observe(str(task), [over])
    return fresh, again


def probability_seconds(arms: int) -> tuple[float, float, float]:
    """Median seconds of the quadrature and of scipy's, in turns, and the largest difference."""
    rng = np.random.default_rng(1)
    ours, theirs, apart = [], [], 0.0
    for _ in range(ROUNDS):
        won, lost = rng.uniform(1, 60, (2, 1, arms))
        start = time.perf_counter()
        mine = best_arm_probability(won, lost)
        middle = time.perf_counter()
        other = by_cells(won, lost)
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - start)
        apart = max(apart, float(np.abs(mine - other).max()))
    return float(np.median(ours)), float(np.median(theirs)), apart


def compare() -> dict[str, object]:
    rows: list[list[object]] = []
    figures: dict[str, object] = {}
    for arms in ARMS:
        fresh, again = choices(arms)
        ours, theirs, apart = probability_seconds(arms)
        found = {
            "choice after an outcome, us": 1e6 * float(np.median(fresh)),
            "choice again, us": 1e6 * float(np.median(again)),
            "odds, us": 1e6 * ours,
            "odds by scipy, us": 1e6 * theirs,
            "ratio": theirs / ours,
            "largest difference": apart,
        }
        figures[str(arms)] = found
        rows.append([arms, *(f"{value:.2g}" if value < 1 else f"{value:.0f}" for value in found.values())])
    heads = ["K", "after outcome µs", "again µs", "odds µs", "scipy µs", "ratio", "apart"]
    table("one choice, medians", heads, rows)
    return figures
