"""Every mode of the fake server, through our own wire and through litellm; and the documentation's table."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from hal9.minds import LiteLLMMind, Message, MindSettings, Request, RetryPolicy, ValidatingMind, open_mind
from hal9.minds.protocol import Mind
from hal9.minds.retries import RetryingMind
from tests.minds.fake_openai import FakeOpenAI
from tests.minds.fake_openai.answers import ANSWERS
from tests.minds.fake_openai.mode import Mode
from tests.minds.fake_openai.refusals import REFUSALS
from tests.minds.mode_table import END, START, table

MODES = (*ANSWERS, *REFUSALS)
ONCE = RetryPolicy(attempts=1, timeouts=1)
WAYS = [pytest.param(mode, way, id=f"{mode.name}-{way}") for mode in MODES for way in mode.ways]
HAS_LITELLM = importlib.util.find_spec("litellm") is not None


async def judge(mind: Mind, server: FakeOpenAI, mode: Mode, way: str, *, expected: object) -> None:
    request = Request(
        (Message("system", "Be brief."), Message("user", "What is 2 + 2?")),
        **{"timeout_seconds": 60, "repairs": 0, "max_tokens": 64, **mode.ask},
    )
    said: list[str] = []
    async with mind:
        if isinstance(expected, (type, tuple)):
            with pytest.raises(expected) as failed:
                await mind.think(request, on_token=said.append if way == "stream" else None)
            assert str(failed.value).count(".") >= 1, "it says what to do"
            return
        reply = await mind.think(request, on_token=said.append if way == "stream" else None)
    assert callable(expected)
    assert expected(reply, server), reply
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    if way == "stream" and mode.shown and not mode.ask.get("stop"):
        assert "".join(said).strip() == reply.text.strip(), "what was shown is what was answered"


@pytest.mark.parametrize(("mode", "way"), WAYS)
async def test_over_our_own_wire(mode: Mode, way: str) -> None:
    with FakeOpenAI(*mode.behaviours) as server:
        mind = open_mind(f"openai:{server.url}#m", settings=MindSettings(environment={}, retries=ONCE))
        await judge(mind, server, mode, way, expected=mode.expect)


@pytest.mark.skipif(not HAS_LITELLM, reason="pip install 'hal9-cluster[litellm]'")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("mode", "way"), [pytest.param(mode, mode.ways[-1], id=mode.name) for mode in MODES])
async def test_through_litellm(mode: Mode, way: str) -> None:
    with FakeOpenAI(*mode.behaviours) as server:
        inner = LiteLLMMind("openai/m", base_url=server.url, key="sk-test")
        mind = ValidatingMind(RetryingMind(inner, ONCE))
        await judge(mind, server, mode, way, expected=mode.litellm or mode.expect)


def test_there_are_enough_modes_and_each_has_its_own_name() -> None:
    assert len(MODES) >= 60
    assert [name for name, count in Counter(mode.name for mode in MODES).items() if count > 1] == []


def test_the_table_in_the_documentation_is_this_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    assert text[text.index(START) : text.index(END)] == f"{START}\n{table(MODES)}\n", (
        "python -m tests.minds.mode_table writes it"
    )
