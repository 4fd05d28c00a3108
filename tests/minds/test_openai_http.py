"""The OpenAI wire against a real server that misbehaves."""

import asyncio
import email.utils
import time
from typing import Any

import pytest

from hal9.errors.base import MindError
from hal9.errors.minds import (
    GrammarUnsupported,
    MindBroken,
    MindClosed,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
)
from hal9.minds import Message, MindSettings, Price, Reply, Request, RetryPolicy, open_mind
from hal9.minds.retries import retry_after_seconds
from tests.minds.fake_openai import (
    Behaviour,
    FakeOpenAI,
    cuts_the_stream,
    errs_in_the_stream,
    fails,
    hangs,
    raw,
    resets,
    says,
    truncates,
)

ASK = Request((Message("system", "Be brief."), Message("user", "Hello?")), timeout_seconds=60, repairs=0)
ONCE = RetryPolicy(attempts=1, timeouts=1)
QUICK = RetryPolicy(attempts=3, first_wait_seconds=0.01, timeouts=2)


async def ask(
    server: FakeOpenAI, request: Request = ASK, retries: RetryPolicy = ONCE, **settings: Any
) -> tuple[Reply, list[str]]:
    pieces: list[str] = []
    chosen = MindSettings(environment={"OPENAI_API_KEY": "sk-test"}, retries=retries, **settings)
    listen = pieces.append if request.metadata.get("stream") else None
    async with open_mind(f"openai:{server.url}#m", settings=chosen) as mind:
        return await mind.think(request, on_token=listen), pieces


async def test_a_request_carries_everything_and_the_reply_says_what_it_cost() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    request = Request(ASK.messages, schema=schema, stop=("END",), seed=3, max_tokens=9, temperature=0.25)
    prices = {"m": Price(prompt_usd=1.0, completion_usd=10.0)}
    with FakeOpenAI(says('{"a": 4}', finish="length")) as server:
        reply, _ = await ask(server, request, prices=prices)
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert seen.body["messages"][0] == {"role": "system", "content": "Be brief."}
    sent = {key: seen.body[key] for key in ("model", "stop", "seed", "max_tokens", "temperature")}
    assert sent == {"model": "m", "stop": ["END"], "seed": 3, "max_tokens": 9, "temperature": 0.25}
    assert seen.body["response_format"]["json_schema"]["schema"] == schema
    assert reply.parsed == {"a": 4}
    assert reply.stop_reason == "length"
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (11, 7, 4)
    assert usage.usd == pytest.approx((11 + 70) / 1e6)
    assert usage.estimated is False


async def test_a_stream_gives_its_pieces_and_the_same_reply() -> None:
    with FakeOpenAI(says("one two three")) as server:
        reply, pieces = await ask(server, Request(ASK.messages, metadata={"stream": "yes"}))
    assert pieces == ["one ", "two ", "three"]
    assert reply.text == "one two three"
    assert reply.usage.completion_tokens == 7
    assert reply.usage.usd == 0.0, "a server on this machine costs nothing"


@pytest.mark.parametrize("stream", ["", "yes"])
async def test_without_reported_usage_the_bound_is_marked_as_such(stream: str) -> None:
    with FakeOpenAI(says("one", usage=None)) as server:
        reply, _ = await ask(server, Request(ASK.messages, metadata={"stream": stream}))
    assert reply.usage.estimated is True
    assert reply.usage.prompt_tokens >= len("Be brief.Hello?")


@pytest.mark.parametrize("stream", ["", "yes"])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (fails(500), MindBroken),
        (fails(503), MindBroken),
        (fails(429), MindRateLimited),
        (fails(401), MindRefusedKey),
        (fails(403), MindRefusedKey),
        (fails(404), MindRefusedRequest),
        (fails(400, code="context_length_exceeded"), MindContextExceeded),
        (fails(400, type="exceed_context_size_error", n_prompt_tokens=9, n_ctx=4), MindContextExceeded),
        (resets, MindUnreachable),
        (hangs, MindTimeout),
    ],
)
async def test_every_failure_has_its_type_and_remedy(
    behaviour: Behaviour, expected: type[MindError], stream: str
) -> None:
    request = Request(ASK.messages, timeout_seconds=0.3, repairs=0, metadata={"stream": stream})
    with FakeOpenAI(behaviour) as server, pytest.raises(expected) as failed:
        await ask(server, request)
    assert str(failed.value).count(".") >= 2, "it says what happened and what to do"
    assert "sk-test" not in str(failed.value)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (truncates, MindUnreachable),
        (raw("this is not JSON"), MindReplyInvalid),
        (raw("[1, 2]"), MindReplyInvalid),
        (raw('{"choices": []}'), MindReplyInvalid),
        (raw('{"choices": [{"message": null}]}'), MindReplyInvalid),
        (says(""), MindReplyInvalid),
    ],
)
async def test_garbage_is_not_an_answer(behaviour: Behaviour, expected: type[MindError]) -> None:
    with FakeOpenAI(behaviour) as server, pytest.raises(expected):
        await ask(server)


