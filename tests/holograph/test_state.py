import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.holograph import NotStable, UnknownVariable
from hal9.holograph import State, covariance, project
from hal9.holograph.model.state import initial_state, project_arrays
from tests.holograph.helpers import random_state


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 12), acyclic=st.booleans())
def test_projection_keeps_the_marginal_covariance(seed: int, size: int, acyclic: bool) -> None:
    state = random_state(size, seed, acyclic=acyclic)
    rng = np.random.default_rng(seed)
    keep = [state.names[k] for k in rng.permutation(size)[: rng.integers(1, size + 1)]]
    place = state.indices(keep)
    marginal = covariance(state)[np.ix_(place, place)]
    assert np.abs(covariance(project(state, keep)) - marginal).max() < 1e-10


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_projection_is_the_identity_on_all_variables_and_transitive(seed: int) -> None:
    state = random_state(9, seed, acyclic=False)
    same = project(state, state.names)
    assert np.abs(same.weights - state.weights).max() < 1e-12
    assert np.abs(same.noise - state.noise).max() < 1e-12
    names = list(np.random.default_rng(seed).permutation(state.names))
    straight = project(state, names[:3])
    detour = project(project(state, names[:6]), names[:3])
    assert np.abs(straight.weights - detour.weights).max() < 1e-12
    assert np.abs(straight.noise - detour.noise).max() < 1e-12


def test_a_hidden_confounder_leaves_covariance_and_a_hidden_collider_none() -> None:
    names = ("x", "y", "h")
    confounder = np.zeros((3, 3))
    confounder[0, 2], confounder[1, 2] = 0.7, 0.8
    seen = project(State(names, confounder, np.eye(3)), ["x", "y"])
    assert seen.noise[0, 1] == pytest.approx(0.56)
    assert not seen.weights.any()
    collider = np.zeros((3, 3))
    collider[2, 0], collider[2, 1] = 0.7, 0.8
    seen = project(State(names, collider, np.eye(3)), ["x", "y"])
    assert seen.noise[0, 1] == 0.0
    assert not seen.weights.any()


def test_a_hidden_mediator_becomes_a_direct_effect_in_the_same_direction() -> None:
    weights = np.zeros((3, 3))
    weights[1, 0], weights[2, 1] = 0.5, 0.4
    seen = project(State(("x", "m", "y"), weights, np.eye(3)), ["x", "y"])
    assert seen.weights[1, 0] == pytest.approx(0.2)
    assert seen.weights[0, 1] == 0.0


def test_pull_back_is_the_adjoint_of_push_forward_and_both_match_differences() -> None:
    rng = np.random.default_rng(3)
    state = random_state(8, 5, acyclic=False)
    side = project_arrays(state.weights, state.noise, np.array([6, 1, 3]))
    up_w, up_m = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    up_m = up_m + up_m.T
    d_w, d_m = rng.normal(size=(8, 8)), rng.normal(size=(8, 8))
    d_m = d_m + d_m.T
    back_w, back_m = side.pull_back(up_w, up_m)
    push_w, push_m = side.push_forward(d_w, d_m)
    assert np.vdot(back_w, d_w) + np.vdot(back_m, d_m) == pytest.approx(
        np.vdot(up_w, push_w) + np.vdot(up_m, push_m)
    )
    step = 1e-6
    ahead = project_arrays(state.weights + step * d_w, state.noise + step * d_m, np.array([6, 1, 3]))
    behind = project_arrays(state.weights - step * d_w, state.noise - step * d_m, np.array([6, 1, 3]))
    assert np.abs((ahead.weights - behind.weights) / (2 * step) - push_w).max() < 1e-6
    assert np.abs((ahead.noise - behind.noise) / (2 * step) - push_m).max() < 1e-6


def test_unknown_names_and_unit_feedback_are_typed_errors() -> None:
    state = initial_state(("tub", "lung"))
    with pytest.raises(UnknownVariable, match="Did you mean 'lung'"):
        project(state, ["lungs"])
    loop = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    with pytest.raises(NotStable):
        project(State(("a", "b", "c"), loop, np.eye(3)), ["a"])
