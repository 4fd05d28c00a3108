"""How well a table is explained by a graph: decomposable scores.

Gaussian tables are scored by the Bayesian information criterion of linear regressions, with equal error
variances (Peters & Bühlmann 2014) when that fits better; categorical tables by the marginal likelihood under
uniform Dirichlet priors (BDeu, Heckerman et al. 1995), whose equivalent sample size is the one that makes the
table most probable (Steck 2008). Every edge also costs its prior odds: with many pairs, some would join by
chance alone. Rows in which a variable was set by intervention do not count towards that variable's own term.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = ["DiscreteScore", "FixedVarianceScore", "GaussianScore", "LocalScore", "edge_odds", "tuned"]

_FLOOR = 1e-10
_EQUIVALENT = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Equivalent sample sizes that are compared."""


def edge_odds(size: int, edges: float | None = None, *, strength: float = 1.0) -> float:
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


@dataclass
class GaussianScore:
    """Linear regressions.

    Attributes:
        table: data. odds: log prior odds of an edge.
    """

    table: Table
    odds: float = 0.0
    grams: list[FloatArray] = field(init=False)
    counts: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.table.names)
        self.grams, counts = [], []
        shared: dict[bool, FloatArray] = {}
        for node in range(size):
            keep = self.table.targets != node
            whole = bool(keep.all())
            if whole not in shared or not whole:
                rows = self.table.values[keep]
                shared[whole] = np.cov(rows.T, bias=True) if rows.shape[0] > 1 else np.eye(size)
            self.grams.append(shared[whole])
            counts.append(max(2, int(keep.sum())))
        self.counts = np.array(counts, dtype=np.float64)

    def variances(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Residual variance of a node given its parents and, in turn, each other variable; shape (n,).

        Entry [node], and those of the parents, hold the variance given the parents alone.
        """
        gram = self.grams[node]
        spread = gram
        if parents.size:
            inner = gram[np.ix_(parents, parents)] + _FLOOR * np.eye(parents.size)
            spread = gram - gram[:, parents] @ np.linalg.solve(inner, gram[parents])
        own = spread[node, node]
        other = np.maximum(np.diag(spread), _FLOOR)
        found = own - spread[node] ** 2 / other
        found[node] = own
        found[parents] = own
        # What is left of a variable that others determine is rounding; it must not decide between graphs.
        return np.asarray(np.maximum(found, 1e-6 * gram[node, node] + _FLOOR), dtype=np.float64)

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone."""
        found = self.variances(node, parents)
        count = self.counts[node]
        added = np.full(found.size, parents.size + 1.0)
        added[node] = parents.size
        return np.asarray(-0.5 * count * np.log(found) + (self.odds - 0.5 * np.log(count)) * added)

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats."""
        return float(self.additions(node, parents)[node])


@dataclass(slots=True)
class DiscreteScore:
    """Conditional frequency tables.

    Attributes:
        table: data. odds: log prior odds of an edge.
        equivalent: the prior's weight in rows, spread evenly over the cells of each variable's table.
    """

    table: Table
    odds: float = 0.0
    equivalent: float = 1.0
    codes: list[NDArray[np.intp]] = field(init=False)
    sizes: list[int] = field(init=False)
    _known: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.codes, self.sizes = [], []
        for column in self.table.values.T:
            levels, codes = np.unique(column, return_inverse=True)
            self.codes.append(codes.astype(np.intp))
            self.sizes.append(int(levels.size))

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats."""
        key = (node, tuple(sorted(int(p) for p in parents)))
        if key not in self._known:
            self._known[key] = self._marginal(*key) + self.odds * len(key[1])
        return self._known[key]

    def _marginal(self, node: int, parents: tuple[int, ...]) -> float:
        keep = self.table.targets != node
        joint = np.zeros(int(keep.sum()), dtype=np.intp)
        cells = 1
        for parent in parents:
            joint = joint * self.sizes[parent] + self.codes[parent][keep]
            cells *= self.sizes[parent]
        levels = self.sizes[node]
        if cells > 1:
            _, joint = np.unique(joint, return_inverse=True)
        counts = np.bincount(joint * levels + self.codes[node][keep]).astype(np.float64)
        counts = np.pad(counts, (0, -counts.size % levels)).reshape(-1, levels)
        row, cell = self.equivalent / cells, self.equivalent / (cells * levels)
        # Parent states that never occur add nothing.
        value = (gammaln(row) - gammaln(row + counts.sum(axis=1))).sum()
        return float(value + (gammaln(cell + counts) - gammaln(cell)).sum())

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone."""
        base = self.local(node, parents)
        found = np.full(len(self.sizes), base)
        for other in range(len(self.sizes)):
            if other != node and other not in parents:
                found[other] = self.local(node, np.append(parents, other))
        return found


class FixedVarianceScore(GaussianScore):
    """Gaussian score with one known error variance, which makes the equal-variance score decomposable."""

    def __init__(self, table: Table, sigma: float, odds: float = 0.0) -> None:
        super().__init__(table, odds)
        self.sigma = sigma

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone."""
        found = self.variances(node, parents)
        count = self.counts[node]
        added = np.full(found.size, parents.size + 1.0)
        added[node] = parents.size
        return np.asarray(-0.5 * count * found / self.sigma + (self.odds - 0.5 * np.log(count)) * added)


LocalScore = GaussianScore | DiscreteScore


def tuned(scorer: GaussianScore | DiscreteScore, adjacency: NDArray[np.bool_]) -> LocalScore:
    """The same score with the edge odds and the equivalent sample size that suit a graph [source, target]."""
    size = adjacency.shape[0]
    odds = edge_odds(size, float(adjacency.sum()))
    if not isinstance(scorer, DiscreteScore):
        return GaussianScore(scorer.table, odds)
    parents = [np.flatnonzero(adjacency[:, node]).astype(np.intp) for node in range(size)]

    def total(equivalent: float) -> float:
        tried = DiscreteScore(scorer.table, odds, equivalent)
        return sum(tried.local(node, parents[node]) for node in range(size))

    return DiscreteScore(scorer.table, odds, max(_EQUIVALENT, key=total))
