"""Where tasks want opposite things: specialists, a router, neurons of the home, the cluster's routing."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hal9.belief import ItemRouter, RouterQuality
from hal9.cli.app import cli
from hal9.clock import SystemClock
from hal9.cluster import Home
from hal9.cluster.services.routing import LearnedRouter
from hal9.errors.tuning import SpecialistRouterInvalid
from hal9.learning import PromptStore
from hal9.learning.routing.weights import HandOver
from hal9.memory import MemoryStore
from hal9.neurons import load_neurons
from hal9.tuning import TuneResult, TuneSettings, TuningRoles, run_tuning
from hal9.tuning.router import HomeRouters, SpecialistRouter, routers_folder, task_embedder
from hal9.tuning.specialising import SpecialistPlace, promote_specialists, save_router
from tests.tuning.conflicts import ASKED, BASE, UnitAnswerer, UnitScorer, mixed_tasks, unit_mind, unit_score
from tests.tuning.toy import ToyAnswerer, ToyScorer, reflecting_mind, toy_tasks


async def tuned(folder: Path, seed: int = 1) -> TuneResult:
    roles = TuningRoles(answerer=UnitAnswerer(), scorer=UnitScorer(), reflect=unit_mind())
    settings = TuneSettings(budget=300, seed=seed)
    return await run_tuning(BASE, mixed_tasks(60, seed=seed), roles, folder, settings=settings)


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_two_conflicting_rule_sets_are_routed_to_specialists(tmp_path: Path, seed: int) -> None:
    found = await tuned(tmp_path / "run", seed)
    new = mixed_tasks(200, seed=99, first=1000)
    assert found.search.specialists is not None and found.routed is not None and found.routed.certain
    scores = [unit_score(one.promptgram, new) for one in found.search.specialists.candidates]
    routed = [scores[who][place] for place, who in enumerate(found.search.specialists.assigned(new))]
    own = [max(each) for each in zip(*scores, strict=True)]
    assert sum(routed) >= 0.9 * sum(own) > 0.9 * 0.9 * len(new)
    assert sum(unit_score(found.after, new)) < 0.7 * len(new), "one prompt cannot serve both"
    assert "with a perfect router" in (tmp_path / "run" / "report.md").read_text()


async def test_tasks_that_agree_get_one_prompt(tmp_path: Path) -> None:
    roles = TuningRoles(answerer=ToyAnswerer(), scorer=ToyScorer(), reflect=reflecting_mind())
    settings = TuneSettings(budget=200)
    found = await run_tuning(BASE, toy_tasks(60), roles, tmp_path, settings=settings)
    assert found.search.specialists is None and found.routed is None


async def test_specialists_become_neurons_that_the_cluster_routes_to(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["init", str(tmp_path / "home")]).exit_code == 0
    home = Home(tmp_path / "home")
    home.make_state()
    result = await tuned(tmp_path / "run")
    files = {name: one.promptgram for name, one in load_neurons(home.neurons).items()}
    base = files["l2-implementer"]
    place = SpecialistPlace(home.neurons, routers_folder(home.state))

    def promote(wanted: bool = True) -> str:
        with MemoryStore(home.memory) as store:
            made = promote_specialists(
                store,
                files,
                "l2-implementer",
                result,
                place,
                actor="m",
                settings=home.settings(),
                wanted=wanted,
            )
        return made.change

    assert promote(wanted=False) == "" and not place.routers.exists()
    # The toy's prompt lacks what a neuron's file says; in a home the run begins with the neuron's own.
    object.__setattr__(result, "before", base)
    changes = promote()
    assert promote() == changes, "a run promotes once"
    neurons = load_neurons(home.neurons)
    assert {"l2-implementer-a", "l2-implementer-b"} <= set(neurons)
    with MemoryStore(home.memory) as store:
        files = {name: one.promptgram for name, one in neurons.items()}
        texts = [PromptStore(store, files).current(f"l2-implementer-{one}").render() for one in "ab"]
    metres = "a" if "Always answer in metres" in texts[0] else "b"
    with LearnedRouter(home, settings=home.settings, clock=SystemClock()) as router:
        for kind, text in ASKED.items():
            wanted = metres if kind == "metres" else ("b" if metres == "a" else "a")
            chosen = router.choose(
                "l3-designer",
                ("l2-implementer", "l2-implementer-a", "l2-implementer-b"),
                task_class="x",
                task_id="t",
                text=text.format("glass"),
            )
            assert chosen.target == f"l2-implementer-{wanted}"
        # A specialist has no history of its own: what its neuron did stands for it beside other neurons.
        for number in range(14):
            for target in ("l2-implementer", "l2-craftsman"):
                won = HandOver(source="l3-designer", target=target, task_class="x", success=True)
                router.learned.observe(f"{target}-{number}", [won])
        names = ("l2-craftsman", "l2-implementer", "l2-implementer-a", "l2-implementer-b")
        text = ASKED["metres"].format("glass")
        odds = router.choose("l3-designer", names, task_class="x", task_id="u", text=text).probabilities
        assert set(odds) == {"l2-craftsman", f"l2-implementer-{metres}"}
        assert odds[f"l2-implementer-{metres}"] == pytest.approx(0.5, abs=0.1)
        assert router.owners() == {f"l2-implementer-{one}": "l2-implementer" for one in "ab"}
        unreachable = router.choose(
            "l3-designer", ("l2-implementer",), task_class="x", task_id="t", text="anything"
        )
        assert unreachable.target == "l2-implementer"


def test_a_damaged_router_is_named(tmp_path: Path) -> None:
    (tmp_path / "l2-x.json").write_text('{"neuron": "l2-x"}')
    with pytest.raises(SpecialistRouterInvalid, match="l2-x.json"):
        HomeRouters(tmp_path).families(("a", "b"), "text")


def test_a_router_with_weights_for_other_features_is_named(tmp_path: Path) -> None:
    """Else every task of the cluster ends with an error of matrices."""
    router = SpecialistRouter(
        ItemRouter(("b",), np.zeros((3, 1)), RouterQuality(1.0, 0.5, 1.0)), (), task_embedder().model_id
    )
    save_router(tmp_path / "a.json", "a", ["b"], router)
    with pytest.raises(SpecialistRouterInvalid, match="3 features"):
        HomeRouters(tmp_path).families(("a", "b"), "text")
