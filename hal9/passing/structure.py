"""What is derived from a graph's edges: reverse edges and colour classes."""

from typing import Any

import numpy as np

from hal9.passing.result import Array

__all__ = ["colour_nodes", "reverse_edges", "stable_order"]


def stable_order(keys: Array, n: int) -> Array:
    """Permutation that sorts integer `keys` in [0, n), ties in input order, in linear time.

    A matrix with one entry per row, converted to columns, is a counting sort in compiled code.

    In and out of shape (keys,).
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - importing the room must stay cheap

    m = len(keys)
    pointer = np.arange(m + 1, dtype=np.int64 if m >= 2**31 - 1 else np.int32)
    one_per_row = csr_array((np.ones(m, dtype=np.int8), keys.astype(pointer.dtype), pointer), shape=(m, n))
    order: Array = one_per_row.tocsc().indices
    return order


def reverse_edges(src: Array, dst: Array, n: int) -> Array:
    """See `Graph.reverse`; the edges are sorted by (dst, src). All of shape (edges,)."""
    m = len(src)
    forward = dst * max(n, 1) + src
    backward = src * max(n, 1) + dst
    by_sender = stable_order(src, n)
    # Edges are sorted by (dst, src), so a stable sort by src lists them by (src, dst): when every edge has
    # a partner, the k-th of one list is the reverse of the k-th of the other.
    if np.array_equal(forward, backward[by_sender]):
        return by_sender.astype(np.intp)
    if m == 0:
        return np.zeros(0, dtype=np.intp)
    first = np.searchsorted(forward, backward)
    # Among parallel edges the k-th one pairs with the k-th one back.
    repeat = np.arange(m) - np.searchsorted(forward, forward)
    partner = first + repeat
    inside = np.minimum(partner, m - 1)
    return np.where((partner < m) & (forward[inside] == backward), partner, -1)


def _neighbours(src: Array, dst: Array, n: int) -> Any:
    """The undirected adjacency matrix without self-loops."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - importing the room must stay cheap

    real = src != dst
    rows, columns = np.concatenate([dst[real], src[real]]), np.concatenate([src[real], dst[real]])
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()


def _two_colours(adjacency: Any) -> Array | None:
    """Parity of the distance from one node of each component, or None if that is no proper colouring."""
    from scipy.sparse import coo_array, csr_array, vstack  # noqa: PLC0415 - importing the room must stay cheap
    from scipy.sparse.csgraph import connected_components, dijkstra  # noqa: PLC0415

    n = adjacency.shape[0]
    _, component = connected_components(adjacency, directed=False)
    _, roots = np.unique(component, return_index=True)
    # A hub with an arc to one node of each component reaches everything in one search.
    hub = coo_array((np.ones(len(roots)), (np.zeros(len(roots), dtype=int), roots)), shape=(1, n + 1))
    padded = csr_array((adjacency.data, adjacency.indices, adjacency.indptr), shape=(n, n + 1))
    distance = dijkstra(vstack([padded, hub]).tocsr(), indices=n, unweighted=True)[:-1]
    colour = (distance.astype(np.intp) - 1) % 2
    ends = adjacency.tocoo()
    return colour if bool((colour[ends.row] != colour[ends.col]).all()) else None


def colour_nodes(src: Array, dst: Array, n: int) -> Array:
    """See `Graph.colours`. `src` and `dst` have shape (edges,), the result (n,)."""
    if n == 0:
        return np.zeros(0, dtype=np.intp)
    adjacency = _neighbours(src, dst, n)
    two = _two_colours(adjacency)
    if two is not None:
        return two
    neighbours, pointer = adjacency.indices.tolist(), adjacency.indptr.tolist()
    colour = [-1] * n
    for node in np.argsort(-np.diff(adjacency.indptr), kind="stable").tolist():
        taken = {colour[other] for other in neighbours[pointer[node] : pointer[node + 1]]}
        pick = 0
        while pick in taken:
            pick += 1
        colour[node] = pick
    return np.array(colour, dtype=np.intp)
