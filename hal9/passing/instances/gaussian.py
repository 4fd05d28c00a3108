"""Gaussian belief propagation: solve A x = b by messages between neighbours.

Source: Weiss and Freeman 2001; Malioutov, Johnson and Willsky 2006 (walk-summable models converge).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.propagate import Schedule, node_sum, propagate_edges
from hal9.passing.result import Array, OnFailure

__all__ = ["GaussianBeliefs", "GaussianGraph"]


@dataclass(frozen=True, kw_only=True)
class GaussianBeliefs:
    """Marginals of a Gaussian with information matrix A and vector b.

    Attributes:
        mean: Solution of A x = b, shape (n,); exact when converged.
        variance: Diagonal of the inverse of A, shape (n,); exact on trees, biased with loops.
        exact_variance: Whether the graph is a forest.
        converged: Whether messages reached the tolerance.
        iterations: Rounds.
        residuals: Largest message change per round.
        error: Largest absolute entry of A x - b.
    """

    mean: Array
    variance: Array
    exact_variance: bool
    converged: bool
    iterations: int
    residuals: Array
    error: float


class GaussianGraph:
    """A symmetric positive definite system as a graph: one node per row, one edge per entry."""

    def __init__(self, matrix: Any, vector: Any) -> None:
        """Read the system.

        Args:
            matrix: Symmetric, dense or scipy sparse, shape (n, n), positive diagonal.
            vector: Shape (n,).
        """
        from scipy.sparse import coo_array, csr_array  # noqa: PLC0415 - importing the room must stay cheap

        self.matrix = csr_array(matrix, dtype=np.float64)
        self.vector: Array = np.asarray(vector, dtype=np.float64)
        n = len(self.vector)
        if self.matrix.shape != (n, n) or self.vector.ndim != 1:
            raise PassingInvalid(
                what="system", detail=f"shapes {self.matrix.shape} and {self.vector.shape} do not fit"
            )
        skew = abs(self.matrix - self.matrix.T)
        if skew.nnz and skew.max() > 1e-12 * abs(self.matrix).max():
            raise PassingInvalid(
                what="matrix", detail="it is not symmetric", remedy="Solve with A.T @ A, or symmetrise"
            )
        self.diagonal: Array = self.matrix.diagonal()
        if (self.diagonal <= 0).any():
            raise PassingInvalid(what="matrix", detail="its diagonal must be positive")
        entries = coo_array(self.matrix)
        off = (entries.row != entries.col) & (entries.data != 0)
        self.graph = Graph(entries.col[off], entries.row[off], n, weight=entries.data[off])

    def solve(
        self,
        *,
        schedule: Schedule = "parallel",
        damping: float = 0.0,
        tol: float = 1e-12,
        max_iter: int = 1000,
        on_failure: OnFailure = "warn",
    ) -> GaussianBeliefs:
        """Pass (precision, information) pairs until they settle; arguments as in `propagate_edges`."""
        coupling = self.graph.edge_weight()
        local = np.stack([self.diagonal, self.vector])

        def emit(known: Array) -> Array:
            precision, information = known
            ratio = -coupling / precision
            return np.stack([ratio * coupling, ratio * information])

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = propagate_edges(
                self.graph,
                np.zeros((2, self.graph.m)),
                emit,
                local=local,
                schedule=schedule,
                damping=damping,
                tol=tol * float(np.abs(local).max(initial=1.0)),
                max_iter=max_iter,
                on_failure=on_failure,
            )
            precision, information = node_sum(self.graph, found.state, local)
            mean = information / precision
            error = float(np.abs(self.matrix @ mean - self.vector).max(initial=0.0))
        return GaussianBeliefs(
            mean=mean,
            variance=1.0 / precision,
            exact_variance=self._forest(),
            converged=bool(found.converged),
            iterations=found.iterations,
            residuals=found.residuals,
            error=error,
        )

    def _forest(self) -> bool:
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - importing the room must stay cheap

        parts = connected_components(self.matrix, directed=False, return_labels=False)
        return self.graph.m // 2 == self.graph.n - int(parts)
