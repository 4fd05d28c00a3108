"""Gaussian graphs, predictive coding and gap junctions against their plain twins."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve

from hal9.errors.passing import PassingInvalid
from hal9.passing import (
    ConvergenceWarning,
    GapJunctions,
    GaussianGraph,
    Graph,
    PredictiveCoding,
    VoltageGate,
    aggregate,
    propagate,
    turing_pattern,
)


def dominant(n: int, seed: int, *, tree: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    a = np.zeros((n, n))
    for v in range(1, n):
        others = [int(rng.integers(0, v))] if tree else rng.integers(0, v, 3)
        for u in others:
            a[u, v] = a[v, u] = rng.normal()
    return a + np.diag(np.abs(a).sum(axis=1) + 0.5)


@pytest.mark.parametrize("schedule", ["parallel", "colour"])
def test_gaussian_means_solve_the_system(schedule: Any) -> None:
    a, b = dominant(60, 0), np.random.default_rng(1).normal(size=60)
    found = GaussianGraph(csr_array(a), b).solve(schedule=schedule)
    assert found.converged
    np.testing.assert_allclose(found.mean, spsolve(csr_array(a), b), atol=1e-11)
    assert found.error < 1e-10
    assert not found.exact_variance
    true = np.diag(np.linalg.inv(a))
    assert 1e-6 < np.abs(found.variance - true).max() < 0.2 * true.max()


def test_gaussian_variances_are_exact_on_a_tree() -> None:
    a, b = dominant(40, 2, tree=True), np.ones(40)
    found = GaussianGraph(a, b).solve()
    assert found.exact_variance
    np.testing.assert_allclose(found.variance, np.diag(np.linalg.inv(a)), atol=1e-12)
    np.testing.assert_allclose(found.mean, np.linalg.solve(a, b), atol=1e-12)


def test_a_gaussian_that_cannot_converge_says_so() -> None:
    a = np.full((4, 4), 0.9) + 0.1 * np.eye(4)
    with pytest.warns(ConvergenceWarning):
        found = GaussianGraph(a, np.ones(4)).solve(max_iter=50)
    assert not found.converged
    for matrix, why in (
        ([[1.0, 2.0], [0.0, 1.0]], "symmetric"),
        ([[0.0, 0.1], [0.1, 1.0]], "diagonal"),
        ([[1.0]], "fit"),
    ):
        with pytest.raises(PassingInvalid, match=why):
            GaussianGraph(np.array(matrix), np.ones(2))


def backprop(pc: PredictiveCoding, x: Any, y: Any) -> list[tuple[Any, Any]]:
    """The slow twin: gradients of half the squared output error, case by case."""
    grads = [(np.zeros_like(w), np.zeros_like(b)) for w, b in zip(pc.weights, pc.biases, strict=True)]
    for one, target in zip(x, y, strict=True):
        pre = [one]
        for layer, (w, b) in enumerate(zip(pc.weights, pc.biases, strict=True)):
            pre.append(w @ (pre[-1] if layer == 0 else np.tanh(pre[-1])) + b)
        delta = pre[-1] - target
        for layer in range(len(pc.weights) - 1, -1, -1):
            active = pre[layer] if layer == 0 else np.tanh(pre[layer])
            grads[layer] = (grads[layer][0] + np.outer(delta, active), grads[layer][1] + delta)
            delta = (pc.weights[layer].T @ delta) * (1 - np.tanh(pre[layer]) ** 2)
    return grads


def problem() -> tuple[PredictiveCoding, Any, Any]:
    rng = np.random.default_rng(0)
    return PredictiveCoding.random([6, 8, 7, 3], seed=1), rng.normal(size=(5, 6)), rng.normal(size=(5, 3))


def worst_error(got: list[tuple[Any, Any]], wanted: list[tuple[Any, Any]], scale: float = 1.0) -> float:
    return max(
        float(np.abs(g / scale - w).max() / np.abs(w).max())
        for pair, true in zip(got, wanted, strict=True)
        for g, w in zip(pair, true, strict=True)
    )


def test_fixed_predictions_give_backpropagation_exactly() -> None:
    pc, x, y = problem()
    relaxed = pc.relax(x, y, fixed_prediction=True, steps=2000, rate=0.5, tol=1e-14)
    assert relaxed.converged
    assert worst_error(pc.gradients(relaxed, fixed_prediction=True), backprop(pc, x, y)) < 1e-12


def test_low_output_precision_approaches_backpropagation_in_proportion() -> None:
    pc, x, y = problem()
    gaps = []
    for precision in (1e-2, 1e-3, 1e-4):
        soft = PredictiveCoding(pc.weights, pc.biases, precision=[1.0, 1.0, precision])
        relaxed = soft.relax(x, y, steps=5000, rate=0.3, tol=1e-12)
        assert relaxed.converged
        gaps.append(worst_error(soft.gradients(relaxed), backprop(pc, x, y), precision))
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
    assert gaps[2] < 2e-3


def test_a_small_nudge_of_the_target_does_not_give_backpropagation() -> None:
    pc, x, y = problem()
    out = pc.forward(x)[-1]
    for beta in (1e-2, 1e-4):
        relaxed = pc.relax(x, out + beta * (y - out), steps=5000, rate=0.3, tol=1e-14)
        assert worst_error(pc.gradients(relaxed), backprop(pc, x, y), beta) > 0.3


def test_energy_never_rises_and_gradients_are_its_slopes() -> None:
    pc, x, y = problem()
    pc.precisions = [np.linspace(0.5, 2.0, 8), 3.0, 0.7]
    relaxed = pc.relax(x, y, steps=3000, rate=50.0, tol=1e-10)
    assert relaxed.converged
    assert (np.diff(relaxed.energy) <= 1e-12 * relaxed.energy[0]).all()
    assert relaxed.rate < 50.0
    assert relaxed.energy[-1] == pytest.approx(pc.energy(relaxed.states))
    grads = pc.gradients(relaxed)
    for layer, at in ((0, (2, 3)), (1, (0, 0)), (2, (1, 4))):
        moved = [w.copy() for w in pc.weights]
        moved[layer][at] += 1e-6
        other = PredictiveCoding(moved, pc.biases, precision=pc.precisions)
        slope = (other.energy(relaxed.states) - pc.energy(relaxed.states)) / 1e-6
        assert grads[layer][0][at] == pytest.approx(slope, abs=1e-4)


def test_relaxing_equals_messages_on_the_graph_of_units() -> None:
    """Predictions flow up the edges, errors flow down the same edges: one gradient step, unit by unit."""
    pc, x, y = problem()
    up = pc.graph()
    down = Graph(up.dst, up.src, up.n, weight=up.edge_weight())
    sizes = [6, 8, 7, 3]
    state = np.concatenate([*pc.forward(x)[:-1], y], axis=1).T
    hidden = slice(6, 21)
    for _ in range(4):
        fire = np.tanh(state)
        fire[:6] = state[:6]
        error = state - aggregate(up, fire, message="weight")
        error[:6] = 0.0
        back = aggregate(down, error, message="weight")
        step = -error + (1 - np.tanh(state) ** 2) * back
        state[hidden] += 0.1 * step[hidden]
    relaxed = pc.relax(x, y, steps=4, rate=0.1)
    np.testing.assert_allclose(np.concatenate(relaxed.states, axis=1).T, state, atol=1e-12)
    assert sum(sizes) == up.n


def test_learning_lowers_the_error_and_free_outputs_predict() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(64, 2))
    y = np.tanh(x @ rng.normal(size=(2, 1)))
    pc = PredictiveCoding.random([2, 12, 1], seed=0)

    def loss() -> float:
        return float(((pc.forward(x)[-1] - y) ** 2).mean())

    before = loss()
    for _ in range(60):
        pc.learn(pc.gradients(pc.relax(x, y, steps=20)), 0.01)
    assert loss() < 0.2 * before
    free = pc.relax(x[0])
    assert free.energy[-1] == 0.0
    np.testing.assert_array_equal(free.states[-1], pc.forward(x[0])[-1])


def test_a_relaxation_cut_short_says_so() -> None:
    pc, x, y = problem()
    with pytest.warns(ConvergenceWarning):
        assert pc.relax(x, y, steps=2, tol=1e-12).converged is False
    assert pc.relax(x, y, steps=2).converged is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredictiveCoding([]), "one matrix"),
        (lambda: PredictiveCoding([np.ones((3, 2)), np.ones((2, 4))]), "do not follow"),
        (lambda: PredictiveCoding([np.ones((3, 2))], precision=[0.0]), "positive"),
        (lambda: PredictiveCoding([np.ones((3, 2))], precision=[1.0, 1.0]), "1 of each"),
        (lambda: PredictiveCoding([np.ones((3, 2))], activation="sine"), "not one of"),  # type: ignore[arg-type]
        (lambda: PredictiveCoding([np.ones((3, 2))]).relax([1.0, 2.0, 3.0]), "2 inputs"),
        (lambda: PredictiveCoding([np.ones((3, 2))]).relax([1.0, 2.0], [1.0]), "shape"),
    ],
)
def test_impossible_hierarchies_are_refused(make: Any, message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        make()


def tissue(seed: int, n: int = 30) -> Graph:
    rng = np.random.default_rng(seed)
    extra = rng.integers(0, n, (2, 2 * n))
    src = np.concatenate([np.arange(n - 1), extra[0]])
    dst = np.concatenate([np.arange(1, n), extra[1]])
    return Graph.undirected(src, dst, n, weight=rng.random(len(src)))


def plain_flow(g: Graph, v: Any) -> Any:
    out = np.zeros(g.n)
    for a, b, w in zip(g.src, g.dst, g.edge_weight(), strict=True):
        out[b] += w * (v[a] - v[b])
    return out


@given(st.integers(0, 200))
@settings(deadline=None, max_examples=30)
def test_steps_equal_the_plain_circuit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = tissue(seed, 12)
    leak, rest, v = rng.random(12), rng.normal(size=12), rng.normal(size=12)
    cells = GapJunctions(g, leak=leak, reversal=rest, clamp={3: 0.5}, capacitance=2.0)
    v[3] = 0.5
    explicit = v + 0.01 / 2.0 * (plain_flow(g, v) - leak * (v - rest))
    explicit[3] = 0.5
    np.testing.assert_allclose(cells.step(v, 0.01, implicit=False), explicit, atol=1e-13)
    new = cells.step(v, 0.7)
    residual = new - v - 0.7 / 2.0 * (plain_flow(g, new) - leak * (new - rest))
    residual[3] = new[3] - 0.5
    np.testing.assert_allclose(residual, 0.0, atol=1e-12)


def test_diffusion_is_the_engine_with_one_message() -> None:
    g, v = tissue(1), np.random.default_rng(2).normal(size=30)
    cells = GapJunctions(g)
    now = v
    for _ in range(20):
        now = cells.step(now, 0.05, implicit=False)
    passed = propagate(
        g,
        v,
        message=lambda sender, receiver, conductance: conductance * (sender - receiver),
        update=lambda own, flow: own + 0.05 * flow,
        tol=None,
        max_iter=20,
    )
    np.testing.assert_allclose(passed.state, now, atol=1e-13)


@pytest.mark.parametrize("gate", [None, VoltageGate(width=0.5, floor=0.05)])
def test_no_charge_is_made_or_lost(gate: VoltageGate | None) -> None:
    v = np.random.default_rng(4).normal(size=30)
    cells = GapJunctions(tissue(4), gate=gate)
    now = v
    for i in range(1000):
        now = cells.step(now, 0.02, implicit=i % 2 == 0)
    assert now.sum() == pytest.approx(v.sum(), abs=1e-11)
    assert now.std() < 0.2 * v.std()


def test_steady_states_solve_the_circuit() -> None:
    g = tissue(5)
    cells = GapJunctions(g, leak=0.3, reversal=-0.7, clamp={0: 1.0, 9: -1.0})
    found = cells.steady_state()
    current = plain_flow(g, found.state) - 0.3 * (found.state + 0.7)
    np.testing.assert_allclose(np.delete(current, [0, 9]), 0.0, atol=1e-12)
    assert found.state[[0, 9]].tolist() == [1.0, -1.0]
    later = cells.run(np.zeros(30), 5.0, 400, tol=1e-12)
    assert later.converged
    np.testing.assert_allclose(later.state, found.state, atol=1e-9)


def test_gated_junctions_close_between_unlike_cells() -> None:
    chain = Graph.undirected(np.arange(19), np.arange(1, 20), 20)
    clamp = {0: -1.0, 19: 1.0}
    gated = GapJunctions(
        chain, clamp=clamp, gate=VoltageGate(width=0.2, floor=0.01), leak=0.02
    ).steady_state()
    plain = GapJunctions(chain, clamp=clamp, leak=0.02).steady_state()
    assert gated.converged
    cells = GapJunctions(chain, clamp=clamp, gate=VoltageGate(width=0.2, floor=0.01), leak=0.02)
    np.testing.assert_allclose((cells.flow(gated.state) - 0.02 * gated.state)[1:-1], 0.0, atol=1e-8)
    assert np.abs(np.diff(gated.state)).max() > np.abs(np.diff(plain.state)).max()


def test_a_pattern_grows_from_noise_and_only_with_a_spreading_inhibitor() -> None:
    g = Graph.grid(32, 32, periodic=True)
    v, _ = turing_pattern(g, seed=0, steps=800)
    assert v.std() > 0.3
    power = np.abs(np.fft.fft2(v.reshape(32, 32) - v.mean())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    peak = float(frequency.ravel()[power.argmax()])
    assert 0.03 < peak < 0.25
    flat, _ = turing_pattern(g, seed=0, steps=800, spread=(0.6, 0.6))
    assert flat.std() < 0.5 * v.std() or np.ptp(flat) < 0.2 * np.ptp(v)
    again, _ = turing_pattern(g, seed=0, steps=800)
    np.testing.assert_array_equal(v, again)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GapJunctions(Graph([0], [1], 2)), "both ways"),
        (lambda: GapJunctions(Graph([0, 1], [1, 0], 2, weight=[1.0, 2.0])), "both ways"),
        (lambda: GapJunctions(Graph([0, 1], [1, 0], 2, weight=[-1.0, -1.0])), "non-negative"),
        (lambda: GapJunctions(Graph.grid(2, 2), leak=-1.0), "leak"),
        (lambda: GapJunctions(Graph.grid(2, 2), clamp={7: 0.0}), "cells are"),
        (lambda: GapJunctions(Graph.grid(2, 2)).steady_state(), "neither leak nor clamped"),
        (lambda: GapJunctions(Graph.grid(2, 2)).step(np.zeros(3), 0.1), "4 voltages"),
        (lambda: VoltageGate(width=0.0), "width"),
    ],
)
def test_impossible_tissues_are_refused(make: Any, message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        make()
