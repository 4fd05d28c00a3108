"""Sparse routing: which of many neurons are worth considering for a class of tasks.

Two walks over the connection weights. The first goes backward from the neurons that have solved tasks of
this class and says how relevant each neuron is: one that feeds good implementers is, although it solves
nothing itself. The second goes forward from the sender; only its strongest connections stay candidates.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hal9.memory import MemoryStore

__all__ = ["RelevanceFilter", "relevant"]

# How much a walk prefers to start at able neurons.
_PREFERENCE = 4.0
# Weights are known to a few percent; more exact walks would choose nobody else.
_TOLERANCE = 1e-5


class RelevanceFilter:
    """Limits candidates to the `k()` most relevant ones; reads the weights at each call.

    Args:
        store: the open memory file.
        k: candidates that stay; 0 keeps all.
    """

    def __init__(self, store: MemoryStore, *, k: Callable[[], int]) -> None:
        self._store = store
        self._k = k

    def __call__(self, source: str, candidates: Sequence[str], task_class: str) -> Sequence[str]:
        """The candidates that stay, in their order."""
        k = self._k()
        if k == 0 or len(candidates) <= k:
            return candidates
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT from_neuron, to_neuron, task_class, "
                "json_extract(state, '$.discounted_success'), json_extract(state, '$.discounted_failure') "
                "FROM weights"
            ).fetchall()
        edges: dict[tuple[str, str], tuple[float, float]] = {}
        solved: dict[str, tuple[float, float]] = {}
        for sender, receiver, kind, won, lost in rows:
            counts = (float(won or 0.0), float(lost or 0.0))
            pooled = edges.get((sender, receiver), (0.0, 0.0))
            edges[sender, receiver] = (pooled[0] + counts[0], pooled[1] + counts[1])
            if kind == task_class:
                mine = solved.get(receiver, (0.0, 0.0))
                solved[receiver] = (mine[0] + counts[0], mine[1] + counts[1])
        return relevant(source, candidates, edges, solved, k)


def relevant(
    source: str,
    candidates: Sequence[str],
    edges: dict[tuple[str, str], tuple[float, float]],
    solved: dict[str, tuple[float, float]],
    k: int,
) -> list[str]:
    """The k candidates with the largest flow.

    Args:
        source: the sender.
        candidates: whom it may choose.
        edges: successes and failures that still count, by sender and receiver, over all classes.
        solved: the same by receiver, for this class of tasks.
        k: how many stay.
    """
    from hal9.passing import Graph, personalized_pagerank, sparse_routes  # noqa: PLC0415  loads slowly

    allowed = {(source, name): edges.get((source, name), (0.0, 0.0)) for name in candidates}
    known = allowed | {edge: counts for edge, counts in edges.items() if edge[0] != source}
    names = sorted({name for edge in known for name in edge})
    index = {name: place for place, name in enumerate(names)}
    sender = np.array([index[one] for one, _ in known], dtype=np.intp)
    receiver = np.array([index[one] for _, one in known], dtype=np.intp)
    weight = np.array([_optimistic(*counts) for counts in known.values()])
    ability = np.array([_optimistic(*solved.get(name, (0.0, 0.0))) for name in names])
    backward = Graph(receiver, sender, len(names), weight=weight)
    # Relative to what a walk without preference finds, or neurons with many connections would always win.
    starts = np.column_stack([ability**_PREFERENCE, np.ones(len(names))])
    liked, plain = personalized_pagerank(backward, starts, tol=_TOLERANCE).scores.T
    relevance: NDArray[np.float64] = ability * liked / np.maximum(plain, 1e-12)
    forward = Graph(sender, receiver, len(names), weight=weight)
    routes = sparse_routes(forward, index[source], relevance=relevance, k=k, tol=_TOLERANCE)
    carried = {
        to for (start, to), stays in zip(known, routes.carry, strict=True) if stays and start == source
    }
    return [name for name in candidates if name in carried]


def _optimistic(won: float, lost: float) -> float:
    """Mean success plus one standard deviation of it: what was hardly tried stays worth a try."""
    count = won + lost + 2.0
    mean = (won + 1.0) / count
    return float(min(1.0, mean + np.sqrt(mean * (1.0 - mean) / (count + 1.0))))
