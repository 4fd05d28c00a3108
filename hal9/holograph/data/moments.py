"""Conditional variances of a table of numbers, each worked out once.

A search asks for the same sets of parents again and again. Per set one row of a Cholesky factor is kept for
every member, so a set costs one step more than the set without its last member, and no system is solved.
"""

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray

__all__ = ["Moments"]

_DEPENDENT = 1e-9
"""Share of a variable's variance below which others determine it: what is left is rounding."""
_ENTRIES = 16_000_000
"""Numbers that are kept at most, 128 MB; then it starts anew."""
_REMOVALS = 200_000
"""Sets whose shares without a member are kept at most; then it starts anew."""

Set = tuple[int, ...]


class Moments:
    """Second moments of the variables (standardised) under conditioning.

    Attributes:
        variances: of the variables, in their units, shape (n,). correlation: shape (n, n).
    """

    def __init__(self, covariance: FloatArray) -> None:
        self.variances = np.maximum(np.diag(covariance), 1e-300)
        scale = np.sqrt(self.variances)
        self.correlation = np.asarray(covariance / scale[:, None] / scale[None, :], dtype=np.float64)
        size = self.correlation.shape[0]
        self._known: dict[Set, tuple[FloatArray, FloatArray]] = {
            (): (np.zeros((0, size)), np.diag(self.correlation).copy())
        }
        self._entries = 0
        self._without: dict[tuple[int, Set], FloatArray] = {}

    def given(self, members: Set) -> tuple[FloatArray, FloatArray]:
        """Rows of the factor, shape (members, n), and what is left of each variance, shape (n,).

        Args:
            members: the variables that are conditioned on, in rising order.
        """
        found = self._known.get(members)
        if found is not None:
            return found
        rows, left = self.given(members[:-1])
        last = members[-1]
        row = self.correlation[last] - rows[:, last] @ rows
        own = left[last]
        row = row / np.sqrt(own) if own > _DEPENDENT else np.zeros_like(row)
        found = (np.vstack([rows, row]), left - row * row)
        if self._entries > _ENTRIES:
            self._known = {(): self._known[()]}
            self._entries = 0
        self._entries += found[0].size
        self._known[members] = found
        return found

    def residuals(self, node: int, members: Set) -> FloatArray:
        """Share of a node's variance left by a set and, in turn, by it and each other variable; shape (n,).

        The entries of the node and of the members hold the share that the set alone leaves.
        """
        rows, left = self.given(members)
        partial = self.correlation[node] - rows[:, node] @ rows
        own = left[node]
        found = own - partial * partial / np.where(left > _DEPENDENT, left, np.inf)
        found[node] = own
        found[list(members)] = own
        # What is left of a variable that others determine is rounding; it must not decide between graphs.
        return np.asarray(np.maximum(found, 1e-6), dtype=np.float64)

    def without(self, node: int, members: Set) -> FloatArray:
        """Share of a node's variance left by the members but one, in turn; shape (members,).

        Args:
            node: the variable.
            members: what it is explained by, in rising order.
        """
        found = self._without.get((node, members))
        if found is None:
            if len(self._without) >= _REMOVALS:
                self._without.clear()
            found = self._without[node, members] = self._left_without(node, np.array(members, dtype=np.intp))
        return found

    def _left_without(self, node: int, members: NDArray[np.intp]) -> FloatArray:
        inner = self.correlation[members[:, None], members] + 1e-10 * np.eye(members.size)
        outer = self.correlation[members, node]
        # One factorisation serves the slopes and their variances.
        solved = np.linalg.solve(inner, np.column_stack([outer, np.eye(members.size)]))
        slopes, spread = solved[:, 0], np.diag(solved[:, 1:])
        left = 1.0 - float(slopes @ outer) + slopes * slopes / spread
        return np.asarray(np.maximum(left, 1e-6), dtype=np.float64)

    def share(self, node: int, members: Set) -> float:
        """Share of a node's variance left by a set."""
        return max(1e-6, float(self.given(members)[1][node]))

    def slopes(self, node: int, members: NDArray[np.intp]) -> FloatArray:
        """Standardised regression weights of a node on the members. In and out of shape (members,)."""
        inner = self.correlation[np.ix_(members, members)] + 1e-10 * np.eye(members.size)
        return np.asarray(np.linalg.solve(inner, self.correlation[members, node]), dtype=np.float64)
