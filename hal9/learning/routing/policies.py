"""The policies by which a neuron is chosen, as arithmetic on arrays; `weights` chooses with them.

A policy looks at `runs` independent histories of `arms` neurons at once: a cluster has one history, the
simulator hundreds, and both run this very code. Rewards lie within 0..1.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hal9.learning.routing.betas import best_arm_probability
from hal9.settings import RoutingSettings

__all__ = [
    "POLICIES",
    "EpsilonGreedy",
    "Hal9Original",
    "Policy",
    "SlidingWindowUcb",
    "Static",
    "Thompson",
    "make_policy",
    "with_floor",
]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_HYPOTHESES = 24
_HEARD = 0.05
_SHARPNESS = 1.5
_UCB_WIDTH = 0.5
_DECAY = 0.95


class Policy(Protocol):
    """One way to choose; shapes are (runs, arms)."""

    def learn(self, chosen: Indices, reward: Array) -> None:
        """Take in one reward for one arm of each run; both of shape (runs,)."""
        ...

    def soften(self, arm: int, factor: float) -> None:
        """Keep only this share of what is known about an arm: it is not what it was."""
        ...

    def grow(self, arms: int) -> None:
        """Have so many arms from now on; new ones are unknown."""
        ...

    def probabilities(self, among: Sequence[int]) -> Array:
        """Probability of each of these arms, shape (runs, len(among)); rows sum to 1."""
        ...

    def sample(self, rng: np.random.Generator) -> Indices:
        """Draw an arm per run, among all, with the probabilities of `probabilities`; shape (runs,)."""
        ...

    def worth(self) -> Array:
        """What each arm is thought to achieve, 0..1: the connection weight. Shape (runs, arms)."""
        ...

    def evidence(self) -> tuple[Array, Array]:
        """Successes and failures that still count, after all forgetting. Both of shape (runs, arms)."""
        ...


def with_floor(probabilities: Array, floor: float) -> Array:
    """The probabilities with at least `floor` for every arm (at most an equal share); rows still sum to 1.

    Shape (runs, arms).
    """
    arms = probabilities.shape[1]
    least = min(floor, 1.0 / arms)
    mixed: Array = probabilities * (1.0 - least * arms) + least
    return mixed


def _grown(array: Array, arms: int, fill: float = 0.0) -> Array:
    width = [(0, 0)] * (array.ndim - 1) + [(0, arms - array.shape[-1])]
    return np.pad(array, width, constant_values=fill)


def _shared_best(values: Array) -> Array:
    """All probability on the best arm; equals share it."""
    best: Array = (values >= values.max(axis=1, keepdims=True) - 1e-12).astype(np.float64)
    best /= best.sum(axis=1, keepdims=True)
    return best


def _draw(probabilities: Array, rng: np.random.Generator) -> Indices:
    above = rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)
    drawn: Indices = np.minimum(above.sum(axis=1), probabilities.shape[1] - 1)
    return drawn


class Thompson:
    """Thompson sampling that forgets what was learned before the world changed.

    A small set of hypotheses says when everything last changed; each counts successes and failures since
    then, and is weighted by how well it foretold every reward. Each step may be a change with probability
    `change_rate`. An arm's probability is that with which a draw from its Beta posterior is the largest; each
    reward counts `sharpness` times in that posterior, since plain sampling explores more than finite horizons
    reward. With `change_rate` 0, `sharpness` 1 and `discount` below 1 it is plain discounted Thompson
    sampling, with a `discount` of 1 the stationary one.

    Sources:
        Thompson 1933; Mellor and Shapiro 2013 (change points, global); Raj and Kalyani 2017 (discounting);
        Chapelle and Li 2011 (posteriors made narrower).
    """

    def __init__(
        self,
        runs: int,
        arms: int,
        *,
        discount: float = 1.0,
        change_rate: float = 0.001,
        sharpness: float = 1.0,
    ) -> None:
        slots = _HYPOTHESES if change_rate > 0 else 1
        self._rows = np.arange(runs)
        self._discount = discount
        self._rate = change_rate
        self._sharpness = sharpness
        self._success = np.zeros((runs, slots, arms))
        self._failure = np.zeros((runs, slots, arms))
        self._weight = np.zeros((runs, slots))
        self._weight[:, 0] = 1.0

    def learn(self, chosen: Indices, reward: Array) -> None:
        rows, got = self._rows, reward[:, None]
        won, lost = self._success[rows, :, chosen], self._failure[rows, :, chosen]
        foretold = (1.0 + won) / (2.0 + won + lost)
        self._weight *= got * foretold + (1.0 - got) * (1.0 - foretold)
        self._weight /= self._weight.sum(axis=1, keepdims=True)
        if self._discount < 1.0:
            self._success *= self._discount
            self._failure *= self._discount
        self._success[rows, :, chosen] += got
        self._failure[rows, :, chosen] += 1.0 - got
        if self._rate > 0:
            self._consider_change()

    def _consider_change(self) -> None:
        """Replace the least likely hypothesis by "it changed just now"."""
        rows = self._rows
        weakest = self._weight.argmin(axis=1)
        self._weight[rows, weakest] = 0.0
        self._weight *= (1.0 - self._rate) / self._weight.sum(axis=1, keepdims=True)
        self._weight[rows, weakest] = self._rate
        self._success[rows, weakest] = 0.0
        self._failure[rows, weakest] = 0.0

    def soften(self, arm: int, factor: float) -> None:
        self._success[:, :, arm] *= factor
        self._failure[:, :, arm] *= factor

    def grow(self, arms: int) -> None:
        self._success = _grown(self._success, arms)
        self._failure = _grown(self._failure, arms)

    def _heard(self) -> Array:
        """Weights of the hypotheses that count; unlikely ones would only make for idle exploring."""
        most = self._weight.max(axis=1, keepdims=True)
        heard: Array = np.where(self._weight >= np.minimum(_HEARD, most), self._weight, 0.0)
        heard /= heard.sum(axis=1, keepdims=True)
        return heard

    def probabilities(self, among: Sequence[int]) -> Array:
        heard = self._heard()
        run, slot = np.nonzero(heard)
        won = self._sharpness * self._success[run, slot][:, among]
        lost = self._sharpness * self._failure[run, slot][:, among]
        probabilities = np.zeros((len(heard), len(among)))
        np.add.at(probabilities, run, heard[run, slot, None] * best_arm_probability(1.0 + won, 1.0 + lost))
        return probabilities

    def sample(self, rng: np.random.Generator) -> Indices:
        slot = _draw(self._heard(), rng)
        won = self._sharpness * self._success[self._rows, slot]
        lost = self._sharpness * self._failure[self._rows, slot]
        drawn: Indices = rng.beta(1.0 + won, 1.0 + lost).argmax(axis=1)
        return drawn

    def evidence(self) -> tuple[Array, Array]:
        weight = self._weight[:, :, None]
        return (weight * self._success).sum(axis=1), (weight * self._failure).sum(axis=1)

    def worth(self) -> Array:
        mean = (1.0 + self._success) / (2.0 + self._success + self._failure)
        value: Array = (self._weight[:, :, None] * mean).sum(axis=1)
        return value


class SlidingWindowUcb:
    """The largest upper confidence bound over the last `window` rewards.

    Source:
        Garivier and Moulines 2011.
    """

    def __init__(self, runs: int, arms: int, *, window: int = 100) -> None:
        self._rows = np.arange(runs)
        self._window = window
        self._recent: list[tuple[Indices, Array]] = []
        self._count = np.zeros((runs, arms))
        self._sum = np.zeros((runs, arms))

    def learn(self, chosen: Indices, reward: Array) -> None:
        self._recent.append((chosen, reward))
        self._count[self._rows, chosen] += 1.0
        self._sum[self._rows, chosen] += reward
        if len(self._recent) > self._window:
            old, gone = self._recent.pop(0)
            self._count[self._rows, old] = np.maximum(self._count[self._rows, old] - 1.0, 0.0)
            self._sum[self._rows, old] = np.maximum(self._sum[self._rows, old] - gone, 0.0)

    def soften(self, arm: int, factor: float) -> None:
        self._count[:, arm] *= factor
        self._sum[:, arm] *= factor

    def grow(self, arms: int) -> None:
        self._count, self._sum = _grown(self._count, arms), _grown(self._sum, arms)

    def _bounds(self) -> Array:
        count = np.maximum(self._count, 1e-9)
        width = np.sqrt(_UCB_WIDTH * np.log(max(len(self._recent), 2)) / count)
        return np.where(self._count > 0, self._sum / count + width, 1e9)

    def probabilities(self, among: Sequence[int]) -> Array:
        return _shared_best(self._bounds()[:, among])

    def sample(self, rng: np.random.Generator) -> Indices:
        return _draw(_shared_best(self._bounds()), rng)

    def evidence(self) -> tuple[Array, Array]:
        return self._sum, np.maximum(self._count - self._sum, 0.0)

    def worth(self) -> Array:
        return (1.0 + self._sum) / (2.0 + self._count)


class EpsilonGreedy:
    """The best mean so far; one of all, now and then."""

    def __init__(self, runs: int, arms: int, *, epsilon: float = 0.1) -> None:
        self._rows = np.arange(runs)
        self._epsilon = epsilon
        self._success = np.zeros((runs, arms))
        self._failure = np.zeros((runs, arms))

    def learn(self, chosen: Indices, reward: Array) -> None:
        self._success[self._rows, chosen] += reward
        self._failure[self._rows, chosen] += 1.0 - reward

    def soften(self, arm: int, factor: float) -> None:
        self._success[:, arm] *= factor
        self._failure[:, arm] *= factor

    def grow(self, arms: int) -> None:
        self._success, self._failure = _grown(self._success, arms), _grown(self._failure, arms)

    def probabilities(self, among: Sequence[int]) -> Array:
        best = _shared_best(self.worth()[:, among])
        return best * (1.0 - self._epsilon) + self._epsilon / len(among)

    def sample(self, rng: np.random.Generator) -> Indices:
        return _draw(self.probabilities(range(self._success.shape[1])), rng)

    def evidence(self) -> tuple[Array, Array]:
        return self._success, self._failure

    def worth(self) -> Array:
        # An untried arm counts as good, so that each is tried.
        return (1.0 + self._success) / (1.0 + self._success + self._failure)


class Hal9Original:
    """The first HAL9's rule: +0.1·d for a success, -0.2·d for a failure, in 0..1; the largest weight wins."""

    def __init__(self, runs: int, arms: int) -> None:
        self._rows = np.arange(runs)
        self._weight = np.full((runs, arms), 0.5)
        self._success = np.zeros((runs, arms))
        self._failure = np.zeros((runs, arms))

    def learn(self, chosen: Indices, reward: Array) -> None:
        step = _DECAY * (0.1 * reward - 0.2 * (1.0 - reward))
        self._weight[self._rows, chosen] = np.clip(self._weight[self._rows, chosen] + step, 0.0, 1.0)
        self._success[self._rows, chosen] += reward
        self._failure[self._rows, chosen] += 1.0 - reward

    def soften(self, arm: int, factor: float) -> None:
        self._weight[:, arm] = 0.5 + factor * (self._weight[:, arm] - 0.5)
        self._success[:, arm] *= factor
        self._failure[:, arm] *= factor

    def grow(self, arms: int) -> None:
        self._weight = _grown(self._weight, arms, 0.5)
        self._success, self._failure = _grown(self._success, arms), _grown(self._failure, arms)

    def probabilities(self, among: Sequence[int]) -> Array:
        return _shared_best(self._weight[:, among])

    def sample(self, rng: np.random.Generator) -> Indices:
        return _draw(_shared_best(self._weight), rng)

    def evidence(self) -> tuple[Array, Array]:
        return self._success, self._failure

    def worth(self) -> Array:
        return self._weight.copy()


