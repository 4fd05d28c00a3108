"""A population of specialists answers new items: each goes to the node that answers for those like it."""

import numpy as np
import pytest

from hal9.belief import ItemRouter, router_of
from hal9.belief.synthetic_problems import peaks
from hal9.errors.belief import EvaluationIncomplete
from tests.belief.support import run_on


def features_of(group: int, rng: np.random.Generator) -> list[float]:
    """What tells the two kinds of items apart, in one of four measurements, with noise."""
    return [float(value) for value in rng.normal((2.0 * group - 1.0, 0.0, 0.0, 0.0), 0.4)]


async def test_new_items_go_to_the_specialist_of_their_kind() -> None:
    land, rng = peaks(2, 1), np.random.default_rng(3)
    _, outcome = await run_on(land, seed=1, budget=8000)
    assert len(outcome.standings) == 2
    # Every second item is of the other kind.
    known = {item: features_of(number % 2, rng) for number, item in enumerate(land.items)}
    router = router_of(outcome, known)
    assert router.quality.worth_it and router.quality.routed > 0.9
    new = [(number % 2, features_of(number % 2, rng)) for number in range(200)]
    routed = router.route(np.array([features for _, features in new]))
    tops = {
        node.node: [land.truth(node.belief)[kind::2].mean() for kind in (0, 1)] for node in outcome.standings
    }
    reached = np.mean([tops[node][kind] for node, (kind, _) in zip(routed, new, strict=True)])
    own = np.mean([max(top[kind] for top in tops.values()) for kind, _ in new])
    assert reached >= 0.9 * own
    with pytest.raises(EvaluationIncomplete):
        router_of(outcome, dict(list(known.items())[1:]))


async def test_a_specialist_is_scored_on_all_items_not_only_on_its_own() -> None:
    land = peaks(2, 0)
    _, outcome = await run_on(land, seed=0, budget=8000)
    for node in outcome.standings:
        assert node.measured == len(land.items)
        assert node.score == pytest.approx(float(land.truth(node.belief).mean()), abs=1e-9)
        assert node.own_score > node.score


def test_some_specialists_only() -> None:
    rows = np.eye(3)
    router = ItemRouter.fit(
        np.repeat(rows, 5, axis=0), {n: [float(i // 5 == k) for i in range(15)] for k, n in enumerate("abc")}
    )
    assert router.route(rows) == ["a", "b", "c"]
    assert router.route(rows, ["b", "c"])[1:] == ["b", "c"]
