"""Graphs near a graph, to climb from again: other members of its equivalence class, and shaken ones."""

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.graph import acyclic_edges

__all__ = ["equivalent_graph", "shaken_graph"]


def equivalent_graph(adjacency: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Another member of the equivalence class, by random reversals of covered edges (Chickering 1995).

    From there single additions and removals reach graphs that the present member hides. In and out of shape
    (variables, variables), [source, target].
    """
    matrix = adjacency.copy()
    size = adjacency.shape[0]
    parents = [set(np.flatnonzero(matrix[:, node]).tolist()) for node in range(size)]
    edges = [(int(a), int(b)) for a, b in np.argwhere(matrix)]
    for k in rng.integers(max(1, len(edges)), size=2 * len(edges)).tolist():
        source, target = edges[k]
        if parents[target] - {source} == parents[source]:
            matrix[source, target], matrix[target, source] = False, True
            parents[target].discard(source)
            parents[source].add(target)
            edges[k] = (target, source)
    return matrix


def shaken_graph(adjacency: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Drop, turn or add a few random edges, staying acyclic. In and out of shape (variables, variables)."""
    size = adjacency.shape[0]
    scores = rng.random((size, size))
    kept = adjacency & (scores > 0.3)
    turned = adjacency.T & (scores > 0.85)
    extra = scores > 1.0 - 1.0 / size**1.5
    edges = [
        (float(scores[i, j]), int(i), int(j)) for i, j in zip(*np.nonzero(kept | turned | extra), strict=True)
    ]
    return acyclic_edges(size, [(s, i, j) for s, i, j in edges if i != j])
