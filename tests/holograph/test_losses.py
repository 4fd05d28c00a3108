import numpy as np
import pytest

from hal9.holograph.model.embedding import HashedEmbedder, affinity, statement_gram
from hal9.holograph.model.state import State
from hal9.holograph.optimisation.losses import (
    Claims,
    acyclicity_exponential,
    acyclicity_logdet,
    semantic_energy,
    spectral_penalty,
    spectral_radius,
)
from hal9.holograph.optimisation.objective import WHOLE, Objective, Weights, gaussian_fit
from hal9.holograph.sheaf.sections import Cover
from tests.holograph.helpers import random_state


def slope(function: object, at: np.ndarray, move: np.ndarray) -> float:
    step = 1e-6
    assert callable(function)
    return float((function(at + step * move) - function(at - step * move)) / (2 * step))


@pytest.mark.parametrize("measure", [acyclicity_exponential, acyclicity_logdet])
def test_acyclicity_is_zero_only_without_cycles_and_its_gradient_is_right(measure: object) -> None:
    assert callable(measure)
    assert measure(random_state(7, 1).weights)[0] == pytest.approx(0.0, abs=1e-12)
    cyclic = random_state(7, 1, acyclic=False).weights
    value, gradient = measure(cyclic)
    assert value > 1e-4
    move = np.random.default_rng(0).normal(size=(7, 7))
    assert np.vdot(gradient, move) == pytest.approx(slope(lambda w: measure(w)[0], cyclic, move), rel=1e-4)


def test_logdet_is_infinite_outside_its_domain() -> None:
    assert acyclicity_logdet(np.array([[0.0, 1.2], [1.2, 0.0]]))[0] == np.inf
    assert acyclicity_logdet(np.array([[0.0, 1.0], [1.0, 0.0]]))[0] == np.inf
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(200):
        weights = rng.normal(0, rng.uniform(0.2, 0.7), (6, 6))
        np.fill_diagonal(weights, 0.0)
        # A positive determinant is not enough: two cycles that are too strong make one as well.
        stable = np.abs(np.linalg.eigvals(weights**2)).max() < 1.0
        value, gradient = acyclicity_logdet(weights)
        assert np.isfinite(value) == stable
        assert gradient.any() == stable
        inside += stable
    assert 40 < inside < 160


def test_power_iteration_finds_the_perron_root_also_of_a_pure_cycle_and_of_none() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.random((9, 9))
    assert spectral_radius(matrix)[0] == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-8)
    ring = np.roll(np.eye(4), 1, axis=0) * 0.8
    assert spectral_radius(ring)[0] == pytest.approx(0.8, rel=1e-8)
    assert spectral_penalty(random_state(8, 3, scale=5.0).weights)[0] == 0.0


def test_the_spectral_penalty_has_the_right_gradient_where_it_bites() -> None:
    weights = np.random.default_rng(4).normal(0, 0.6, (5, 5))
    value, gradient = spectral_penalty(weights)
    assert value > 0
    move = np.random.default_rng(5).normal(size=(5, 5))
    assert np.vdot(gradient, move) == pytest.approx(
        slope(lambda w: spectral_penalty(w)[0], weights, move), rel=1e-4
    )


def claims(*rows: tuple[int, int, int]) -> Claims:
    first, second, relation = (np.array(column, dtype=np.intp) for column in zip(*rows, strict=True))
    gram = np.stack([statement_gram(HashedEmbedder(), f"x{a}", f"x{b}") for a, b, _ in rows])
    return Claims(first, second, relation, np.ones(len(rows)), np.ones(len(rows)), gram)


@pytest.mark.parametrize("relation", [0, 1, 2, 3])
def test_every_answer_pulls_at_its_pair_even_from_an_empty_belief(relation: int) -> None:
    _, grad_w, grad_m = semantic_energy(
        np.zeros((4, 4)), np.eye(4), claims((0, 2, relation), (3, 1, relation))
    )
    for first, second in ((0, 2), (3, 1)):
        assert abs(grad_w[second, first]) > 1e-3
        assert abs(grad_w[first, second]) > 1e-3
        assert abs(grad_m[first, second]) > 1e-3
    wanted = {0: grad_w[2, 0], 1: grad_w[0, 2], 2: -grad_w[2, 0], 3: grad_m[0, 2]}[relation]
    assert wanted < 0


def test_semantic_gradients_match_differences() -> None:
    state = random_state(4, 6)
    said = claims((0, 1, 0), (2, 1, 3), (0, 3, 2))
    _, grad_w, grad_m = semantic_energy(state.weights, state.noise, said)
    move = np.random.default_rng(1).normal(size=(4, 4))
    both = move + move.T
    along_w = slope(lambda w: semantic_energy(w, state.noise, said)[0], state.weights, move)
    along_m = slope(lambda m: semantic_energy(state.weights, m, said)[0], state.noise, both)
    assert np.vdot(grad_w, move) == pytest.approx(along_w, rel=1e-5)
    assert np.vdot(grad_m, both) == pytest.approx(along_m, rel=1e-5)


def test_the_gaussian_fit_is_stationary_at_the_truth() -> None:
    state = random_state(5, 7)
    total = np.linalg.inv(np.eye(5) - state.weights)
    sample = total @ state.noise @ total.T
    _, grad_w, grad_m = gaussian_fit(state, sample)
    assert max(np.abs(grad_w).max(), np.abs(grad_m).max()) < 1e-10
    assert gaussian_fit(random_state(5, 8), sample)[0] > gaussian_fit(state, sample)[0]


def test_each_term_of_the_objective_has_a_gradient_of_its_own() -> None:
    cover = Cover({"p": ("v0", "v1", "v2"), "q": ("v1", "v2", "v3")})
    rng = np.random.default_rng(0)
    sections = {
        name: State(
            names, rng.normal(0, 0.6, (len(names), len(names))) * (1 - np.eye(len(names))), np.eye(len(names))
        )
        for name, names in {WHOLE: ("v0", "v1", "v2", "v3"), **cover.contexts}.items()
    }
    said = {"p": claims((0, 1, 0))}
    none = dict.fromkeys(("semantic", "descent", "glue", "acyclic", "spectral", "ridge", "fit"), 0.0)
    for term in none:
        objective = Objective(said, cover.overlaps(), Weights(**{**none, term: 1.0}), sample=np.eye(4))
        found = objective.evaluate(sections)
        assert found.terms[term] > 0, term
        assert max(np.abs(w).max() for w, _ in found.gradients.values()) > 1e-6, term
        for name, section in sections.items():
            move_w, move_l = (
                rng.normal(size=section.weights.shape),
                np.tril(rng.normal(size=section.weights.shape)),
            )
            np.fill_diagonal(move_w, 0.0)
            step = 1e-6
            ends = [
                objective.evaluate(
                    {
                        **sections,
                        name: State(section.names, section.weights + s * move_w, section.factor + s * move_l),
                    }
                ).value
                for s in (step, -step)
            ]
            grad_w, grad_l = found.gradients[name]
            expected = float(np.vdot(grad_w, move_w) + np.vdot(grad_l, move_l))
            assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-3, abs=1e-5), (
                term,
                name,
            )


def test_the_hashed_embedder_gives_stable_unit_vectors_near_for_near_words() -> None:
    vectors = HashedEmbedder().embed(["PIP2 lipid", "PIP3 lipid", "smoking habit", ""])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2])
    near = affinity(HashedEmbedder(), ["PIP2 lipid", "PIP3 lipid", "smoking habit"])
    assert int(near.argmax()) == 0
