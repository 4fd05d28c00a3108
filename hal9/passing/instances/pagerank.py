"""Personalised PageRank: how much of a walk that keeps returning to `restart` is spent at each node."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.result import Array, OnFailure, report_failure

__all__ = ["PageRank", "Restart", "forward_push", "personalized_pagerank"]

Method: TypeAlias = Literal["power", "direct"]
_DIRECT_LIMIT = 4096  # nodes; the dense resolvent of more would take over 128 MiB


@dataclass(frozen=True, kw_only=True)
class PageRank:
    """Scores and how sure they are.

    Attributes:
        scores: Shape (n,) or (n, batch); every column sums to 1.
        converged: Whether `error_bound` is at most the tolerance.
        iterations: Products with the transition matrix.
        error_bound: Bound on the L1 distance to the exact scores (largest over the batch).
    """

    scores: Array
    converged: bool
    iterations: int
    error_bound: float


@dataclass(frozen=True, eq=False)
class Restart:
    """Where a walk starts again, and where one goes on that reached a node without outgoing weight.

    Attributes:
        mass: None (uniform), a mapping from node to mass, or an array of shape (n,) or (n, batch).
        dangling: The same for walks that cannot go on; None for `mass`.
    """

    mass: Any = None
    dangling: Any = None


def restart_vector(graph: Graph, restart: Any) -> Array:
    """`restart` as non-negative columns that sum to 1, shape (n,) or (n, batch).

    Accepts None (uniform), a mapping from node to mass, or an array of shape (n,) or (n, batch).
    """
    if restart is None:
        vector = np.ones(graph.n)
    elif isinstance(restart, Mapping):
        vector = np.zeros(graph.n)
        for node, mass in restart.items():
            if not 0 <= int(node) < graph.n:
                raise PassingInvalid(what="restart", detail=f"node {node} is not in 0..{graph.n - 1}")
            vector[int(node)] = mass
    else:
        vector = np.asarray(restart, dtype=np.float64)
    if vector.ndim not in (1, 2) or len(vector) != graph.n:
        raise PassingInvalid(
            what="restart", detail=f"expected shape ({graph.n},) or ({graph.n}, batch), found {vector.shape}"
        )
    total = vector.sum(axis=0)
    if not np.isfinite(vector).all() or (vector < 0).any() or (total <= 0).any():
        raise PassingInvalid(
            what="restart",
            detail="needs finite, non-negative mass with a positive sum",
            remedy="Give a node some mass",
        )
    out: Array = vector / total
    return out


def _restarts(graph: Graph, restart: Any) -> tuple[Array, Array]:
    """Where walks start again, and where those go on that are stuck; of one shape."""
    given = restart if isinstance(restart, Restart) else Restart(restart)
    start = restart_vector(graph, given.mass)
    stray = start if given.dangling is None else restart_vector(graph, given.dangling)
    if stray.ndim < start.ndim:
        stray = np.broadcast_to(stray[:, None], start.shape)
    if stray.shape != start.shape:
        raise PassingInvalid(what="dangling", detail=f"expected shape {start.shape}, found {stray.shape}")
    return start, stray


def _transition(graph: Graph) -> tuple[Any, Array]:
    """Receivers x senders with columns that sum to 1, and which senders have nowhere to go."""

    def build() -> tuple[Any, Array]:
        weight = graph.edge_weight()
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise PassingInvalid(what="weight", detail="PageRank needs finite, non-negative edge weights")
        out = np.bincount(graph.src, weights=weight, minlength=graph.n)
        dangling = out <= 0
        share = 1.0 / np.where(dangling, 1.0, out)
        return graph.matrix(weight * share[graph.src]), np.flatnonzero(dangling)

    found: tuple[Any, Array] = graph.cached("transition", build)
    return found


def _enough(alpha: float, tol: float) -> int:
    """Rounds that bring the error bound below `tol`: each shrinks the first change, at most 2, by alpha."""
    if alpha == 0.0:
        return 2
    slack = 2.0 * alpha / (1.0 - alpha)
    return 2 + max(0, math.ceil(math.log(max(tol, 1e-300) / slack) / math.log(alpha)))


def personalized_pagerank(
    graph: Graph,
    restart: Any = None,
    *,
    alpha: float = 0.85,
    tol: float = 1e-10,
    max_iter: int | None = None,
    init: Any = None,
    method: Method = "power",
    on_failure: OnFailure = "warn",
) -> PageRank:
    """Solve x = alpha P x + (1 - alpha) r, where P moves along edges in proportion to their weights.

    A walk that reaches a node without outgoing weight starts again from `restart`. The transition matrix is
    kept with the graph, so further calls cost the iteration alone, and several restarts may be columns of one
    call. For many calls on a small graph `method="direct"` keeps the dense resolvent instead.

    Args:
        graph: Edges with non-negative weights (ones when none were given); parallel edges add up.
        restart: Mapping from node to mass, array of shape (n,) or (n, batch), None for uniform, or a
            `Restart` when walks that cannot go on shall go elsewhere.
        alpha: Probability to go on walking, in [0, 1).
        tol: Bound on the L1 error of the scores.
        max_iter: Most products with the transition matrix; None for as many as suffice for any graph.
        init: Scores to start from (warm start), shape of `restart`.
        method: "power", or "direct" (at most 4096 nodes).
        on_failure: What to do when `tol` was not reached.

    Source:
        Brin and Page 1998; stop rule from the contraction factor alpha of the iteration in L1.
    """
    if not 0.0 <= alpha < 1.0:
        raise PassingInvalid(what="alpha", detail=f"{alpha} is not in [0, 1)")
    if graph.n == 0:
        return PageRank(scores=np.zeros(0), converged=True, iterations=0, error_bound=0.0)
    start, stray = _restarts(graph, restart)
    matrix, dangling = _transition(graph)
    if method == "direct":
        return _direct(graph, (matrix, dangling), start, stray, alpha)
    if method != "power":
        raise PassingInvalid(what="method", detail=f"{method!r} is unknown", remedy="Use 'power' or 'direct'")
    x = start.copy() if init is None else restart_vector(graph, init)
    if x.shape != start.shape:
        raise PassingInvalid(what="init", detail=f"expected shape {start.shape}, found {x.shape}")
    slack = alpha / (1.0 - alpha)
    bound, rounds = float("inf"), 0
    most = _enough(alpha, tol) if max_iter is None else max_iter
    while rounds < most and bound > tol:
        new = matrix @ x
        new *= alpha
        new += (1.0 - alpha) * start
        if len(dangling):
            new += alpha * x[dangling].sum(axis=0) * stray
        x -= new
        np.abs(x, out=x)
        bound = slack * float(np.max(x.sum(axis=0)))
        x, rounds = new, rounds + 1
    if bound > tol:
        report_failure("personalized_pagerank", rounds, bound, on_failure)
    return PageRank(scores=x, converged=bound <= tol, iterations=rounds, error_bound=bound)


def _direct(
    graph: Graph, transition: tuple[Any, Array], start: Array, stray: Array, alpha: float
) -> PageRank:
    """The dense resolvent, kept with the graph; how much mass strays follows from one equation per column."""
    if graph.n > _DIRECT_LIMIT:
        raise PassingInvalid(
            what="method",
            detail=f"'direct' takes at most {_DIRECT_LIMIT} nodes, this graph has {graph.n}",
            remedy="Use 'power'",
        )
    matrix, dangling = transition
    resolvent = graph.cached(
        ("resolvent", alpha), lambda: np.linalg.inv(np.eye(graph.n) - alpha * matrix.toarray())
    )
    home, away = (1.0 - alpha) * (resolvent @ start), alpha * (resolvent @ stray)
    lost = home[dangling].sum(axis=0) / (1.0 - away[dangling].sum(axis=0))
    scores = home + lost * away
    scores /= scores.sum(axis=0)
    check = alpha * (matrix @ scores) + (1.0 - alpha) * start
    check += alpha * scores[dangling].sum(axis=0) * stray
    error = float(np.max(np.abs(check - scores).sum(axis=0))) / (1.0 - alpha)
    return PageRank(scores=scores, converged=True, iterations=0, error_bound=error)


def forward_push(
    graph: Graph, seed: int, *, alpha: float = 0.85, epsilon: float = 1e-6, max_iter: int = 10_000
) -> PageRank:
    """Scores near one node without touching the rest: for the local top k only.

    Mass is pushed from every node that still holds more than `epsilon` times its out-degree. What was not
    pushed is missing from the scores, so they sum to less than 1 and `error_bound` is exactly that gap;
    `converged` says whether nothing was left to push.

    Source:
        Andersen, Chung and Lang 2006, all active nodes at once.
    """
    start = restart_vector(graph, {seed: 1.0})
    matrix, dangling = _transition(graph)
    outgoing = graph.cached("transition by sender", matrix.tocsc)
    degree = np.maximum(graph.out_degree, 1)
    stuck = np.zeros(graph.n, dtype=bool)
    stuck[dangling] = True
    scores, left = np.zeros(graph.n), start.copy()
    rounds = 0
    active = np.flatnonzero(left > epsilon * degree)
    while len(active) and rounds < max_iter:
        mass = left[active]
        scores[active] += (1.0 - alpha) * mass
        left[active] = 0.0
        left[seed] += alpha * mass[stuck[active]].sum()
        first, sizes = outgoing.indptr[active], np.diff(outgoing.indptr)[active]
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        edges = np.repeat(first, sizes) + offsets
        np.add.at(left, outgoing.indices[edges], alpha * np.repeat(mass, sizes) * outgoing.data[edges])
        active = np.flatnonzero(left > epsilon * degree)
        rounds += 1
    return PageRank(
        scores=scores, converged=len(active) == 0, iterations=rounds, error_bound=float(left.sum())
    )
