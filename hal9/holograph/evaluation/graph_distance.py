"""How far an estimated graph is from the true one, with the lines that any figure must stand beside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.graph import MixedGraph

__all__ = [
    "THRESHOLDS",
    "Scores",
    "best_fixed_threshold",
    "chance_scores",
    "d_separated",
    "mean_interval",
    "random_dag",
    "score",
    "structural_hamming",
    "structural_intervention",
    "threshold_curve",
]

THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
"""Probabilities at which a curve is read."""

BoolMatrix = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of one estimate.

    Attributes:
        shd: structural Hamming distance; a missing, extra or reversed edge, or a wrong edge type, costs 1.
        sid: structural intervention distance (Peters & Bühlmann 2015) of the directed parts.
        f1, precision, recall: of directed edges.
        skeleton_f1: of adjacencies. bidirected_f1: of bidirected edges (1 when neither graph has any).
    """

    shd: int
    sid: int
    f1: float
    precision: float
    recall: float
    skeleton_f1: float
    bidirected_f1: float


def _f1(hits: int, predicted: int, true: int) -> float:
    return 2 * hits / (predicted + true) if predicted + true else 1.0


def _marks(graph: MixedGraph) -> dict[frozenset[str], frozenset[str]]:
    marks: dict[frozenset[str], set[str]] = {}
    for cause, effect in graph.directed:
        marks.setdefault(frozenset((cause, effect)), set()).add(f"->{effect}")
    for pair in graph.bidirected:
        marks.setdefault(pair, set()).add("<->")
    return {pair: frozenset(found) for pair, found in marks.items()}


def structural_hamming(estimate: MixedGraph, truth: MixedGraph) -> int:
    """Pairs of variables whose edges differ."""
    ours, theirs = _marks(estimate), _marks(truth)
    return sum(ours.get(pair) != theirs.get(pair) for pair in set(ours) | set(theirs))


def _descendants(matrix: BoolMatrix) -> BoolMatrix:
    """Reachability [ancestor, descendant], each node its own descendant."""
    size = matrix.shape[0]
    reach = np.eye(size, dtype=bool) | matrix
    for _ in range(int(np.ceil(np.log2(max(2, size))))):
        reach = (reach.astype(np.int64) @ reach.astype(np.int64)) > 0
    return reach


def _active(matrix: BoolMatrix, source: int, given: Sequence[int]) -> set[int]:
    """Nodes d-connected to `source` given a set, by the Bayes ball (Shachter 1998)."""
    conditioned = set(given)
    parents = [np.flatnonzero(matrix[:, k]) for k in range(matrix.shape[0])]
    children = [np.flatnonzero(matrix[k]) for k in range(matrix.shape[0])]
    opened = set(conditioned)
    stack = list(conditioned)
    while stack:
        for parent in parents[stack.pop()]:
            if int(parent) not in opened:
                opened.add(int(parent))
                stack.append(int(parent))
    reached: set[int] = set()
    seen: set[tuple[int, bool]] = set()
    moves = [(source, True)]
    while moves:
        node, from_child = moves.pop()
        if (node, from_child) in seen:
            continue
        seen.add((node, from_child))
        if node not in conditioned:
            reached.add(node)
            moves.extend((int(child), False) for child in children[node])
        if from_child:
            if node not in conditioned:
                moves.extend((int(parent), True) for parent in parents[node])
        elif node in opened:
            moves.extend((int(parent), True) for parent in parents[node])
    return reached


def d_separated(matrix: BoolMatrix, first: int, second: int, given: Sequence[int]) -> bool:
    """Whether two nodes are d-separated by a set in the DAG `matrix` [source, target]."""
    return second not in _active(matrix, first, given)


def structural_intervention(estimate: BoolMatrix, truth: BoolMatrix) -> int:
    """Pairs (i, j) whose effect of i on j is wrong when adjusting for i's parents in the estimate.

    Args:
        estimate: DAG [source, target].
        truth: DAG [source, target].
    """
    size = truth.shape[0]
    reach = _descendants(truth)
    wrong = 0
    for i in range(size):
        parents = [int(p) for p in np.flatnonzero(estimate[:, i])]
        plain = _active(truth, i, parents)
        for j in range(size):
            if i == j:
                continue
            if j in parents:
                wrong += bool(reach[i, j])
            elif not reach[i, j]:
                wrong += j in plain
            else:
                wrong += not _valid_adjustment(truth, reach, i, j, parents)
    return wrong


