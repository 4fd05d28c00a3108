"""Made-up worlds for routing: what each policy would have lost against somebody who knows the best neuron."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hal9.learning.routing.policies import Policy

__all__ = ["LEVELS", "Change", "Level", "Run", "World", "regret"]

Change = Literal["stationary", "abrupt", "drift"]
Level = Literal["low", "high"]
Array = NDArray[np.float64]

LEVELS: dict[Level, tuple[float, float]] = {"low": (0.2, 0.5), "high": (0.6, 0.95)}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Success rates of `arms` neurons over `tasks` tasks.

    Stationary: evenly spread over the level's range. Abrupt: the order is reversed once, half way. Drift:
    each rate swings through the range once, one after the other.
    """

    change: Change
    level: Level
    arms: int
    tasks: int = 2000

    def rates(self) -> Array:
        """Shape (tasks, arms)."""
        low, high = LEVELS[self.level]
        spread = np.linspace(low, high, self.arms)
        if self.change == "drift":
            phase = np.arange(self.tasks)[:, None] / self.tasks + np.arange(self.arms) / self.arms
            swing: Array = (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * phase)
            return swing
        rates = np.tile(spread, (self.tasks, 1))
        if self.change == "abrupt":
            rates[self.tasks // 2 :] = spread[::-1]
        return rates

    def __str__(self) -> str:
        return f"{self.level} {self.change} K={self.arms}"


@dataclass(frozen=True, slots=True)
class Run:
    """Cumulative regret at the end, one figure per history."""

    regrets: Array

    @property
    def mean(self) -> float:
        """Tasks lost against always taking the best neuron."""
        return float(self.regrets.mean())

    @property
    def half(self) -> float:
        """Half width of the 95% interval of the mean (normal)."""
        return float(1.96 * self.regrets.std(ddof=1) / np.sqrt(len(self.regrets)))


def regret(
    world: World,
    make: Callable[[int, int], Policy] | None,
    *,
    runs: int,
    seed: int,
    floor: float = 0.0,
    curve: Sequence[int] = (),
) -> tuple[Run, list[float]]:
    """Let a policy route through a world, in many independent histories at once.

    Args:
        world: the success rates; which neuron has which is shuffled anew in every history.
        make: from runs and arms to a policy; None is somebody who always knows the best.
        runs: histories.
        seed: of everything random.
        floor: least probability of every arm, as the cluster's exploration floor.
        curve: after how many tasks to note the mean regret.

    Returns:
        The final regrets, and the mean regret at each point of `curve`.
    """
    rng = np.random.default_rng(seed)
    rates = world.rates()
    places = np.argsort(rng.random((runs, world.arms)), axis=1)
    policy = None if make is None else make(runs, world.arms)
    rows = np.arange(runs)
    lost = np.zeros(runs)
    least = min(floor, 1.0 / world.arms) * world.arms
    noted = []
    for task in range(world.tasks):
        now = rates[task][places]
        if policy is None:
            chosen = now.argmax(axis=1)
        else:
            chosen = policy.sample(rng)
            if least > 0:
                free = rng.random(runs) < least
                chosen = np.where(free, rng.integers(0, world.arms, runs), chosen)
        rate = now[rows, chosen]
        lost += rates[task].max() - rate
        if policy is not None:
            policy.learn(chosen, (rng.random(runs) < rate).astype(np.float64))
        if task + 1 in curve:
            noted.append(float(lost.mean()))
    return Run(lost), noted
