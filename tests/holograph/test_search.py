import asyncio
from itertools import pairwise

import numpy as np
import pytest

from hal9.holograph import (
    CausalGraph,
    DiscoveryState,
    MixedGraph,
    Problem,
    ScriptedOracle,
    Settings,
    Table,
    Variable,
    discover,
    score,
)
from hal9.holograph.data.dag_search import Climber, best_graph
from hal9.holograph.data.interventions import without_soft_interventions
from hal9.holograph.data.order_search import improve_order
from hal9.holograph.data.pair_evidence import data_evidence
from hal9.holograph.data.scores import DiscreteScore, GaussianScore
from hal9.holograph.evaluation.graph_distance import random_dag
from hal9.holograph.evaluation.query_curves import known_graph
from hal9.holograph.model.edge_posterior import EdgePosterior, NoiseModel
from hal9.holograph.model.graph import equivalence_class, topological_order
from hal9.holograph.questions import Answer, Question


def simulate(truth: MixedGraph, rows: int, seed: int, *, standardised: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = truth.adjacency()
    weights = np.where(matrix, rng.uniform(0.5, 2.0, matrix.shape) * rng.choice([-1, 1], matrix.shape), 0.0)
    values = np.zeros((rows, len(truth.names)))
    for node in topological_order(matrix) or []:
        values[:, node] = values @ weights[:, node] + rng.normal(size=rows)
    return (values - values.mean(axis=0)) / values.std(axis=0) if standardised else values


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_raw_linear_data_gives_the_graph_and_standardised_data_its_class(seed: int) -> None:
    truth, _ = known_graph("asia")
    raw = best_graph(Table.of(truth.names, simulate(truth, 1000, seed)))
    assert score(raw, truth).f1 > 0.9
    scaled = best_graph(Table.of(truth.names, simulate(truth, 2000, seed, standardised=True)))
    assert score(scaled, truth).skeleton_f1 > 0.85


def test_variances_that_grow_a_hundredfold_along_the_order_do_not_mislead_the_search() -> None:
    rng = np.random.default_rng([21, 77])
    truth = random_dag([f"x{k:02d}" for k in range(20)], 43, rng)
    matrix = truth.adjacency()
    weights = np.where(matrix, rng.uniform(0.5, 2.0, matrix.shape) * rng.choice([-1, 1], matrix.shape), 0.0)
    values = np.zeros((500, 20))
    noise = rng.normal(size=values.shape)
    for node in topological_order(matrix) or []:
        values[:, node] = values @ weights[:, node] + noise[:, node]
    values = values - values.mean(axis=0)
    assert values.var(axis=0).max() > 100 * values.var(axis=0).min()
    found = best_graph(Table.of(truth.names, values), seed=21, restarts=3).adjacency()
    assert (found != matrix).sum() <= 3


def test_two_columns_that_leave_equal_variances_by_accident_decide_no_direction() -> None:
    rng = np.random.default_rng(0)
    height = rng.normal(170, 10, 1000)
    # Given the weight, the height varies by 50 square centimetres; the weight varies by 50 square kilograms.
    weight = 0.5 * height + rng.normal(0, 5, 1000)
    model = CausalGraph().fit({"height": height, "weight": weight})
    assert [edge.kind for edge in model.edges_] == ["--"]


def test_local_scores_agree_with_plain_regressions_and_with_each_other() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    scorer = GaussianScore(Table.of("abcd", values))
    parents = np.array([1, 3])
    design = np.column_stack([np.ones(200), values[:, parents]])
    left = values[:, 0] - design @ np.linalg.lstsq(design, values[:, 0], rcond=None)[0]
    assert scorer.local(0, parents) == pytest.approx(-100 * np.log(np.mean(left**2)) - np.log(200), rel=1e-6)
    assert scorer.additions(0, np.array([1]))[3] == pytest.approx(scorer.local(0, parents), rel=1e-6)
    both = scorer.local(0, np.array([], dtype=int)) + scorer.local(1, np.array([0]))
    assert both == pytest.approx(
        scorer.local(1, np.array([], dtype=int)) + scorer.local(0, np.array([1])), rel=1e-6
    )


def test_discrete_scores_find_a_collider() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 2, 2000), rng.integers(0, 2, 2000)
    noisy = np.where(rng.random(2000) < 0.1, rng.integers(0, 2, 2000), first | second)
    table = Table.of(("a", "b", "c"), np.column_stack([first, second, noisy]).astype(float))
    assert table.discrete
    assert best_graph(table).directed == {("a", "c"), ("b", "c")}
    assert DiscreteScore(table).local(2, np.array([0, 1])) > DiscreteScore(table).local(2, np.array([0]))


