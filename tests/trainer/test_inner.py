"""L1 keeps only what is measured to help, tells minds what became of their proposals, and survives bad replies."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from hal9.budgets import BudgetStore, Limit
from hal9.errors.budgets import PriceUnknown
from hal9.errors.minds import MindRefusedKey, MindTimeout
from hal9.errors.trainer import ScratchpadInvalid
from hal9.minds.agents import AgentSettings
from hal9.minds.budgeted import BudgetedMind
from hal9.minds.open import MindSettings, open_mind
from hal9.minds.protocol import Mind, Request, Usage
from hal9.minds.recording import RecordingMind
from hal9.minds.retries import RetryPolicy
from hal9.minds.scripted import ScriptedMind
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.failures import find_failures, gradient_of
from hal9.trainer.inner.loop import InnerLoop, InnerResult, InnerSettings
from hal9.trainer.protocol import inner_schema, protocol, shipped_promptgram
from hal9.trainer.record.detection import detect_inner
from hal9.trainer.record.episodes import InnerEpisode, Trial
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.support import PROPOSAL, inner_mind, seeded_mind

START = Parameters()
GOOD = {"weight_tests": ["increase", "large", "tests tell"]}
"""In the small corpus this step helps, and raising weight_pairs harms."""


async def run(
    ground: EvaluationData, pad: RunLog, mind: Mind, *, start: Parameters = START, **settings: Any
) -> InnerResult:
    chosen = InnerSettings(**{"episodes": 4, "repairs": 0, "tunable": 100, **settings})
    async with mind:
        loop = InnerLoop(
            mind, shipped_promptgram("l1-ranker-tuner"), ground.train, ground.space, pad, chosen, start=start
        )
        return await loop.run()


@pytest.fixture
def pad(tmp_path: Path) -> RunLog:
    return RunLog.create(tmp_path / "run" / "scratchpad.json", "inner", {})


async def test_a_step_that_helps_is_kept_and_one_that_harms_taken_back(
    ground: EvaluationData, pad: RunLog
) -> None:
    mind = inner_mind(GOOD, {"weight_pairs": ["increase", "large", "pairs"]})
    done = await run(ground, pad, mind, episodes=2, probes=0, noise=0.5)
    first, second = pad.entries
    adjustment = first["gradients"][0]["suggested_adjustments"][0]
    assert (adjustment["parameter"], adjustment["suggested_value"]) == ("weight_tests", pytest.approx(1.75))
    assert first["kept"]
    assert first["trials"][0]["gain"] > 0
    assert not second["kept"]
    assert second["trials"][0]["gain"] < 0
    item = PARAMETERS["weight_tests"]
    assert done.best["weight_tests"] == pytest.approx(item.from_unit(item.to_unit(item.default) + 0.35))
    assert done.score > done.start_score
    assert done.evaluations == 3
    told = mind.requests[1].messages[1].content
    assert "KEPT" in told
    assert "weight_tests 0.7 -> 1.75" in told


async def test_the_prompt_holds_real_failures_with_ranks_and_signals(
    ground: EvaluationData, pad: RunLog
) -> None:
    mind = inner_mind()
    await run(ground, pad, mind, episodes=1, failures=2)
    system, user = (message.content for message in mind.requests[0].messages)
    evaluation = ground.train.evaluate(START)
    failures, total = find_failures(ground.train, evaluation, count=2, seed=0)
    for text in protocol("inner").values():
        assert text in system
    assert f"{total} of {len(evaluation.ndcg)} cases fail" in user
    for failure in failures:
        for found in failure.wanted:
            assert f"wanted {found.path} at rank {found.rank}" in user
        for found in failure.distractors:
            assert f"distractor {found.path} at rank {found.rank}" in user
            assert found.rank < max(wanted.rank for wanted in failure.wanted)
    for name in pad.entries[0]["levers"]:
        item = PARAMETERS[name]
        assert f"- {name} = {START[name]:.4g} ({item.low:g} to {item.high:g}, {item.scale})" in user


async def test_probes_find_the_step_that_helps_in_a_set_that_does_not(
    ground: EvaluationData, pad: RunLog
) -> None:
    mixed = {**GOOD, "weight_pairs": ["increase", "large", ""], "role_test": ["decrease", "small", ""]}
    done = await run(ground, pad, inner_mind(mixed), episodes=1, probes=3, noise=0.5)
    entry = pad.entries[0]
    assert [trial["kept"] for trial in entry["trials"][:2]] == [False, True]
    assert list(done.best.changes()) == ["weight_tests"]
    assert done.evaluations == 1 + len(entry["trials"])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({}, "not valid"),
        ("I cannot help with that.", "no JSON"),
        ("", "no JSON"),
        (json.dumps(PROPOSAL)[:120], "no JSON"),
        ({**PROPOSAL, "proposed_changes": {"weight_words": ["+", "medium", ""]}}, "not valid"),
        ({**PROPOSAL, "proposed_changes": {"weight_words": ["increase", "huge", ""]}}, "not valid"),
        ({**PROPOSAL, "proposed_changes": {"weight_words": ["increase"]}}, "not valid"),
        ({**PROPOSAL, "proposed_changes": {"weight_words": 2.0}}, "not valid"),
        ([1, 2], "not valid"),
    ],
)
async def test_replies_that_cannot_be_used_are_recorded_and_fed_back(
    ground: EvaluationData, pad: RunLog, reply: Any, said: str
) -> None:
    mind = ScriptedMind([reply, PROPOSAL])
    done = await run(ground, pad, mind, episodes=2, noise=0.5)
    first, second = pad.entries
    assert said in first["error"]
    assert first["invalid_reply"]
    assert not first["trials"]
    assert not second["error"]
    assert "none that could be read" in mind.requests[1].messages[1].content
    assert done.episodes == 2


async def test_json_in_prose_is_read(ground: EvaluationData, pad: RunLog) -> None:
    text = f"Let me think about it.\n```json\n{json.dumps(PROPOSAL)}\n```\nHope that helps!"
    await run(ground, pad, ScriptedMind([text]), episodes=1)
    assert pad.entries[0]["proposed_changes"] == PROPOSAL["proposed_changes"]
    assert len(pad.entries[0]["trials"]) >= 1


async def test_unknown_names_and_empty_proposals_are_fed_back(ground: EvaluationData, pad: RunLog) -> None:
    mind = inner_mind({"weight_magic": ["increase", "small", ""]}, {})
    await run(ground, pad, mind, episodes=3)
    asked = [request.messages[1].content for request in mind.requests]
    assert "weight_magic" in asked[1]
    assert "proposed_changes was empty" in asked[1]
    assert "schema_corruption" in pad.entries[1]["detections"]
    assert "schema_corruption" in asked[2]


async def test_a_repeated_candidate_is_not_measured_again(ground: EvaluationData, pad: RunLog) -> None:
    mind = inner_mind({"weight_words": ["increase", "large", ""]})
    await run(ground, pad, mind, episodes=2, noise=50.0, probes=0)
    assert pad.entries[1]["trials"] == []
    assert "repetition" in pad.entries[1]["detections"]
    assert ground.train.calls == 2


async def test_a_mind_that_has_nothing_new_to_say_ends_the_run(ground: EvaluationData, pad: RunLog) -> None:
    done = await run(ground, pad, inner_mind(GOOD), episodes=50, probes=0, patience=3, noise=0.5)
    assert done.reason == "nothing new proposed"
    assert len(pad.entries) < 10
    assert [bool(entry["trials"]) for entry in pad.entries[-7:]] == [True] + [False] * 6


@pytest.mark.parametrize(
    "error", [MindRefusedKey(mind="hosted", detail="no key", variable="KEY"), PriceUnknown(mind="hosted")]
)
async def test_what_no_question_will_be_spared_ends_the_run_at_once(
    ground: EvaluationData, pad: RunLog, error: Exception
) -> None:
    mind = ScriptedMind([PROPOSAL, error])
    with pytest.raises(type(error)):
        await run(ground, pad, mind, episodes=4)
    assert len(pad.entries) == 1
    more = await run(ground, RunLog.load(pad.path), inner_mind(), episodes=2)
    assert more.episodes == 2


async def test_minds_that_keep_failing_end_the_run(ground: EvaluationData, pad: RunLog) -> None:
    mind = ScriptedMind(lambda _: MindTimeout(mind="slow", seconds=1.0))
    done = await run(ground, pad, mind, episodes=50, patience=3)
    assert done.reason == "minds failing"
    assert len(pad.entries) == 3
    assert "no complete answer" in pad.entries[0]["error"]
    assert not pad.entries[0]["invalid_reply"]


async def test_a_budget_ends_the_run_with_the_best_kept(
    ground: EvaluationData, pad: RunLog, tmp_path: Path
) -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=10)
    script = ScriptedMind([{**PROPOSAL, "proposed_changes": GOOD}] * 9, usage=usage)
    with BudgetStore(tmp_path / "book.sqlite", [Limit(kind="calls", scope="task", value=2)]) as book:
        done = await run(ground, pad, BudgetedMind(script, book), episodes=9, noise=0.5)
        assert book.spent("ripmap-train").calls == 2
    assert done.reason == "budget"
    assert len(pad.entries) == 2
    assert done.score > done.start_score
    assert done.usage.calls == 2


@pytest.mark.parametrize("killed_after", [0, 1, 3])
async def test_resuming_at_any_episode_gives_the_same_record(
    ground: EvaluationData, tmp_path: Path, killed_after: int
) -> None:
    def facts(pad: RunLog) -> list[Any]:
        keep = ("proposed_changes", "params", "best_ndcg", "kept", "levers", "detections", "problems")
        return [{key: entry[key] for key in keep} for entry in pad.entries]

    whole = RunLog.create(tmp_path / "whole.json", "inner", {})
    straight = await run(ground, whole, seeded_mind([]), episodes=5)
    broken = RunLog.create(tmp_path / "broken.json", "inner", {})
    await run(ground, broken, seeded_mind([]), episodes=killed_after)
    done = await run(ground, RunLog.load(tmp_path / "broken.json"), seeded_mind([]), episodes=5)
    assert facts(RunLog.load(tmp_path / "broken.json")) == facts(whole)
    assert (done.best, done.evaluations) == (straight.best, straight.evaluations)


async def test_cancelling_ends_between_episodes(ground: EvaluationData, pad: RunLog) -> None:
    mind = inner_mind()
    chosen = InnerSettings(episodes=9)
    loop = InnerLoop(mind, shipped_promptgram("l1-ranker-tuner"), ground.train, ground.space, pad, chosen)
    loop.stop = lambda: len(pad.entries) >= 1
    assert (await loop.run()).reason == "cancelled"
    assert len(pad.entries) == 1


def test_an_altered_or_torn_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scratchpad.json"
    pad = RunLog.create(path, "inner", {"a": 1})
    for number in range(3):
        pad.append({"episode": number, "best_ndcg": 0.5, "params": {}, "kept": False})
    assert [entry["episode"] for entry in RunLog.load(path).entries] == [0, 1, 2]
    text = path.read_text()
    path.write_text(text.replace('"best_ndcg": 0.5', '"best_ndcg": 0.9', 1))
    with pytest.raises(ScratchpadInvalid, match="episode 0 was altered"):
        RunLog.load(path)
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ScratchpadInvalid, match="unreadable"):
        RunLog.load(path)
    path.write_text(text.replace('"schema_version": 1', '"schema_version": 7'))
    with pytest.raises(ScratchpadInvalid, match="schema version 7"):
        RunLog.load(path)


def test_an_entry_of_another_type_is_named_and_early_ones_are_read(tmp_path: Path) -> None:
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    early = {"episode": 0, "best_ndcg": 0.5, "params": {"words_k": 1.2}, "kept": False}
    pad.append({**early, "of a later version": [1]})
    assert RunLog.load(pad.path).entries == pad.entries
    pad.append({**early, "trials": [{"moved": {}, "params": {}, "ndcg": "good", "kept": True}]})
    with pytest.raises(ScratchpadInvalid, match=r"episode 1 is none \(trials\.0\.ndcg"):
        RunLog.load(pad.path)


def test_detections_are_named() -> None:
    def entry(*steps: tuple[str, str], kept: bool = False, gain: float = 0.0) -> InnerEpisode:
        changes = {name: [direction, "small", ""] for name, direction in steps}
        trial: Trial = {"moved": {}, "params": {}, "ndcg": 0.5, "kept": kept, "gain": gain}
        return {
            "episode": 0,
            "best_ndcg": 0.5,
            "params": {},
            "kept": kept,
            "proposed_changes": changes,
            "trials": [trial],
            "diagnosis": "x",
        }

    assert detect_inner([entry(("a", "increase"), gain=-0.06)]) == ["collapse"]
    # Nothing kept with five different parameters is a plateau; a basin is few parameters.
    assert detect_inner([entry((name, "increase")) for name in "abcde"]) == ["plateau"]
    assert "basin_lock_in" in detect_inner([entry(("a", "increase"), kept=True)] * 5)
    assert detect_inner([entry((name, "increase"), kept=True) for name in "abcde"]) == []
    to_and_fro = [
        entry(("a", way), ("b", "increase"), ("c", "increase"), kept=True)
        for way in ("increase", "decrease", "increase", "decrease")
    ]
    assert detect_inner(to_and_fro) == ["oscillation"]
    assert detect_inner([entry(kept=True), entry(kept=True)]) == ["schema_corruption"]


def test_a_failure_is_an_error_gradient(ground: EvaluationData) -> None:
    evaluation = ground.train.evaluate(START)
    failures, _ = find_failures(ground.train, evaluation, count=1, seed=0)
    gradient = gradient_of(failures[0], timestamp=5.0)
    assert gradient.magnitude == pytest.approx(1 - failures[0].ndcg)
    assert failures[0].wanted[0].path in gradient.context.failure_point


def test_the_schema_enumerates_parameters_and_closes_every_set() -> None:
    schema = inner_schema(["weight_words"])
    changes = schema["properties"]["proposed_changes"]
    assert changes["additionalProperties"] is False
    assert list(changes["properties"]) == ["weight_words"]
    direction, magnitude, _ = changes["properties"]["weight_words"]["prefixItems"]
    assert direction["enum"] == ["increase", "decrease"]
    assert magnitude["enum"] == ["small", "medium", "large"]


def fake_agent(folder: Path, body: str) -> AgentSettings:
    """An executable named `claude` that does what `body` says."""
    program = folder / "claude"
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo 1.0; exit 0; fi\n{body}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return AgentSettings(environment={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 1", "ended with status 1"),
        ("sleep 60", "no complete answer"),
        ("cat > /dev/null; echo not json at all", "no valid reply"),
        ('cat > /dev/null; echo \'{"result": "I cannot do that"}\'', "no valid reply"),
    ],
)
async def test_agents_that_fail_are_recorded(
    ground: EvaluationData, pad: RunLog, tmp_path: Path, body: str, said: str
) -> None:
    settings = MindSettings(agent=fake_agent(tmp_path, body), retries=RetryPolicy(attempts=1, timeouts=1))
    mind = open_mind("agent:claude", settings=settings)
    await asyncio.wait_for(run(ground, pad, mind, episodes=1, timeout_seconds=1.0), 120)
    entry = pad.entries[0]
    assert said in entry["error"] or (said == "no valid reply" and entry["invalid_reply"])
    assert entry["trials"] == []


async def test_an_agents_answer_trains(ground: EvaluationData, pad: RunLog, tmp_path: Path) -> None:
    answer = json.dumps(
        {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "result": json.dumps(PROPOSAL),
            "usage": {"input_tokens": 5, "output_tokens": 7},
            "total_cost_usd": 0.01,
        }
    )
    (tmp_path / "answer.json").write_text(answer)
    settings = MindSettings(agent=fake_agent(tmp_path, f"cat > /dev/null; cat {tmp_path}/answer.json"))
    await run(ground, pad, open_mind("agent:claude", settings=settings), episodes=1)
    assert pad.entries[0]["error"] == ""
    assert pad.entries[0]["proposed_changes"] == PROPOSAL["proposed_changes"]
    assert pad.entries[0]["usage"]["usd"] == pytest.approx(0.01)


async def test_a_recording_replays_the_run(ground: EvaluationData, tmp_path: Path) -> None:
    def script(request: Request) -> Any:
        return PROPOSAL

    first = RunLog.create(tmp_path / "a.json", "inner", {})
    await run(ground, first, RecordingMind(ScriptedMind(script), tmp_path / "tape.jsonl"), episodes=2)
    second = RunLog.create(tmp_path / "b.json", "inner", {})
    await run(ground, second, open_mind(f"replay:{tmp_path}/tape.jsonl"), episodes=2)
    assert [e["reasoning"] for e in second.entries] == [e["reasoning"] for e in first.entries]
    assert all(not entry["error"] for entry in second.entries)
