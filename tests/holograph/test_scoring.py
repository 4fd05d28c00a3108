from math import lgamma

import numpy as np
import pytest

from hal9.holograph import Table
from hal9.holograph.data.dag_search import best_graph
from hal9.holograph.data.pair_evidence import data_evidence
from hal9.holograph.data.scores import DiscreteScore, GaussianScore, edge_log_odds, tuned
from hal9.holograph.model.edge_posterior import EdgePosterior

NONE = np.array([], dtype=np.intp)


def coded(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, rows)
    b = np.where(rng.random(rows) < 0.6, a % 2, rng.integers(0, 2, rows))
    c = np.where(rng.random(rows) < 0.7, (a + b) % 3, rng.integers(0, 3, rows))
    return Table.of(("a", "b", "c"), np.column_stack([a, b, c]).astype(float))


def test_categorical_terms_are_the_marginal_likelihood_row_by_row() -> None:
    table = coded(60, 0)
    scorer = DiscreteScore(table, equivalent=3.0)
    # The chance of each row given those before it, under Dirichlet priors, multiplies to the same.
    total, seen = 0.0, np.zeros((6, 3))
    for a, b, c in table.values.astype(int):
        state = 2 * a + b
        total += float(np.log((seen[state, c] + 3.0 / 18) / (seen[state].sum() + 3.0 / 6)))
        seen[state, c] += 1
    assert scorer.local(2, np.array([0, 1])) == pytest.approx(total, rel=1e-9)
    counts = np.bincount(table.values[:, 1].astype(int))
    alone = lgamma(3.0) - lgamma(63.0) + sum(lgamma(1.5 + n) - lgamma(1.5) for n in counts)
    assert scorer.local(1, NONE) == pytest.approx(alone, rel=1e-9)


def test_equivalent_graphs_score_alike_and_every_edge_costs_its_odds() -> None:
    table = coded(400, 1)
    plain, prior = DiscreteScore(table), DiscreteScore(table, -2.5)
    forward = plain.local(0, NONE) + plain.local(1, np.array([0]))
    backward = plain.local(1, NONE) + plain.local(0, np.array([1]))
    assert forward == pytest.approx(backward, rel=1e-9)
    assert prior.local(2, np.array([0, 1])) == pytest.approx(plain.local(2, np.array([0, 1])) - 5.0)
    numbers = Table.of(table.names, table.values + 0.01 * np.random.default_rng(0).normal(size=(400, 3)))
    assert GaussianScore(numbers, -2.5).additions(2, np.array([0]))[1] == pytest.approx(
        GaussianScore(numbers).additions(2, np.array([0]))[1] - 5.0
    )


def test_the_prior_weight_and_the_edge_odds_follow_the_table() -> None:
    rng = np.random.default_rng(2)
    size, rows = 12, 500
    blurred = rng.integers(0, 2, (rows, size)).astype(float)
    sharp = np.repeat(rng.integers(0, 2, (rows, 1)), size, axis=1).astype(float)
    sharp = np.where(rng.random((rows, size)) < 0.002, 1 - sharp, sharp)
    names = tuple(f"v{k}" for k in range(size))
    chain = np.eye(size, k=1, dtype=bool)
    weights = []
    for values in (sharp, blurred):
        found = tuned(DiscreteScore(Table.of(names, values)), chain)
        assert isinstance(found, DiscreteScore)
        weights.append(found.equivalent)
    assert weights[0] < weights[1]
    assert edge_log_odds(50) < edge_log_odds(10) < 0
    assert edge_log_odds(50, 0) < edge_log_odds(50) < edge_log_odds(50, 300)


def test_few_rows_of_many_unrelated_columns_give_few_edges() -> None:
    edges = 0
    for seed in range(3):
        values = np.random.default_rng(seed).normal(size=(150, 20))
        edges += len(best_graph(Table.of([f"v{k}" for k in range(20)], values)).directed)
    # Without the odds, about one in forty of 190 pairs would pass for an edge.
    assert edges <= 3


def test_what_a_table_says_of_a_pair_does_not_hold_the_edge_prior() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(400, 9))
    values[:, 1] += 0.17 * values[:, 0]
    table = Table.of([f"v{k}" for k in range(9)], values * np.arange(1, 10))
    row, _ = EdgePosterior(table.names).pair("v0", "v1")
    evidence = data_evidence(table, ceiling=50.0)[row]
    left = 1.0 - np.corrcoef(values[:, 0], values[:, 1])[0, 1] ** 2
    gain = -200 * np.log(left) - 0.5 * np.log(400)
    assert evidence[0] - evidence[2] == pytest.approx(gain, abs=0.5)
