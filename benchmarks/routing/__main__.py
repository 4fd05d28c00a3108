"""`python -m benchmarks.routing [--runs N] [--tasks T]`: cumulative regret of every policy, with intervals.

Every policy of the settings runs as it is shipped, each with the exploration floor of the settings (static has
none). Beside them: stationary and discounted Thompson sampling, the first HAL9's rule without floor, chance, oracle.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.report import table, write
from benchmarks.routing import choice, others, relevance
from hal9.learning.routing.policies import POLICIES, Hal9Original, Policy, Static, Thompson, make_policy
from hal9.learning.routing.simulator import Change, Level, Run, World, regret
from hal9.settings import RoutingSettings

CHANGES: tuple[Change, ...] = ("stationary", "abrupt", "drift")
LEVELS: tuple[Level, ...] = ("low", "high")
ARMS = (2, 4, 8)
BAR = 1.2
DEFAULT = "discounted_thompson"
Make = Callable[[int, int], Policy] | None


class Chance(Static):
    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, self._success.shape[1], len(self._rows))


def contestants() -> dict[str, tuple[Make, float]]:
    """Name: (maker, floor)."""
    settings = RoutingSettings()
    shipped: dict[str, tuple[Make, float]] = {
        name: (
            lambda runs, arms, name=name: make_policy(settings, runs=runs, arms=arms, policy=name),
            0.0 if name == "static" else settings.exploration_floor,
        )
        for name in POLICIES
    }
    return shipped | {
        "thompson": (lambda runs, arms: Thompson(runs, arms, change_rate=0.0), 0.0),
        "thompson .99": (lambda runs, arms: Thompson(runs, arms, discount=0.99, change_rate=0.0), 0.0),
        "hal9, no floor": (Hal9Original, 0.0),
        "random": (Chance, 0.0),
        "oracle": (None, 0.0),
    }


def show(runs: int, tasks: int) -> dict[str, object]:
    players = contestants()
    figures: dict[str, object] = {}
    rows, missed = [], []
    for level in LEVELS:
        for change in CHANGES:
            for arms in ARMS:
                world = World(change=change, level=level, arms=arms, tasks=tasks)
                found: dict[str, Run] = {
                    name: regret(world, make, runs=runs, seed=7 * arms, floor=floor)[0]
                    for name, (make, floor) in players.items()
                }
                rivals = {name: run.mean for name, run in found.items() if name not in (DEFAULT, "oracle")}
                best = min(rivals, key=lambda name: rivals[name])
                ratio = found[DEFAULT].mean / rivals[best]
                rows.append(
                    [
                        str(world),
                        *(f"{run.mean:.0f} ±{run.half:.0f}" for run in found.values()),
                        best,
                        f"{ratio:.2f}",
                    ]
                )
                figures[str(world)] = {
                    "regret": {name: [run.mean, run.half] for name, run in found.items()},
                    "best rival": best,
                    "ratio": ratio,
                }
                if ratio > BAR:
                    missed.append(f"{world}: {ratio:.2f} ({found[DEFAULT].mean:.0f} vs {rivals[best]:.0f})")
                print(rows[-1][0], "done", flush=True)
    table(f"regret after {tasks} tasks, 95% interval", ["world", *players, "best rival", "ratio"], rows)
    print(f"within {BAR}x of the best other policy: {len(rows) - len(missed)} of {len(rows)} regimes")
    for line in missed:
        print("  not:", line)
    return {"regimes": figures, "not within the bar": missed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--only", choices=["regret", "others", "relevance", "choice"])
    given = parser.parse_args()
    began = time.perf_counter()
    figures: dict[str, object] = {}
    if given.only in (None, "regret"):
        figures |= show(given.runs, given.tasks)
    if given.only in (None, "others"):
        figures["others"] = others.compare(contestants(), DEFAULT)
    if given.only in (None, "relevance"):
        figures["relevance"] = relevance.compare()
    if given.only in (None, "choice"):
        figures["choice"] = choice.compare()
    figures["seconds"] = time.perf_counter() - began
    settings = {"runs": given.runs, "tasks": given.tasks, "routing": RoutingSettings().model_dump()}
    print(write("routing" if given.only is None else f"routing-{given.only}", settings, figures, "numpy"))


if __name__ == "__main__":
    main()
