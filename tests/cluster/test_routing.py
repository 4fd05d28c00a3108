"""The learned router in a running cluster: who gets the work, what finished tasks and users teach it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hal9.belief import ItemRouter, RouterQuality
from hal9.cluster import Daemon, Home
from hal9.cluster.scheduler import SCHEDULER
from hal9.promptgram import Edit
from hal9.tuning.router import SpecialistRouter, routers_folder, task_embedder
from hal9.tuning.specialising import save_router
from tests.conftest import Script, edit_settings, running_cluster

OBJECTIVE = "Write add(a, b) in adder.py"
CHECK = "python check.py"
SECOND = "l2-second"


@pytest.fixture
def home(home: Home) -> Home:
    """A home with two implementers."""
    text = home.neurons.joinpath("l2-implementer.md").read_text(encoding="utf-8")
    assert "l2-implementer" in text
    home.neurons.joinpath(f"{SECOND}.md").write_text(text.replace("l2-implementer", SECOND), encoding="utf-8")
    return home


def counts(daemon: Daemon) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (edge.source, edge.target): (edge.success_count, edge.failure_count)
        for edge in daemon.router.weights.edges()
    }


async def learned(daemon: Daemon, expected: dict[tuple[str, str], tuple[int, int]]) -> None:
    try:
        async with asyncio.timeout(120):
            while counts(daemon) != expected:
                await asyncio.sleep(0.05)
    except TimeoutError:
        assert counts(daemon) == expected


async def test_finished_tasks_teach_the_edges_they_took_and_a_user_corrects_it(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        daemon.learner.engine.on_outcome.clear()  # the check's own verdict would come in between
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "done"
        steps = await cluster.steps(task_id)
        route = next(step.route for step in steps if step.neuron == "l3-designer")
        assert set(route["odds"]) >= {"l2-implementer", SECOND}
        assert sum(route["odds"].values()) == pytest.approx(1.0)
        assert route["policy"] == "discounted_thompson"
        taken = [("l4-strategist", "l3-designer"), ("l3-designer", route["to"])]
        await learned(daemon, dict.fromkeys(taken, (1, 0)))
        assert await daemon.routing.observe(task_id, success=True) == 0
        assert await daemon.routing.observe(task_id, success=False, cost=0.5) == 2
        assert counts(daemon) == dict.fromkeys(taken, (0, 1))
        event = daemon.router.weights.events("l3-designer", route["to"])[0]
        assert (event["usd"], event["odds"]) == (0.5, route["odds"][route["to"]])


async def test_a_specialists_outcome_counts_for_the_neuron_whose_tasks_it_takes(
    home: Home, script: Script
) -> None:
    script("adder")
    quality = RouterQuality(1.0, 0.5, 1.0)
    weights = np.zeros((len(task_embedder().embed(["x"])[0]) + 1, 1))
    router = SpecialistRouter(ItemRouter((SECOND,), weights, quality), (), task_embedder().model_id)
    save_router(routers_folder(home.state) / "l2-implementer.json", "l2-implementer", [SECOND], router)
    (home.neurons / "l2-craftsman.md").unlink()
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Say hello")
        await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
        assert next(step.route for step in steps if step.neuron == "l3-designer")["to"] == SECOND
        await learned(
            daemon,
            dict.fromkeys([("l4-strategist", "l3-designer"), ("l3-designer", "l2-implementer")], (1, 0)),
        )


async def test_a_users_verdict_travels_to_the_weights(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Say hello")
        await cluster.wait(task_id, timeout_seconds=180)
        to = (await cluster.steps(task_id))[1].route["to"]
        taken = [("l4-strategist", "l3-designer"), ("l3-designer", to)]
        await learned(daemon, dict.fromkeys(taken, (1, 0)))
        await cluster.request("feedback", {"verdict": "reject", "why": "no greeting"}, task_id=task_id)
        await learned(daemon, dict.fromkeys(taken, (0, 1)))


async def test_what_finished_before_a_crash_is_counted_after_the_restart(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        first = await cluster.submit("Say one")
        await cluster.wait(first, timeout_seconds=180)
        async with asyncio.timeout(120):
            while not counts(daemon):
                await asyncio.sleep(0.05)
        daemon.scheduler.on_finished.clear()  # as if the process had died right after the commit
        daemon.learner.engine.on_outcome.clear()
        second = await cluster.submit("Say two")
        await cluster.wait(second, timeout_seconds=180)
        total = sum(map(sum, counts(daemon).values()))
    async with running_cluster(home) as (daemon, cluster):
        async with asyncio.timeout(120):
            while sum(map(sum, counts(daemon).values())) != total + 2:
                await asyncio.sleep(0.05)


async def test_a_changed_prompt_makes_what_is_known_of_its_edges_weigh_less(
    home: Home, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Say one")
        await cluster.wait(task_id, timeout_seconds=180)
        async with asyncio.timeout(120):
            while not counts(daemon):
                await asyncio.sleep(0.05)
        for _ in range(2):
            prompt = daemon.definitions["l3-designer"].promptgram.dump()
            daemon.learner.engine.gate.set_prompt("l3-designer", prompt, cause="c", actor="test")
            await daemon.routing._count([])
            await daemon.routing._count([])
        events = daemon.router.weights.events("l4-strategist", "l3-designer")
        assert [event["kind"] for event in events] == ["promotion", "promotion", "outcome"]


async def test_a_rollback_brings_the_weights_of_that_moment_back_and_its_prompts_discount_nothing(
    home: Home, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):

        async def one_more_task() -> None:
            before = sum(map(sum, counts(daemon).values()))
            await cluster.wait(await cluster.submit("Say one"), timeout_seconds=180)
            async with asyncio.timeout(120):
                while sum(map(sum, counts(daemon).values())) != before + 2:
                    await asyncio.sleep(0.05)

        await one_more_task()
        await daemon.routing._count([])
        edges, moment = daemon.router.weights.edges(), daemon.learner.store.clock.now()
        await one_more_task()
        prompt = daemon.definitions["l3-designer"].promptgram
        learned_prompt = prompt.apply(Edit("Style", "append", content="- Be brief."))
        daemon.learner.engine.gate.set_prompt("l3-designer", learned_prompt.dump(), cause="c", actor="test")
        number = await cluster.request("rollback", {"moment": moment})
        answer = json.loads(await cluster.answer(number))
        assert sum("hand-overs taken out" in line for line in answer["said"]) == 2
        assert "l3-designer: back to version 1" in answer["said"]
        await daemon.routing._count([])
        now = daemon.router.weights.edges()
        assert [replace(one, last_adjusted=None) for one in now] == [
            replace(one, last_adjusted=None) for one in edges
        ]
        daemon.learner.engine.gate.set_prompt("l3-designer", learned_prompt.dump(), cause="c", actor="test")
        await daemon.routing._count([])
        assert daemon.router.weights.events("l4-strategist", "l3-designer")[0]["kind"] == "promotion"


async def test_nothing_is_learned_while_learning_is_paused(home: Home, script: Script) -> None:
    script("adder")
    edit_settings(home, "paused: false", "paused: true ")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Say hello")
        await cluster.wait(task_id, timeout_seconds=180)
        await daemon.routing._count([(task_id, None)])
        assert await daemon.routing.observe(task_id, success=True) == 0
        assert counts(daemon) == {}


async def test_the_routing_section_is_taken_over_while_running(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, _):
        names = ("l2-implementer", SECOND)
        assert daemon.router.choose("l3-designer", names, task_class="x", task_id="a").probabilities == {
            name: pytest.approx(0.5) for name in names
        }
        edit_settings(home, "policy: discounted_thompson ", "policy: static ")
        async with asyncio.timeout(120):
            while daemon.settings.routing.policy != "static":
                await asyncio.sleep(0.05)
        choice = daemon.router.choose("l3-designer", names, task_class="x", task_id="a")
        assert (choice.target, choice.policy, choice.probabilities) == (
            "l2-implementer",
            "static",
            {
                "l2-implementer": 1.0,
                SECOND: 0.0,
            },
        )


async def test_where_a_task_enters_is_learned_when_there_is_a_choice(home: Home, script: Script) -> None:
    script("adder")
    text = home.neurons.joinpath("l4-strategist.md").read_text(encoding="utf-8")
    home.neurons.joinpath("l4-other.md").write_text(
        text.replace("l4-strategist", "l4-other"), encoding="utf-8"
    )
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Say hello")
        await cluster.wait(task_id, timeout_seconds=180)
        entered = (await cluster.steps(task_id))[0].neuron
        async with asyncio.timeout(120):
            while counts(daemon).get((SCHEDULER, entered)) != (1, 0):
                await asyncio.sleep(0.05)
        row = daemon.router.weights.events(SCHEDULER, entered)[0]
        assert row["odds"] == pytest.approx(0.5)
        assert json.dumps(row)


async def test_relevance_edges_limit_the_candidates(home: Home, script: Script) -> None:
    script("adder")
    edit_settings(home, "relevance_edges: 0 ", "relevance_edges: 2 ")
    async with running_cluster(home) as (daemon, _):
        names = tuple(f"l2-{letter}" for letter in "abcdefgh")
        probabilities = daemon.router.choose("l3-designer", names, task_class="x", task_id="a").probabilities
    assert len(probabilities) == 2