@pytest.mark.parametrize(
    ("behaviour", "expected"), [(cuts_the_stream, MindUnreachable), (errs_in_the_stream, MindBroken)]
)
async def test_half_a_stream_is_not_an_answer(behaviour: Behaviour, expected: type[MindError]) -> None:
    with FakeOpenAI(behaviour) as server, pytest.raises(expected):
        await ask(server, Request(ASK.messages, repairs=0, metadata={"stream": "yes"}))


@pytest.mark.parametrize("first", [fails(500), fails(429), resets, truncates])
async def test_a_passing_failure_is_waited_out(first: Behaviour) -> None:
    with FakeOpenAI(first, says("better")) as server:
        reply, _ = await ask(server, retries=QUICK)
    assert reply.text == "better"
    assert len(server.seen) == 2


async def test_a_timeout_is_tried_once_more() -> None:
    with FakeOpenAI(hangs) as server, pytest.raises(MindTimeout):
        await ask(server, Request(ASK.messages, timeout_seconds=0.2), QUICK)
    assert len(server.seen) == 2


async def test_attempts_are_bounded_and_the_true_error_is_told() -> None:
    with (
        FakeOpenAI(fails(500, "the disk is full")) as server,
        pytest.raises(MindBroken, match="the disk is full"),
    ):
        await ask(server, retries=QUICK)
    assert len(server.seen) == 3


@pytest.mark.parametrize("behaviour", [fails(400), fails(401), fails(404)])
async def test_what_cannot_pass_is_not_repeated(behaviour: Behaviour) -> None:
    with FakeOpenAI(behaviour) as server, pytest.raises(MindError):
        await ask(server, retries=QUICK)
    assert len(server.seen) == 1


async def test_retry_after_is_honoured() -> None:
    with FakeOpenAI(fails(429, headers={"Retry-After": "1"}), says("now")) as server:
        await ask(server, retries=QUICK)
    assert server.seen[1].at - server.seen[0].at >= 1.0


async def test_a_provider_that_asks_for_too_much_patience_is_not_waited_for() -> None:
    with (
        FakeOpenAI(fails(429, headers={"Retry-After": "3600"})) as server,
        pytest.raises(MindRateLimited) as failed,
    ):
        await ask(server, retries=QUICK)
    assert failed.value.retry_after == 3600
    assert len(server.seen) == 1


def test_retry_after_may_be_a_date() -> None:
    now = 1_700_000_000.0
    assert retry_after_seconds(email.utils.formatdate(now + 30, usegmt=True), now=now) == 30
    assert retry_after_seconds(email.utils.formatdate(now - 30, usegmt=True), now=now) == 0
    assert retry_after_seconds("soon", now=now) is None
    assert retry_after_seconds(None, now=now) is None


async def test_an_invalid_reply_is_sampled_anew_with_another_seed() -> None:
    schema = {"type": "object", "required": ["a"]}
    request = Request(ASK.messages, schema=schema, seed=1, repairs=2)
    with FakeOpenAI(raw("gone wrong"), says("no json"), says('{"a": 1}')) as server:
        reply, _ = await ask(server, request)
    assert reply.parsed == {"a": 1}
    assert [seen.body["seed"] for seen in server.seen] == [1, 2, 3]
    assert reply.usage.calls == 2, "the garbage told no usage"


async def test_nobody_listening_is_told_as_such() -> None:
    with FakeOpenAI(says("x")) as server:
        url = server.url
    settings = MindSettings(environment={}, retries=ONCE)
    async with open_mind(f"openai:{url}#m", settings=settings) as mind:
        with pytest.raises(MindUnreachable, match="openai:http"):
            await mind.think(ASK)


async def test_calls_run_side_by_side() -> None:
    def slow(handler: Any) -> None:
        time.sleep(0.3)
        says("done")(handler)

    with FakeOpenAI(slow) as server:
        async with open_mind(f"openai:{server.url}#m", settings=MindSettings(environment={})) as mind:
            await asyncio.gather(*(mind.think(ASK) for _ in range(6)))
    times = [seen.at for seen in server.seen]
    assert max(times) - min(times) < 0.3, "all had arrived before the first was answered"


async def test_cancelling_closes_the_connection() -> None:
    with FakeOpenAI(hangs) as server:
        async with open_mind(f"openai:{server.url}#m", settings=MindSettings(environment={})) as mind:
            task = asyncio.ensure_future(mind.think(ASK))
            while not server.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_grammar_is_refused_where_it_cannot_be_followed() -> None:
    with FakeOpenAI(says("x")) as server, pytest.raises(GrammarUnsupported, match="schema"):
        await ask(server, Request(ASK.messages, grammar='root ::= "a"'))
    assert server.seen == []
    with pytest.raises(ValueError, match="not both"):
        Request(ASK.messages, grammar="x", schema={})


async def test_a_mind_is_used_inside_its_block() -> None:
    mind = open_mind("openai:http://127.0.0.1:9/v1#m", settings=MindSettings(environment={}))
    with pytest.raises(MindClosed, match="async with"):
        await mind.think(ASK)


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_a_key_that_a_server_says_back_is_shown_and_kept_nowhere(status: int) -> None:
    with FakeOpenAI(fails(status, "Incorrect API key provided: sk-test.")) as server:
        with pytest.raises(MindError) as caught:
            await ask(server)
    assert "sk-test" not in str(caught.value)
    assert "[the key]" in str(caught.value)
