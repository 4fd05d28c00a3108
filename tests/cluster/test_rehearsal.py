"""Remembered tasks done again on copies, through every layer down to the check."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.cluster import Home
from hal9.learning import ReplayCase
from hal9.learning.state.prompts import Canary
from hal9.memory import MemoryScope, NewRule, RuleStore
from hal9.promptgram import Edit, Promptgram
from hal9.signals import Adjustment, ErrorContext, ErrorGradient, TaskFailed, TaskPayload
from hal9.signals.labels import DIVIDE
from tests.conftest import edit_settings, running_cluster
from tests.learning import scripts

EDGE = "- Think of edge cases."


@pytest.fixture(autouse=True)
def mind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HAL9_MODEL", "scripted:tests.learning.scripts:designs")
    scripts.SEEN.clear()
    yield
    scripts.SEEN.clear()


@pytest.fixture
def thoughtful(home: Home) -> Home:
    """A home whose upper layers think about every task, however small."""
    edit_settings(home, "max_words: 220", "max_words: 1  ")
    return home


def case(workspace: Path) -> ReplayCase:
    payload = TaskPayload(
        objective="Write add(a, b) in adder.py", check="python check.py", workspace=str(workspace)
    )
    return ReplayCase(payload)


def better(prompt: Promptgram) -> Promptgram:
    return prompt.apply(Edit("Heuristics", "append", content=EDGE))


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("neuron", ["l3-designer", "l4-strategist"])
async def test_a_designers_prompt_is_tried_through_the_layers_below_it(
    thoughtful: Home, workspace: Path, neuron: str
) -> None:
    before = files(workspace)
    async with running_cluster(thoughtful) as (daemon, _):
        rehearsal, prompt = daemon.learner.replayer, daemon.definitions[neuron].promptgram
        assert await rehearsal.perform(case(workspace), neuron, prompt, "p") is False
        asked = len(scripts.SEEN)
        assert asked >= 4  # strategist, designer, implementers
        assert await rehearsal.perform(case(workspace), neuron, better(prompt), "p") is True
        assert len(scripts.SEEN) > asked
    assert files(workspace) == before


async def test_a_lesson_about_dividing_is_tried_through_all_layers_and_shown_to_those_that_divide(
    home: Home, workspace: Path
) -> None:
    """The task is small and was divided when it was done; without that mark nobody above would speak."""
    whole = replace(case(workspace), whole=True)
    marked = replace(whole, payload=whole.payload.model_copy(update={"labels": {DIVIDE: "yes"}}))
    async with running_cluster(home) as (daemon, _):
        book = RuleStore(daemon.learner.store)
        scope = MemoryScope(str(workspace), place="**", work="planning")
        number = book.propose(
            NewRule(rule="Think of edge cases.", scope=scope, source="retry", trusted_by="check")
        )
        rehearse = daemon.learner.replayer.rehearse
        assert await rehearse(marked, None) is False
        scripts.SEEN.clear()
        assert await rehearse(marked, book.get(number)) is True
        shown = ["Think of edge cases." in one.messages[-1].content for one in scripts.SEEN]
        divides = [one.schema is not None for one in scripts.SEEN]
        assert shown == divides, "implementers are not told how work is divided"
        assert await rehearse(whole, book.get(number)) is None, "handed down as it is, it shows nothing"


async def test_what_a_killed_rehearsal_left_goes_at_the_next_start(
    home: Home, workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    left = home.scratch / "rehearsal-killed" / "copy"
    left.mkdir(parents=True)
    (left / "code.py").write_text("x = 1\n")
    async with running_cluster(home) as (daemon, _):
        assert list(home.scratch.iterdir()) == []
        prompt = daemon.definitions["l2-implementer"].promptgram
        await daemon.learner.replayer.perform(case(workspace), "l2-implementer", prompt, "p")
        assert len(scripts.SEEN) == 1
    assert list(home.scratch.iterdir()) == list((tmp_path / "temporary").iterdir()) == []


async def test_a_prompt_that_plays_no_part_is_not_tried(home: Home, workspace: Path) -> None:
    async with running_cluster(home) as (daemon, _):
        rehearsal = daemon.learner.replayer
        for neuron in ("l3-designer", "l4-strategist"):
            prompt = daemon.definitions[neuron].promptgram
            assert await rehearsal.perform(case(workspace), neuron, better(prompt), "p") is None
        assert scripts.SEEN == []
        prompt = daemon.definitions["l2-implementer"].promptgram
        assert await rehearsal.perform(case(workspace), "l2-implementer", prompt, "p") is False
        assert len(scripts.SEEN) == 1


async def test_what_cannot_be_tried_is_not_judged(thoughtful: Home, workspace: Path, tmp_path: Path) -> None:
    edit_settings(thoughtful, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(thoughtful) as (daemon, _):
        rehearsal, prompt = daemon.learner.replayer, daemon.definitions["l3-designer"].promptgram
        assert await rehearsal.perform(case(workspace), "l3-designer", prompt, "p") is None
        assert await rehearsal.perform(case(tmp_path / "gone"), "l3-designer", prompt, "p") is None


async def test_numbers_of_the_candidate_are_used_and_pairs_share_their_seeds(
    thoughtful: Home, workspace: Path
) -> None:
    async with running_cluster(thoughtful) as (daemon, _):
        rehearsal = daemon.learner.replayer
        prompt = daemon.definitions["l2-implementer"].promptgram
        warm = prompt.with_meta(temperature=1.5)
        for one in (prompt, warm):
            await rehearsal.perform(case(workspace), "l2-implementer", one, "pair")
        await rehearsal.perform(case(workspace), "l2-implementer", prompt, "other")
        first, second, third = scripts.SEEN
        assert first.temperature != second.temperature == 1.5
        assert first.seed == second.seed != third.seed
        assert not any(request.reuse_prompt for request in scripts.SEEN)
        scripts.SEEN.clear()
        narrow = daemon.definitions["l4-strategist"].promptgram.with_meta(width=1)
        await rehearsal.perform(case(workspace), "l4-strategist", narrow, "p")
        assert "Give between 1 and 1 parts." in scripts.SEEN[0].messages[-1].content


async def test_while_a_change_is_tried_on_a_share_both_sides_ask_alike(home: Home, workspace: Path) -> None:
    async with running_cluster(home) as (daemon, cluster):
        prompts, store = daemon.learner.prompts, daemon.learner.store
        reused = []
        for share in (None, 0.0, 1.0):
            with store.writing():
                for name, neuron in daemon.definitions.items():
                    canary = None if share is None else Canary("c", better(neuron.promptgram), share)
                    prompts.write_canary(name, canary)
            prompts.reload()
            scripts.SEEN.clear()
            task = await cluster.submit("Write add(a, b) in adder.py", workspace=workspace)
            assert (await cluster.wait(task, timeout_seconds=180)).state == "done"
            reused.append({request.reuse_prompt for request in scripts.SEEN})
        assert reused == [{True}, {False}, {False}]


async def test_the_gate_replays_a_designers_candidate(thoughtful: Home, workspace: Path) -> None:
    async with running_cluster(thoughtful) as (daemon, cluster):
        task_id = await cluster.submit(
            "Write add(a, b) in adder.py", workspace=workspace, check="python check.py"
        )
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "failed"
        engine = daemon.learner.engine
        async with asyncio.timeout(120):
            while not engine.judged():
                await asyncio.sleep(0.05)
        edit = {"section": "Heuristics", "edit_type": "append", "content": EDGE}
        change = engine.gate.propose(
            "l3-designer",
            ErrorGradient(
                error_type=TaskFailed(reason="x"),
                magnitude=1.0,
                source_neuron="l2-implementer",
                target_neuron="l3-designer",
                timestamp=0.0,
                context=ErrorContext(),
                suggested_adjustments=[
                    Adjustment(parameter="Heuristics", suggested_value=edit, confidence=1.0)
                ],
            ),
            cause="test",
        )
        assert change is not None
        await engine.gate.step()
        now = engine.gate.ledger.get(change.id)
        assert now.state == "canary"
        assert now.figures["replay"] == {"pairs": 1, "won": 1, "lost": 0, "skipped": 0}
        with daemon.learner.store.reading() as connection:
            prompts = json.loads(connection.execute("SELECT prompts FROM outcomes").fetchone()[0])
        assert {"l4-strategist", "l3-designer"} <= set(prompts)
