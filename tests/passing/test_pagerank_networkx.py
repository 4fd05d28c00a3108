"""The tests of networkx's PageRank, adapted: nodes numbered from 0, arrays in place of dictionaries."""

from typing import Literal

import numpy as np
import pytest

from hal9.errors.passing import PassingDiverged, PassingInvalid
from hal9.passing import Graph, Restart, personalized_pagerank

EDGES = [(1, 2), (1, 3), (3, 1), (3, 2), (3, 5), (4, 5), (4, 6), (5, 4), (5, 6), (6, 4)]
RANKS = [0.03721197, 0.05395735, 0.04150565, 0.37508082, 0.20599833, 0.28624589]
DANGLING_RANKS = [0.10844518, 0.18618601, 0.0710892, 0.2683668, 0.15919783, 0.20671497]
DANGLING = {0: 2, 1: 3, 2: 0, 3: 0, 4: 0, 5: 0}


def langville() -> Graph:
    """The web of Langville and Meyer's survey; node 2 (here 1) leads nowhere."""
    return Graph([a - 1 for a, _ in EDGES], [b - 1 for _, b in EDGES], 6)


def complete(size: int) -> Graph:
    pairs = [(a, b) for a in range(size) for b in range(size) if a != b]
    return Graph([a for a, _ in pairs], [b for _, b in pairs], size)


def test_pagerank() -> None:
    np.testing.assert_allclose(personalized_pagerank(langville(), alpha=0.9).scores, RANKS, atol=1e-7)
    start = np.random.default_rng(0).random(6)
    found = personalized_pagerank(langville(), alpha=0.9, init=start)
    np.testing.assert_allclose(found.scores, RANKS, atol=1e-7)


def test_pagerank_max_iter() -> None:
    with pytest.raises(PassingDiverged):
        personalized_pagerank(langville(), max_iter=0, on_failure="raise")


def test_numpy_pagerank() -> None:
    found = personalized_pagerank(langville(), alpha=0.9, method="direct")
    np.testing.assert_allclose(found.scores, RANKS, atol=1e-7)


def test_google_matrix() -> None:
    """The scores are the walk's fixed point."""
    walk = np.zeros((6, 6))
    for a, b in EDGES:
        walk[a - 1, b - 1] = 1.0
    walk[1] = 1.0
    walk /= walk.sum(axis=1, keepdims=True)
    scores = personalized_pagerank(langville(), alpha=0.9).scores
    np.testing.assert_allclose(scores @ (0.9 * walk + 0.1 / 6), scores, atol=1e-9)


@pytest.mark.parametrize("method", ["power", "direct"])
def test_personalization(method: Literal["power", "direct"]) -> None:
    found = personalized_pagerank(complete(4), {0: 1, 1: 1, 2: 4, 3: 4}, method=method)
    np.testing.assert_allclose(
        found.scores,
        [0.23246732615667579, 0.23246732615667579, 0.267532673843324, 0.2675326738433241],
        atol=1e-6,
    )


def test_zero_personalization_vector() -> None:
    with pytest.raises(PassingInvalid, match="positive sum"):
        personalized_pagerank(complete(4), {0: 0, 1: 0, 2: 0, 3: 0})


@pytest.mark.parametrize("restart", [{0: 0, 1: 0, 2: 0, 3: 1}, {3: 1}])
def test_one_nonzero_and_incomplete_personalization(restart: dict[int, float]) -> None:
    found = personalized_pagerank(complete(4), restart).scores
    np.testing.assert_allclose(found, [0.22077931820379187] * 3 + [0.3376620453886241], atol=1e-6)


@pytest.mark.parametrize("method", ["power", "direct"])
def test_dangling_pagerank(method: Literal["power", "direct"]) -> None:
    found = personalized_pagerank(langville(), Restart(dangling=DANGLING), method=method)
    np.testing.assert_allclose(found.scores, DANGLING_RANKS, atol=1e-7)
    assert found.scores.sum() == pytest.approx(1.0)


def test_dangling_matrix() -> None:
    """Where stray walks go changes nothing where no walk strays."""
    pairs = [(0, 1), (1, 2), (2, 0)]
    ring = Graph([a for a, _ in pairs], [b for _, b in pairs], 3)
    plain = personalized_pagerank(ring, {0: 1}).scores
    np.testing.assert_allclose(personalized_pagerank(ring, Restart({0: 1}, {2: 1})).scores, plain)
    with pytest.raises(PassingInvalid, match="expected shape"):
        personalized_pagerank(ring, Restart(np.ones((3, 2)), np.ones((3, 4))))


def test_empty() -> None:
    found = personalized_pagerank(Graph([], [], 0))
    assert found.scores.shape == (0,)
    assert found.converged


def test_multigraph() -> None:
    pairs = [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (3, 2), (3, 2)]
    both = [*pairs, *((b, a) for a, b in pairs)]
    found = personalized_pagerank(Graph([a for a, _ in both], [b for _, b in both], 4)).scores
    wanted = [0.21066048614468322, 0.3395308825985378, 0.28933951385531687, 0.16046911740146227]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
