"""JSON out of prose, safe corrections, validation, resampling."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.minds import MindReplyInvalid
from hal9.minds import Message, OnToken, Reply, Request, Usage, answer
from hal9.minds.schema import constrainable, correct, json_values, problems, schema_instruction

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "steps": {"type": "integer", "minimum": 1},
    },
    "required": ["name"],
    "minProperties": 2,
    "additionalProperties": False,
}
ASK = Request((Message("user", "?"),), schema=SCHEMA, seed=5, temperature=0.0)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2]}',
        '  {"a": [1, 2]}\n',
        'Sure! Here it is:\n```json\n{"a": [1, 2]}\n```\nAnything else?',
        'I think {this} is right: {"a": [1, 2]} as {you} asked.',
        '```\n{"a": [1, 2],}\n```',
        'first {"a": [1, 2',
    ],
)
def test_json_is_found_in_prose(text: str) -> None:
    found = list(json_values(text))
    if text.startswith("first"):
        assert {"a": [1, 2]} not in found
    else:
        assert {"a": [1, 2]} in found


def test_raw_line_breaks_inside_strings_are_read() -> None:
    assert {"code": "a\nb"} in list(json_values('{"code": "a\nb"}'))


def test_what_is_not_json_is_not_guessed() -> None:
    assert list(json_values("{'a': 1}")) == []
    assert list(json_values('{"a": NaN}')) == []
    assert list(json_values("no json at all")) == []


def test_deep_nesting_is_refused_not_a_crash() -> None:
    assert list(json_values("[" * 100_000)) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_every_json_text_is_read_back(value: Any) -> None:
    assert next(json_values(json.dumps(value))) == value


def test_numbers_are_clamped_strings_cut_and_each_correction_is_noted() -> None:
    value, notes = correct({"name": "abcdefg", "confidence": "1.67", "steps": 0, "more": 1}, SCHEMA)
    assert value == {"name": "abcde", "confidence": 1, "steps": 1}
    assert len(notes) == 5
    assert any("$.confidence" in note and "clamped" in note for note in notes)
    assert problems(value, SCHEMA) == ()


def test_corrections_reach_into_lists() -> None:
    schema = {"type": "array", "items": {"type": "integer", "maximum": 3}}
    assert correct([1, 9, 2.0], schema)[0] == [1, 3, 2]
    pair = {"type": "array", "prefixItems": [{"type": "number", "minimum": 0}, {"type": "string"}]}
    assert correct([-1, "x", "y"], pair)[0] == [0, "x", "y"]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_clamped_number_is_always_valid(value: float, low: float, width: float) -> None:
    schema = {"type": "number", "minimum": low, "maximum": low + width}
    assert problems(correct(value, schema)[0], schema) == ()


def test_booleans_are_not_numbers() -> None:
    schema = {"type": "number", "minimum": 5}
    assert correct(True, schema) == (True, ())
    assert problems(True, schema) != ()


def test_what_cannot_be_corrected_is_told_with_its_place() -> None:
    told = problems({"name": 3, "steps": "x"}, SCHEMA)
    assert any(text.startswith("$.name:") for text in told)
    assert any(text.startswith("$.steps:") for text in told)


def test_a_schema_never_fetches_anything() -> None:
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        problems({}, {"$ref": "http://127.0.0.1:1/schema.json"})


def test_the_constrained_schema_is_what_llama_cpp_can_do() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "string"}],
                "items": False,
            },
            "text": {"type": "string", "maxLength": 100_000},
            "kind": {"enum": [{"items": False}, "maxLength"]},
        },
    }
    made = constrainable(schema)
    assert made["additionalProperties"] is False
    pair = made["properties"]["pair"]
    assert "items" not in pair
    assert (pair["minItems"], pair["maxItems"]) == (2, 2)
    assert "maxLength" not in made["properties"]["text"]
    assert made["properties"]["kind"]["enum"] == [{"items": False}, "maxLength"]
    assert "additionalProperties" not in schema, "the caller's schema is left alone"


def test_the_instruction_carries_the_schema() -> None:
    assert json.loads(schema_instruction(SCHEMA).split("\n", 1)[1]) == SCHEMA


class _Script:
    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = list(texts), list[Request]()

    async def __call__(self, request: Request, on_token: OnToken | None) -> Reply:
        self.asked.append(request)
        return Reply(
            self.texts.pop(0), "script", Usage(prompt_tokens=3, completion_tokens=2, usd=0.5, seconds=1)
        )


async def test_a_failed_reply_is_sampled_anew_from_the_same_prompt() -> None:
    script = _Script("no", '{"name": "a"}', 'Here: {"name": "a", "confidence": 7}')
    reply = await answer(script, ASK, None, name="script")
    assert reply.parsed == {"name": "a", "confidence": 1}
    assert reply.notes == ("$.confidence: clamped 7 to 1",)
    assert reply.usage == Usage(prompt_tokens=9, completion_tokens=6, usd=1.5, seconds=3, calls=3)
    assert [request.messages for request in script.asked] == [ASK.messages] * 3
    assert [request.seed for request in script.asked] == [5, 6, 7]
    assert [request.temperature for request in script.asked] == [0.0, 0.7, 0.7]


async def test_when_no_attempt_is_valid_the_last_text_and_reason_are_told() -> None:
    with pytest.raises(MindReplyInvalid) as failed:
        await answer(_Script("a", "b", '{"name": 1}'), ASK, None, name="script")
    assert failed.value.attempts == 3
    assert failed.value.text == '{"name": 1}'
    assert "$.name" in failed.value.reason


async def test_an_empty_reply_is_no_answer() -> None:
    plain = Request((Message("user", "?"),), repairs=1)
    assert (await answer(_Script(" ", "yes"), plain, None, name="script")).text == "yes"
    with pytest.raises(MindReplyInvalid, match="empty"):
        await answer(_Script("", ""), plain, None, name="script")


async def test_a_valid_value_later_in_the_text_wins_over_an_invalid_one_before() -> None:
    script = _Script('{"thought": 1} so: {"name": "a", "steps": 2}')
    reply = await answer(script, ASK, None, name="script")
    assert reply.parsed == {"name": "a", "steps": 2}
