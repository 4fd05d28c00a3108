"""Attention as message passing: receivers weigh senders by a softmax of scores.

On the complete graph this is the transformer's attention; on a sparse graph only the edges cost anything.

Source: Vaswani et al. 2017.
"""

from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.result import Array
from hal9.passing.segments import Segments

__all__ = ["attention", "edge_scores", "multi_head_attention"]

_ROWS = 1024  # query rows per block: the score matrix of a block stays within cache reach
_EDGES = 2**16  # edges per block when scores are gathered


def edge_scores(graph: Graph, q: Array, k: Array, scale: float | None = None) -> Array:
    """Scaled dot product of each edge's receiver query and sender key.

    Args:
        graph: Senders are keys, receivers are queries.
        q: Shape (n, d).
        k: Shape (n, d).
        scale: Factor; None for 1 / sqrt(d).

    Returns:
        Shape (m,), in the graph's edge order.
    """
    factor = 1.0 / np.sqrt(q.shape[-1]) if scale is None else scale
    out = np.empty(graph.m, dtype=np.result_type(q, k, np.float32))
    for low in range(0, graph.m, _EDGES):
        part = slice(low, low + _EDGES)
        np.einsum("ed,ed->e", q[graph.dst[part]], k[graph.src[part]], out=out[part])
    out *= factor
    return out


def _dense(q: Array, k: Array, v: Array, scale: float, mask: Array | None) -> Array:
    out = np.empty((*q.shape[:-1], v.shape[-1]), dtype=np.result_type(q, k, v))
    turned = np.swapaxes(k, -1, -2)
    for low in range(0, q.shape[-2], _ROWS):
        part = slice(low, low + _ROWS)
        scores = q[..., part, :] @ turned
        scores *= scale
        if mask is not None and mask.dtype == np.bool_:
            scores = np.where(mask[..., part, :], scores, -np.inf)
        elif mask is not None:
            scores += mask[..., part, :]
        top = scores.max(axis=-1, keepdims=True)
        scores -= np.where(np.isfinite(top), top, 0.0)
        np.exp(scores, out=scores)
        total = scores.sum(axis=-1, keepdims=True)
        # A query that may look at nothing receives nothing, as a node without incoming edges does.
        out[..., part, :] = (scores @ v) / np.where(total > 0, total, 1.0)
    return out


def _mask(mask: Any, shape: tuple[int, ...]) -> Array:
    """A mask of booleans or of floats, of a shape."""
    given = np.asarray(mask)
    if given.dtype.kind not in "bf":
        raise PassingInvalid(
            what="mask",
            detail=f"its numbers are {given.dtype}, which may mean a choice or a score",
            remedy="Give booleans (true: may look) or floats (added to the scores)",
        )
    if given.dtype.kind == "f" and (np.isnan(given).any() or np.isposinf(given).any()):
        raise PassingInvalid(what="mask", detail="holds nan or +inf")
    try:
        return np.broadcast_to(given, shape)
    except ValueError:
        raise PassingInvalid(
            what="mask", detail=f"its shape {given.shape} does not broadcast to {shape}"
        ) from None


def attention(
    q: Any, k: Any, v: Any, *, edges: Graph | None = None, mask: Any = None, scale: float | None = None
) -> Array:
    """Softmax-weighted sum of values.

    Args:
        q: Queries, shape (..., n, d); leading axes are batch and heads.
        k: Keys, shape (..., m, d).
        v: Values, shape (..., m, f).
        edges: Who may attend to whom (sender = key, receiver = query), n = m nodes; None for everybody.
        mask: Dense alternative to `edges`, broadcastable to (..., n, m): booleans are true where a query may
            look; floats are added to the scores (-inf forbids), as torch has it.
        scale: Of the scores; None for 1 / sqrt(d).

    Returns:
        Shape (..., n, f). A query without any key receives 0.
    """
    queries, keys, values = (np.asarray(x) for x in (q, k, v))
    queries, keys, values = (x if x.dtype.kind == "f" else x.astype(float) for x in (queries, keys, values))
    if queries.shape[-1] != keys.shape[-1] or keys.shape[-2] != values.shape[-2]:
        raise PassingInvalid(
            what="attention",
            detail=f"shapes {queries.shape}, {keys.shape}, {values.shape} do not fit together",
        )
    factor = 1.0 / float(np.sqrt(queries.shape[-1])) if scale is None else scale
    if edges is None:
        allowed = None if mask is None else _mask(mask, (*queries.shape[:-1], keys.shape[-2]))
        return _dense(queries, keys, values, factor, allowed)
    if mask is not None:
        raise PassingInvalid(what="attention", detail="takes edges or a mask, not both")
    if not edges.n == queries.shape[-2] == keys.shape[-2]:
        raise PassingInvalid(
            what="edges",
            detail=f"the graph has {edges.n} nodes for {queries.shape[-2]} queries and {keys.shape[-2]} keys",
        )
    lead = np.broadcast_shapes(queries.shape[:-2], keys.shape[:-2], values.shape[:-2])
    queries, keys, values = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (queries, keys, values))
    out = np.empty((*queries.shape[:-1], values.shape[-1]), dtype=np.result_type(queries, keys, values))
    segments: Segments = edges.cached("segments", lambda: Segments(edges.indptr))
    for at in np.ndindex(lead):
        share = segments.softmax(edge_scores(edges, queries[at], keys[at], factor))
        out[at] = edges.matrix(share, dtype=out.dtype) @ np.ascontiguousarray(values[at], dtype=out.dtype)
    return out


def multi_head_attention(
    x: Any,
    w_query: Any,
    w_key: Any,
    w_value: Any,
    w_out: Any,
    *,
    heads: int,
    edges: Graph | None = None,
    mask: Any = None,
) -> Array:
    """Project, attend per head, join and project back.

    Args:
        x: States, shape (..., n, d).
        w_query: Shape (d, heads * width).
        w_key: Shape (d, heads * width).
        w_value: Shape (d, heads * width).
        w_out: Shape (heads * width, d_out).
        heads: Number of heads.
        edges: As in `attention`.
        mask: As in `attention`; one of shape (..., n, n) is shared by all heads, (..., heads, n, n) is per
            head.

    Returns:
        Shape (..., n, d_out).
    """
    states = np.asarray(x)

    def split(w: Any) -> Array:
        made = states @ np.asarray(w)
        if heads < 1 or made.shape[-1] % heads:
            raise PassingInvalid(
                what="heads", detail=f"{heads} heads do not divide a width of {made.shape[-1]}"
            )
        return np.swapaxes(made.reshape(*made.shape[:-1], heads, -1), -2, -3)

    queries = split(w_query)
    if mask is not None and (given := np.asarray(mask)).ndim > 2 and given.ndim < queries.ndim:
        # A batch of masks without an axis for the heads.
        mask = np.expand_dims(given, -3)
    heard = attention(queries, split(w_key), split(w_value), edges=edges, mask=mask)
    mixed = np.swapaxes(heard, -2, -3)
    out: Array = mixed.reshape(*mixed.shape[:-2], -1) @ np.asarray(w_out)
    return out
