"""Every call is reserved before it is made and settled after it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.limits import LimitExceeded, PriceUnknown
from hal9.errors.minds import MindBroken, MindTimeout
from hal9.limits import BudgetStore, Limit
from hal9.minds import (
    BudgetedMind,
    Message,
    MindSettings,
    Price,
    Quote,
    Request,
    RetryPolicy,
    ScriptedMind,
    Usage,
    open_mind,
)
from tests.minds.fake_openai import FakeOpenAI, fails, hangs, says

ASK = Request(
    (Message("user", "hello"),), max_tokens=50, repairs=0, metadata={"task_id": "t"}, timeout_seconds=5
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


async def test_an_unknown_price_is_refused_when_money_is_limited(tmp_path: Path) -> None:
    limits = [Limit(kind="usd", scope="day", value=5)]
    with BudgetStore(tmp_path / "b.db", limits) as book, FakeOpenAI(says("hi")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=_settings(), budget=book) as mind:
            with pytest.raises(PriceUnknown, match="price"):
                await mind.think(ASK)
    assert server.seen == []


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
