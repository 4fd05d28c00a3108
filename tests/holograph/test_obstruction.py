import asyncio

import numpy as np
import pytest

from hal9.holograph import (
    Answer,
    Cover,
    DiscoveryState,
    Problem,
    Question,
    Settings,
    State,
    covariance,
    descent,
    discover,
)
from hal9.holograph.evaluation.scenarios import make_scenario
from hal9.holograph.model.edge_posterior import NoiseModel
from hal9.holograph.model.graph import MixedGraph
from hal9.holograph.optimisation.objective import WHOLE
from hal9.holograph.queries.answerers import Asked, ScriptedOracle
from hal9.holograph.sheaf.obstruction import Plateau, conflicts, heldout_energy, local_posterior, surgery
from hal9.holograph.spec import Context, Variable
from tests.holograph.helpers import random_state


def test_a_plateau_is_a_loss_that_stays_high_not_one_that_falls_or_is_low() -> None:
    stuck, falling, low = Plateau(), Plateau(), Plateau()
    assert [stuck.update(0.5) for _ in range(6)][-1]
    assert not any(falling.update(0.5 * 0.7**k) for k in range(6))
    assert not any(low.update(0.001) for _ in range(6))


def test_the_conflicting_edge_and_its_contexts_are_named() -> None:
    names = ("a", "b", "c")
    forward, backward = np.zeros((3, 3)), np.zeros((3, 3))
    forward[2, 1], backward[1, 2] = 0.6, 0.7
    sections = {"east": State(names, forward, np.eye(3)), "west": State(names, backward, np.eye(3))}
    found = conflicts(sections, descent(sections, Cover(dict.fromkeys(sections, names)).overlaps()), names)
    assert [(c.first, c.second, c.kind, c.overlap.first, c.overlap.second) for c in found] == [
        ("b", "c", "direction", "east", "west")
    ]
    lowered = {**sections, "west": State(names, -forward, np.eye(3))}
    found = conflicts(lowered, descent(lowered, Cover(dict.fromkeys(lowered, names)).overlaps()), names)
    assert [c.kind for c in found] == ["sign"]


@pytest.mark.parametrize("shared", [0.45, -0.4, 0.2])
def test_surgery_moves_the_shared_noise_into_loadings_and_keeps_the_covariance(shared: float) -> None:
    noise = np.eye(3)
    noise[0, 1] = noise[1, 0] = shared
    weights = np.zeros((3, 3))
    weights[2, 0] = 0.5
    before = State(("x", "y", "w"), weights, np.asarray(np.linalg.cholesky(noise), dtype=np.float64))
    after = surgery(before, "z", "x", "y", least=0.1)
    assert after.names == ("x", "y", "w", "z")
    assert after.noise[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert np.sign(after.weights[0, 3] * after.weights[1, 3]) == np.sign(shared)
    assert np.abs(covariance(after)[:3, :3] - covariance(before)).max() < 1e-10


def test_surgery_drops_the_direct_edges_and_extends_a_latent_that_is_there() -> None:
    state = random_state(4, 3, acyclic=False)
    once = surgery(state, "z", "v0", "v1")
    twice = surgery(once, "z", "v0", "v2")
    assert twice.size == once.size == 5
    assert once.weights[0, 1] == once.weights[1, 0] == twice.weights[0, 2] == twice.weights[2, 0] == 0.0
    assert np.linalg.eigvalsh(twice.noise)[0] > 0


def test_heldout_energy_prefers_the_belief_that_predicts_the_answers() -> None:
    names = ("x", "y")
    direct = State(names, np.array([[0.0, 0.0], [0.8, 0.0]]), np.eye(2))
    hidden = surgery(State(names, np.zeros((2, 2)), np.array([[1.0, 0.0], [0.6, 0.8]])), "z", "x", "y")
    said = [(Question("confounder", "x", "y", "c"), Answer("confounder", "hidden_common_cause"))]
    energies = [
        heldout_energy({"c": section}, said, NoiseModel.assumed(0.9), {"c": names})
        for section in (direct, hidden)
    ]
    assert energies[1] < energies[0] - 1.0


def test_one_context_speaks_for_what_it_answered() -> None:
    said = [(Question("direction", "x", "y", "c"), Answer("direction", "second_causes_first"))]
    assert local_posterior(said, NoiseModel.assumed(0.9)).argmax() == 1
    assert local_posterior([], NoiseModel.assumed(0.9)).argmax() == 2


@pytest.mark.parametrize("seed", [1, 3])
def test_a_contradiction_is_found_named_and_resolved_by_its_latent(seed: int) -> None:
    scenario = make_scenario(seed, contradictory=True, accuracy=1.0)
    settings = Settings(budget_queries=150, accuracy=1.0, known_accuracy=True, fit_every=15)
    found = asyncio.run(discover(DiscoveryState(scenario.problem, settings), scenario.oracle))
    resolved = [r for r in found.resolutions if r.outcome == "latent"]
    assert [(r.conflict.first, r.conflict.second, r.latent) for r in resolved] == [(*scenario.pair, "Z")]
    assert resolved[0].after < resolved[0].before
    assert found.inquiry.latents == {"Z": scenario.pair}
    assert "Z" in found.inquiry.sections["A"].names
    assert "Z" in found.inquiry.sections[WHOLE].names
    graph = found.inquiry.graph()
    assert frozenset(scenario.pair) in graph.bidirected
    assert found.inquiry.fit(1)[0].accepted


def test_consistent_contexts_raise_no_alarm() -> None:
    scenario = make_scenario(2, contradictory=False, accuracy=1.0)
    settings = Settings(budget_queries=150, accuracy=1.0, known_accuracy=True, fit_every=15)
    found = asyncio.run(discover(DiscoveryState(scenario.problem, settings), scenario.oracle))
    assert [r for r in found.resolutions if r.is_obstruction] == []


class _Dreamer:
    """Says that there is a latent where the contexts' other answers deny it."""

    def __init__(self) -> None:
        names = ("x", "y", "w")
        local = {"A": {("x", "y"): 0}, "B": {("x", "y"): 1}}
        self.oracle = ScriptedOracle(MixedGraph(names, frozenset({("x", "y")})), local=local)
        self.name = "dreamer"

    async def ask(self, question: Question) -> Asked:
        if question.kind == "discriminator":
            return Asked(Answer("discriminator", "latent_cause", names=("phlogiston",)), "issued", "", "")
        return await self.oracle.ask(question)


def test_surgery_that_held_out_answers_do_not_support_is_rolled_back() -> None:
    names = ("x", "y", "w")
    problem = Problem(
        tuple(Variable(name=n) for n in names),
        (Context(name="A", variables=names), Context(name="B", variables=names)),
    )
    settings = Settings(budget_queries=80, accuracy=0.95, known_accuracy=True, fit_every=5)
    found = asyncio.run(discover(DiscoveryState(problem, settings), _Dreamer()))
    assert [r.outcome for r in found.resolutions if r.latent] == ["rolled back"]
    assert found.inquiry.latents == {}
    assert all("phlogiston" not in section.names for section in found.inquiry.sections.values())
