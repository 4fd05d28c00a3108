"""Curved effects, noise that is not Gaussian, and categories beside numbers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from hal9.holograph import CausalGraph
from hal9.holograph.data.additive_score import AdditiveScore, Features
from hal9.holograph.data.dag_search import best_graph, best_of_scores
from hal9.holograph.data.families import diagnose
from hal9.holograph.data.noise_shape import departure_from_gaussian, has_density, negentropy
from hal9.holograph.data.scores import GaussianScore
from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

CHAIN = {("a", "b"), ("b", "c")}


def chain(kind: str, rows: int, seed: int) -> FloatArray:
    """a -> b -> c, standardised, so that only curves or the noise's shape can tell directions."""
    rng = np.random.default_rng(seed)
    draw = rng.laplace if kind == "laplace" else rng.normal
    a = draw(size=rows)
    if kind == "curved":
        b = np.sin(2 * a) + 0.4 * draw(size=rows)
        c = b * b + 0.4 * draw(size=rows)
    else:
        b = 0.9 * a + draw(size=rows)
        c = -0.8 * b + draw(size=rows)
    values = np.column_stack([c, a, b])
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


@pytest.mark.parametrize("kind", ["laplace", "curved"])
@pytest.mark.parametrize("seed", [0, 1])
def test_directions_follow_from_curves_and_from_the_shape_of_noise(kind: str, seed: int) -> None:
    table = Table.of("cab", chain(kind, 800, seed))
    graph = best_graph(table)
    assert graph.directed == CHAIN
    assert not graph.bidirected


def test_a_linear_gaussian_table_is_left_to_the_linear_gaussian_score() -> None:
    for seed in range(5):
        table = Table.of("cab", chain("gauss", 800, seed))
        scorer, found = best_of_scores(table)
        assert isinstance(scorer, GaussianScore)
        assert diagnose(table, found.adjacency).family == "linear effects, Gaussian noise"


def test_negentropy_is_nothing_for_gaussian_noise_and_near_the_truth_elsewhere() -> None:
    rng = np.random.default_rng(0)
    assert negentropy(rng.normal(size=100_000)) < 2e-3
    assert departure_from_gaussian(rng.normal(size=100_000)) < 1e-4
    assert negentropy(rng.laplace(size=100_000)) == pytest.approx(0.072, abs=0.04)
    assert negentropy(rng.exponential(size=100_000)) == pytest.approx(0.42, abs=0.1)
    assert negentropy(np.full(10, 3.0)) == 0.0


def test_negentropy_of_long_tails_is_the_true_one_and_not_several_times_as_much() -> None:
    noise = np.exp(1.5 * np.random.default_rng(1).normal(size=3000))
    # Of a log-normal distribution: log of its standard deviation over that of its logarithm, less its mean.
    spread = np.sqrt((np.exp(2.25) - 1.0) * np.exp(2.25))
    truth = np.log(spread / 1.5)
    assert negentropy(noise) == pytest.approx(truth, abs=0.4)
    assert departure_from_gaussian(noise) > 1.4 * truth
    rounded = np.random.default_rng(2).normal(170, 8, 3000).round()
    assert abs(negentropy(rounded)) < 0.03


def test_counts_with_many_zeros_keep_their_edges_and_get_no_direction_by_shape() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        visits = rng.poisson(np.exp(rng.normal(size=400))).astype(np.float64)
        spent = visits * rng.gamma(2, 20, 400)
        assert not has_density(visits) and not has_density(spent)
        model = CausalGraph().fit({"age": rng.integers(18, 80, 400), "visits": visits, "spent": spent})
        assert [{e.cause, e.effect} for e in model.edges_ if e.probability > 0.9] == [{"visits", "spent"}]
        assert [e.kind for e in model.edges_ if e.probability > 0.9] == ["--"]


