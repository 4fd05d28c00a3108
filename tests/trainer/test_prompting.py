"""What minds are shown: short questions for slow minds, solved examples, evidence beside each parameter."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hal9.minds.protocol import Message
from hal9.minds.schema import problems
from hal9.promptgram import Promptgram
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.failures import FAILING, find_failures, leads_of
from hal9.trainer.inner import InnerSettings
from hal9.trainer.outer_prompting import Measured, OuterSight, outer_prompt, solved_edit
from hal9.trainer.promptgrams import Shelved
from hal9.trainer.prompting import Sight, choose_levers, inner_prompt, solved_example
from hal9.trainer.protocol import inner_schema, outer_schema, shipped_promptgram
from hal9.trainer.runs import Ground
from hal9.trainer.scratchpad import Scratchpad
from tests.trainer.support import inner_mind
from tests.trainer.test_inner import run


def test_a_leads_sign_says_who_has_more(ground: Ground) -> None:
    evaluation = ground.train.evaluate()
    leads = leads_of(ground.train, evaluation)
    failing = np.flatnonzero(evaluation.ndcg < FAILING)
    failures, total = find_failures(ground.train, evaluation, count=len(failing), seed=0)
    assert total == len(failures) == len(failing)
    assert leads
    for name, value in leads.items():
        theirs = [failure.lack.get(name, 0.0) for failure in failures]
        assert value == pytest.approx(float(np.mean(theirs)), abs=0.05)


def test_the_brief_question_says_the_same_with_fewer_words(ground: Ground) -> None:
    evaluation = ground.train.evaluate()
    failures, total = find_failures(ground.train, evaluation, count=4, seed=0)
    sight = Sight(
        parameters=Parameters(), figures=evaluation.figures(), levers=("weight_words", "weight_path"),
        failures=failures, failing=total, cases=len(evaluation.ndcg), leads={"words": 0.3, "path": -0.2},
    )  # fmt: skip
    full, brief = inner_prompt(sight), inner_prompt(sight, brief=True)
    assert len(brief) < 0.7 * len(full)
    for text in (full, brief):
        assert "weight_words = 1 " in text
        assert "distractors have 0.30 more of it, which speaks for decrease" in text
        assert "wanted files have 0.20 more of it, which speaks for increase" in text
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


async def test_a_local_mind_gets_an_example_and_short_texts(ground: Ground, tmp_path: Path) -> None:
    local = InnerSettings.for_mind("local:some-model", episodes=1)
    mind = inner_mind()
    pad = Scratchpad.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, mind, **{**local.to_json(), "levers": 100})
    (request,) = mind.requests
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.schema is not None
    assert set(request.schema["properties"]) == set(inner_schema(["weight_words"])["properties"])
    assert request.schema["properties"]["diagnosis"]["maxLength"] == 120
    assert not InnerSettings.for_mind("agent:claude").brief


def test_what_was_touched_less_is_shown_first(ground: Ground) -> None:
    names = ground.space.names
    touched = {name: 3 for name in names if name not in names[-5:]}
    shown = choose_levers(ground.space, [], 4, 0, touched)
    assert set(shown) <= set(names[-5:])
    seen: dict[str, int] = {}
    for number in range(len(names)):
        for name in choose_levers(ground.space, [], 4, number, seen):
            seen[name] = seen.get(name, 0) + 1
    assert set(seen) == set(names)
    assert max(seen.values()) - min(seen.values()) <= 1


async def test_a_refused_step_is_tried_in_its_other_lengths(ground: Ground, tmp_path: Path) -> None:
    pad = Scratchpad.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, inner_mind({"weight_pairs": ["increase", "medium", ""]}), episodes=1, probes=4)
    item = PARAMETERS["weight_pairs"]
    start = item.to_unit(item.default)
    moved = [item.to_unit(trial["moved"]["weight_pairs"][1]) - start for trial in pad.entries[0]["trials"]]
    assert moved == [pytest.approx(step) for step in (0.15, 0.05, 0.35)]


async def test_a_kept_step_is_gone_on_with_until_it_stops_helping(ground: Ground, tmp_path: Path) -> None:
    pad = Scratchpad.create(tmp_path / "scratchpad.json", "inner", {})
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
