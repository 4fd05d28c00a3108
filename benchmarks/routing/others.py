"""Worlds that the default was not tuned on: random rates, several changes, random walks."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from benchmarks.report import table
from hal9.learning.routing.policies import Policy

SPANS = {"low": (0.2, 0.5), "high": (0.6, 0.95), "wide": (0.1, 0.9)}
KINDS = ("three changes", "one arm changes", "random walk")
ARMS, RUNS, TASKS = (3, 6), 60, 1500


def rates(kind: str, span: tuple[float, float], arms: int, rng: np.random.Generator) -> np.ndarray:
    """Shape (tasks, arms)."""
    low, high = span
    if kind == "random walk":
        walk = np.cumsum(rng.normal(0, (high - low) / 60, (TASKS, arms)), axis=0)
        free = rng.uniform(0, high - low, arms) + walk
        return high - np.abs(free % (2 * (high - low)) - (high - low))
    found = np.empty((TASKS, arms))
    now = rng.uniform(low, high, arms)
    cuts = [0, *sorted(rng.integers(150, TASKS, 3)), TASKS]
    for start, end in pairwise(cuts):
        found[start:end] = now
        if kind == "three changes":
            now = rng.uniform(low, high, arms)
        else:
            now = now.copy()
            now[rng.integers(0, arms)] = rng.uniform(low, high)
    return found


def play(make: Callable[[int, int], Policy], floor: float, worlds: np.ndarray) -> float:
    """Mean regret over worlds of shape (runs, tasks, arms)."""
    runs, tasks, arms = worlds.shape
    rng, rows = np.random.default_rng(1), np.arange(runs)
    policy, lost = make(runs, arms), np.zeros(runs)
    for task in range(tasks):
        chosen = policy.sample(rng)
        if floor:
            free = rng.random(runs) < floor * arms
            chosen = np.where(free, rng.integers(0, arms, runs), chosen)
        rate = worlds[rows, task, chosen]
        lost += worlds[:, task].max(axis=1) - rate
        policy.learn(chosen, (rng.random(runs) < rate).astype(float))
    return float(lost.mean())


def compare(
    players: Mapping[str, tuple[Callable[[int, int], Policy] | None, float]], default: str
) -> dict[str, object]:
    rows: list[list[object]] = []
    figures: dict[str, object] = {}
    for level, span in SPANS.items():
        for kind in KINDS:
            for arms in ARMS:
                rng = np.random.default_rng(99)
                worlds = np.array([rates(kind, span, arms, rng) for _ in range(RUNS)])
                found = {name: play(make, floor, worlds) for name, (make, floor) in players.items() if make}
                mine = found.pop(default)
                best = min(found, key=lambda name: found[name])
                rows.append(
                    [
                        f"{level} {kind} K={arms}",
                        f"{mine:.0f}",
                        best,
                        f"{found[best]:.0f}",
                        f"{mine / found[best]:.2f}",
                    ]
                )
                figures[f"{level} {kind} K={arms}"] = {default: mine, **found}
    table(
        f"other worlds, regret after {TASKS} tasks",
        ["world", default, "best rival", "its regret", "ratio"],
        rows,
    )
    return figures
