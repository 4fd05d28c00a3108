"""AGGREGATE: reduce what arrives at each node, over edges that are sorted by receiver.

Layouts were chosen by measurement: sums are sparse products; maxima take the k-th neighbour of a whole
block of nodes at once (nodes sorted by degree), which keeps the working set in cache and needs no
(edges x features) array.
"""

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from hal9.passing.result import Array

__all__ = ["Aggregate", "Segments"]

Aggregate: TypeAlias = Literal["sum", "mean", "max", "min", "softmax", "logsumexp"]

_BLOCK = 2048  # nodes per block: 2048 x 64 floats stay within a second-level cache
_HUB = 256  # receivers of more edges than this are reduced one by one


class Segments:
    """Consecutive runs of edges, one per receiver.

    Attributes:
        indptr: Run r is `indptr[r]:indptr[r + 1]`, shape (receivers + 1,).
    """

    def __init__(self, indptr: Array) -> None:
        self.indptr = indptr
        self.sizes: Array = np.diff(indptr)
        self.count = len(self.sizes)
        self.edges = int(indptr[-1])
        self._by_size: Array | None = None
        self._summing: dict[str, Any] = {}

    def _sum_matrix(self, dtype: Any) -> Any:
        from scipy.sparse import csr_array  # noqa: PLC0415 - importing the room must stay cheap

        key = np.dtype(dtype).str
        if key not in self._summing:
            index = np.int32 if self.edges < 2**31 - 1 else np.int64
            self._summing[key] = csr_array(
                (
                    np.ones(self.edges, dtype=dtype),
                    np.arange(self.edges, dtype=index),
                    self.indptr.astype(index),
                ),
                shape=(self.count, self.edges),
            )
        return self._summing[key]

    def sum(self, values: Array) -> Array:
        """Sum over each run of `values`, shape (edges, ...) → (receivers, ...); 0 for an empty run."""
        flat = values.reshape(self.edges, math.prod(values.shape[1:]))
        dtype = flat.dtype if flat.dtype.kind == "f" else np.dtype(np.float64)
        matrix = self._sum_matrix(dtype)
        if flat.shape[1] == 1:
            total = matrix @ np.ascontiguousarray(flat[:, 0], dtype=dtype)
        else:
            total = matrix @ np.ascontiguousarray(flat, dtype=dtype)
        out: Array = total.reshape(self.count, *values.shape[1:])
        return out

    def extreme(
        self, values: Array, *, largest: bool, index: Array | None = None, empty: float | None = None
    ) -> Array:
        """Largest (or smallest) entry over each run.

        Args:
            values: Shape (edges, ...), or rows that `index` picks per edge.
            largest: Maximum, or minimum.
            index: Row of `values` for each edge, shape (edges,): a gather that is never materialised.
            empty: What an empty run yields; None for the identity (-inf, or +inf for a minimum).
        """
        width = math.prod(values.shape[1:])
        flat = np.ascontiguousarray(values).reshape(len(values), width)
        if flat.dtype.kind != "f":
            flat = flat.astype(np.float64)
        identity = -np.inf if largest else np.inf
        out = np.full((self.count, width), identity if empty is None else empty, dtype=flat.dtype)
        if self._by_size is None:
            self._by_size = np.argsort(-self.sizes, kind="stable")
        order = self._by_size[: int(np.count_nonzero(self.sizes))]
        hubs = int(np.count_nonzero(self.sizes > _HUB))
        for node in order[:hubs].tolist():
            run = slice(int(self.indptr[node]), int(self.indptr[node + 1]))
            rows = flat[run] if index is None else flat[index[run]]
            out[node] = rows.max(axis=0) if largest else rows.min(axis=0)
        keep = np.maximum if largest else np.minimum
        buffer = np.empty((_BLOCK, width), dtype=flat.dtype)
        for start in range(hubs, len(order), _BLOCK):
            block = order[start : start + _BLOCK]
            sizes, first = self.sizes[block], self.indptr[block]
            best = np.empty((len(block), width), dtype=flat.dtype)
            # Sizes fall within a block, so the nodes that have a k-th edge are a prefix of it.
            prefix = np.searchsorted(-sizes, -np.arange(int(sizes[0])), side="left")
            for rank, reach in enumerate(prefix.tolist()):
                edges = first[:reach] + rank
                rows = edges if index is None else index[edges]
                if rank == 0:
                    np.take(flat, rows, axis=0, out=best, mode="clip")
                else:
                    np.take(flat, rows, axis=0, out=buffer[:reach], mode="clip")
                    keep(best[:reach], buffer[:reach], out=best[:reach])
            out[block] = best
        return out.reshape(self.count, *values.shape[1:])

    def logsumexp(self, values: Array) -> Array:
        """Log of the sum of exponentials over each run; -inf for an empty run.

        Of shape (edges, ...) into (runs, ...).
        """
        top = self.extreme(values, largest=True)
        shift = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            out: Array = np.log(self.sum(np.exp(values - np.repeat(shift, self.sizes, axis=0)))) + shift
        return out

    def softmax(self, scores: Array) -> Array:
        """Scores turned into shares of each run that sum to 1, shape of `scores`."""
        top = self.extreme(scores, largest=True)
        shift = np.where(np.isfinite(top), top, 0.0)
        weights = np.exp(scores - np.repeat(shift, self.sizes, axis=0))
        total = self.sum(weights)
        # A run whose scores are all -inf has no preference to express; its shares are 0, not undefined.
        share: Array = weights / np.repeat(np.where(total > 0, total, 1.0), self.sizes, axis=0)
        return share

    def reduce(self, how: Aggregate, message: Any, *, empty: float | None = None) -> Array:
        """Apply the named aggregate; for "softmax" `message` is (scores, values).

        Of shape (edges, ...) into (runs, ...).
        """
        if how == "softmax":
            scores, values = message
            share = self.softmax(np.asarray(scores))
            share = share.reshape(share.shape + (1,) * (values.ndim - share.ndim))
            return self.sum(share * values)
        values = np.asarray(message)
        if how == "sum":
            return self.sum(values)
        if how == "mean":
            sizes = np.maximum(self.sizes, 1).reshape((-1,) + (1,) * (values.ndim - 1))
            total = self.sum(values)
            average: Array = total / sizes.astype(total.dtype)
            return average
        if how == "logsumexp":
            return self.logsumexp(values)
        return self.extreme(values, largest=how == "max", empty=empty)

    def descending(self, scores: Array) -> tuple[Array, Array]:
        """Edges sorted by falling score within each run, and each sorted edge's rank in its run.

        All of shape (edges,).
        """
        receiver = np.repeat(np.arange(self.count), self.sizes)
        order = np.lexsort((-scores, receiver))
        return order, np.arange(self.edges) - np.repeat(self.indptr[:-1], self.sizes)

    def top(self, scores: Array, k: int) -> Array:
        """Whether each edge is among the `k` best of its run (ties: the first given), shape (edges,)."""
        order, rank = self.descending(scores)
        keep: Array = np.zeros(self.edges, dtype=bool)
        keep[order] = rank < k
        return keep

    def top_mass(self, scores: Array, mass: float) -> Array:
        """Whether each edge is among the fewest best that hold `mass` of their run's total, shape (edges,).

        The best edge of a run is always kept, also where the total is 0.
        """
        order, rank = self.descending(scores)
        best = scores[order]
        before = np.cumsum(best) - best
        first = np.minimum(self.indptr[:-1], max(self.edges - 1, 0))
        before -= np.repeat(before[first] if self.edges else np.zeros(self.count), self.sizes)
        total = np.repeat(self.sum(scores.astype(np.float64)), self.sizes)
        keep: Array = np.zeros(self.edges, dtype=bool)
        keep[order] = (rank == 0) | ((before < mass * total) & (best > 0))
        return keep
