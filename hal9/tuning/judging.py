"""The verdict: the winner against the prompt as it was, on tasks that neither proposed nor chose anything."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.belief import Evidence, sign_test
from hal9.promptgram import Promptgram
from hal9.tuning.attempts import Attempts
from hal9.tuning.niches import Specialists
from hal9.tuning.noise import Noise
from hal9.tuning.tasks import TuningTask

__all__ = ["HeldOut", "RoutedHeldOut", "judge_held_out", "judge_specialists"]

_RESAMPLES = 4000
_DRAWS_UNDER_NOISE = 3


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A paired comparison on held-out tasks.

    Attributes:
        before, after: mean scores.
        low, high: 95% interval of the gain (bootstrap over tasks).
        won, lost: tasks that went better and worse.
        p: exact two-sided sign test of that.
    """

    tasks: int
    before: float
    after: float
    low: float
    high: float
    won: int
    lost: int
    p: float

    @property
    def gain(self) -> float:
        """Mean gain a task."""
        return self.after - self.before

    @property
    def certain(self) -> bool:
        """Whether the winner is better beyond chance."""
        return self.gain > 0 and self.low > 0

    def told(self) -> str:
        """In one sentence."""
        return (
            f"{self.before:.3f} → {self.after:.3f} on {self.tasks} held-out tasks "
            f"({self.gain:+.3f}, 95% {self.low:+.3f} to {self.high:+.3f}; "
            f"{self.won} better, {self.lost} worse)"
        )


@dataclass(frozen=True, slots=True)
class RoutedHeldOut:
    """Specialists behind their router, beside one prompt for all, on held-out tasks.

    Attributes:
        single: mean score of the one prompt.
        routed: mean score with each task sent where the router sends it.
        own: mean score with each task sent where it scores best.
        low, high: 95% interval of routed over single.
    """

    tasks: int
    single: float
    routed: float
    own: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the specialists are better than one prompt beyond chance."""
        return self.low > 0

    def told(self) -> str:
        """In one sentence."""
        return (
            f"specialists: {self.routed:.3f} as routed, {self.single:.3f} with one prompt for all, "
            f"{self.own:.3f} with a perfect router ({self.routed - self.single:+.3f}, "
            f"95% {self.low:+.3f} to {self.high:+.3f})"
        )


async def judge_specialists(
    attempts: Attempts,
    specialists: Specialists,
    single: Promptgram,
    tasks: Sequence[TuningTask],
    *,
    seed: int = 0,
) -> RoutedHeldOut:
    """Do the held-out tasks under every specialist and under one prompt.

    Raises:
        MindError, LimitError, WorkbenchError: what was answered so far is kept.
    """
    prompts = [one.promptgram for one in specialists.candidates]
    rows = [[one.score for one in await attempts.run(prompt, tasks, 0)] for prompt in (*prompts, single)]
    alone, scores = np.array(rows[-1]), np.array(rows[:-1])
    routed = scores[specialists.assigned(tasks), np.arange(len(tasks))]
    low, high = _interval(routed - alone, seed)
    best = scores.max(axis=0)
    return RoutedHeldOut(len(tasks), float(alone.mean()), float(routed.mean()), float(best.mean()), low, high)


def _interval(differences: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95% bootstrap interval of a mean."""
    rng = np.random.default_rng(seed)
    count = len(differences)
    means = differences[rng.integers(0, count, size=(_RESAMPLES, count))].mean(axis=1)
    low, high = (float(value) for value in np.quantile(means, (0.025, 0.975)))
    return low, high


async def judge_held_out(
    attempts: Attempts,
    before: Promptgram,
    after: Promptgram,
    tasks: Sequence[TuningTask],
    *,
    noise: Noise,
    seed: int = 0,
) -> HeldOut:
    """Do the held-out tasks under both prompts, several times where scores vary.

    Raises:
        MindError, LimitError, WorkbenchError: what was answered so far is kept.
    """
    ours, theirs = Evidence(), Evidence()
    names = [task.name for task in tasks]
    for draw in range(_DRAWS_UNDER_NOISE if noise.noisy else 1):
        for promptgram, evidence in ((after, ours), (before, theirs)):
            made = await attempts.run(promptgram, tasks, draw)
            evidence.add({one.task: one.score for one in made}, names)
    differences = np.array([ours.mean(name) - theirs.mean(name) for name in names])
    low, high = _interval(differences, seed)
    won, lost = int((differences > 1e-9).sum()), int((differences < -1e-9).sum())
    p = sign_test(won, lost) if won + lost else 1.0
    return HeldOut(len(names), theirs.average(names), ours.average(names), low, high, won, lost, p)
