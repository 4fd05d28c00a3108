"""`Graph`: directed edges sorted once, and what can be derived from that order."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hal9.errors.passing import GraphInvalid
from hal9.passing.result import Array
from hal9.passing.structure import colour_nodes, reverse_edges, stable_order

__all__ = ["Graph"]


def _indices(name: str, values: Any, n: int) -> Array:
    array = np.asarray(values)
    if array.ndim != 1:
        raise GraphInvalid(what=name, detail=f"expected one dimension, found shape {array.shape}")
    if array.size == 0:
        return np.zeros(0, dtype=np.intp)
    if array.dtype.kind not in "iu":
        raise GraphInvalid(what=name, detail=f"expected integers, found {array.dtype}")
    if array.min() < 0 or array.max() >= n:
        bad = int(array.min()) if array.min() < 0 else int(array.max())
        raise GraphInvalid(what=name, detail=f"node {bad} is not in 0..{n - 1}")
    return array.astype(np.intp, copy=False)


class Graph:
    """A directed multigraph; messages flow `src` → `dst`. Treat it as frozen: derived arrays are cached.

    Edges are kept sorted by (dst, src), ties in input order; every per-edge array of this room is in that
    order, and `order` maps it back: sorted edge `e` was given at position `order[e]`.

    Attributes:
        n: Number of nodes.
        m: Number of edges.
        src, dst: Ends of each edge, shape (m,).
        order: Input position of each sorted edge, shape (m,).
        indptr: Edges into node v are `indptr[v]:indptr[v + 1]`, shape (n + 1,).
        weight: Edge weights, shape (m,), or None for all ones.
        attr: Edge attributes, shape (m, ...), or None.
    """

    def __init__(self, src: Any, dst: Any, n: int, *, weight: Any = None, attr: Any = None) -> None:
        """Sort the edges.

        Args:
            src: Sending nodes, integers of shape (m,).
            dst: Receiving nodes, integers of shape (m,).
            n: Number of nodes.
            weight: One number per edge, shape (m,).
            attr: Anything else per edge, shape (m, ...).

        Raises:
            GraphInvalid: Shapes disagree or a node is out of range.
        """
        if n < 0:
            raise GraphInvalid(what="n", detail=f"{n} nodes are not possible")
        self.n = int(n)
        tails, heads = _indices("src", src, n), _indices("dst", dst, n)
        if len(tails) != len(heads):
            raise GraphInvalid(what="src and dst", detail=f"lengths differ: {len(tails)} and {len(heads)}")
        self.m = len(tails)
        by_src = stable_order(tails, self.n)
        self.order: Array = by_src[stable_order(heads[by_src], self.n)]
        self.src: Array = tails[self.order]
        self.dst: Array = heads[self.order]
        self.indptr: Array = np.zeros(self.n + 1, dtype=np.intp)
        np.cumsum(np.bincount(self.dst, minlength=self.n), out=self.indptr[1:])
        self.weight = self._sorted("weight", weight)
        if self.weight is not None and (self.weight.ndim != 1 or self.weight.dtype.kind not in "fiub"):
            raise GraphInvalid(what="weight", detail=f"expected real numbers of shape ({self.m},)")
        self.attr = self._sorted("attr", attr)
        self._cache: dict[Any, Any] = {}

    def _sorted(self, name: str, values: Any) -> Array | None:
        if values is None:
            return None
        array = np.asarray(values)
        if array.shape[:1] != (self.m,):
            raise GraphInvalid(what=name, detail=f"expected {self.m} rows, found shape {array.shape}")
        if array.dtype.kind in "iub" and name == "weight":
            array = array.astype(float)
        return array[self.order]

    @classmethod
    def undirected(cls, src: Any, dst: Any, n: int, *, weight: Any = None, attr: Any = None) -> "Graph":
        """Every edge in both directions; a self-loop is kept once.

        Edge i comes first from its lower to its higher end, at position i of the given order, then back, so
        that `reverse` pairs parallel edges with their own copies.
        """
        tails, heads = _indices("src", src, n), _indices("dst", dst, n)
        if len(tails) != len(heads):
            raise GraphInvalid(what="src and dst", detail=f"lengths differ: {len(tails)} and {len(heads)}")
        tails, heads = np.minimum(tails, heads), np.maximum(tails, heads)
        back = np.flatnonzero(tails != heads)

        def both(values: Any) -> Array | None:
            if values is None:
                return None
            array = np.asarray(values)
            if array.shape[:1] != tails.shape:
                raise GraphInvalid(
                    what="edge data", detail=f"expected {len(tails)} rows, found {array.shape}"
                )
            return np.concatenate([array, array[back]])

        return cls(
            np.concatenate([tails, heads[back]]),
            np.concatenate([heads, tails[back]]),
            n,
            weight=both(weight),
            attr=both(attr),
        )

    @classmethod
    def bipartite(cls, left: Any, right: Any, n_left: int, n_right: int, *, weight: Any = None) -> "Graph":
        """Edges from `n_left` senders to `n_right` receivers; receiver r becomes node `n_left + r`."""
        tails, heads = _indices("left", left, n_left), _indices("right", right, n_right)
        return cls(tails, heads + n_left, n_left + n_right, weight=weight)

    @classmethod
    def disjoint(cls, graphs: Sequence["Graph"]) -> "Graph":
        """Several graphs side by side as one, nodes renumbered in order: a batch of different graphs.

        Weights are kept when any graph has them (ones for the others); attributes when all have them.
        """
        offsets = np.cumsum([0, *(g.n for g in graphs)])
        weighted = any(g.weight is not None for g in graphs)
        attributed = bool(graphs) and all(g.attr is not None for g in graphs)
        return cls(
            np.concatenate(
                [g.src + o for g, o in zip(graphs, offsets, strict=False)] or [np.zeros(0, np.intp)]
            ),
            np.concatenate(
                [g.dst + o for g, o in zip(graphs, offsets, strict=False)] or [np.zeros(0, np.intp)]
            ),
            int(offsets[-1]),
            weight=np.concatenate([g.edge_weight() for g in graphs]) if weighted else None,
            attr=np.concatenate([g.attr for g in graphs if g.attr is not None]) if attributed else None,
        )

    @classmethod
    def complete(cls, n: int, *, self_loops: bool = True) -> "Graph":
        """Every node to every node."""
        heads, tails = np.divmod(np.arange(n * n, dtype=np.intp), max(n, 1))
        keep = slice(None) if self_loops else tails != heads
        return cls(tails[keep], heads[keep], n)

    @classmethod
    def grid(cls, rows: int, columns: int, *, periodic: bool = False) -> "Graph":
        """The 4-neighbour lattice, both directions; node (r, c) is `r * columns + c`."""
        ids = np.arange(rows * columns).reshape(rows, columns)
        pairs = [(ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])]
        # A ring needs three nodes: with two, the wrap-around would repeat the edge that is there.
        if periodic and columns > 2:
            pairs.append((ids[:, -1:], ids[:, :1]))
        if periodic and rows > 2:
            pairs.append((ids[-1:], ids[:1]))
        src = np.concatenate([a.ravel() for a, _ in pairs])
        dst = np.concatenate([b.ravel() for _, b in pairs])
        return cls.undirected(src, dst, rows * columns)

    def __repr__(self) -> str:
        return f"Graph(n={self.n}, m={self.m})"

    @property
    def nbytes(self) -> int:
        """Bytes held by the edge arrays (without caches)."""
        arrays: Iterable[Array | None] = (self.src, self.dst, self.order, self.indptr, self.weight, self.attr)
        return sum(a.nbytes for a in arrays if a is not None)

    @property
    def in_degree(self) -> Array:
        """Edges into each node, shape (n,)."""
        return np.diff(self.indptr)

    @property
    def out_degree(self) -> Array:
        """Edges out of each node, shape (n,)."""
        return np.bincount(self.src, minlength=self.n)

    def edge_weight(self) -> Array:
        """The weights, ones when none were given, shape (m,)."""
        return np.ones(self.m) if self.weight is None else self.weight

    def unsort(self, values: Array) -> Array:
        """Per-edge `values` (first axis) in the order in which the edges were given.

        In and out of shape (edges, ...).
        """
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def keep(self, edges: Any) -> "Graph":
        """The same nodes with only the edges where the mask (sorted edge order, shape (m,)) is true."""
        mask = np.asarray(edges)
        if mask.dtype != bool or mask.shape != (self.m,):
            raise GraphInvalid(
                what="mask", detail=f"expected {self.m} booleans, found {mask.dtype} {mask.shape}"
            )
        return Graph(
            self.src[mask],
            self.dst[mask],
            self.n,
            weight=None if self.weight is None else self.weight[mask],
            attr=None if self.attr is None else self.attr[mask],
        )

    def matrix(self, values: Any = None, *, dtype: Any = np.float64) -> Any:
        """Receivers x senders as a `scipy.sparse.csr_array`; `A @ h` sums what each node receives.

        Args:
            values: One number per sorted edge; None for the weights, "ones" for plain sums (both cached).
            dtype: Of the entries; match it to the state so that nothing is converted per product.
        """
        from scipy.sparse import csr_array  # noqa: PLC0415 - importing the room must stay cheap

        cached = values is None or isinstance(values, str)
        key = ("matrix", values, np.dtype(dtype).str) if cached else None
        if key is not None and key in self._cache:
            return self._cache[key]
        if values is None:
            data = self.edge_weight().astype(dtype)
        elif isinstance(values, str):
            data = np.ones(self.m, dtype=dtype)
        else:
            data = np.asarray(values, dtype=dtype)
        small = max(self.n, self.m) < 2**31 - 1
        index = np.int32 if small else np.int64
        matrix = csr_array(
            (data, self.src.astype(index), self.indptr.astype(index)), shape=(self.n, self.n), copy=False
        )
        if key is not None:
            self._cache[key] = matrix
        return matrix

    @property
    def reverse(self) -> Array:
        """Position of the edge that runs the other way, -1 if there is none, shape (m,).

        Parallel edges are paired in order; a self-loop is its own reverse.
        """
        if "reverse" not in self._cache:
            self._cache["reverse"] = reverse_edges(self.src, self.dst, self.n)
        out: Array = self._cache["reverse"]
        return out

    @property
    def colours(self) -> Array:
        """A colour per node so that no edge joins equal colours (self-loops aside), shape (n,).

        Two colours when the graph is bipartite, otherwise greedy by falling degree.
        """
        if "colours" not in self._cache:
            self._cache["colours"] = colour_nodes(self.src, self.dst, self.n)
        out: Array = self._cache["colours"]
        return out

    def cached(self, key: Any, build: Any) -> Any:
        """The value under `key`, built by `build()` the first time (for solvers that reuse a graph)."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]
