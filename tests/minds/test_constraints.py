"""Which constraints of a schema the local model's decoding holds, and that the check holds all of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hal9.minds import LocalMind, LocalSettings, Message, Request
from hal9.minds.schema import constrainable, problems
from tests.minds.constraint_table import CASES, END, START, Case, enclosed, table

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_check_finds_what_decoding_may_leave(case: Case) -> None:
    assert problems({"v": case.broken}, enclosed(case))


def test_a_long_value_does_not_hide_what_is_wrong_with_it() -> None:
    (told,) = problems(["word" * 20] * 9, {"type": "array", "maxItems": 3})
    assert told.endswith("is too long")
    assert len(told) < 300


def test_the_table_of_the_documentation_is_this_one() -> None:
    told = PAGE.read_text(encoding="utf-8").split(START)[1].split(END)[0].strip()
    assert told == table(CASES), "python -m tests.minds.constraint_table writes it"


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"allOf": [{"$ref": "#/$defs/x"}], "default": "a"}, {"$ref": "#/$defs/x", "default": "a"}),
        (
            {"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 9}]},
            {"type": "integer", "minimum": 1, "maximum": 9},
        ),
        (
            {"description": "a", "allOf": [{"type": "string", "description": "b"}]},
            {"type": "string", "description": "b"},
        ),
        ({"type": "integer", "allOf": [{"minimum": 1}, {"minimum": 5}]}, {"type": "integer"}),
        ({"allOf": [{"$ref": "#/a"}, {"$ref": "#/b"}]}, {"allOf": [{"$ref": "#/a"}, {"$ref": "#/b"}]}),
        ({"allOf": True}, {"allOf": True}),
    ],
)
def test_an_all_of_simple_values_is_sent_as_one_schema(schema: dict[str, Any], sent: dict[str, Any]) -> None:
    assert constrainable(schema) == sent


@pytest.mark.slow
@pytest.mark.local_model
async def test_the_table_is_true_of_the_local_model(local_model: Path) -> None:
    """Repeating is what a small model does best: what is not enforced comes back broken."""
    wrong: list[str] = []
    async with LocalMind(LocalSettings(threads=1, context_tokens=2048, parallel=2)) as mind:
        for case in CASES:
            reply = await mind.think(
                Request(
                    (
                        Message("system", "You repeat what you are given."),
                        Message(
                            "user",
                            "Repeat this JSON exactly, character for character, and write nothing else:\n"
                            + json.dumps({"v": case.broken}),
                        ),
                    ),
                    schema=enclosed(case),
                    temperature=0.0,
                    seed=1,
                    max_tokens=80,
                )
            )
            held = not problems(json.loads(reply.text), enclosed(case))
            if held != case.enforced:
                wrong.append(f"{case.name}: {reply.text}")
    assert wrong == []
