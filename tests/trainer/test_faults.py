"""Minds that misbehave at either level: every fault is named in the record, none ends the run or leaks into it."""

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import pytest

from hal9.errors.minds import MindTimeout
from hal9.minds.open import MindSettings, open_mind
from hal9.minds.protocol import Capabilities, Mind, Reply, Request
from hal9.minds.retries import RetryPolicy
from hal9.minds.scripted import ScriptedMind
from hal9.promptgram import MUTABLE_SECTIONS, Edit
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.inner.asking import Stopped, think_unless
from hal9.trainer.inner.loop import InnerLoop, InnerSettings
from hal9.trainer.outer.context import OuterContext
from hal9.trainer.outer.promptgrams import PromptRegistry
from hal9.trainer.outer.stack import OuterResult, OuterSettings, run_stack
from hal9.trainer.protocol import outer_schema, protocol, shipped_promptgram
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.support import OUTER, PROPOSAL, seeded_mind
from tests.trainer.test_inner import fake_agent, run

GOOD_STEP = PROPOSAL["proposed_changes"]
EDIT = OUTER["edits"][0]


async def outer(
    ground: EvaluationData, folder: Path, mind: Mind, *, steps: int = 1, **asking: Any
) -> OuterResult:
    settings = InnerSettings(episodes=1, probes=0, tunable=100, repairs=0)
    workshop = OuterContext(
        ground, seeded_mind(()), mind, folder / "run", PromptRegistry(folder / "prompts"), settings,
        repeats=1, asking=InnerSettings(**{"repairs": 0, "timeout_seconds": 1.0, **asking}),
    )  # fmt: skip
    pad = RunLog.create(folder / "run" / "outer_scratchpad.json", "outer", {})
    async with mind:
        return await run_stack(workshop, pad, OuterSettings(steps=steps, explore=0.0))


def problems(folder: Path) -> list[str]:
    pad = RunLog.load(folder / "run" / "outer_scratchpad.json")
    return [str(entry["problem"]) for entry in pad.entries]


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_words": ["increase", "medium", "a"], "weight_magic": ["increase", "small", ""]},
        {f"weight_{n}": ["increase", "small", ""] for n in range(200)},
        {name: ["increase", "large", ""] for name in list(PARAMETERS)[:30]},
        {"weight_words\u2028## Role": ["increase", "small", ""]},
        {},
    ],
)
async def test_proposals_beyond_what_is_offered_move_at_most_what_is_allowed(
    ground: EvaluationData, tmp_path: Path, changes: dict[str, Any]
) -> None:
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, ScriptedMind([{**PROPOSAL, "proposed_changes": changes}]), episodes=1, probes=0)
    (entry,) = pad.entries
    moved = {name for trial in entry["trials"] for name in trial["moved"]}
    assert moved <= set(ground.space.names)
    assert len(moved) <= 4
    assert entry["problems"]


@pytest.mark.parametrize("confidence", ["NaN", "Infinity", "-1", "7", '"sure"', "null", "[0.5]"])
async def test_a_confidence_that_is_none_is_clamped_or_refused(
    ground: EvaluationData, tmp_path: Path, confidence: str
) -> None:
    text = json.dumps({**PROPOSAL, "confidence": 0.123}).replace("0.123", confidence)
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, ScriptedMind([text]), episodes=1, probes=0)
    (entry,) = pad.entries
    assert entry["invalid_reply"] or 0.0 <= entry["confidence"] <= 1.0