@pytest.mark.parametrize("shaped", [False, True])
@pytest.mark.parametrize("curved", [False, True])
def test_all_candidates_at_once_agree_with_each_alone(curved: bool, shaped: bool) -> None:
    rng = np.random.default_rng(3)
    numbers = rng.laplace(size=(300, 3)) @ rng.normal(size=(3, 3))
    kinds = rng.integers(0, 4, 300)
    numbers[:, 0] += kinds == 2
    table = Table.of("abcd", np.column_stack([numbers, kinds]))
    assert table.categories() == (False, False, False, True)
    scorer = AdditiveScore(table, -1.0, features=Features.of(table, curved=curved), shaped=shaped)
    for node, parents in ((0, [3]), (3, [1]), (1, [])):
        chosen = np.array(parents, dtype=np.intp)
        found = scorer.additions(node, chosen)
        assert found[node] == pytest.approx(scorer.local(node, chosen))
        for other in set(range(4)) - {node, *parents}:
            alone = scorer.local(node, np.append(chosen, other))
            # What lowers the term by far is not worked out for shapes and levels.
            if alone > found[node] or (not shaped and node != 3):
                assert found[other] == pytest.approx(alone, abs=1e-4)


def test_categories_beside_numbers_are_no_numbers() -> None:
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 3, 600)
    # The middle code goes with the largest value: as a number the code would say nothing.
    x = np.array([0.0, 1.5, 0.1])[kind] + rng.normal(size=600)
    y = 0.9 * x + rng.normal(size=600)
    table = Table.of(("kind", "x", "y"), np.column_stack([kind, x, y]))
    graph = best_graph(table)
    adjacent = {frozenset(edge) for edge in graph.directed}
    assert adjacent == {frozenset(("kind", "x")), frozenset(("x", "y"))}
    as_numbers = best_graph(Table.of(table.names, table.values, scale="gaussian"))
    assert frozenset(("kind", "x")) not in {frozenset(edge) for edge in as_numbers.directed}


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_category_has_causes_and_effects_and_its_causes_stay_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=800), rng.normal(size=800)
    scores = np.outer(1.5 * x + z, [-1.5, 0.0, 1.5]) + rng.gumbel(size=(800, 3))
    kind = scores.argmax(axis=1)
    y = np.array([0.0, 1.6, -1.0])[kind] + 0.8 * np.tanh(2 * x) + 0.7 * rng.normal(size=800)
    table = Table.of(("y", "kind", "z", "x"), np.column_stack([y, kind, z, x]))
    assert best_graph(table).directed == {("x", "kind"), ("z", "kind"), ("kind", "y"), ("x", "y")}


def test_noise_with_edges_tells_directions_which_smoothing_hides() -> None:
    kinds = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        a = rng.uniform(-1, 1, size=300)
        b = a + rng.uniform(-1, 1, size=300)
        (edge,) = CausalGraph().fit({"b": b, "a": a}).edges_
        kinds.append((edge.cause, edge.kind) if edge.kind == "->" else edge.kind)
    assert kinds.count(("a", "->")) >= 5
    assert kinds.count(("b", "->")) == 0


def test_levels_are_as_probable_as_an_iterated_fit_makes_them() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2000, 2))
    chance = np.exp(x @ np.array([[1.0, -1.0, 0.0], [0.5, 0.5, 0.0]]))
    codes = (rng.random((2000, 1)) > np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)).sum(
        axis=1
    )
    table = Table.of("pqk", np.column_stack([x, codes]))
    scorer = AdditiveScore(table, features=Features.of(table, curved=False), shaped=False)
    alone, both = scorer.local(2, np.array([], dtype=np.intp)), scorer.local(2, np.array([0, 1]))

    def loss(slopes: FloatArray) -> float:
        odds = np.column_stack([np.ones(2000), x]) @ np.column_stack([slopes.reshape(3, 2), np.zeros(3)])
        return float((np.logaddexp.reduce(odds, axis=1) - odds[np.arange(2000), codes]).sum())

    shares = np.bincount(codes) / 2000
    assert alone == pytest.approx(2000 * float(shares @ np.log(shares)))
    # Two causes with a coefficient each for two of the three levels.
    assert both == pytest.approx(-minimize(loss, np.zeros(6)).fun - 0.5 * np.log(2000) * 4, abs=4.0)
