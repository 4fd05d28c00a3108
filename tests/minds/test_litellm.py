"""Hosted models through litellm, against a real server on loopback."""

from importlib.util import find_spec
from typing import Any

import pytest

from hal9.errors.base import MindError
from hal9.errors.minds import (
    MindBroken,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    MindTimeout,
    MindUnreachable,
)
from hal9.minds import LiteLLMMind, Message, Price, Request, RetryingMind, RetryPolicy
from hal9.minds.open import KEYED_MODELS
from tests.minds.fake_openai import Behaviour, FakeOpenAI, fails, hangs, resets, says

pytestmark = [
    # Looked for, not imported: a bare import goes to the network for prices.
    pytest.mark.skipif(find_spec("litellm") is None, reason="pip install 'hal9-cluster[litellm]'"),
    # litellm and what it stands on warn about their own code; those are not our warnings.
    pytest.mark.filterwarnings("ignore"),
]

ASK = Request((Message("user", "Hello?"),), timeout_seconds=60, repairs=0, seed=4, stop=("END",))


def _mind(server: FakeOpenAI, model: str = "openai/some-model", price: Price | None = None) -> LiteLLMMind:
    return LiteLLMMind(model, base_url=server.url, key="sk-test", price=price)


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """The import takes seconds; without this the first test would run into its own timeouts."""
    from hal9.minds.litellm_mind import _import_litellm

    _import_litellm()


async def test_an_answer_its_tokens_and_its_price() -> None:
    with FakeOpenAI(says("four")) as server:
        async with _mind(server, price=Price(1.0, 2.0)) as mind:
            reply = await mind.think(ASK)
    assert reply.text == "four"
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (11, 7, 4)
    assert usage.usd == pytest.approx(25e-6)
    (seen,) = server.seen
    assert seen.body["seed"] == 4
    assert seen.body["stop"] == ["END"]


async def test_known_models_have_a_price_and_unknown_ones_have_none() -> None:
    with FakeOpenAI(says("four")) as server:
        async with _mind(server, "openai/gpt-4o-mini") as mind:
            quote = await mind.quote(ASK)
            reply = await mind.think(ASK)
        async with _mind(server) as mind:
            assert (await mind.quote(ASK)).usd is None
            assert (await mind.think(ASK)).usage.usd is None
    assert quote.usd is not None
    assert reply.usage.usd is not None
    assert 0 < reply.usage.usd < quote.usd


async def test_every_default_model_has_a_price() -> None:
    for _variable, model in KEYED_MODELS:
        async with LiteLLMMind(model) as mind:
            quote = await mind.quote(ASK)
        assert quote.usd, model


async def test_a_stream_gives_its_pieces() -> None:
    with FakeOpenAI(says("one two three")) as server:
        async with _mind(server) as mind:
            pieces: list[str] = []
            reply = await mind.think(ASK, on_token=pieces.append)
    assert "".join(pieces) == reply.text == "one two three"
    assert len(pieces) == 3
    assert reply.usage.completion_tokens == 7


async def test_a_schema_is_passed_on() -> None:
    schema: dict[str, Any] = {"type": "object", "required": ["a"]}
    with FakeOpenAI(says('{"a": 1}')) as server:
        async with _mind(server) as mind:
            await mind.think(Request(ASK.messages, schema=schema))
    assert server.seen[0].body["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (fails(500), MindBroken),
        (fails(503), MindBroken),
        (fails(429), MindRateLimited),
        (fails(401), MindRefusedKey),
        (
            fails(400, "This model's maximum context length is 4 tokens", code="context_length_exceeded"),
            MindContextExceeded,
        ),
        (fails(404), MindRefusedRequest),
        (resets, (MindUnreachable, MindBroken)),
        (hangs, MindTimeout),
    ],
)
async def test_every_failure_has_its_type_and_is_tried_once(
    behaviour: Behaviour, expected: type[MindError] | tuple[type[MindError], ...]
) -> None:
    request = Request(ASK.messages, timeout_seconds=1.0 if behaviour is hangs else 60.0)
    with FakeOpenAI(behaviour) as server:
        async with _mind(server) as mind:
            with pytest.raises(expected):
                await mind.think(request)
    assert len(server.seen) == 1, "retries are ours alone"


async def test_our_loop_retries_and_honours_retry_after() -> None:
    with FakeOpenAI(fails(429, headers={"Retry-After": "1"}), fails(500), says("now")) as server:
        async with RetryingMind(_mind(server), RetryPolicy(first_wait_seconds=0.01)) as mind:
            reply = await mind.think(ASK)
    assert reply.text == "now"
    assert len(server.seen) == 3
    assert server.seen[1].at - server.seen[0].at >= 1.0


async def test_a_key_that_a_server_says_back_is_shown_nowhere() -> None:
    with FakeOpenAI(fails(401, "Incorrect API key provided: sk-test.")) as server:
        async with _mind(server) as mind:
            with pytest.raises(MindError) as caught:
                await mind.think(Request((Message("user", "Hello?"),), timeout_seconds=60, repairs=0))
    assert "sk-test" not in str(caught.value)
    assert "[the key]" in str(caught.value)
