import ast
import itertools
from pathlib import Path

import numpy as np
import pytest

import hal9.holograph
from hal9.holograph.model.state import State
from hal9.holograph.optimisation.fisher import InterventionalFisher, Layout, conjugate_gradient
from hal9.holograph.optimisation.objective import WHOLE, Objective, Weights
from hal9.holograph.optimisation.optimise import METHODS, Method, Optimiser
from tests.holograph.helpers import random_state


def intervened_covariance(weights: np.ndarray, factor: np.ndarray, k: int) -> np.ndarray:
    weights, noise = weights.copy(), factor @ factor.T
    weights[k] = 0.0
    noise[k, :] = noise[:, k] = 0.0
    noise[k, k] = 1.0
    total = np.linalg.inv(np.eye(len(weights)) - weights)
    return np.asarray(total @ noise @ total.T)


def test_intervened_systems_are_solved_to_rounding() -> None:
    for size, acyclic in ((7, True), (7, False), (30, False)):
        state = random_state(size, 3, acyclic=acyclic)
        fisher = InterventionalFisher(state)
        eye = np.eye(size)
        for k in range(size):
            cut = state.weights.copy()
            cut[k] = 0.0
            assert np.abs((eye - cut) @ fisher.total[k] - eye).max() < 1e-12
            assert np.abs(fisher.whiten[k] @ fisher.noise[k] @ fisher.whiten[k].T - eye).max() < 1e-12
            spread = intervened_covariance(state.weights, state.factor, k)
            assert np.abs(fisher.spread[k] - spread).max() < 1e-10


def test_no_module_inverts_a_matrix() -> None:
    """Solves and factorisations only; an inverse loses accuracy and hides what is asked for."""
    folder = Path(hal9.holograph.__file__).parent
    files = sorted(folder.rglob("*.py"))
    assert any(path.name == "fisher.py" for path in files)
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            assert name not in {"inv", "pinv", "pinvh", "dtrtri", "dpotri", "dgetri"}, f"{path.name}: {name}"


def divergence(one: np.ndarray, two: np.ndarray) -> float:
    ratio = np.linalg.solve(two, one)
    return 0.5 * float(np.trace(ratio) - len(one) - np.linalg.slogdet(ratio)[1])


def test_the_metric_is_the_curvature_of_the_divergence_summed_over_interventions() -> None:
    state = random_state(5, 1, acyclic=False)
    fisher = InterventionalFisher(state)
    rng = np.random.default_rng(0)
    for _ in range(3):
        vector = rng.normal(size=fisher.layout.count)
        d_weights, d_factor = fisher.layout.unpack(vector)
        step = 1e-4
        total = 0.0
        for k in range(5):
            here = intervened_covariance(state.weights, state.factor, k)
            for sign in (step, -step):
                there = intervened_covariance(
                    state.weights + sign * d_weights, state.factor + sign * d_factor, k
                )
                total += divergence(there, here) / step**2
        assert float(vector @ fisher.product(vector)) == pytest.approx(total, rel=1e-4)


def test_dense_matrix_diagonal_and_products_agree() -> None:
    fisher = InterventionalFisher(random_state(6, 2, acyclic=False))
    dense = fisher.dense()
    vector = np.random.default_rng(0).normal(size=fisher.layout.count)
    assert np.abs(dense - dense.T).max() < 1e-10
    assert np.abs(dense @ vector - fisher.product(vector)).max() < 1e-9
    assert np.abs(np.diag(dense) - fisher.diagonal()).max() < 1e-9
    assert np.linalg.eigvalsh(dense)[0] > 0


@pytest.mark.parametrize("size", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_preconditioned_conjugate_gradients_converge(size: int) -> None:
    rng = np.random.default_rng(1)
    state = random_state(size, 3)
    sparse = np.diag(np.diag(state.factor)) + state.factor * (rng.random((size, size)) < 1 / size)
    fisher = InterventionalFisher(State(state.names, state.weights, np.tril(sparse)))
    vector = rng.normal(size=fisher.layout.count)
    solution, report = conjugate_gradient(fisher, vector, damping=0.01)
    assert report.converged
    assert np.linalg.norm(fisher.product(solution) + 0.01 * solution - vector) < 2e-3 * np.linalg.norm(vector)


def likelihood(size: int) -> tuple[Objective, State]:
    truth = random_state(size, 11)
    total = np.linalg.inv(np.eye(size) - truth.weights)
    sample = total @ truth.noise @ total.T
    return Objective({}, (), Weights(acyclic=0.1), sample=sample), State(
        truth.names, np.zeros((size, size)), np.eye(size)
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_never_rises_whatever_the_method(method: Method) -> None:
    objective, start = likelihood(6)
    optimiser = Optimiser(method, rate=1.0 if method in ("natural", "diagonal") else 0.5)
    _, reports = optimiser.minimise({WHOLE: start}, objective, steps=25, tolerance=0.0)
    losses = [reports[0].before, *(report.after for report in reports)]
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0] - 1e-3


def test_natural_steps_get_further_than_gradient_steps_on_badly_scaled_variables() -> None:
    objective, start = likelihood(6)
    assert objective.sample is not None
    scales = np.exp(np.random.default_rng(0).uniform(-np.log(6), np.log(6), 6))
    scaled = Objective(
        {}, (), Weights(acyclic=0.1, ridge=1e-3), sample=scales[:, None] * objective.sample * scales
    )
    ends = {}
    for method, rates in (
        ("natural", (1.0,)),
        ("sgd", (1.0, 0.3, 0.1, 0.03)),
        ("adam", (1.0, 0.3, 0.1, 0.03)),
    ):
        assert method in METHODS
        runs = [Optimiser(method, rate=rate) for rate in rates]
        ends[method] = min(
            run.minimise({WHOLE: start}, scaled, steps=30, tolerance=0.0)[1][-1].after for run in runs
        )
    assert ends["natural"] < min(ends["sgd"], ends["adam"])


def test_the_matrix_free_path_takes_accepted_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal9.holograph.optimisation.optimise.DENSE_LIMIT", 3)
    objective, start = likelihood(6)
    _, reports = Optimiser("natural").minimise({WHOLE: start}, objective, steps=8)
    assert all(report.accepted and report.iterations > 0 for report in reports)


def test_moments_follow_a_section_that_grows() -> None:
    objective, start = likelihood(4)
    optimiser = Optimiser("adam", rate=0.1)
    sections, _ = optimiser.step({WHOLE: start}, objective)
    before = Layout(4).unpack(optimiser._moments[WHOLE][0])[0]
    wide = State((*start.names, "z"), np.zeros((5, 5)), np.eye(5))
    optimiser.resize(WHOLE, sections[WHOLE], wide)
    after = Layout(5).unpack(optimiser._moments[WHOLE][0])[0]
    assert np.array_equal(after[:4, :4], before)
    assert not after[4].any()
    optimiser.step({WHOLE: wide}, Objective({}, ()))
