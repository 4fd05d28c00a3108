import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.passing import PassingDiverged, PassingInvalid
from hal9.passing import (
    ConvergenceWarning,
    Graph,
    Segments,
    aggregate,
    cavity,
    node_sum,
    propagate,
    propagate_edges,
)

untyped_propagate: Any = propagate
HOWS: list[Any] = ["sum", "mean", "max", "min", "logsumexp"]


def plain_aggregate(g: Graph, per_edge: list[list[float]], how: str) -> list[list[float]]:
    """The slow twin: for each node collect, then reduce one feature at a time."""
    width = len(per_edge[0]) if per_edge else 1
    out = []
    for v in range(g.n):
        got = [per_edge[e] for e in range(g.m) if g.dst[e] == v]
        row = []
        for f in range(width):
            column = [x[f] for x in got]
            if how == "sum":
                row.append(sum(column))
            elif how == "mean":
                row.append(sum(column) / max(len(column), 1))
            elif how == "max":
                row.append(max(column, default=-math.inf))
            elif how == "min":
                row.append(min(column, default=math.inf))
            else:
                row.append(math.log(sum(math.exp(x) for x in column)) if column else -math.inf)
        out.append(row)
    return out


@st.composite
def cases(draw: st.DrawFn) -> tuple[Graph, Any]:
    n = draw(st.integers(1, 8))
    node = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(node, node), min_size=1, max_size=25))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    g = Graph([a for a, _ in pairs], [b for _, b in pairs], n, weight=rng.normal(size=len(pairs)))
    return g, rng.normal(size=(n, 3))


@given(cases(), st.sampled_from(HOWS), st.sampled_from(["copy", "weight", "function"]))
@settings(deadline=None, max_examples=200)
def test_every_aggregate_equals_the_plain_loop(case: tuple[Graph, Any], how: Any, message: str) -> None:
    g, h = case
    weight = g.edge_weight()
    if message == "copy":
        sent: Any = "copy"
        per_edge = [h[a].tolist() for a in g.src]
    elif message == "weight":
        sent = "weight"
        per_edge = [(h[a] * w).tolist() for a, w in zip(g.src, weight, strict=True)]
    else:
        sent = lambda a, b, e: np.tanh(a) - b * e[:, None]  # noqa: E731
        per_edge = [(np.tanh(h[a]) - h[b] * w).tolist() for a, b, w in zip(g.src, g.dst, weight, strict=True)]
    got = aggregate(g, h, message=sent, how=how)
    np.testing.assert_allclose(got, plain_aggregate(g, per_edge, how), atol=1e-12)


@given(cases())
@settings(deadline=None)
def test_softmax_shares_are_taken_per_receiver(case: tuple[Graph, Any]) -> None:
    g, h = case
    got = aggregate(g, h, message="weight", how="softmax")
    weight = g.edge_weight()
    for v in range(g.n):
        edges = [e for e in range(g.m) if g.dst[e] == v]
        total = sum(math.exp(weight[e]) for e in edges)
        wanted = sum((math.exp(weight[e]) / total * h[g.src[e]] for e in edges), np.zeros(3))
        np.testing.assert_allclose(got[v], wanted, atol=1e-12)


