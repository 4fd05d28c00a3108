"""What minds are shown: short questions for slow minds, solved examples, evidence beside each parameter."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal9.minds.protocol import Message, Request
from hal9.minds.schema import problems
from hal9.minds.scripted import ScriptedMind
from hal9.promptgram import Promptgram
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.failures import find_failures, slopes_of
from hal9.trainer.inner.loop import InnerSettings
from hal9.trainer.inner.prompting import Sight, choose_tunable, inner_prompt, promising, solved_example
from hal9.trainer.outer.promptgrams import Shelved
from hal9.trainer.outer.prompting import Measured, OuterSight, outer_prompt, solved_edit
from hal9.trainer.protocol import inner_schema, outer_schema, shipped_promptgram
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from hal9.trainer.search.space import Change, apply_changes
from tests.trainer.support import PROPOSAL, inner_mind
from tests.trainer.test_inner import run


def test_slopes_point_where_small_steps_gain(ground: EvaluationData) -> None:
    """From a start that is not the best, estimated slopes and measured small steps agree in direction."""
    base = ground.train.evaluate(Parameters({"weight_tests": 0.4, "weight_pairs": 1.6}))
    slopes = slopes_of(ground.train, base)
    assert slopes["tests"] > 0.0 > slopes["pairs"]
    # Rankings change in jumps, so the slopes are followed some way before the difference is looked at.
    along, against = base.parameters, base.parameters
    for _ in range(3):
        ways = (("weight_tests", "increase"), ("weight_pairs", "decrease"))
        along = apply_changes(along, [Change(n, w, "medium") for n, w in ways], ground.space).parameters  # type: ignore[arg-type]
        turned = (("weight_tests", "decrease"), ("weight_pairs", "increase"))
        against = apply_changes(against, [Change(n, w, "medium") for n, w in turned], ground.space).parameters  # type: ignore[arg-type]
    assert ground.train.evaluate(along).score > base.score >= ground.train.evaluate(against).score


def test_slopes_cost_no_evaluation_and_know_nothing_of_absent_signals(ground: EvaluationData) -> None:
    base = ground.train.evaluate()
    calls = ground.train.calls
    slopes = slopes_of(ground.train, base)
    assert ground.train.calls == calls
    assert "traceback" not in slopes
    assert all(np.isfinite(value) for value in slopes.values())


def test_the_brief_question_says_the_same_with_fewer_words(ground: EvaluationData) -> None:
    evaluation = ground.train.evaluate()
    failures, total = find_failures(ground.train, evaluation, count=4, seed=0)
    sight = Sight(
        parameters=Parameters(), figures=evaluation.figures(), tunable=("weight_words", "weight_path"),
        failures=failures, failing=total, cases=len(evaluation.ndcg), slopes={"words": -0.03, "path": 0.02},
    )  # fmt: skip
    full, brief = inner_prompt(sight), inner_prompt(sight, brief=True)
    assert len(brief) < 0.7 * len(full)
    for text in (full, brief):
        assert "weight_words = 1 " in text
        assert "over all cases decrease helps, slope -0.030" in text
        assert "over all cases increase helps, slope +0.020" in text
        assert failures[0].wanted[0].path in text


@pytest.mark.parametrize(
    ("turns", "schema"),
    [
        (solved_example, inner_schema(["weight_path", "weight_tests"], brief=True)),
        (solved_edit, outer_schema(brief=True)),
    ],
)
def test_a_solved_example_is_a_valid_answer(
    turns: Callable[[], tuple[Message, Message]], schema: dict[str, object]
) -> None:
    question, answer = turns()
    assert (question.role, answer.role) == ("user", "assistant")
    assert problems(json.loads(answer.content), schema) == ()


async def test_a_local_mind_gets_an_example_and_short_texts(ground: EvaluationData, tmp_path: Path) -> None:
    local = InnerSettings.for_mind("local:some-model", episodes=1)
    mind = inner_mind()
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, mind, **{**asdict(local), "tunable": 100})
    (request,) = mind.requests
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.schema is not None
    assert set(request.schema["properties"]) == set(inner_schema(["weight_words"])["properties"])
    assert request.schema["properties"]["diagnosis"]["maxLength"] == 120
    assert not InnerSettings.for_mind("agent:claude").brief


def test_what_was_touched_less_is_shown_first(ground: EvaluationData) -> None:
    names = ground.space.names
    touched = {name: 3 for name in names if name not in names[-5:]}
    shown = choose_tunable(ground.space, [], 4, 0, touched)
    assert set(shown) <= set(names[-5:])
    seen: dict[str, int] = {}
    for number in range(len(names)):
        for name in choose_tunable(ground.space, [], 4, number, seen):
            seen[name] = seen.get(name, 0) + 1
    assert set(seen) == set(names)
    assert max(seen.values()) - min(seen.values()) <= 1


async def test_a_refused_step_is_tried_in_its_other_lengths(ground: EvaluationData, tmp_path: Path) -> None:
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, inner_mind({"weight_pairs": ["increase", "medium", ""]}), episodes=1, probes=4)
    item = PARAMETERS["weight_pairs"]
    start = item.to_unit(item.default)
    moved = [item.to_unit(trial["moved"]["weight_pairs"][1]) - start for trial in pad.entries[0]["trials"]]
    assert moved == [pytest.approx(step) for step in (0.15, 0.05, 0.35)]


async def test_a_kept_step_is_gone_on_with_until_it_stops_helping(
    ground: EvaluationData, tmp_path: Path
) -> None:
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    mind = inner_mind({"weight_tests": ["increase", "medium", ""]})
    done = await run(ground, pad, mind, episodes=1, probes=6, noise=0.3)
    kept = [trial["kept"] for trial in pad.entries[0]["trials"]]
    assert kept[0]
    assert kept == [True] * kept.count(True) + [False] * (len(kept) - kept.count(True))
    assert len(kept) - kept.count(True) <= 1
    assert done.best["weight_tests"] > PARAMETERS["weight_tests"].default


def test_l2_sees_what_was_never_touched_and_small_ones_no_earlier_wording() -> None:
    gram: Promptgram = shipped_promptgram("l1-ranker-tuner")
    measured = Measured(
        "step_001", "inner_v001", {"seed-0": 0.8}, {"seed-0": 0.8}, {"seed-0": {}}, {"weight_path": 2}, {},
        ("what the tuner lacks",), {"seed-0": 3}, 0.5, 0, 5,
    )  # fmt: skip
    past = {
        "parent": "inner_v001",
        "problem": "",
        "proposal": {
            "edits": [{"edit_type": "append", "section": "Policy", "content": "old words", "target": ""}]
        },
        "delta": {"ndcg": 0.0, "error": 0.0},
    }
    sight = OuterSight(
        parent=Shelved("inner_v001", gram),
        measured=measured,
        names=("weight_path", "weight_tests"),
        history=[past],
    )
    full, brief = outer_prompt(sight), outer_prompt(sight, brief=True)
    for text in (full, brief):
        assert "touched: weight_path x2" in text
        assert "never touched: weight_tests" in text
        assert all(item.lstrip("- ") in text for item in gram.items("Policy"))
    assert "old words" in full
    assert "old words" not in brief


def first_open(request: Request) -> dict[str, Any]:
    """The first step that the schema leaves open, whatever the question says."""
    offered = (request.schema or {})["properties"]["proposed_changes"]["properties"]
    name, shape = next(iter(offered.items()))
    way, length, _ = shape.get("anyOf", [shape])[0]["prefixItems"]
    return {**PROPOSAL, "proposed_changes": {name: [way["enum"][0], length["enum"][-1], "first"]}}


async def test_a_small_mind_is_offered_no_step_that_was_measured(
    ground: EvaluationData, tmp_path: Path
) -> None:
    pad = RunLog.create(tmp_path / "scratchpad.json", "inner", {})
    mind = ScriptedMind(first_open)
    await run(ground, pad, mind, episodes=30, probes=1, tunable=3, brief=True)
    measured = [Parameters(trial["params"]) for entry in pad.entries for trial in entry["trials"]]
    assert all(entry["trials"] and not entry["repeated"] for entry in pad.entries)
    assert len(measured) == len(set(measured)) > 30
    # A mind that is asked at length may combine steps, so nothing is closed to it.
    free = ScriptedMind(first_open)
    await run(ground, RunLog.create(tmp_path / "free.json", "inner", {}), free, episodes=2, tunable=3)
    for request in free.requests:
        shapes = (request.schema or {})["properties"]["proposed_changes"]["properties"].values()
        assert all(shape["prefixItems"][0]["enum"] == ["increase", "decrease"] for shape in shapes)


def test_open_steps_are_offered_where_the_slope_speaks_for_them() -> None:
    both, down = {"increase": ["small"], "decrease": ["small", "large"]}, {"decrease": ["medium"]}
    steps: dict[str, Any] = {"weight_words": both, "weight_path": down, "weight_tests": down, "words_k": down}
    slopes = {"words": 0.1, "path": 0.1, "tests": -0.1}
    assert promising(steps, slopes) == ("weight_words", "weight_tests", "words_k")
    assert promising({"weight_path": down}, slopes) == ("weight_path",)  # type: ignore[dict-item]
    shape = inner_schema(list(steps), brief=True, steps=steps)
    for name, ways in steps.items():
        for way in ("increase", "decrease"):
            for length in ("small", "medium", "large"):
                answer = {**PROPOSAL, "proposed_changes": {name: [way, length, ""]}}
                assert (problems(answer, shape) == ()) == (length in ways.get(way, ()))
