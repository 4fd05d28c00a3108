"""Every call is reserved before it is made and settled after it."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from hal9.budgets import BudgetStore, Limit
from hal9.errors.budgets import LimitExceeded, PriceUnknown
from hal9.errors.minds import MindBroken, MindReplyInvalid, MindTimeout, MindUnreachable
from hal9.minds import (
    BudgetedMind,
    Message,
    MindSettings,
    Price,
    Quote,
    Reply,
    Request,
    RetryPolicy,
    ScriptedMind,
    Usage,
    open_mind,
)
from tests.bus.harness import free_port
from tests.minds.fake_openai import FakeOpenAI, fails, hangs, raw, says

ASK = Request(
    (Message("user", "hello"),), max_tokens=50, repairs=0, metadata={"task_id": "t"}, timeout_seconds=60
)
QUICK = RetryPolicy(attempts=3, first_wait_seconds=0.01, timeouts=1)


def _settings(**more: Any) -> MindSettings:
    return MindSettings(environment={}, retries=QUICK, **more)


async def test_a_call_is_charged_to_its_task_at_its_real_cost(tmp_path: Path) -> None:
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(says("hi")) as server:
        prices = {"m": Price(1000.0, 1000.0)}
        async with open_mind(
            f"openai:{server.url}#m", settings=_settings(prices=prices), budget=book
        ) as mind:
            await mind.think(ASK)
        spent = book.spent("t")
    assert (spent.tokens, spent.calls) == (18, 1)
    assert spent.usd == pytest.approx(0.018)


async def test_the_provider_is_not_called_when_the_budget_says_no(tmp_path: Path) -> None:
    limits = [Limit(kind="tokens", scope="task", value=60)]
    with BudgetStore(tmp_path / "b.db", limits) as book, FakeOpenAI(says("hi")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            with pytest.raises(LimitExceeded):
                await mind.think(ASK)
    assert server.seen == []


async def test_an_unknown_price_is_refused_with_the_line_to_add(tmp_path: Path) -> None:
    limits = [Limit(kind="usd", scope="day", value=5)]
    spec = "openai:https://api.example.com/v1#m"
    with BudgetStore(tmp_path / "b.db", limits) as book:
        async with open_mind(spec, settings=_settings(), budget=book) as mind:
            with pytest.raises(PriceUnknown, match=r"config/hal9\.yaml under minds\.prices") as told:
                await mind.think(ASK)
    line = next(line for line in str(told.value).split("\n") if "prices:" in line)
    assert set(yaml.safe_load(line)["prices"]) == {spec}


async def test_a_configured_price_is_reserved_and_settled(tmp_path: Path) -> None:
    limits = [Limit(kind="usd", scope="day", value=0.1)]
    settings = _settings(prices={"m": Price(prompt_usd=1000.0, completion_usd=1000.0)})
    with BudgetStore(tmp_path / "b.db", limits) as book, FakeOpenAI(says("hi")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=settings, budget=book) as mind:
            await mind.think(ASK)
            assert book.totals().usd == pytest.approx(0.018)
            with pytest.raises(LimitExceeded, match="usd"):
                await mind.think(Request(ASK.messages, max_tokens=100))
    assert len(server.seen) == 1


async def test_scripts_cost_no_money(tmp_path: Path) -> None:
    limits = [Limit(kind="usd", scope="day", value=0)]
    with BudgetStore(tmp_path / "b.db", limits) as book:
        async with open_mind("scripted:tests.minds.scripts:echo", budget=book) as mind:
            assert (await mind.think(ASK)).text == "HELLO"
        assert book.spent("t").usd == 0


async def test_retries_and_repairs_are_each_charged(tmp_path: Path) -> None:
    request = Request(
        ASK.messages, max_tokens=50, metadata=ASK.metadata, schema={"type": "object"}, repairs=2
    )
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(fails(429), says("no"), says("{}")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            await mind.think(request)
        assert book.spent("t").calls == 2, "a refused rate costs nothing"
        assert book.spent("t").tokens == 36


async def test_a_call_of_unknown_outcome_is_charged_in_full(tmp_path: Path) -> None:
    request = Request(ASK.messages, max_tokens=50, metadata=ASK.metadata, timeout_seconds=0.2)
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(hangs) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            with pytest.raises(MindTimeout):
                await mind.think(request)
        assert book.spent("t").tokens >= 50
        assert book.standings("t") == ()


async def test_a_call_that_never_left_costs_nothing(tmp_path: Path) -> None:
    """Nobody listens; the connection was never made, so nothing can have been computed."""
    limits = [Limit(kind="calls", scope="task", value=1)]
    with BudgetStore(tmp_path / "b.db", limits) as book:
        async with open_mind(
            f"openai:http://127.0.0.1:{free_port()}/v1#m", settings=_settings(), budget=book
        ) as mind:
            with pytest.raises(MindUnreachable):
                await mind.think(ASK)
        assert book.spent("t").calls == 0
        assert [one.reserved for one in book.standings("t")] == [0]


async def test_a_call_counts_as_made_from_the_moment_it_leaves(tmp_path: Path) -> None:
    """Read from the file while the server thinks: what a kill at this moment would leave."""
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(hangs) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            task = asyncio.ensure_future(mind.think(ASK))
            async with asyncio.timeout(120):
                while not server.seen:
                    await asyncio.sleep(0.01)
            with contextlib.closing(sqlite3.connect(tmp_path / "b.db")) as file:
                assert file.execute("SELECT open, sent FROM calls").fetchall() == [(1, 1)]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert book.spent("t").calls == 1


async def test_server_errors_are_charged_because_nobody_knows(tmp_path: Path) -> None:
    limits = [Limit(kind="calls", scope="task", value=2)]
    with BudgetStore(tmp_path / "b.db", limits) as book, FakeOpenAI(fails(500)) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            with pytest.raises(LimitExceeded):
                await mind.think(ASK)
    assert len(server.seen) == 2, "the third retry found the budget used up"


async def test_a_cancelled_call_is_charged_in_full(tmp_path: Path) -> None:
    with BudgetStore(tmp_path / "b.db") as book:
        async with BudgetedMind(ScriptedMind(["x"], delay_seconds=30), book) as mind:
            task = asyncio.ensure_future(mind.think(ASK))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert book.spent("t").calls == 1
        assert book.spent("t").tokens >= 50


async def test_calls_at_once_never_pass_the_limit_together(tmp_path: Path) -> None:
    class Quoted(ScriptedMind):
        async def quote(self, _request: Request) -> Quote:
            return Quote(tokens=40, usd=0.0)

    usage = Usage(prompt_tokens=10, completion_tokens=30)
    with BudgetStore(tmp_path / "b.db", [Limit(kind="tokens", scope="hour", value=100)]) as book:
        async with BudgetedMind(Quoted(lambda _: "x", usage=usage, delay_seconds=0.05), book) as mind:
            done = await asyncio.gather(*(mind.think(ASK) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(result, LimitExceeded) for result in done) == 4
        assert book.totals().tokens == 80


async def test_a_request_without_a_task_is_charged_to_none(tmp_path: Path) -> None:
    with BudgetStore(tmp_path / "b.db") as book:
        async with BudgetedMind(ScriptedMind([MindBroken(mind="m", status=500, detail="x")]), book) as mind:
            with pytest.raises(MindBroken):
                await mind.think(Request((Message("user", "x"),)))
        assert book.spent("none").calls == 1


async def test_open_reservations_make_calls_wait(tmp_path: Path) -> None:
    """Sixteen calls at a time under a cap that holds their spending, but not their reservations."""
    script = ScriptedMind(
        lambda _: Reply("ok", "s", Usage(prompt_tokens=20, completion_tokens=30)), delay_seconds=0.01
    )
    request = Request((Message("user", "x" * 100),), max_tokens=1000)
    with BudgetStore(tmp_path / "b.db", [Limit(kind="tokens", scope="hour", value=4000)]) as book:
        mind = BudgetedMind(script.unvalidated(), book)
        replies = await asyncio.gather(*(mind.think(request) for _ in range(40)))
        assert len(replies) == 40
        assert book.totals().tokens == 40 * 50
        await asyncio.gather(*(mind.think(request) for _ in range(18)))
        with pytest.raises(LimitExceeded):
            await mind.think(request)  # 2,900 are spent: one more reservation cannot fit


async def test_a_paid_failure_costs_in_the_error_what_the_book_says(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["a"]}
    request = Request(ASK.messages, schema=schema, repairs=2, timeout_seconds=60, metadata={"task_id": "t"})
    settings = _settings()
    with (
        BudgetStore(tmp_path / "b.db") as book,
        FakeOpenAI(raw("gone wrong"), says("no"), says("no")) as server,
    ):
        async with open_mind(f"openai:{server.url}#m", settings=settings, budget=book) as mind:
            with pytest.raises(MindReplyInvalid) as failed:
                await mind.think(request)
        spent = book.spent("t")
    usage = failed.value.usage
    assert usage.calls == spent.calls == 3
    assert usage.prompt_tokens + usage.completion_tokens == spent.tokens


async def test_a_retried_failure_is_in_the_replys_usage(tmp_path: Path) -> None:
    settings = _settings()
    request = Request(ASK.messages, timeout_seconds=60, metadata={"task_id": "t"})
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(fails(500), fails(503), says("hi")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=settings, budget=book) as mind:
            reply = await mind.think(request)
        spent = book.spent("t")
    assert reply.usage.calls == spent.calls == 2, "503 computed nothing and is not charged"
    assert reply.usage.prompt_tokens + reply.usage.completion_tokens == spent.tokens


async def test_no_provider_lowers_the_book(tmp_path: Path) -> None:
    absurd = {"prompt_tokens": -100, "completion_tokens": -1, "total_tokens": -101}
    with BudgetStore(tmp_path / "b.db") as book, FakeOpenAI(says("hi", usage=absurd)) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            reply = await mind.think(ASK)
        assert book.totals().tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.usage.estimated