def test_interventional_rows_orient_what_observation_cannot() -> None:
    rng = np.random.default_rng(3)
    cause = rng.normal(size=400)
    effect = 0.8 * cause + 0.6 * rng.normal(size=400)
    set_effect = np.column_stack([rng.normal(size=400), rng.normal(size=400)])
    values = np.vstack([np.column_stack([cause, effect]), set_effect])
    targets = np.concatenate([np.full(400, -1), np.full(400, 1)]).astype(np.intp)
    assert best_graph(Table.of(("c", "e"), values, targets=targets)).directed == {("c", "e")}
    mirrored = Table.of(("e", "c"), values[:, ::-1], targets=np.where(targets == 1, 0, -1).astype(np.intp))
    assert best_graph(mirrored).directed == {("c", "e")}


@pytest.mark.parametrize(("kept", "soft"), [(0.0, False), (0.8, True)])
def test_interventions_that_cut_nothing_off_are_taken_as_observed(kept: float, soft: bool) -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(size=600)
    targets = np.repeat([-1, 1], 300).astype(np.intp)
    b = np.where(targets == 1, kept, 0.8) * a + 0.6 * rng.normal(size=600) + 2.0 * (targets == 1)
    c = 0.7 * b + 0.6 * rng.normal(size=600)
    table = Table.of("abc", np.column_stack([a, b, c]), targets=targets)
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    checked = without_soft_interventions(table, chain, lambda t, k, p: GaussianScore(t).local(k, p))
    assert bool((checked.targets < 0).all()) is soft
    assert frozenset(("a", "b")) in {frozenset(edge) for edge in best_graph(table).directed}


def test_data_evidence_is_level_where_data_cannot_tell_and_bounded() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b")}))
    evidence = data_evidence(Table.of(truth.names, simulate(truth, 500, 0, standardised=True)))
    row, _ = EdgePosterior(truth.names).pair("a", "b")
    assert evidence[row, 0] == pytest.approx(evidence[row, 1], abs=1e-3)
    assert evidence[row, 2] == pytest.approx(-6.0)
    assert evidence.min() >= -6.0


def test_every_edge_of_a_fork_is_left_open_by_data_alone() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("b", "a"), ("b", "c")}))
    evidence = data_evidence(Table.of(truth.names, simulate(truth, 500, 0, standardised=True)))
    for pair in (("a", "b"), ("b", "c")):
        row, _ = EdgePosterior(truth.names).pair(*pair)
        assert evidence[row, 0] == pytest.approx(evidence[row, 1], abs=1e-3)
    row, _ = EdgePosterior(truth.names).pair("a", "c")
    assert int(np.argmax(evidence[row])) == 2


def test_data_evidence_knows_a_collider_and_equal_error_variances() -> None:
    collider = MixedGraph(("a", "b", "c"), frozenset({("a", "b"), ("c", "b")}))
    evidence = data_evidence(Table.of(collider.names, simulate(collider, 500, 0, standardised=True)))
    belief = EdgePosterior(collider.names)
    assert evidence[belief.pair("a", "b")[0], 1] < -3.0
    assert evidence[belief.pair("b", "c")[0], 0] < -3.0
    # Two columns may leave equal variances by accident; six hardly do.
    names = ("a", "b", "c", "d", "e", "f")
    raw = MixedGraph(names, frozenset(pairwise(names)))
    evidence = data_evidence(Table.of(names, simulate(raw, 500, 0, standardised=False)))
    belief = EdgePosterior(names)
    for pair in pairwise(names):
        row, flipped = belief.pair(*pair)
        assert evidence[row, int(flipped)] == pytest.approx(0.0, abs=1e-3)
        assert evidence[row, 1 - int(flipped)] < -3.0


def test_one_doubtful_common_cause_answer_does_not_outweigh_a_cause() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b")}))
    table = Table.of(truth.names, simulate(truth, 500, 0, standardised=True))
    belief = EdgePosterior(truth.names)
    belief.data = data_evidence(table)
    noise = NoiseModel.assumed(0.8, fixed=True)
    belief.add(Question("direction", "a", "b"), Answer("direction", "common_cause"), noise)
    swapped = Question("direction", "a", "b", swapped=True)
    belief.add(swapped, Answer("direction", "first_causes_second"), noise, weight=2 / 3)
    assert best_graph(table, belief).directed == {("a", "b")}
    sure = Question("confounder", "a", "b")
    belief.add(sure, Answer("confounder", "hidden_common_cause"), NoiseModel.assumed(0.99, fixed=True))
    belief.add(swapped, Answer("direction", "common_cause"), noise)
    assert best_graph(table, belief).bidirected == {frozenset(("a", "b"))}


def test_language_and_data_together_beat_either_on_standardised_data() -> None:
    figures: dict[str, list[float]] = {"data": [], "language": [], "both": []}
    for seed in range(4):
        truth = random_dag([f"v{k}" for k in range(9)], 12, np.random.default_rng(seed))
        table = Table.of(truth.names, simulate(truth, 300, seed, standardised=True))
        problem = Problem(tuple(Variable(name=name) for name in truth.names))
        settings = Settings(budget_queries=36, accuracy=0.8, known_accuracy=True, fit_every=0)
        oracle = ScriptedOracle(truth, 0.8, seed=seed)
        figures["data"].append(score(best_graph(table), truth).f1)
        for label, given in (("language", None), ("both", table)):
            found = asyncio.run(discover(DiscoveryState(problem, settings, given), oracle))
            figures[label].append(score(found.inquiry.graph(), truth).f1)
    means = {label: float(np.mean(values)) for label, values in figures.items()}
    assert means["both"] > max(means["data"], means["language"])


