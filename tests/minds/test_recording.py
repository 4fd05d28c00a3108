"""Record once, replay without the model."""

import dataclasses
import json
from pathlib import Path

import pytest

from hal9.errors.minds import RecordingDamaged, ReplayMiss
from hal9.minds import (
    Message,
    MindSettings,
    RecordingMind,
    ReplayMind,
    Request,
    RetryPolicy,
    ScriptedMind,
    open_mind,
)
from hal9.minds.recording import request_key
from tests.minds.fake_openai import FakeOpenAI, fails, says

ASK = Request((Message("system", "s"), Message("user", "hello")), seed=1)
SCHEMA = {"type": "object", "required": ["a"]}


async def test_what_was_recorded_is_replayed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "talk.jsonl"
    other = dataclasses.replace(ASK, messages=(Message("user", "line\u2028separator, ümlaut"),))
    async with RecordingMind(ScriptedMind(["one", "two", "three\u2028"]), path) as mind:
        for request in (ASK, ASK, other):
            await mind.think(request)
    async with ReplayMind(path) as mind:
        assert (await mind.think(other)).text == "three\u2028"
        assert [(await mind.think(ASK)).text for _ in range(2)] == ["one", "two"]
        with pytest.raises(ReplayMiss, match="2 recorded"):
            await mind.think(ASK)


async def test_the_whole_stack_is_replayed_repairs_included(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    request = dataclasses.replace(ASK, schema=SCHEMA)
    settings = MindSettings(
        environment={"OPENAI_API_KEY": "sk-very-secret"},
        record_to=path,
        retries=RetryPolicy(first_wait_seconds=0.01),
    )
    with FakeOpenAI(fails(500), says("no sk-very-secret json"), says('{"a": 1}')) as server:
        url = server.url.replace("127.0.0.1", "user:hidden@127.0.0.1")
        async with open_mind(f"openai:{url}#m", settings=settings) as mind:
            live = await mind.think(request)
    assert len(path.read_text().splitlines()) == 2, "failures are no exchanges"
    assert "sk-very-secret" not in path.read_text()
    assert "hidden" not in path.read_text()
    async with open_mind(f"replay:{path}") as mind:
        again = await mind.think(request)
    assert again.parsed == live.parsed == {"a": 1}
    assert again.usage.calls == 2


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("user", "hello"),)},
        {"schema": SCHEMA},
        {"temperature": 0.1},
        {"max_tokens": 3},
        {"stop": ("x",)},
        {"seed": 2},
        {"grammar": 'root ::= "a"'},
    ],
)
async def test_whatever_shapes_the_answer_is_in_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    changed = dataclasses.replace(ASK, **change)  # type: ignore[arg-type]
    assert request_key(changed) != request_key(ASK)
    path = tmp_path / "talk.jsonl"
    async with RecordingMind(ScriptedMind(["one"]), path) as mind:
        await mind.think(ASK)
    async with ReplayMind(path) as mind:
        with pytest.raises(ReplayMiss, match="record again"):
            await mind.think(changed)


def test_what_does_not_shape_the_answer_is_not() -> None:
    same = dataclasses.replace(ASK, metadata={"task_id": "7"}, timeout_seconds=1.0, repairs=9)
    assert request_key(same) == request_key(ASK)


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"format": 1}', '{"format": 99, "key": "k"}', '{"format": 1, "key']
)
async def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "talk.jsonl"
    async with RecordingMind(ScriptedMind(["one"]), path) as mind:
        await mind.think(ASK)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecordingDamaged, match=r"talk\.jsonl:2"):
        async with ReplayMind(path):
            pass


async def test_metadata_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with RecordingMind(ScriptedMind(["one"]), path) as mind:
        await mind.think(dataclasses.replace(ASK, metadata={"task_id": "private"}))
    assert "private" not in path.read_text()
    assert json.loads(path.read_text())["reply"]["text"] == "one"