@given(cases(), st.sampled_from([*HOWS, "softmax"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_renaming_nodes_or_reordering_edges_changes_nothing_else(
    case: tuple[Graph, Any], how: Any, random: Any
) -> None:
    g, h = case
    names = list(range(g.n))
    random.shuffle(names)
    name = np.array(names)
    shuffled = list(range(g.m))
    random.shuffle(shuffled)
    pick = np.array(shuffled)
    other = Graph(name[g.src][pick], name[g.dst][pick], g.n, weight=g.edge_weight()[pick])
    moved = np.empty_like(h)
    moved[name] = h
    np.testing.assert_allclose(
        aggregate(other, moved, message="weight", how=how)[name],
        aggregate(g, h, message="weight", how=how),
        atol=1e-12,
    )


@pytest.mark.parametrize("largest", [True, False])
def test_extremes_agree_for_hubs_blocks_and_empty_runs(largest: bool) -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.integers(0, 6, 5000), [1000, 257, 256, 0]])
    values = rng.normal(size=(int(sizes.sum()), 2))
    runs = Segments(np.concatenate([[0], np.cumsum(sizes)]))
    got = runs.extreme(values, largest=largest)
    start = 0
    for row, size in zip(got, sizes.tolist(), strict=True):
        part = values[start : start + size]
        start += size
        wanted = (
            (part.max(axis=0) if largest else part.min(axis=0))
            if size
            else [-np.inf if largest else np.inf] * 2
        )
        np.testing.assert_array_equal(row, wanted)


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_states_larger_than_the_cache_are_summed_in_bands(how: Any) -> None:
    rng = np.random.default_rng(0)
    g = Graph(rng.integers(0, 30_000, 50_000), rng.integers(0, 30_000, 50_000), 30_000)
    h = rng.normal(size=(30_000, 80))
    wanted = np.zeros_like(h)
    np.add.at(wanted, g.dst, h[g.src])
    if how == "mean":
        wanted /= np.maximum(g.in_degree, 1)[:, None]
    np.testing.assert_allclose(aggregate(g, h, how=how), wanted, atol=1e-12)
    np.testing.assert_allclose(aggregate(g, h[:, :7], how=how), wanted[:, :7], atol=1e-12)


def test_empty_receivers_take_the_value_asked_for() -> None:
    g = Graph([0], [1], 3)
    assert aggregate(g, [5.0, 6.0, 7.0], how="max").tolist() == [-np.inf, 5.0, -np.inf]
    assert aggregate(g, [5.0, 6.0, 7.0], how="max", empty=0.0).tolist() == [0.0, 5.0, 0.0]


def test_single_precision_stays_single() -> None:
    g = Graph.grid(4, 4)
    h = np.ones((16, 3), dtype=np.float32)
    for how in HOWS:
        assert aggregate(g, h, how=how).dtype == np.float32


@pytest.mark.parametrize("schedule", ["parallel", "colour", "residual"])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_schedules_and_damping_reach_the_same_fixed_point(schedule: Any, damping: float) -> None:
    rng = np.random.default_rng(1)
    g = Graph(rng.integers(0, 30, 90), rng.integers(0, 30, 90), 30)
    found = propagate(
        g,
        rng.normal(size=(30, 2)),
        aggregate="mean",
        update=lambda _, got: 0.5 * got + 1.0,
        schedule=schedule,
        damping=damping,
        tol=1e-12,
    )
    mean = g.matrix("ones").toarray() / np.maximum(g.in_degree, 1)[:, None]
    exact = np.linalg.solve(np.eye(30) - 0.5 * mean, np.ones((30, 2)))
    assert found.converged
    assert len(found.residuals) == found.iterations
    np.testing.assert_allclose(found.state, exact, atol=1e-10)
    again = propagate(
        g, exact, aggregate="mean", update=lambda _, got: 0.5 * got + 1.0, damping=damping, tol=1e-9
    )
    assert again.iterations == 1


def test_colour_sweeps_need_fewer_rounds_than_parallel_ones() -> None:
    g = Graph.grid(12, 12)
    rounds = {
        schedule: propagate(
            g,
            np.zeros(144),
            aggregate="mean",
            update=lambda _, got: 0.9 * got + 1.0,
            schedule=schedule,
            tol=1e-9,
        ).iterations
        for schedule in ("parallel", "colour")
    }
    assert rounds["colour"] < 0.7 * rounds["parallel"]


def test_batches_are_trailing_axes_and_unions() -> None:
    rng = np.random.default_rng(2)
    a = Graph(rng.integers(0, 5, 12), rng.integers(0, 5, 12), 5)
    b = Graph(rng.integers(0, 7, 20), rng.integers(0, 7, 20), 7)
    ha, hb = rng.normal(size=(5, 4)), rng.normal(size=(7, 4))
    both = propagate(
        Graph.disjoint([a, b]), np.concatenate([ha, hb]), aggregate="max", empty=0.0, tol=None, max_iter=3
    )
    for part, g, h in ((both.state[:5], a, ha), (both.state[5:], b, hb)):
        one = propagate(g, h, aggregate="max", empty=0.0, tol=None, max_iter=3)
        np.testing.assert_array_equal(part, one.state)
    batch = rng.normal(size=(5, 6, 4))
    together = propagate(a, batch, aggregate="mean", tol=None, max_iter=2)
    for i in range(6):
        np.testing.assert_allclose(
            together.state[:, i],
            propagate(a, batch[:, i], aggregate="mean", tol=None, max_iter=2).state,
            atol=1e-14,
        )


def test_a_number_of_rounds_is_not_a_claim_of_convergence() -> None:
    g = Graph([0, 1], [1, 0], 2)
    assert propagate(g, [0.0, 1.0], tol=None, max_iter=4).converged is None
    with pytest.warns(ConvergenceWarning):
        swapping = propagate(g, [0.0, 1.0], max_iter=7)
    assert swapping.converged is False
    assert swapping.residuals.tolist() == [1.0] * 7
    with pytest.raises(PassingDiverged):
        propagate(g, [0.0, 1.0], max_iter=7, on_failure="raise")
    assert propagate(g, [0.0, 1.0], damping=0.5).converged


def test_growth_beyond_all_numbers_is_not_convergence() -> None:
    g = Graph([0, 1], [1, 0], 2)
    with np.errstate(over="ignore"), pytest.warns(ConvergenceWarning):
        found = propagate(g, [1.0, 2.0], update=lambda _, got: got * -1e200, max_iter=20)
    assert found.converged is False


@given(cases())
@settings(deadline=None)
def test_cavity_leaves_out_exactly_the_answer(case: tuple[Graph, Any]) -> None:
    g, _ = case
    rng = np.random.default_rng(g.m)
    messages, local = rng.normal(size=(2, g.m)), rng.normal(size=(2, g.n))
    got = cavity(g, messages, local)
    for e in range(g.m):
        wanted = local[:, g.src[e]].copy()
        for other in range(g.m):
            if g.dst[other] == g.src[e] and other != g.reverse[e]:
                wanted += messages[:, other]
        np.testing.assert_allclose(got[:, e], wanted, atol=1e-12)


@pytest.mark.parametrize("schedule", ["parallel", "colour", "residual"])
def test_edge_messages_count_a_tree_exactly_where_node_states_cannot(schedule: Any) -> None:
    """Each edge says how many nodes lie behind it; on a tree the totals are the size, at every node."""
    rng = np.random.default_rng(3)
    n = 40
    parent = [int(rng.integers(0, v)) for v in range(1, n)]
    g = Graph.undirected(np.arange(1, n), parent, n)
    found = propagate_edges(g, np.zeros((1, g.m)), lambda c: c, local=1.0, schedule=schedule, tol=0.0)
    assert found.converged
    np.testing.assert_array_equal(node_sum(g, found.state, 1.0), np.full((1, n), float(n)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: propagate(g, np.ones(3)), "4 rows"),
        (lambda g: propagate(g, np.ones(4), damping=1.0), "damping"),
        (lambda g: untyped_propagate(g, np.ones(4), schedule="random"), "schedule"),
        (lambda g: untyped_propagate(g, np.ones(4), message="shout"), "message"),
        (lambda g: untyped_propagate(g, np.ones(4), aggregate="median"), "aggregate"),
        (
            lambda g: propagate(g, np.ones(4), aggregate="softmax", message=lambda a, b, e: a),
            "scores, values",
        ),
        (lambda g: propagate_edges(g, np.ones(3), lambda c: c), "last axis"),
    ],
)
def test_senseless_arguments_are_refused(call: Callable[[Graph], Any], message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        call(Graph.grid(2, 2))


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("schedule", ["parallel", "colour", "residual"])
def test_graphs_without_edges_or_nodes_still_pass(n: int, schedule: Any) -> None:
    g = Graph([], [], n)
    found = propagate(g, np.ones((n, 2)), update=lambda own, got: own + got, schedule=schedule)
    assert found.converged
    assert found.state.tolist() == [[1.0, 1.0]] * n
    for how in (*HOWS, "softmax"):
        assert aggregate(g, np.ones((n, 2)), how=how).shape == (n, 2)
    edges = propagate_edges(g, np.zeros((2, 0)), lambda c: c, local=1.0, schedule=schedule)
    assert edges.converged
    assert node_sum(g, edges.state, 1.0).shape == (2, n)


def test_import_loads_neither_scipy_nor_anything_heavier() -> None:
    heavy = "('scipy', 'matplotlib', 'pyagrum', 'pandas')"
    code = f"import sys, hal9.passing; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-Werror", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
