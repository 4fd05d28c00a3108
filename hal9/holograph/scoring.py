"""How well a table is explained by a graph: decomposable scores.

Gaussian tables are scored by the Bayesian information criterion of linear regressions, with equal error
variances (Peters & Bühlmann 2014) when that fits better; categorical tables by the criterion of conditional
frequencies. Rows in which a variable was set by intervention do not count towards that variable's own term.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.state import FloatArray
from hal9.holograph.table import Table

__all__ = ["DiscreteScore", "FixedVarianceScore", "GaussianScore", "LocalScore"]

_FLOOR = 1e-10


@dataclass
class GaussianScore:
    """Linear regressions."""

    table: Table
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
        return np.asarray(-0.5 * count * np.log(found) - 0.5 * np.log(count) * added)

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats."""
        return float(self.additions(node, parents)[node])


@dataclass(slots=True)
class DiscreteScore:
    """Conditional frequency tables."""

    table: Table
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
        if key in self._known:
            return self._known[key]
        keep = self.table.targets != node
        joint = np.zeros(int(keep.sum()), dtype=np.intp)
        cells = 1
        for parent in key[1]:
            joint = joint * self.sizes[parent] + self.codes[parent][keep]
            cells *= self.sizes[parent]
        levels = self.sizes[node]
        _, compact = np.unique(joint, return_inverse=True)
        counts = np.bincount(compact * levels + self.codes[node][keep]).astype(np.float64)
        counts = np.pad(counts, (0, -counts.size % levels)).reshape(-1, levels)
        totals = counts.sum(axis=1, keepdims=True)
        logs = np.log(np.where(counts > 0, counts / np.maximum(totals, 1.0), 1.0))
        value = float((counts * logs).sum()) - 0.5 * np.log(max(2, joint.size)) * (levels - 1) * cells
        self._known[key] = float(value)
        return float(value)

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

    def __init__(self, table: Table, sigma: float) -> None:
        super().__init__(table)
        self.sigma = sigma

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone."""
        found = self.variances(node, parents)
        count = self.counts[node]
        added = np.full(found.size, parents.size + 1.0)
        added[node] = parents.size
        return np.asarray(-0.5 * count * found / self.sigma - 0.5 * np.log(count) * added)


LocalScore = GaussianScore | DiscreteScore