def _valid_adjustment(truth: BoolMatrix, reach: BoolMatrix, i: int, j: int, given: Sequence[int]) -> bool:
    """The generalised adjustment criterion (Shpitser et al. 2010) for one cause and one effect."""
    causal = reach[i] & reach[:, j]
    causal[i] = False
    forbidden = reach[causal].any(axis=0)
    if any(forbidden[z] for z in given):
        return False
    cut = truth.copy()
    cut[i, causal] = False
    return j not in _active(cut, i, given)


def score(estimate: MixedGraph, truth: MixedGraph) -> Scores:
    """All figures of an estimate; both graphs over the same variables."""
    hits = len(estimate.directed & truth.directed)
    ours, theirs = set(_marks(estimate)), set(_marks(truth))
    aligned = MixedGraph(truth.names, estimate.directed)
    predicted, true = len(estimate.directed), len(truth.directed)
    return Scores(
        shd=structural_hamming(estimate, truth),
        sid=structural_intervention(aligned.adjacency(), truth.adjacency()),
        f1=_f1(hits, predicted, true),
        precision=hits / predicted if predicted else float(true == 0),
        recall=hits / true if true else 1.0,
        skeleton_f1=_f1(len(ours & theirs), len(ours), len(theirs)),
        bidirected_f1=_f1(
            len(estimate.bidirected & truth.bidirected), len(estimate.bidirected), len(truth.bidirected)
        ),
    )


def random_dag(names: Sequence[str], edges: int, rng: np.random.Generator) -> MixedGraph:
    """A DAG with so many edges between uniformly chosen pairs, ordered at random."""
    size = len(names)
    order = rng.permutation(size)
    first, second = np.triu_indices(size, 1)
    chosen = rng.choice(first.size, size=min(edges, first.size), replace=False)
    directed = frozenset((names[order[first[k]]], names[order[second[k]]]) for k in chosen)
    return MixedGraph(tuple(names), directed)


def chance_scores(truth: MixedGraph, edges: int, rng: np.random.Generator, *, draws: int = 20) -> Scores:
    """Mean figures of random DAGs with as many edges as the estimate had."""
    found = [score(random_dag(truth.names, edges, rng), truth) for _ in range(draws)]
    return Scores(
        shd=round(float(np.mean([s.shd for s in found]))),
        sid=round(float(np.mean([s.sid for s in found]))),
        f1=float(np.mean([s.f1 for s in found])),
        precision=float(np.mean([s.precision for s in found])),
        recall=float(np.mean([s.recall for s in found])),
        skeleton_f1=float(np.mean([s.skeleton_f1 for s in found])),
        bidirected_f1=float(np.mean([s.bidirected_f1 for s in found])),
    )


def threshold_curve(
    graph_at: Callable[[float], MixedGraph],
    truth: MixedGraph,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """F1 of directed edges when the edges of at least each probability are drawn.

    Args:
        graph_at: the graph at a threshold.
        truth: scored against.
        thresholds: probabilities.
    """
    curve = {}
    for threshold in thresholds:
        found = graph_at(threshold).directed
        curve[threshold] = _f1(len(found & truth.directed), len(found), len(truth.directed))
    return curve


def best_fixed_threshold(curves: Sequence[Mapping[float, float]]) -> tuple[float, float]:
    """The threshold that would have been best over several runs, and its mean F1.

    It is chosen in knowledge of the truth, so it is a line to compare with, not a result.
    """
    means = {t: float(np.mean([curve[t] for curve in curves])) for t in curves[0]}
    best = max(means, key=lambda t: (means[t], -abs(t - 0.5)))
    return best, means[best]


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and the half width of its 95 % t-interval (0 for a single value)."""
    from scipy.stats import t  # noqa: PLC0415 -- heavy, and only benchmarks need it

    count = len(values)
    if count < 2:
        return float(np.mean(values)), 0.0
    half = float(t.ppf(0.975, count - 1)) * float(np.std(values, ddof=1)) / float(np.sqrt(count))
    return float(np.mean(values)), half
