"""Relevance: pass messages only where they matter, and summaries where detail does not.

Gates keep the best k senders of each receiver, or as many as hold a share of its relevance. They never
compare against an absolute threshold: a softmax over N senders averages 1/N, so a fixed bar of 0.1 silences
every edge as soon as there are more than a few.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.instances.attention import attention
from hal9.passing.instances.pagerank import PageRank, personalized_pagerank, restart_vector
from hal9.passing.propagate import aggregate
from hal9.passing.result import Array, OnFailure, Passing, fixed_point
from hal9.passing.segments import Segments

__all__ = [
    "Hierarchy",
    "Routes",
    "hierarchical_attention",
    "relevance_gate",
    "relevance_passing",
    "sparse_routes",
]

Score = Callable[[Array, Array, Any], Array]


def _keep(segments: Segments, scores: Array, k: int | None, mass: float | None) -> Array:
    if (k is None) == (mass is None):
        raise PassingInvalid(what="gate", detail="needs exactly one of k and mass")
    if np.isnan(scores).any():
        raise PassingInvalid(what="scores", detail="hold nan")
    if k is not None:
        if k < 1:
            raise PassingInvalid(what="k", detail=f"{k} would silence every receiver")
        return segments.top(scores, k)
    if mass is None or not 0.0 < mass <= 1.0:
        raise PassingInvalid(what="mass", detail=f"{mass} is not in (0, 1]")
    if (scores < 0).any() or not np.isfinite(scores).all():
        raise PassingInvalid(
            what="scores", detail="mass needs finite, non-negative ones", remedy="Softmax them first"
        )
    return segments.top_mass(scores, mass)


def relevance_gate(graph: Graph, scores: Any, *, k: int | None = None, mass: float | None = None) -> Array:
    """Which edges may carry a message.

    `scores` and the result have shape (edges,).

    Args:
        graph: The candidates.
        scores: One per sorted edge, higher is more relevant; non-negative for `mass`.
        k: Keep the k best per receiver.
        mass: Keep the fewest that hold this share of the receiver's total.

    Returns:
        A mask over the sorted edges for `Graph.keep`. A receiver that has edges keeps at least one, and a
        self-loop always stays, on top of the k.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (graph.m,):
        raise PassingInvalid(
            what="scores", detail=f"expected one per edge, shape ({graph.m},), found {values.shape}"
        )
    segments: Segments = graph.cached("segments", lambda: Segments(graph.indptr))
    mask: Array = _keep(segments, values, k, mass) | (graph.src == graph.dst)
    return mask


def relevance_passing(  # noqa: PLR0913 - the gate's two forms and the iteration's settings
    graph: Graph,
    state: Any,
    score: Score,
    *,
    k: int | None = None,
    mass: float | None = None,
    update: Callable[[Array, Array], Array] | None = None,
    tol: float | None = None,
    max_iter: int = 10,
    on_failure: OnFailure = "warn",
) -> tuple[Passing, list[Array]]:
    """Softmax passing over a graph that is gated anew in every round, from the states of that round.

    Args:
        graph: All edges that may ever be used.
        state: Shape (n, ...).
        score: From (sender states, receiver states, edge attributes) to one score per edge.
        k: As in `relevance_gate`.
        mass: As in `relevance_gate`, over each receiver's softmax of scores.
        update: `update(state, received)`; None keeps `received`.
        tol: Largest allowed change; None runs exactly `max_iter` rounds.
        max_iter: Most rounds.
        on_failure: What to do when `tol` was not reached.

    Returns:
        The outcome, and the mask of edges used in each round.
    """
    segments: Segments = graph.cached("segments", lambda: Segments(graph.indptr))
    attr = graph.attr if graph.attr is not None else graph.weight
    used: list[Array] = []

    def step(h: Array) -> Array:
        raw = score(h[graph.src], h[graph.dst], attr)
        mask = relevance_gate(graph, segments.softmax(raw) if mass is not None else raw, k=k, mass=mass)
        used.append(mask)
        share = segments.softmax(np.where(mask, raw, -np.inf))
        flat = h.reshape(len(h), math.prod(h.shape[1:]))
        received = (graph.matrix(share, dtype=h.dtype) @ flat).reshape(h.shape)
        return received if update is None else update(h, received)

    start = np.asarray(state)
    start = start if start.dtype.kind == "f" else start.astype(float)
    found = fixed_point(
        step, start, tol=tol, max_iter=max_iter, what="relevance_passing", on_failure=on_failure
    )
    return found, used