async def test_a_run_of_faults_ends_with_every_one_of_them_in_the_record(
    ground: EvaluationData, tmp_path: Path
) -> None:
    faults: list[Any] = [
        f"Sure! Here is my step:\n{json.dumps(PROPOSAL)}\nGood luck.",
        {},
        {**PROPOSAL, "proposed_changes": {}},
        {**PROPOSAL, "proposed_changes": {"weight_words": ["up", "a lot", ""]}},
        "I'm sorry, but I can't help with that.",
        json.dumps(PROPOSAL)[:-40],
        MindTimeout(mind="slow", seconds=1.0),
        {**PROPOSAL, "proposed_changes": {"weight_tests": ["increase", "large", "at last"]}},
    ]
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    done = await run(ground, pad, ScriptedMind(faults), episodes=len(faults), noise=0.5, probes=0)
    assert done.episodes == len(faults)
    readable = [not entry["error"] for entry in pad.entries]
    assert readable == [True, False, True, False, False, False, False, True]
    assert pad.entries[2]["problems"] == ["proposed_changes was empty; name at least one parameter"]
    assert any("schema_corruption" in entry["detections"] for entry in pad.entries)
    assert pad.entries[-1]["kept"]
    assert done.best != Parameters()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 1", "ended with status 1"),
        ("sleep 60", "no complete answer"),
        ("cat > /dev/null; echo I would rather not", "no valid reply"),
        (f"cat > /dev/null; printf '%s' '{json.dumps({'result': json.dumps(OUTER)})[:150]}'; exit 0", ""),
    ],
)
async def test_an_l2_agent_that_fails_costs_its_step_and_nothing_else(
    ground: EvaluationData, tmp_path: Path, body: str, said: str
) -> None:
    settings = MindSettings(agent=fake_agent(tmp_path, body), retries=RetryPolicy(attempts=1, timeouts=1))
    mind = open_mind("agent:claude", settings=settings)
    done = await asyncio.wait_for(outer(ground, tmp_path, mind), 120)
    assert (done.steps, done.best) == (1, "inner_v001")
    assert said in problems(tmp_path)[0]
    assert problems(tmp_path)[0]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {**OUTER, "edits": []},
        {**OUTER, "mode": "destroy"},
        {**OUTER, "edits": [{**EDIT, "section": "Output_schema"}]},
        {**OUTER, "edits": [{**EDIT, "edit_type": "rewrite"}]},
        "no.",
        json.dumps(OUTER)[:100],
    ],
)
async def test_l2_replies_that_cannot_be_used_are_told(
    ground: EvaluationData, tmp_path: Path, reply: Any
) -> None:
    done = await outer(ground, tmp_path, ScriptedMind([reply]))
    assert "no valid reply" in problems(tmp_path)[0]
    assert done.best == "inner_v001"
    assert PromptRegistry(tmp_path / "prompts").names() == ["inner_v001"]


async def test_json_in_l2s_prose_is_read(ground: EvaluationData, tmp_path: Path) -> None:
    await outer(ground, tmp_path, ScriptedMind([f"Well.\n```json\n{json.dumps(OUTER)}\n```\nBye."]))
    assert problems(tmp_path) == [""]
    assert PromptRegistry(tmp_path / "prompts").names() == ["inner_v001", "inner_v002"]


async def test_a_refused_edit_is_asked_for_again_with_the_reason(
    ground: EvaluationData, tmp_path: Path
) -> None:
    absent = {**EDIT, "edit_type": "replace", "target": "what nobody wrote"}
    mind = ScriptedMind([{**OUTER, "edits": [absent]}, OUTER])
    await outer(ground, tmp_path, mind, repairs=1)
    assert problems(tmp_path) == [""]
    first, second = (request.messages[-1].content for request in mind.requests)
    assert "was refused" not in first
    assert "an edit does not apply" in second
    assert "what nobody wrote" in second


@pytest.mark.parametrize("kind", ["append", "replace", "delete"])
def test_a_constrained_l2_can_only_name_items_that_are_there(kind: str) -> None:
    gram = shipped_promptgram("l1-ranker-tuner")
    schema = outer_schema({name: gram.items(name) for name in MUTABLE_SECTIONS}, brief=True)
    offered = [
        edit["properties"]
        for edit in schema["properties"]["edits"]["items"]["anyOf"]
        if edit["properties"]["edit_type"]["enum"] == [kind]
    ]
    assert [edit["section"]["enum"][0] for edit in offered] == list(MUTABLE_SECTIONS)
    texts = protocol("inner")
    for edit in offered:
        for target in edit["target"]["enum"]:
            made = {"section": edit["section"]["enum"][0], "edit_type": kind, "target": target}
            content = "" if kind == "delete" else "Something new."
            child = gram.apply(Edit.from_dict({**made, "content": content}))
            rendered = child.render(protocol=texts)
            assert all(text in rendered for text in texts.values())


class Endless:
    """A mind that never answers."""

    name = "endless"
    capabilities = Capabilities()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def think(self, request: Request, **_: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError


async def test_cancelling_does_not_wait_for_a_mind(ground: EvaluationData, tmp_path: Path) -> None:
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > 2

    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    loop = InnerLoop(
        Endless(),
        shipped_promptgram("l1-ranker-tuner"),
        ground.train,
        ground.space,
        pad,
        InnerSettings(),
        stop=stop,
    )
    done = await asyncio.wait_for(loop.run(), 120)
    assert (done.reason, done.episodes) == ("cancelled", 0)
    with pytest.raises(Stopped):
        await think_unless(Endless(), Request(()), lambda: True)
