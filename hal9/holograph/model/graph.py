"""Mixed graphs by name, and reading one off a belief without ever making a cycle."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.edge_posterior import EdgePosterior
from hal9.holograph.model.state import FloatArray

__all__ = [
    "MixedGraph",
    "acyclic_edges",
    "equivalence_class",
    "graph_from_belief",
    "reachable",
    "topological_order",
]


@dataclass(frozen=True, slots=True)
class MixedGraph:
    """Directed edges (cause, effect) and bidirected edges over named variables.

    Attributes:
        names: variables. directed: (cause, effect). bidirected: pairs.
        latents: children of each named latent.
        support: probability of a bidirected edge, where a table gave it, against the graph without the edge.
    """

    names: tuple[str, ...]
    directed: frozenset[tuple[str, str]] = frozenset()
    bidirected: frozenset[frozenset[str]] = frozenset()
    latents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    support: Mapping[frozenset[str], float] = field(default_factory=dict, compare=False)

    def adjacency(self) -> NDArray[np.bool_]:
        """Directed part, shape (n, n), ``[source, target]``."""
        row = {name: k for k, name in enumerate(self.names)}
        matrix = np.zeros((len(self.names), len(self.names)), dtype=bool)
        for cause, effect in self.directed:
            matrix[row[cause], row[effect]] = True
        return matrix

    @classmethod
    def from_adjacency(
        cls,
        names: Sequence[str],
        matrix: NDArray[np.bool_] | FloatArray,
        bidirected: Iterable[Iterable[str]] = (),
    ) -> "MixedGraph":
        """From a matrix ``[source, target]``. Its shape is (nodes, nodes)."""
        edges = frozenset((names[i], names[j]) for i, j in zip(*np.nonzero(matrix), strict=True))
        return cls(tuple(names), edges, frozenset(frozenset(pair) for pair in bidirected))


def topological_order(matrix: NDArray[np.bool_]) -> list[int] | None:
    """An order in which causes come first, or None when there is a cycle; `matrix` is [source, target].

    Its shape is (nodes, nodes).
    """
    waiting = matrix.sum(axis=0).astype(int)
    ready = [int(k) for k in np.flatnonzero(waiting == 0)]
    order: list[int] = []
    while ready:
        node = ready.pop()
        order.append(node)
        for child in np.flatnonzero(matrix[node]):
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(int(child))
    return order if len(order) == matrix.shape[0] else None


def acyclic_edges(size: int, candidates: Iterable[tuple[float, int, int]]) -> NDArray[np.bool_]:
    """Take edges (score, source, target) from the best down, leaving out each that would close a cycle.

    Returns:
        Adjacency [source, target], shape (size, size), acyclic.
    """
    matrix = np.zeros((size, size), dtype=bool)
    reach = np.eye(size, dtype=bool)
    for _, source, target in sorted(candidates, key=lambda edge: (-edge[0], edge[1], edge[2])):
        if reach[target, source]:
            continue
        matrix[source, target] = True
        reach |= np.outer(reach[:, source], reach[target])
    return matrix


def graph_from_belief(
    belief: EdgePosterior, *, threshold: float = 0.5, latents: Mapping[str, tuple[str, ...]] | None = None
) -> MixedGraph:
    """The acyclic graph that the posterior supports.

    A pair is adjacent when P(edge) reaches the threshold, directed the likelier way unless that closes a
    cycle with more probable edges; then the other way if it is not negligible, else not at all.
    """
    posterior = belief.posterior()
    names = belief.names
    size = len(names)
    candidates: list[tuple[float, int, int]] = []
    spare: list[tuple[float, int, int]] = []
    bidirected: list[tuple[str, str]] = []
    for row in range(posterior.shape[0]):
        i, j = int(belief.first[row]), int(belief.second[row])
        forward, backward, _, confounded = (float(p) for p in posterior[row])
        if forward + backward < threshold:
            if confounded >= threshold:
                bidirected.append((names[i], names[j]))
            continue
        if forward >= backward:
            candidates.append((forward, i, j))
            spare.append((backward, j, i))
        else:
            candidates.append((backward, j, i))
            spare.append((forward, i, j))
    matrix = acyclic_edges(size, candidates)
    left_out = [edge for edge in spare if not matrix[edge[2], edge[1]] and edge[0] >= 0.1]
    if left_out:
        kept = [
            (2.0 + score, source, target) for score, source, target in candidates if matrix[source, target]
        ]
        matrix = acyclic_edges(size, kept + left_out)
    graph = MixedGraph.from_adjacency(names, matrix, bidirected)
    return MixedGraph(names, graph.directed, graph.bidirected, dict(latents or {}))


def reachable(adjacency: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a path (of no edge, too) leads from row to column. In and out of shape (nodes, nodes)."""
    reach = (adjacency | np.eye(adjacency.shape[0], dtype=bool)).astype(np.float32)
    known = 0
    while (found := int(np.count_nonzero(reach))) > known:
        known = found
        reach = (reach @ reach > 0).astype(np.float32)
    return np.asarray(reach > 0)


def equivalence_class(matrix: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The Markov equivalence class of a DAG: both entries are set where the direction is not determined.

    Colliders first, then the three orientation rules of Meek (1995) that a DAG without other knowledge needs.

    Args:
        matrix: DAG [source, target], shape (n, n).
    """
    size = matrix.shape[0]
    adjacent = matrix | matrix.T
    fixed = np.zeros_like(matrix)
    for target in range(size):
        parents = np.flatnonzero(matrix[:, target])
        for a in parents:
            if any(b != a and not adjacent[a, b] for b in parents):
                fixed[a, target] = True
    changed = True
    while changed:
        changed = False
        for a, b in zip(*np.nonzero(adjacent & ~fixed & ~fixed.T), strict=True):
            if not fixed[b, a] and _meek(a, b, fixed, adjacent):
                fixed[a, b] = True
                changed = True
    undecided = adjacent & ~fixed & ~fixed.T
    return np.asarray(fixed | undecided)


def _meek(a: int, b: int, fixed: NDArray[np.bool_], adjacent: NDArray[np.bool_]) -> bool:
    """Whether a - b must be a → b."""
    if (fixed[:, a] & ~adjacent[:, b] & (np.arange(fixed.shape[0]) != b)).any():
        return True
    if (fixed[a] & fixed[:, b]).any():
        return True
    loose = adjacent & ~fixed & ~fixed.T
    middles = np.flatnonzero(loose[a] & fixed[:, b])
    return any(not adjacent[c, d] for k, c in enumerate(middles) for d in middles[k + 1 :])
