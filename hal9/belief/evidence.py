"""What was measured: per-item scores, paired comparison, and the protocols of evaluators and proposers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hal9.errors.belief import EvaluationIncomplete

__all__ = ["Evaluator", "Evidence", "Paired", "Proposer", "sign_test"]

B_contra = TypeVar("B_contra", contravariant=True)
E_co = TypeVar("E_co", covariant=True)


class Evaluator(Protocol[B_contra]):
    """Scores beliefs on items. A ranker's trainer, a learning gate and a synthetic landscape are all this."""

    @property
    def items(self) -> Sequence[str]:
        """The names of all items, in a fixed order."""
        ...

    @property
    def deterministic(self) -> bool:
        """True if the same belief on the same item always scores the same; then no score is bought twice."""
        ...

    async def evaluate(self, belief: B_contra, items: Sequence[str], draw: int) -> Mapping[str, float]:
        """Score every named item, higher is better.

        Args:
            belief: what is scored.
            items: what it is scored on.
            draw: number of this measurement. Randomness must depend on (belief, item, draw) alone, so that
                a run is repeatable in any order of calls.
        """
        ...


class Proposer(Protocol[B_contra, E_co]):
    """Has ideas for edits: a language model, a heuristic, a random mutation."""

    async def propose(
        self, belief: B_contra, evidence: "Evidence", tried: frozenset[str], count: int, seed: int
    ) -> Sequence[E_co]:
        """Up to `count` edits of `belief` whose hashes are not in `tried`; none at all: no more ideas."""
        ...


@dataclass(slots=True)
class Evidence:
    """Measurements of one belief: per item how often, mean, and sum of squared deviations (Welford)."""

    scores: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def add(self, measured: Mapping[str, float], asked: Iterable[str]) -> None:
        """Take measurements in.

        Raises:
            EvaluationIncomplete: an item that was asked for has no finite score.
        """
        asked = tuple(asked)
        missing = tuple(item for item in asked if not math.isfinite(measured.get(item, math.nan)))
        if missing:
            raise EvaluationIncomplete(items=missing)
        for item in asked:
            count, mean, spread = self.scores.get(item, (0, 0.0, 0.0))
            delta = measured[item] - mean
            mean += delta / (count + 1)
            self.scores[item] = (count + 1, mean, spread + delta * (measured[item] - mean))

    def mean(self, item: str) -> float:
        """The item's mean score."""
        return self.scores[item][1]

    def count(self, item: str) -> int:
        """How often the item was measured."""
        return self.scores[item][0] if item in self.scores else 0

    def average(self, items: Iterable[str]) -> float:
        """Mean of the items' means over those that were measured; NaN if none was."""
        known = [self.scores[item][1] for item in items if item in self.scores]
        return sum(known) / len(known) if known else math.nan

    def noise_variance(self) -> float:
        """Pooled variance of one measurement, from repeated ones; NaN while nothing was repeated."""
        spread = sum(entry[2] for entry in self.scores.values())
        freedom = sum(entry[0] - 1 for entry in self.scores.values())
        return spread / freedom if freedom else math.nan

    def copy(self) -> "Evidence":
        """An independent copy."""
        return Evidence(dict(self.scores))

    def to_json(self) -> dict[str, Any]:
        """Item to [count, mean, spread]."""
        return {item: list(entry) for item, entry in self.scores.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]]) -> "Evidence":
        """The inverse of `to_json`."""
        return cls({item: (int(entry[0]), float(entry[1]), float(entry[2])) for item, entry in data.items()})


@dataclass(frozen=True, slots=True)
class Paired:
    """A paired comparison: candidate minus base, item by item."""

    differences: dict[str, float]

    @classmethod
    def of(cls, candidate: Evidence, base: Evidence, items: Iterable[str]) -> "Paired":
        """Compare on `items`; both must have measured all of them."""
        return cls({item: candidate.mean(item) - base.mean(item) for item in items})

    @property
    def gain(self) -> float:
        """Mean difference."""
        return sum(self.differences.values()) / len(self.differences)

    @property
    def error(self) -> float:
        """Standard error of the gain over items (0 for fewer than two)."""
        count = len(self.differences)
        if count < 2:
            return 0.0
        gain = self.gain
        return math.sqrt(sum((d - gain) ** 2 for d in self.differences.values()) / (count - 1) / count)

    def wins(self, margin: float = 1e-9) -> tuple[int, int]:
        """Items won and lost by more than `margin`."""
        won = sum(d > margin for d in self.differences.values())
        return won, sum(d < -margin for d in self.differences.values())


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact sign test: the probability of a split at least this uneven between equals."""
    total, few = won + lost, min(won, lost)
    tail = sum(math.comb(total, k) for k in range(few + 1)) / 2**total
    return float(min(1.0, 2 * tail))
