import numpy as np
import pytest

from hal9.holograph import Cover, State, descent, gluing_measures, project
from hal9.holograph.sheaf.sections import glue
from tests.holograph.helpers import random_state

COVER = Cover({"p": ("v3", "v0", "v1"), "q": ("v1", "v2", "v3"), "r": ("v4", "v1", "v2")})


def restricted(whole: State) -> dict[str, State]:
    return {name: project(whole, names) for name, names in COVER.contexts.items()}


def test_restrictions_of_one_belief_agree_whatever_the_order_of_their_names() -> None:
    assert descent(restricted(random_state(6, 1)), COVER.overlaps()).value < 1e-24


def test_separate_sections_disagree_and_the_residual_names_the_overlap() -> None:
    sections = restricted(random_state(6, 1))
    changed = sections["p"].weights.copy()
    changed[0, 2] += 0.5
    sections["p"] = State(sections["p"].names, changed, sections["p"].factor)
    found = descent(sections, COVER.overlaps())
    assert found.value > 0.2
    worst = max(found.residuals, key=lambda o: float(np.abs(found.residuals[o][0]).max()))
    assert {worst.first, worst.second} == {"p", "q"}
    delta = found.residuals[worst][0]
    target, source = np.unravel_index(int(np.abs(delta).argmax()), delta.shape)
    assert (worst.shared[target], worst.shared[source]) == ("v3", "v1")


def test_overlaps_are_matched_by_name_not_by_position() -> None:
    one = State(("a", "b", "c"), np.array([[0.0, 0, 0], [0.9, 0, 0], [0, 0, 0]]), np.eye(3))
    two = State(("c", "b", "a"), np.array([[0.0, 0, 0], [0, 0, 0.9], [0, 0, 0]]), np.eye(3))
    cover = Cover({"1": one.names, "2": two.names})
    assert descent({"1": one, "2": two}, cover.overlaps()).value == pytest.approx(0.0, abs=1e-24)


def test_gradients_of_descent_and_glue_match_differences() -> None:
    whole = random_state(6, 2)
    sections = {n: random_state(3, k + 9) for k, n in enumerate(COVER.contexts)}
    sections = {n: State(COVER.contexts[n], s.weights, s.factor) for n, s in sections.items()}
    rng = np.random.default_rng(0)
    move = rng.normal(size=(3, 3))
    step = 1e-6
    moved = {
        sign: {
            **sections,
            "q": State(COVER.contexts["q"], sections["q"].weights + sign * step * move, sections["q"].factor),
        }
        for sign in (1, -1)
    }
    slope = (descent(moved[1], COVER.overlaps()).value - descent(moved[-1], COVER.overlaps()).value) / (
        2 * step
    )
    gradient = descent(sections, COVER.overlaps()).gradients["q"][0]
    assert np.abs(gradient).max() > 1e-3
    assert np.vdot(gradient, move) == pytest.approx(slope, rel=1e-5)
    slope = (glue(whole, moved[1])[0] - glue(whole, moved[-1])[0]) / (2 * step)
    assert np.vdot(glue(whole, sections)[1]["q"][0], move) == pytest.approx(slope, rel=1e-5)


def test_a_cover_that_sees_everything_has_no_invisible_direction() -> None:
    whole = random_state(4, 0)
    everything = Cover({"a": whole.names, "b": whole.names})
    measures = gluing_measures(whole, everything, dict.fromkeys(everything.contexts, whole))
    coordinates = 4 * 4 + 4 * 5 // 2
    assert (measures.invisible, measures.unglued, measures.h1) == (0, 0, 0)
    assert measures.h0 == coordinates
    assert measures.residual == 0.0


def test_effects_between_variables_never_seen_together_are_invisible() -> None:
    whole = State(("a", "b", "c"), np.zeros((3, 3)), np.eye(3))
    cover = Cover({"ab": ("a", "b"), "bc": ("b", "c")})
    measures = gluing_measures(whole, cover, {n: project(whole, v) for n, v in cover.contexts.items()})
    # a→c, c→a and cov(a, c) are in no context.
    assert measures.invisible == 3
    assert measures.unglued == 0


def test_a_bare_ring_of_contexts_has_a_first_cohomology() -> None:
    whole = State(("a", "b", "c"), np.zeros((3, 3)), np.eye(3))
    ring = Cover({"ab": ("a", "b"), "bc": ("b", "c"), "ca": ("c", "a")})
    measures = gluing_measures(whole, ring, {n: project(whole, v) for n, v in ring.contexts.items()})
    filled = Cover({**ring.contexts, "abc": ("a", "b", "c")})
    glued = gluing_measures(whole, filled, {n: project(whole, v) for n, v in filled.contexts.items()})
    assert measures.h1 == 0
    assert glued.h1 == 0
    assert measures.h0 - glued.h0 == 0
    opposed = {n: project(whole, v) for n, v in ring.contexts.items()}
    opposed["ab"] = State(("a", "b"), np.zeros((2, 2)), np.diag([1.4, 1.0]))
    moved = gluing_measures(whole, ring, opposed)
    assert moved.residual > 0.5
    assert moved.obstruction < 1e-9