class Static(EpsilonGreedy):
    """Always the first; counts all the same, so that another policy can take over from it."""

    def probabilities(self, among: Sequence[int]) -> Array:
        probabilities = np.zeros((len(self._rows), len(among)))
        probabilities[:, 0] = 1.0
        return probabilities

    def worth(self) -> Array:
        return (1.0 + self._success) / (2.0 + self._success + self._failure)


POLICIES: dict[str, Callable[[int, int, RoutingSettings], Policy]] = {
    "discounted_thompson": lambda runs, arms, s: Thompson(
        runs, arms, discount=s.discount, change_rate=s.change_rate, sharpness=_SHARPNESS
    ),
    "sw_ucb": lambda runs, arms, s: SlidingWindowUcb(runs, arms, window=s.window),
    "epsilon_greedy": lambda runs, arms, s: EpsilonGreedy(runs, arms, epsilon=s.epsilon),
    "hal9_original": lambda runs, arms, _: Hal9Original(runs, arms),
    "static": lambda runs, arms, _: Static(runs, arms),
}


def make_policy(settings: RoutingSettings, *, runs: int = 1, arms: int = 1, **changes: Any) -> Policy:
    """The policy that the settings name, knowing nothing yet; `changes` replace single settings."""
    chosen = settings.model_copy(update=changes)
    return POLICIES[chosen.policy](runs, arms, chosen)
