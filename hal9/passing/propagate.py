"""The engine: h_i' = UPDATE(h_i, AGGREGATE(MESSAGE(h_j, h_i, e_ji))), on nodes or on edges.

`propagate` keeps a state per node (graph networks, diffusion, attention). `propagate_edges` keeps a state
per *edge* and hands each message everything that arrived at its sender except what came back along the
same edge: the non-backtracking rule that belief propagation needs and that no update of node states alone
can express.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.result import Array, OnFailure, Passing, fixed_point
from hal9.passing.segments import Aggregate, Segments

__all__ = ["Message", "Schedule", "Update", "aggregate", "cavity", "node_sum", "propagate", "propagate_edges"]

Message: TypeAlias = Literal["copy", "weight"] | Callable[[Array, Array, Any], Any]
Update: TypeAlias = Callable[[Array, Array], Array]
Schedule: TypeAlias = Literal["parallel", "colour", "residual"]

_RESIDUAL_SHARE = 0.25  # the residual schedule moves the quarter of the nodes that would change most
_BAND = (
    6 * 2**20
)  # bytes of sender states read at a time; gathers from beyond the cache cost 1.4 times as much
_BLOCK = 2 * 2**20  # bytes of the result written at a time


class _Receivers:
    """The nodes that move in one step, and the edges into them; None for all nodes."""

    def __init__(self, graph: Graph, nodes: Array | None) -> None:
        self.nodes = nodes
        self._matrices: dict[tuple[str, str, bool], Any] = {}
        self._tiles: dict[tuple[str, str, bool, int], list[tuple[int, int, Any]]] = {}
        if nodes is None:
            self.edges: Array | None = None
            self.segments: Segments = graph.cached("segments", lambda: Segments(graph.indptr))
            return
        sizes = graph.in_degree[nodes]
        pointer = np.concatenate([[0], np.cumsum(sizes)])
        self.edges = np.arange(pointer[-1]) + np.repeat(graph.indptr[nodes] - pointer[:-1], sizes)
        self.segments = Segments(pointer)

    @staticmethod
    def everyone(graph: Graph) -> "_Receivers":
        found: _Receivers = graph.cached("receivers", lambda: _Receivers(graph, None))
        return found

    @staticmethod
    def by_colour(graph: Graph) -> "list[_Receivers]":
        colours = graph.colours

        def build() -> list[_Receivers]:
            return [
                _Receivers(graph, np.flatnonzero(colours == c))
                for c in range(int(colours.max(initial=-1)) + 1)
            ]

        found: list[_Receivers] = graph.cached("receivers by colour", build)
        return found

    def pick(self, per_edge: Array) -> Array:
        return per_edge if self.edges is None else per_edge[self.edges]

    def product(self, graph: Graph, state: Array, message: str, *, mean: bool) -> Array:
        """Sum or mean of copied or weighted senders as one sparse product."""
        key = (message, state.dtype.str, mean)
        if key not in self._matrices:
            whole = graph.matrix("ones" if message == "copy" else None, dtype=state.dtype)
            if mean:
                # Dividing the entries once saves a pass over the result in every round.
                share = whole.data / np.repeat(np.maximum(graph.in_degree, 1), graph.in_degree)
                whole = graph.matrix(share, dtype=state.dtype)
            self._matrices[key] = whole if self.nodes is None else whole[self.nodes]
        matrix = self._matrices[key]
        flat = state.reshape(len(state), math.prod(state.shape[1:]))
        if flat.shape[1] == 1:
            total = matrix @ flat[:, 0]
        elif flat.nbytes <= 2 * _BAND:
            total = matrix @ flat
        else:
            total = self._in_bands(matrix, key, flat)
        out: Array = total.reshape(matrix.shape[0], *state.shape[1:])
        return out

    def _in_bands(self, matrix: Any, key: tuple[str, str, bool], state: Array) -> Array:
        """The product over bands of senders whose states stay in cache while they are read.

        Receivers are taken in blocks, too: a fresh result of full size per band would cost more in page
        faults than the bands save.
        """
        wide = state.nbytes // len(state)
        rows, block = max(1, _BAND // wide), max(1, _BLOCK // wide)
        tiles = self._tiles.get((*key, rows))
        if tiles is None:
            tiles = self._tiles[*key, rows] = [
                (low, high, part[high : high + block])
                for low in range(0, len(state), rows)
                for part in [matrix[:, low : low + rows].tocsr()]
                for high in range(0, matrix.shape[0], block)
            ]
        total: Array = np.zeros((matrix.shape[0], state.shape[1]), dtype=np.result_type(matrix.dtype, state))
        for low, high, tile in tiles:
            total[high : high + block] += tile @ state[low : low + rows]
        return total


def _column(weight: Array, like: Array) -> Array:
    return weight.reshape((-1,) + (1,) * (like.ndim - 1)).astype(like.dtype, copy=False)


def _receive(
    graph: Graph, part: _Receivers, state: Array, message: Message, how: Aggregate, empty: float | None
) -> Array:
    if how not in get_args(Aggregate):
        raise PassingInvalid(
            what="aggregate", detail=f"{how!r} is unknown", remedy=f"Use {', '.join(get_args(Aggregate))}"
        )
    if isinstance(message, str):
        return _receive_named(graph, part, state, message, how, empty)
    attr = graph.attr if graph.attr is not None else graph.weight
    made = message(
        state[part.pick(graph.src)], state[part.pick(graph.dst)], None if attr is None else part.pick(attr)
    )
    if how == "softmax" and not (isinstance(made, tuple) and len(made) == 2):
        raise PassingInvalid(
            what="message",
            detail="the softmax aggregate needs (scores, values) per edge",
            remedy="Return a pair",
        )
    return part.segments.reduce(how, made, empty=empty)


def _receive_named(
    graph: Graph, part: _Receivers, state: Array, message: str, how: Aggregate, empty: float | None
) -> Array:
    """The messages that need no function: sums become sparse products, extremes a fused gather."""
    segments = part.segments
    if message not in ("copy", "weight"):
        raise PassingInvalid(
            what="message", detail=f"{message!r} is unknown", remedy="Use 'copy', 'weight' or a function"
        )
    if how in ("sum", "mean"):
        return part.product(graph, state, message, mean=how == "mean")
    src = part.pick(graph.src)
    if message == "copy" and how in ("max", "min"):
        return segments.extreme(state, largest=how == "max", index=src, empty=empty)
    arriving = state[src]
    if how == "softmax":
        # Edge weights are the scores; without them every sender has the same share.
        scores = part.pick(graph.edge_weight()) if message == "weight" else np.zeros(len(arriving))
        return segments.reduce("softmax", (scores, arriving))
    if message == "weight":
        arriving = arriving * _column(part.pick(graph.edge_weight()), arriving)
    return segments.reduce(how, arriving, empty=empty)


def _state_of(graph: Graph, state: Any) -> Array:
    array = np.asarray(state)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.shape[:1] != (graph.n,):
        raise PassingInvalid(
            what="state", detail=f"expected {graph.n} rows, one per node, found shape {array.shape}"
        )
    return array


def aggregate(
    graph: Graph, state: Any, *, message: Message = "copy", how: Aggregate = "sum", empty: float | None = None
) -> Array:
    """One round of MESSAGE and AGGREGATE: what each node receives, shape (n, ...).

    Args:
        graph: Who sends to whom.
        state: Shape (n, ...); trailing axes are free, so a batch of states is one more axis.
        message: "copy" (the sender's state), "weight" (times the edge weight), or a function of
            (sender states, receiver states, edge attributes) over all edges at once; edge attributes are
            `graph.attr`, else the weights, else None.
        how: The aggregate. "softmax" takes a message of (scores, values).
        empty: What a node without incoming edges gets from max and min; None for -inf and +inf.
    """
    return _receive(graph, _Receivers.everyone(graph), _state_of(graph, state), message, how, empty)


def propagate(  # noqa: PLR0913 - the three functions and their schedule are the formula itself
    graph: Graph,
    state: Any,
    *,
    message: Message = "copy",
    aggregate: Aggregate = "sum",
    update: Update | None = None,
    schedule: Schedule = "parallel",
    damping: float = 0.0,
    tol: float | None = 1e-6,
    max_iter: int = 1000,
    empty: float | None = None,
    on_failure: OnFailure = "warn",
) -> Passing:
    """Repeat MESSAGE, AGGREGATE, UPDATE until nothing changes by more than `tol`.

    Args:
        graph: Who sends to whom.
        state: Shape (n, ...); trailing axes are free.
        message: See `aggregate`.
        aggregate: How arriving messages are combined.
        update: `update(state, received)`, both of shape (nodes, ...), row by row; None keeps `received`.
        schedule: "parallel" moves all nodes at once, "colour" one colour class after the other (each sees
            the newest states), "residual" the quarter of the nodes that would change most.
        damping: Share of the old state that is kept, in [0, 1).
        tol: Largest allowed change of any entry; None runs exactly `max_iter` rounds.
        max_iter: Most rounds.
        empty: See `aggregate`.
        on_failure: What to do when `tol` was not reached.

    Returns:
        The last state and how the iteration went.
    """
    _check_damping(damping)
    start = _state_of(graph, state)

    def move(h: Array, part: _Receivers) -> Array:
        received = _receive(graph, part, h, message, aggregate, empty)
        old = h if part.nodes is None else h[part.nodes]
        new = received if update is None else update(old, received)
        return new if damping == 0.0 else damping * old + (1.0 - damping) * new

    everyone = _Receivers.everyone(graph)
    if schedule == "parallel":
        return fixed_point(
            lambda h: move(h, everyone),
            start,
            tol=tol,
            max_iter=max_iter,
            what="propagate",
            on_failure=on_failure,
        )
    if schedule == "residual":
        return _by_residual(
            lambda h: move(h, everyone), start, tol=tol, max_iter=max_iter, on_failure=on_failure
        )
    if schedule != "colour":
        raise PassingInvalid(
            what="schedule", detail=f"{schedule!r} is unknown", remedy="Use parallel, colour or residual"
        )
    parts = _Receivers.by_colour(graph)

    def sweep(h: Array) -> Array:
        new = h
        for part in parts:
            moved = move(new, part)
            if new is h:
                if moved.shape[1:] != h.shape[1:]:
                    raise PassingInvalid(
                        what="update", detail="the colour schedule needs an update that keeps the shape"
                    )
                new = h.astype(np.result_type(h, moved), copy=True)
            new[part.nodes] = moved
        return new

    return fixed_point(sweep, start, tol=tol, max_iter=max_iter, what="propagate", on_failure=on_failure)


def _check_damping(damping: float) -> None:
    if not 0.0 <= damping < 1.0:
        raise PassingInvalid(what="damping", detail=f"{damping} is not in [0, 1)")


def _by_residual(
    step: Callable[[Array], Array], state: Array, *, tol: float | None, max_iter: int, on_failure: OnFailure
) -> Passing:
    """Move only what would change most; the recorded residual is over all of it."""
    changes: list[float] = []

    def some(h: Array) -> Array:
        new = step(h)
        gap = np.abs(new - h).reshape(len(h), math.prod(h.shape[1:])).max(axis=1, initial=0.0)
        changes.append(float(gap.max(initial=0.0)))
        if len(gap) == 0:
            return new
        bar = np.quantile(gap, 1.0 - _RESIDUAL_SHARE)
        keep = (gap < bar).reshape((-1,) + (1,) * (h.ndim - 1))
        return np.where(keep, h, new)

    # The largest residual is always among those moved, so the change of the state is the full residual.
    return fixed_point(
        some, state, tol=tol, max_iter=max_iter, what="propagate (residual)", on_failure=on_failure
    )


def cavity(graph: Graph, messages: Array, local: Array | float = 0.0) -> Array:
    """What each edge's sender knows without the edge's own answer.

    For edge e = (u → v): `local[u]` plus the sum of all messages into u except the one from v.

    Args:
        graph: Who sends to whom; edges without a reverse subtract nothing.
        messages: Shape (..., m): the edge axis is last, so that each component is contiguous.
        local: Shape (..., n), or 0.

    Returns:
        Shape (..., m).
    """
    total = node_sum(graph, messages, local)
    reverse = graph.reverse
    paired = graph.cached("all reversed", lambda: bool((reverse >= 0).all()))
    back = messages[..., reverse]
    if not paired:
        back = np.where(reverse >= 0, back, 0.0)
    out: Array = total[..., graph.src] - back
    return out


def propagate_edges(  # noqa: PLR0913 - the same formula with state on the edges
    graph: Graph,
    messages: Array,
    emit: Callable[[Array], Array],
    *,
    local: Array | float = 0.0,
    schedule: Schedule = "parallel",
    damping: float = 0.0,
    tol: float | None = 1e-9,
    max_iter: int = 1000,
    on_failure: OnFailure = "warn",
) -> Passing:
    """Non-backtracking passing: `messages[e] = emit(cavity)[e]` until nothing changes.

    Args:
        graph: Edges in both directions where answers must be excluded.
        messages: The first messages, shape (..., m).
        emit: From the cavities of all edges, shape (..., m), to their new messages, edge by edge.
        local: What each node knows by itself, shape (..., n).
        schedule: "parallel", or "colour": messages out of one colour class of senders after the other, each
            seeing the newest messages; "residual" moves the quarter of the messages that would change most.
        damping: Share of the old message that is kept, in [0, 1).
        tol: Largest allowed change; None runs exactly `max_iter` rounds.
        max_iter: Most rounds.
        on_failure: What to do when `tol` was not reached.

    Returns:
        The last messages and how the iteration went; `node_sum` turns them into totals per node.
    """
    _check_damping(damping)
    if messages.shape[-1:] != (graph.m,):
        raise PassingInvalid(
            what="messages", detail=f"expected a last axis of {graph.m} edges, found {messages.shape}"
        )

    def step(old: Array) -> Array:
        new = emit(cavity(graph, old, local))
        return new if damping == 0.0 else damping * old + (1.0 - damping) * new

    if schedule == "residual":

        def transposed(old: Array) -> Array:
            return np.moveaxis(step(np.moveaxis(old, 0, -1)), -1, 0)

        found = _by_residual(
            transposed, np.moveaxis(messages, -1, 0), tol=tol, max_iter=max_iter, on_failure=on_failure
        )
        return Passing(
            state=np.moveaxis(found.state, 0, -1),
            converged=found.converged,
            iterations=found.iterations,
            residuals=found.residuals,
        )
    if schedule == "colour":
        sending = graph.colours[graph.src]
        turns = [sending == c for c in range(int(graph.colours.max(initial=-1)) + 1)]
        whole = step

        def step(old: Array) -> Array:
            for turn in turns:
                old = np.where(turn, whole(old), old)
            return old

    return fixed_point(
        step, messages, tol=tol, max_iter=max_iter, what="propagate_edges", on_failure=on_failure
    )


def node_sum(graph: Graph, messages: Array, local: Array | float = 0.0) -> Array:
    """`local` plus everything that arrives, shape (..., m) → (..., n)."""
    segments: Segments = graph.cached("segments", lambda: Segments(graph.indptr))
    rows = messages.reshape(math.prod(messages.shape[:-1]), graph.m)
    out: Array = np.stack([segments.sum(row) for row in rows]).reshape(*messages.shape[:-1], graph.n) + local
    return out
