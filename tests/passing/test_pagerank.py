import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.passing import PassingDiverged, PassingInvalid
from hal9.passing import ConvergenceWarning, Graph, forward_push, personalized_pagerank


def plain_pagerank(
    edges: list[tuple[int, int, float]], n: int, restart: list[float], alpha: float
) -> list[float]:
    """The slow twin: a dictionary walk, one edge at a time."""
    total = sum(restart)
    r = [x / total for x in restart]
    out = [0.0] * n
    for a, _, w in edges:
        out[a] += w
    x = r[:]
    for _ in range(400):
        new = [(1 - alpha) * p for p in r]
        for a, b, w in edges:
            if out[a] > 0:
                new[b] += alpha * x[a] * w / out[a]
        lost = alpha * sum(x[v] for v in range(n) if out[v] == 0)
        x = [p + lost * q for p, q in zip(new, r, strict=True)]
    return x


@st.composite
def weighted(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, float]], list[float]]:
    n = draw(st.integers(1, 8))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node, st.sampled_from([0.0, 0.5, 1.0, 3.0])), max_size=20))
    restart = draw(
        st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=n, max_size=n).filter(lambda r: sum(r) > 0)
    )
    return n, edges, restart


def build(n: int, edges: list[tuple[int, int, float]]) -> Graph:
    return Graph([a for a, _, _ in edges], [b for _, b, _ in edges], n, weight=[w for _, _, w in edges])


@given(weighted(), st.sampled_from([0.0, 0.5, 0.85]))
@settings(deadline=None)
def test_equals_the_plain_walk_with_dangling_nodes_loops_and_parallel_edges(
    case: tuple[int, list[tuple[int, int, float]], list[float]], alpha: float
) -> None:
    n, edges, restart = case
    g = build(n, edges)
    wanted = plain_pagerank(edges, n, restart, alpha)
    power = personalized_pagerank(g, restart, alpha=alpha, tol=1e-12)
    direct = personalized_pagerank(g, restart, alpha=alpha, method="direct")
    assert power.converged
    np.testing.assert_allclose(power.scores, wanted, atol=1e-9)
    np.testing.assert_allclose(direct.scores, wanted, atol=1e-9)
    assert power.scores.sum() == pytest.approx(1.0, abs=1e-12)


def random_graph(seed: int, n: int = 300, m: int = 1500) -> Graph:
    rng = np.random.default_rng(seed)
    return Graph(rng.integers(0, n, m), rng.integers(0, n - 20, m), n, weight=rng.random(m))


def test_error_bound_is_honest_for_loose_tolerances() -> None:
    g = random_graph(0)
    exact = personalized_pagerank(g, {3: 1.0}, method="direct").scores
    for tol in (1e-1, 1e-3, 1e-6):
        loose = personalized_pagerank(g, {3: 1.0}, tol=tol)
        assert np.abs(loose.scores - exact).sum() <= loose.error_bound <= tol


def test_long_walks_are_given_the_rounds_they_need() -> None:
    ring = Graph(np.arange(50), (np.arange(50) + 1) % 50, 50)
    slow = personalized_pagerank(ring, {0: 1.0}, alpha=0.99)
    assert slow.converged
    assert slow.iterations > 1000
    wanted = 0.99 ** np.arange(50)
    np.testing.assert_allclose(slow.scores, wanted / wanted.sum(), atol=1e-10)
    assert personalized_pagerank(ring, {0: 1.0}, alpha=0.0).scores[0] == 1.0


def test_a_batch_equals_its_columns_and_warm_start_saves_rounds() -> None:
    g = random_graph(1)
    columns = np.random.default_rng(2).random((g.n, 5))
    batch = personalized_pagerank(g, columns, tol=1e-12)
    for c in range(5):
        one = personalized_pagerank(g, columns[:, c], tol=1e-12)
        np.testing.assert_allclose(batch.scores[:, c], one.scores, atol=1e-12)
    direct = personalized_pagerank(g, columns, method="direct")
    np.testing.assert_allclose(batch.scores, direct.scores, atol=1e-12)
    warm = personalized_pagerank(g, columns, tol=1e-12, init=batch.scores)
    assert warm.iterations < batch.iterations / 4


def test_no_restart_means_a_uniform_one() -> None:
    g = random_graph(3)
    np.testing.assert_array_equal(
        personalized_pagerank(g).scores, personalized_pagerank(g, np.ones(g.n)).scores
    )


def test_push_reports_exactly_what_it_left_out() -> None:
    g = random_graph(4)
    exact = personalized_pagerank(g, {7: 1.0}, method="direct").scores
    for epsilon in (1e-3, 1e-6, 1e-12):
        near = forward_push(g, 7, epsilon=epsilon)
        assert near.converged
        assert np.abs(near.scores - exact).sum() == pytest.approx(near.error_bound, abs=1e-12)
    assert not forward_push(g, 7, epsilon=1e-12, max_iter=2).converged


def test_stopping_early_is_never_silent() -> None:
    g = random_graph(5)
    with pytest.warns(ConvergenceWarning, match="did not converge in 3"):
        early = personalized_pagerank(g, max_iter=3)
    assert not early.converged
    with pytest.raises(PassingDiverged):
        personalized_pagerank(g, max_iter=3, on_failure="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        personalized_pagerank(g, max_iter=3, on_failure="ignore")


@pytest.mark.parametrize(
    ("restart", "options", "message"),
    [
        ({99: 1.0}, {}, "node 99"),
        (np.zeros(3), {}, "positive sum"),
        (np.array([1, -1, 1.0]), {}, "non-negative"),
        (np.array([1, np.nan, 1.0]), {}, "finite"),
        (np.ones(4), {}, "expected shape"),
        (None, {"alpha": 1.0}, "not in"),
        (None, {"method": "guess"}, "unknown"),
        (None, {"init": np.ones((3, 2))}, "init"),
    ],
)
def test_senseless_arguments_are_refused(restart: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        personalized_pagerank(Graph([0, 1], [1, 2], 3), restart, **options)


def test_negative_weights_and_large_direct_solves_are_refused() -> None:
    with pytest.raises(PassingInvalid, match="non-negative edge weights"):
        personalized_pagerank(Graph([0], [1], 2, weight=[-1.0]))
    with pytest.raises(PassingInvalid, match="at most 4096"):
        personalized_pagerank(Graph([], [], 5000), method="direct")
