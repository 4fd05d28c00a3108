from itertools import combinations

import numpy as np
import pytest

from hal9.holograph import MixedGraph, score
from hal9.holograph.evaluation.graph_distance import (
    best_fixed_threshold,
    chance_scores,
    d_separated,
    mean_interval,
    random_dag,
    structural_hamming,
    structural_intervention,
    threshold_curve,
)
from hal9.holograph.evaluation.query_curves import known_graph
from hal9.holograph.model.graph import topological_order


def dag(size: int, *edges: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros((size, size), dtype=bool)
    for source, target in edges:
        matrix[source, target] = True
    return matrix


def test_d_separation_of_chain_fork_and_collider() -> None:
    chain, collider = dag(3, (0, 1), (1, 2)), dag(4, (0, 1), (2, 1), (1, 3))
    assert not d_separated(chain, 0, 2, [])
    assert d_separated(chain, 0, 2, [1])
    assert d_separated(collider, 0, 2, [])
    assert not d_separated(collider, 0, 2, [1])
    assert not d_separated(collider, 0, 2, [3])


def test_d_separation_matches_vanishing_partial_correlation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        graph = random_dag(tuple("abcdef"), 7, rng)
        matrix = graph.adjacency()
        weights = np.where(matrix, rng.uniform(0.5, 1.5, (6, 6)), 0.0).T
        total = np.linalg.inv(np.eye(6) - weights)
        spread = total @ total.T
        for i, j in combinations(range(6), 2):
            for given in ([], [k for k in range(6) if k not in (i, j)][:2]):
                rows = [i, j, *given]
                precision = np.linalg.inv(spread[np.ix_(rows, rows)])
                assert d_separated(matrix, i, j, given) == (abs(precision[0, 1]) < 1e-9)


def by_adjustment(estimate: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> int:
    """Wrong effects counted numerically: regression on the estimate's parents against the true total effect."""
    size = len(truth)
    weights = np.where(truth, rng.uniform(0.5, 1.5, truth.shape), 0.0).T
    total = np.linalg.inv(np.eye(size) - weights)
    spread = total @ total.T
    wrong = 0
    for i in range(size):
        parents = np.flatnonzero(estimate[:, i]).tolist()
        for j in range(size):
            if i == j:
                continue
            cause = 0.0
            if j not in parents:
                rows = [i, *parents]
                cause = float(np.linalg.solve(spread[np.ix_(rows, rows)], spread[rows, j])[0])
            wrong += abs(cause - total[j, i]) > 1e-9
    return wrong


def test_the_intervention_distance_counts_wrong_effects() -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        truth = random_dag(tuple("abcdef"), 7, rng).adjacency()
        estimate = random_dag(tuple("abcdef"), 6, rng).adjacency()
        assert structural_intervention(estimate, truth) == by_adjustment(estimate, truth, rng)
        assert structural_intervention(truth, truth) == 0


def test_published_examples_of_the_intervention_distance() -> None:
    # Peters & Bühlmann (2015), figure 1: X1, X2 → Y1, Y2, Y3; one extra edge X1→X2 costs nothing, its like do not.
    cross = [(a, b) for a in (0, 1) for b in (2, 3, 4)]
    truth = dag(5, (0, 1), *cross)
    extra = dag(5, (0, 1), (2, 3), *cross)
    turned = dag(5, (1, 0), *cross)
    assert structural_intervention(extra, truth) == 0
    assert structural_intervention(turned, truth) == 8


def test_hamming_counts_a_reversal_once_and_edge_types() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b"), ("b", "c")}))
    assert structural_hamming(MixedGraph(truth.names, frozenset({("b", "a"), ("b", "c")})), truth) == 1
    assert structural_hamming(MixedGraph(truth.names), truth) == 2
    mixed = MixedGraph(truth.names, frozenset({("b", "c")}), frozenset({frozenset("ab")}))
    assert structural_hamming(mixed, truth) == 1
    figures = score(MixedGraph(truth.names, frozenset({("b", "a"), ("b", "c")})), truth)
    assert (figures.f1, figures.skeleton_f1) == (0.5, 1.0)


def test_chance_and_intervals() -> None:
    truth, _ = known_graph("sachs")
    assert 0.05 < chance_scores(truth, 17, np.random.default_rng(0), draws=40).f1 < 0.25
    assert topological_order(random_dag(truth.names, 30, np.random.default_rng(0)).adjacency()) is not None
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert mean == pytest.approx(2.0)
    assert half == pytest.approx(2.484, abs=1e-3)
    assert mean_interval([4.0]) == (4.0, 0.0)


@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("asia", 8, 8), ("sachs", 11, 17), ("child", 20, 25), ("alarm", 37, 46)]
)
def test_shipped_networks_are_complete(name: str, nodes: int, edges: int) -> None:
    truth, stored = known_graph(name)
    assert (len(truth.names), len(truth.directed)) == (nodes, edges)
    assert topological_order(truth.adjacency()) is not None
    for node, table in stored["cpts"].items():
        assert {(parent, node) for parent in table["parents"]} == {e for e in truth.directed if e[1] == node}
        assert np.allclose(np.sum(table["table"], axis=0), 1.0, atol=1e-6)


def test_a_threshold_curve_shows_what_each_probability_would_have_drawn() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b"), ("b", "c")}))
    sure = {("a", "b"): 0.95, ("b", "c"): 0.35, ("a", "c"): 0.25}

    def graph_at(threshold: float) -> MixedGraph:
        return MixedGraph(truth.names, frozenset(e for e, p in sure.items() if p >= threshold))

    curve = threshold_curve(graph_at, truth, (0.1, 0.3, 0.5, 0.99))
    assert curve == pytest.approx({0.1: 0.8, 0.3: 1.0, 0.5: 2 / 3, 0.99: 0.0})
    other = {0.1: 0.9, 0.3: 0.2, 0.5: 0.2, 0.99: 0.0}
    assert best_fixed_threshold([curve]) == (0.3, 1.0)
    assert best_fixed_threshold([curve, other])[0] == 0.1
    assert best_fixed_threshold([curve, other])[1] == pytest.approx(0.85)
