"""How well a table is explained by a graph: decomposable scores.

Gaussian tables are scored by the Bayesian information criterion of linear regressions, with equal error
variances (Peters & Bühlmann 2014) when that fits better; categorical tables by the marginal likelihood under
uniform Dirichlet priors (BDeu, Heckerman et al. 1995), whose equivalent sample size is the one that makes the
table most probable (Steck 2008). Every edge also costs its prior odds: with many pairs, some would join by
chance alone. Rows in which a variable was set by intervention do not count towards that variable's own term.
"""

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.additive_score import AdditiveScore
from hal9.holograph.data.counts import Counts
from hal9.holograph.data.moments import Moments
from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = [
    "DiscreteScore",
    "FixedVarianceScore",
    "GaussianScore",
    "LocalScore",
    "as_set",
    "edge_log_odds",
    "tuned",
]

_KEPT = 8_000_000
"""Numbers that a score remembers at most, 64 MB."""
_EQUIVALENT = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Equivalent sample sizes that are compared."""


Set = tuple[int, ...]


def as_set(parents: NDArray[np.intp]) -> Set:
    """Parents in rising order. `parents` has shape (parents,)."""
    return tuple(sorted(parents.tolist()))


def edge_log_odds(size: int, edges: float | None = None, *, strength: float = 1.0) -> float:
    """Log prior odds of an edge in one direction over none.

    Args:
        size: how many variables.
        edges: of a graph that was found; its density moves the odds away from 1.25 edges per variable.
        strength: how many variables' worth of pairs hold the odds where they start.
    """
    pairs = 0.5 * size * (size - 1)
    start = min(0.45, 2.5 / max(1, size - 1))
    held = strength * 0.5 * (size - 1)
    rate = start if edges is None else (edges + held * start) / (pairs + held)
    return float(np.log(0.5 * rate / (1.0 - min(rate, 0.9))))


class GaussianScore:
    """Linear regressions.

    Attributes:
        equivalent: whether graphs of one equivalence class score alike.
    """

    equivalent = True

    def __init__(self, table: Table, log_odds: float = 0.0, moments: "list[Moments] | None" = None) -> None:
        """Prepare the table's moments, or take those of another score of the same table.

        Args:
            table: data.
            log_odds: log prior odds of an edge.
            moments: per variable.
        """
        self.table, self.log_odds = table, log_odds
        self.moments = _moments(table) if moments is None else moments
        counted = [max(2, int((table.targets != node).sum())) for node in range(len(table.names))]
        self.counts = np.array(counted, dtype=np.float64) * table.worth
        self._known: dict[tuple[int, Set], FloatArray] = {}

    def variances(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Residual variance of a node given its parents and, in turn, each other variable; shape (n,).

        Entry [node], and those of the parents, hold the variance given the parents alone.
        """
        moments = self.moments[node]
        return np.asarray(moments.variances[node] * moments.residuals(node, as_set(parents)))

    def term(self, node: int, variances: FloatArray, parents: FloatArray | float) -> FloatArray:
        """Local term in nats, by residual variances and numbers of parents."""
        count = self.counts[node]
        return np.asarray(-0.5 * count * np.log(variances) + (self.log_odds - 0.5 * np.log(count)) * parents)

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone.

        Of shape (parents,) into (variables,).
        """
        key = (node, as_set(parents))
        found = self._known.get(key)
        if found is None:
            variances = self.variances(node, parents)
            added = np.full(variances.size, len(key[1]) + 1.0)
            added[node] = len(key[1])
            found = self.term(node, variances, added)
            if len(self._known) * variances.size > _KEPT:
                self._known.clear()
            self._known[key] = found
        return found.copy()

    def removals(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term without each of the parents in turn, shape (parents,)."""
        if not parents.size:
            return np.zeros(0)
        moments, members = self.moments[node], as_set(parents)
        left = moments.variances[node] * moments.without(node, members)[np.searchsorted(members, parents)]
        return self.term(node, left, parents.size - 1.0)

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats. `parents` has shape (parents,)."""
        moments, chosen = self.moments[node], as_set(parents)
        variance = moments.variances[node] * moments.share(node, chosen)
        return float(self.term(node, np.asarray(variance), float(len(chosen))))


def _moments(table: Table) -> list[Moments]:
    """Per variable, of the rows in which it was not set by intervention."""
    whole: Moments | None = None
    found = []
    for node in range(len(table.names)):
        keep = table.targets != node
        if keep.all():
            whole = Moments(_covariance(table.values)) if whole is None else whole
            found.append(whole)
        else:
            found.append(Moments(_covariance(table.values[keep])))
    return found


def _covariance(rows: FloatArray) -> FloatArray:
    size = rows.shape[1]
    if rows.shape[0] < 2:
        return np.eye(size)
    return np.asarray(np.cov(rows.T, bias=True), dtype=np.float64).reshape(size, size)


class DiscreteScore:
    """Conditional frequency tables.

    Attributes:
        table: data. log_odds: log prior odds of an edge.
        equivalent: the prior's weight in rows, spread evenly over the cells of each variable's table.
    """

    def __init__(
        self, table: Table, log_odds: float = 0.0, equivalent: float = 1.0, counts: Counts | None = None
    ) -> None:
        self.table, self.log_odds, self.equivalent = table, log_odds, equivalent
        self.counted = Counts(table) if counts is None else counts
        self._known: dict[tuple[int, Set], float] = {}
        self._added: dict[tuple[int, Set], FloatArray] = {}

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats. `parents` has shape (parents,)."""
        key = (node, as_set(parents))
        if key not in self._known:
            marginal = self.counted.marginal(node, key[1], self.equivalent)
            self._known[key] = marginal + self.log_odds * len(key[1])
        return self._known[key]

    def removals(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term without each of the parents in turn, shape (parents,)."""
        return np.array([self.local(node, parents[parents != parent]) for parent in parents])

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone.

        Of shape (parents,) into (variables,).
        """
        key = (node, as_set(parents))
        found = self._added.get(key)
        if found is None:
            found = self.counted.additions(node, key[1], self.equivalent) + self.log_odds * (len(key[1]) + 1)
            found[[node, *key[1]]] = self.local(node, parents)
            if len(self._added) * found.size > _KEPT:
                self._added.clear()
            self._added[key] = found
        return found.copy()


class FixedVarianceScore(GaussianScore):
    """Gaussian score with one known error variance, which makes the equal-variance score decomposable."""

    equivalent = False

    def __init__(
        self, table: Table, sigma: float, log_odds: float = 0.0, moments: "list[Moments] | None" = None
    ) -> None:
        super().__init__(table, log_odds, moments)
        self.sigma = sigma

    def term(self, node: int, variances: FloatArray, parents: FloatArray | float) -> FloatArray:
        """Local term in nats, by residual variances and numbers of parents."""
        count = self.counts[node]
        return np.asarray(
            -0.5 * count * variances / self.sigma + (self.log_odds - 0.5 * np.log(count)) * parents
        )


LocalScore = GaussianScore | DiscreteScore | AdditiveScore


def score_equivalent(scorer: LocalScore) -> bool:
    """Whether graphs of one equivalence class score alike, so that data cannot tell them apart."""
    return True if isinstance(scorer, DiscreteScore) else scorer.equivalent


def tuned(scorer: LocalScore, adjacency: NDArray[np.bool_]) -> LocalScore:
    """The same score with the edge odds and the equivalent sample size that suit a graph [source, target].

    The graph has shape (variables, variables).
    """
    size = adjacency.shape[0]
    log_odds = edge_log_odds(size, float(adjacency.sum()))
    if isinstance(scorer, AdditiveScore):
        return scorer.with_log_odds(log_odds)
    if not isinstance(scorer, DiscreteScore):
        return GaussianScore(scorer.table, log_odds, scorer.moments)
    parents = [np.flatnonzero(adjacency[:, node]).astype(np.intp) for node in range(size)]

    def total(equivalent: float) -> float:
        tried = DiscreteScore(scorer.table, log_odds, equivalent, scorer.counted)
        return sum(tried.local(node, parents[node]) for node in range(size))

    return DiscreteScore(scorer.table, log_odds, max(_EQUIVALENT, key=total), scorer.counted)
