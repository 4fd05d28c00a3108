"""Which question to ask next: the one with the least expected free energy.

G = -epistemic - pragmatic + cost, per (kind, pair, context). Epistemic value is the mutual information, in
nats, between the pair's relation and the answer under the noise model. Pragmatic value is what the answer
is expected to take off the descent residual between contexts. Everything is computed for all candidates at
once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.edge_posterior import EdgePosterior, NoiseModel
from hal9.holograph.model.state import FloatArray
from hal9.holograph.questions import KINDS, Kind, Question

__all__ = ["Choice", "Planner", "information_gain"]


def _entropy(p: FloatArray) -> FloatArray:
    return np.asarray(-np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1))


def information_gain(posterior: FloatArray, table: FloatArray) -> FloatArray:
    """Mutual information between relation and verdict.

    Args:
        posterior: P(relation), shape (pairs, 4).
        table: P(verdict | relation), shape (4, verdicts).

    Returns:
        Nats, shape (pairs,).
    """
    marginal = posterior @ table
    return _entropy(marginal) - posterior @ _entropy(table)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen question with the parts of its expected free energy, in nats."""

    question: Question
    epistemic: float
    pragmatic: float
    cost: float

    @property
    def energy(self) -> float:
        """G; the smaller the better, and not worth asking when positive."""
        return self.cost - self.epistemic - self.pragmatic


@dataclass(slots=True)
class Planner:
    """Chooses questions and remembers which were answered.

    Attributes:
        names: variables. contexts: variables per context; empty means one context without a name.
        costs: nats per kind of question.
        descent_weight: nats that removing the whole residual of the worst pair is worth.
        check_value: nats that asking a second context about a believed edge is worth: contexts may
            disagree, and only a context that was asked can.
    """

    names: tuple[str, ...]
    contexts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    costs: Mapping[Kind, float] = field(
        default_factory=lambda: {"direction": 0.02, "mechanism": 0.02, "confounder": 0.02}
    )
    descent_weight: float = 0.3
    check_value: float = 0.3
    _asked: NDArray[np.bool_] = field(init=False)
    _inside: NDArray[np.bool_] = field(init=False)
    _labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        first, second = np.triu_indices(len(self.names), 1)
        self._labels = tuple(self.contexts) or ("",)
        members = [set(self.contexts.get(label, self.names)) for label in self._labels]
        held = np.array([[name in group for name in self.names] for group in members])
        self._inside = held[:, first] & held[:, second]
        # Axis 0: kind; axis 1: plain or swapped; axis 2: context; axis 3: pair.
        self._asked = np.zeros((len(KINDS), 2, len(self._labels), first.size), dtype=bool)

    def mark(self, question: Question, row: int) -> None:
        """Remember that a question was answered, or could not be; it is not chosen again."""
        if question.kind == "discriminator":
            return
        place = (KINDS.index(question.kind), int(question.swapped), self._labels.index(question.context), row)
        self._asked[place] = True

    def choose(
        self, belief: EdgePosterior, noise: NoiseModel, residual: Mapping[str, FloatArray] | None = None
    ) -> Choice | None:
        """The best question that has not been answered.

        Args:
            belief: current posterior.
            noise: answer model.
            residual: per context, descent residual of every pair, shape (pairs,).

        Returns:
            None when every question has been answered.
        """
        posterior = belief.posterior()
        gains = np.stack([information_gain(posterior, noise.table(kind)) for kind in KINDS])
        pragmatic = self._pragmatic(posterior, residual)
        cost = np.array([self.costs[kind] for kind in KINDS])
        counts = self._asked.sum(axis=(0, 1))
        # Asking the same thing again in other words or another context shares the answerer's mistakes.
        repeats = counts.sum(axis=0)
        fresh = gains / (1.0 + 0.5 * repeats)
        checks = self._checks(posterior)
        value = fresh[:, None, None, :] + pragmatic[None, None] - cost[:, None, None, None]
        value[0, 0] += checks
        value = value - 1e-6 * counts[None, None] - np.array([0.0, 1e-7])[None, :, None, None]
        value = np.where(self._asked | ~self._inside[None, None], -np.inf, value)
        best = int(np.argmax(value))
        if not np.isfinite(value.flat[best]):
            return None
        kind, swapped, context, row = np.unravel_index(best, value.shape)
        question = Question(
            KINDS[kind],
            self.names[belief.first[row]],
            self.names[belief.second[row]],
            self._labels[context],
            bool(swapped),
        )
        worth = float(pragmatic[context, row])
        if kind == 0 and not swapped:
            worth += float(checks[context, row])
        return Choice(question, float(fresh[kind, row]), worth, float(cost[kind]))

    def _checks(self, posterior: FloatArray) -> FloatArray:
        """Worth of a first direction question where another context was asked; (contexts, pairs)."""
        direct = self._asked[0].any(axis=0)
        elsewhere = direct.any(axis=0)[None] & ~direct
        return np.asarray(self.check_value * elsewhere * (1.0 - posterior[:, 2])[None])

    def _pragmatic(self, posterior: FloatArray, residual: Mapping[str, FloatArray] | None) -> FloatArray:
        value = np.zeros(self._inside.shape)
        if not residual:
            return value
        doubt = 1.0 - posterior.max(axis=1)
        top = max((float(r.max()) for r in residual.values() if r.size), default=0.0)
        if top <= 0:
            return value
        for index, label in enumerate(self._labels):
            if label in residual:
                value[index] = self.descent_weight * doubt * residual[label] / top
        return value