def test_refitted_weights_live_on_the_graph_alone_and_come_near_the_truth() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b"), ("b", "c")}))
    rng = np.random.default_rng(0)
    a = rng.normal(size=3000)
    b = 0.6 * a + 0.8 * rng.normal(size=3000)
    c = -0.6 * b + 0.8 * rng.normal(size=3000)
    problem = Problem(tuple(Variable(name=name) for name in truth.names))
    settings = Settings(budget_queries=6, accuracy=1.0, known_accuracy=True, fit_every=0)
    inquiry = DiscoveryState(problem, settings, Table.of(truth.names, np.column_stack([a, b, c])))
    found = asyncio.run(discover(inquiry, ScriptedOracle(truth)))
    assert found.inquiry.graph().directed == truth.directed
    fitted = found.inquiry.refit()
    assert fitted.weights[1, 0] == pytest.approx(0.6, abs=0.05)
    assert fitted.weights[2, 1] == pytest.approx(-0.6, abs=0.05)
    assert np.count_nonzero(fitted.weights) == 2
    # The greatest likelihood is that of plain regressions on the (slightly shrunk) correlations.
    assert inquiry.table is not None
    sample = inquiry.table.covariance()
    assert fitted.weights[1, 0] == pytest.approx(sample[0, 1] / sample[0, 0], abs=1e-9)
    assert fitted.noise[1, 1] == pytest.approx(sample[1, 1] - sample[0, 1] ** 2 / sample[0, 0], abs=1e-9)


@pytest.mark.parametrize("with_table", [False, True])
def test_refitted_covariances_are_those_of_the_bidirected_edges(with_table: bool) -> None:
    names = ("a", "b", "c", "d")
    pairs = frozenset({frozenset(("a", "b")), frozenset(("a", "c"))})
    graph = MixedGraph(names, frozenset({("d", "a")}), pairs)
    rng = np.random.default_rng(1)
    d, one, two = rng.normal(size=(3, 2000))
    a = 0.5 * d + one + two + rng.normal(size=2000)
    values = np.column_stack([a, one + rng.normal(size=2000), -two + rng.normal(size=2000), d])
    table = Table.of(names, values / values.std(axis=0)) if with_table else None
    problem = Problem(tuple(Variable(name=name) for name in names))
    inquiry = DiscoveryState(problem, Settings(fit_every=0), table)
    fitted = inquiry.refit(graph)
    noise = fitted.noise
    assert noise[0, 1] > 0.1
    assert abs(noise[0, 2]) > 0.1
    assert noise[1, 2] == pytest.approx(0.0, abs=1e-12)
    assert np.abs(noise[3, :3]).max() < 1e-12
    assert np.count_nonzero(fitted.weights) == 1
    if with_table:
        assert noise[0, 2] < -0.1


def test_equivalence_classes() -> None:
    collider = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    assert np.array_equal(equivalence_class(collider), collider)
    assert np.array_equal(equivalence_class(chain), chain | chain.T)
    tail = np.zeros((4, 4), dtype=bool)
    tail[0, 2] = tail[1, 2] = tail[2, 3] = True
    assert np.array_equal(equivalence_class(tail), tail)


def test_moving_variables_in_the_order_leaves_local_optima() -> None:
    truth = random_dag([f"v{k}" for k in range(12)], 26, np.random.default_rng(1))
    scorer = GaussianScore(Table.of(truth.names, simulate(truth, 1000, 1, standardised=True)))
    size, gained = len(truth.names), 0
    none = np.zeros((size, size))
    for seed in range(4):
        start = random_dag(truth.names, 20, np.random.default_rng(seed)).adjacency()
        stuck = Climber(scorer, start, none).climb()
        moved = improve_order(scorer, stuck.adjacency, none)
        assert topological_order(moved) is not None
        total = Climber(scorer, moved, none).total()
        assert total >= stuck.total - 1e-6
        gained += total > stuck.total + 1.0
    assert gained >= 2


def test_a_better_order_also_counts_what_was_answered() -> None:
    truth = MixedGraph(("a", "b", "c"), frozenset({("a", "b"), ("b", "c")}))
    scorer = GaussianScore(Table.of(truth.names, simulate(truth, 400, 0, standardised=True)))
    language = np.zeros((3, 3))
    language[2, 1] = language[1, 0] = 5.0
    found = improve_order(scorer, truth.adjacency(), language)
    assert {(int(i), int(j)) for i, j in zip(*np.nonzero(found), strict=True)} == {(2, 1), (1, 0)}