class Hierarchy:
    """Token → chunk → summary, and back; the last chunk may be shorter.

    Attributes:
        tokens: Number of tokens.
        chunk_of: Chunk of each token, shape (tokens,).
        chunks: Number of chunks.
    """

    def __init__(self, tokens: int, chunk: int) -> None:
        if tokens < 1 or chunk < 1:
            raise PassingInvalid(
                what="hierarchy", detail=f"needs tokens and chunk >= 1, found {tokens} and {chunk}"
            )
        self.tokens = tokens
        self.chunk_of: Array = np.arange(tokens) // chunk
        self.chunks = int(self.chunk_of[-1]) + 1
        self._up = Graph.bipartite(np.arange(tokens), self.chunk_of, tokens, self.chunks)

    def up(self, states: Any, relevance: Any = None) -> tuple[Array, Array]:
        """Chunk states and the summary: means weighted by relevance (uniform when None).

        Args:
            states: Shape (tokens, ...).
            relevance: Non-negative, shape (tokens,); a chunk without any is averaged plainly.

        Returns:
            Shapes (chunks, ...) and (...).
        """
        h = np.asarray(states, dtype=np.float64)
        weight = np.ones(self.tokens) if relevance is None else np.asarray(relevance, dtype=np.float64)
        if len(h) != self.tokens or weight.shape != (self.tokens,) or (weight < 0).any():
            raise PassingInvalid(
                what="hierarchy", detail=f"needs {self.tokens} states and non-negative relevances"
            )
        total = np.bincount(self.chunk_of, weights=weight, minlength=self.chunks)
        weight = np.where(total[self.chunk_of] > 0, weight, 1.0)
        column = (-1,) + (1,) * (h.ndim - 1)
        padded = np.concatenate([h * weight.reshape(column), np.zeros((self.chunks, *h.shape[1:]))])
        held = np.bincount(self.chunk_of, weights=weight, minlength=self.chunks)
        chunks = aggregate(self._up, padded)[self.tokens :] / held.reshape(column)
        # Chunks without relevance have a plain mean, but no say in the summary unless none has any.
        say = total if (total > 0).any() else held
        summary = (chunks * (say / say.sum()).reshape(column)).sum(axis=0)
        return chunks, summary

    def down(
        self, states: Any, chunks: Any, summary: Any, *, share: tuple[float, float] = (0.25, 0.25)
    ) -> Array:
        """Tokens that have heard from their chunk and from the summary.

        Args:
            states: Shape (tokens, ...).
            chunks: Shape (chunks, ...).
            summary: Shape (...).
            share: How much of the result comes from the chunk and from the summary.
        """
        near, far = share
        if near < 0 or far < 0 or near + far > 1:
            raise PassingInvalid(what="share", detail=f"{share} must be non-negative and sum to at most 1")
        h = np.asarray(states, dtype=np.float64)
        out: Array = (
            (1 - near - far) * h + near * np.asarray(chunks)[self.chunk_of] + far * np.asarray(summary)
        )
        return out

    def gate(self, q: Any, k: Any, keep: int) -> Array:
        """For every chunk of queries the chunks of keys worth looking at, shape (chunks, chunks), bool.

        Chunks are compared by their mean query and mean key; the `keep` best are taken, and its own always.
        """
        queries, _ = self.up(q)
        keys, _ = self.up(k)
        pairs = Graph.complete(self.chunks)
        scores = (queries @ keys.T).ravel()
        return relevance_gate(pairs, scores, k=min(max(keep, 1), self.chunks)).reshape(
            self.chunks, self.chunks
        )


