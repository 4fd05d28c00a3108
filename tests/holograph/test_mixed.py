from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from hal9.holograph import MixedGraph, Table
from hal9.holograph.data import mixed_graph_search
from hal9.holograph.data.dag_search import best_graph
from hal9.holograph.data.mixed_graph_search import DistrictFit, MixedSearch, fit_district
from hal9.holograph.evaluation.graph_distance import random_dag
from hal9.holograph.model.edge_posterior import EdgePosterior, NoiseModel
from hal9.holograph.questions import Answer, Question


def hidden_pair(rows: int, seed: int, *, direct: float = 0.0) -> Table:
    """p, r → a and q, s → b, and a hidden cause of a and b; optionally a → b as well."""
    rng = np.random.default_rng(seed)
    p, q, r, s, hidden = rng.normal(size=(5, rows))
    a = 0.9 * p + 0.7 * r + hidden + rng.normal(size=rows)
    b = -0.8 * q + 0.9 * s + hidden + direct * a + rng.normal(size=rows)
    values = np.column_stack([p, q, r, s, a, b])
    return Table.of(("p", "q", "r", "s", "a", "b"), (values - values.mean(axis=0)) / values.std(axis=0))


def test_a_district_is_fitted_to_its_greatest_likelihood() -> None:
    rng = np.random.default_rng(0)
    p, h, k = rng.normal(size=(3, 500))
    d = k + rng.normal(size=500)
    b = 0.8 * p + h + k + rng.normal(size=500)
    c = -0.5 * p + 0.7 * h + 0.4 * d + rng.normal(size=500)
    sample = np.corrcoef(np.column_stack([p, b, c, d]).T)
    found = fit_district(sample, (1, 2, 3), ((0,), (0, 3), ()), ((2, 3), (1,), (1,)))

    def loss(at: np.ndarray) -> float:
        errors = np.zeros((3, 4))
        errors[0, 1] = errors[1, 2] = errors[2, 3] = 1.0
        errors[0, 0], errors[1, 0], errors[1, 3] = -at[:3]
        noise = np.diag(np.exp(at[3:6]))
        noise[0, 1] = noise[1, 0] = at[6]
        noise[0, 2] = noise[2, 0] = at[7]
        if np.linalg.eigvalsh(noise)[0] <= 0:
            return 1e6
        inner = np.trace(np.linalg.solve(noise, errors @ sample @ errors.T))
        return 0.5 * float(np.linalg.slogdet(noise)[1] + inner)

    options = {"maxiter": 40000, "maxfev": 40000, "xatol": 1e-9, "fatol": 1e-13}
    best = minimize(loss, np.zeros(8), method="Nelder-Mead", options=options)
    assert found.value == pytest.approx(-best.fun, abs=1e-6)
    assert found.weights[0, 0] == pytest.approx(best.x[0], abs=1e-3)
    assert found.noise[0, 1] == pytest.approx(best.x[6], abs=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_data_alone_show_a_hidden_cause_that_leaves_its_mark(seed: int) -> None:
    found = best_graph(hidden_pair(2000, seed))
    assert found.bidirected == {frozenset(("a", "b"))}
    assert found.directed == {("p", "a"), ("q", "b"), ("r", "a"), ("s", "b")}
    assert 0.9 < found.support[frozenset(("a", "b"))] <= 1.0


def test_a_direct_cause_beside_a_hidden_one_is_found_too() -> None:
    found = best_graph(hidden_pair(4000, 0, direct=1.0))
    assert found.bidirected == {frozenset(("a", "b"))}
    assert found.directed == {("p", "a"), ("q", "b"), ("r", "a"), ("s", "b"), ("a", "b")}


def test_a_wrong_answer_does_not_draw_a_hidden_cause_that_the_data_rule_out() -> None:
    rng = np.random.default_rng(3)
    p, r, q = rng.normal(size=(3, 1000))
    # With two causes that meet in a, neither can be turned into an effect of it.
    a = p - r + rng.normal(size=1000)
    b = 0.9 * a + q + rng.normal(size=1000)
    values = np.column_stack([p, r, q, a, b])
    table = Table.of(("p", "r", "q", "a", "b"), values / values.std(axis=0))
    belief = EdgePosterior(table.names)
    noise = NoiseModel.assumed(0.9, fixed=True)
    belief.add(Question("direction", "a", "b"), Answer("direction", "common_cause"), noise)
    found = best_graph(table, belief)
    assert found.bidirected == frozenset()
    assert ("a", "b") in found.directed


def test_no_hidden_cause_is_seen_where_there_is_none() -> None:
    drawn = 0
    for seed in range(3):
        truth = random_dag([f"v{k}" for k in range(8)], 12, np.random.default_rng(seed))
        rng = np.random.default_rng(seed + 50)
        matrix = truth.adjacency()
        weights = np.where(matrix, rng.uniform(0.5, 2.0, matrix.shape), 0.0)
        mixing = np.linalg.solve((np.eye(8) - weights).T, rng.normal(size=(8, 1000)))
        values = mixing.T / mixing.T.std(axis=0)
        drawn += len(best_graph(Table.of(truth.names, values)).bidirected)
    assert drawn <= 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hidden_causes_that_cannot_gain_are_not_fitted_and_none_that_gains_is_missed(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    truth = random_dag([f"v{k}" for k in range(10)], 14, rng)
    matrix = truth.adjacency()
    weights = np.where(matrix, rng.uniform(0.5, 1.5, matrix.shape) * rng.choice([-1, 1], matrix.shape), 0.0)
    noise = rng.normal(size=(10, 1500))
    chosen = rng.choice(10, size=(2, 2), replace=False)
    for pair in chosen:
        noise[pair] += 1.2 * rng.normal(size=1500)
    values = np.linalg.solve((np.eye(10) - weights).T, noise).T
    table = Table.of(truth.names, values / values.std(axis=0))
    fits: list[int] = []
    fit = mixed_graph_search.fit_district

    def counted(*arguments: Any, **options: Any) -> DistrictFit:
        fits[-1] += 1
        return fit(*arguments, **options)

    monkeypatch.setattr(mixed_graph_search, "fit_district", counted)
    fits.append(0)
    quick = best_graph(table)
    monkeypatch.setattr(MixedSearch, "_bound", lambda *_: np.inf)
    fits.append(0)
    thorough = best_graph(table)
    assert quick.bidirected == thorough.bidirected
    assert quick.directed == thorough.directed
    assert fits[0] < 0.7 * fits[1]


def test_climbing_never_loses_and_keeps_the_graph_acyclic() -> None:
    table = hidden_pair(500, 5)
    size = len(table.names)
    direct, shared = np.full((size, size), -1.0), np.full((size, size), -2.0)
    sample = np.asarray(np.corrcoef(table.values.T), dtype=np.float64)
    search = MixedSearch(sample, table.rows, direct, shared, np.zeros((size, size)))
    for seed in range(5):
        start = random_dag(table.names, 3, np.random.default_rng(seed)).adjacency()
        none = np.zeros_like(start)
        before = search._total(start, none, range(size))
        found = search.climb(start)
        assert found.total >= before
        assert found.total == pytest.approx(search._total(found.directed, found.both, range(size)))
        assert np.array_equal(found.both, found.both.T)
        assert not np.linalg.matrix_power(found.directed.astype(int), size).any()
        graph = MixedGraph.from_adjacency(table.names, found.directed)
        assert len(graph.directed) == int(found.directed.sum())