def hierarchical_attention(q: Any, k: Any, v: Any, *, chunk: int = 64, keep: int = 4) -> Array:
    """Attention to the tokens of the few most relevant chunks: chunk gate first, then tokens within.

    Args:
        q: Shape (n, d).
        k: Shape (n, d).
        v: Shape (n, f).
        chunk: Tokens per chunk.
        keep: Chunks each chunk of queries looks at, besides its own.

    Returns:
        Shape (n, f); equal to `attention(q, k, v)` when every chunk is kept.
    """
    queries, keys, values = (np.asarray(x) for x in (q, k, v))
    if queries.ndim != 2 or len(queries) != len(keys) or len(keys) != len(values):
        raise PassingInvalid(
            what="hierarchical_attention", detail="q, k and v need shape (n, ...) with one n"
        )
    layers = Hierarchy(len(queries), chunk)
    chosen = layers.gate(queries, keys, keep)
    out = np.empty((len(queries), values.shape[1]), dtype=np.result_type(queries, keys, values, np.float32))
    for c in range(layers.chunks):
        own = slice(c * chunk, min((c + 1) * chunk, len(queries)))
        look = np.flatnonzero(chosen[c][layers.chunk_of])
        out[own] = attention(queries[own], keys[look], values[look])
    return out


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Which connections carry a signal.

    Attributes:
        carry: Mask over the edges in the order in which the graph was given, shape (m,).
        flow: Share of the walk that uses each edge, same order, shape (m,).
        reach: Personalised PageRank of the nodes.
    """

    carry: Array
    flow: Array
    reach: PageRank


def sparse_routes(
    graph: Graph,
    source: Any,
    *,
    relevance: Any = None,
    k: int | None = None,
    mass: float | None = None,
    alpha: float = 0.85,
    tol: float = 1e-10,
) -> Routes:
    """Limit which connections carry a signal, by connection weight and by relevance to the task.

    A walk starts at `source` and follows connections in proportion to weight x relevance of the receiver;
    each sender then keeps the outgoing connections with the largest flow. A sender that the walk reaches
    and that has usable connections keeps at least one; connections without flow carry nothing.

    Args:
        graph: Edge weights are connection weights, non-negative.
        source: Where the signal starts: a node, or a restart as in `personalized_pagerank`.
        relevance: Of each node to the task, non-negative, shape (n,); None for 1.
        k: Connections kept per sender.
        mass: Or: the fewest that hold this share of the sender's flow.
        alpha: As in `personalized_pagerank`; further hops count for less as it falls.
        tol: As in `personalized_pagerank`.
    """
    worth = np.ones(graph.n) if relevance is None else np.asarray(relevance, dtype=np.float64)
    if worth.shape != (graph.n,) or (worth < 0).any() or not np.isfinite(worth).all():
        raise PassingInvalid(what="relevance", detail=f"needs {graph.n} finite, non-negative numbers")
    restart = restart_vector(
        graph, {int(source): 1.0} if np.ndim(source) == 0 and not isinstance(source, dict) else source
    )
    weighted = Graph(graph.src, graph.dst, graph.n, weight=graph.edge_weight() * worth[graph.dst])
    reach = personalized_pagerank(weighted, restart, alpha=alpha, tol=tol)
    weight = weighted.edge_weight()
    out = np.bincount(weighted.src, weights=weight, minlength=graph.n)
    flow = reach.scores[weighted.src] * weight / np.where(out > 0, out, 1.0)[weighted.src]
    # Grouping by sender is grouping by receiver on the graph turned round.
    turned = Graph(weighted.dst, weighted.src, graph.n, weight=flow)
    by_sender = turned.edge_weight()
    kept = _keep(Segments(turned.indptr), by_sender, k, mass) & (by_sender > 0)
    carry: Array = graph.unsort(turned.unsort(kept))
    return Routes(carry=carry, flow=graph.unsort(flow), reach=reach)
