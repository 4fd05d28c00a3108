"""Signals that their receiver can answer at once: recorded with what made them, and never delivered."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.bus import LoopbackBroker, Outcome, topics
from hal9.database import Connection
from hal9.journal import inbox
from hal9.signals import MAX_HOPS, Signal, TaskPayload, encode
from tests.bus.nodes import QUICK, Node, node, recording, task

LOCAL = replace(QUICK, local=True)


def handing_on(target: str, *, up: str = "book") -> Callable[[Signal], Outcome]:
    """An inbox that hands every task on to one neighbour, and every result to the other."""

    def at_once(signal: Signal) -> Outcome:
        further = Signal.create(
            signal.payload,
            task_id=signal.task_id,
            source=signal.target,
            target=target if signal.kind == "task" else up,
            now=time.time(),
            cause=signal,
        )
        return Outcome(send=(further,), writes=(recording(f"{signal.target} {signal.kind}"),))

    return at_once


def collecting(signal: Signal) -> Outcome:
    return Outcome(writes=(recording(f"at once {signal.task_id}"),))


def failing(_connection: Connection) -> None:
    raise ZeroDivisionError


async def waiting(one: Node) -> list[tuple[str, str]]:
    def look(connection: Connection) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in connection.execute("SELECT target, state FROM inbox")]

    return await one.journal.read(look)


async def worked_off(one: Node, number: int) -> None:
    """Wait until so many signals were delivered, and all of them are done with."""
    async with asyncio.timeout(60):
        while [state for _, state in await waiting(one)] != ["done"] * number:
            await asyncio.sleep(0.01)


async def test_the_way_down_and_the_way_up_are_one_transaction_each(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        seen: list[Signal] = []

        async def work(signal: Signal) -> Outcome:
            seen.append(signal)
            assert await a.effects() == ["asked", "l4 task", "l3 task"]  # recorded before the work begins
            return await a.answer(signal)

        a.courier.host("book", a.collect, at_once=collecting)
        a.courier.host("l4", a.answer, at_once=handing_on("l3"))
        a.courier.host("l3", a.answer, at_once=handing_on("l2", up="l4"))
        a.courier.host("l2", work)
        async with a.courier:
            await a.courier.send([replace_target(task("one"), "l4")], writes=[recording("asked")])
            await worked_off(a, 1)
            assert await waiting(a) == [("l2", "done")]  # nothing else was ever delivered
        assert (await a.effects())[3:] == [
            f"handled {seen[0].id}",
            "l3 result",
            "l4 result",
            "at once t-one",
        ]
        assert seen[0].hops == 2
        assert seen[0].source == "l3"


def replace_target(signal: Signal, target: str) -> Signal:
    return signal.model_copy(update={"target": target})


async def test_a_result_that_is_taken_at_once_is_recorded_with_the_work(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect, at_once=collecting)
        a.courier.host("l2", a.answer)
        async with a.courier:
            signals = [task(str(number)) for number in range(40)]
            await a.courier.send(signals)
            await worked_off(a, 40)
        assert sorted(await a.effects()) == sorted(
            [f"handled {one.id}" for one in signals] + [f"at once {one.task_id}" for one in signals]
        )
        assert a.results == []  # its handler was never needed


async def test_nothing_of_it_stays_when_the_transaction_fails(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l4", a.answer, at_once=handing_on("l2"))
        a.courier.host("l2", a.answer)
        async with a.courier:
            with pytest.raises(ZeroDivisionError):
                await a.courier.send([replace_target(task("one"), "l4")], writes=[failing])
            assert await waiting(a) == []
            assert await a.effects() == []
            await a.courier.send([task("two")])  # the reserved place was given back
            await a.until(lambda: len(a.results) == 1)


async def test_what_cannot_be_told_at_once_is_for_the_handler(tmp_path: Path) -> None:
    def broken(_signal: Signal) -> Outcome:
        raise sqlite3.DataError("no")

    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer, at_once=lambda _signal: None)
        a.courier.host("l3", a.answer, at_once=broken)
        async with a.courier:
            await a.courier.send([task("one"), replace_target(task("two"), "l3")])
            await a.until(lambda: len(a.results) == 2)
            assert await a.letters() == []


async def test_a_signal_that_is_late_or_went_too_far_is_not_answered_at_once(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer, at_once=collecting)
        async with a.courier:
            late = task("late", ttl=-1.0)
            far = task("far", ttl=0.5).model_copy(update={"hops": MAX_HOPS + 1})
            await a.courier.send([late, far])
            await a.until(lambda: len(a.failures) == 2)
            assert not [one for one in await a.effects() if one.startswith("at once")]


async def test_a_signal_from_another_node_is_recorded_as_done_with_what_follows(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with (
        node(broker.client("a"), tmp_path / "a.db", name="a", settings=LOCAL) as a,
        node(broker.client("b"), tmp_path / "b.db", name="b", settings=LOCAL) as b,
    ):
        a.courier.host("book", a.collect)
        b.courier.host("l3", b.answer, at_once=handing_on("l2"))
        b.courier.host("l2", b.answer)
        async with a.courier, b.courier:
            first = replace_target(task("one"), "l3")
            await a.courier.send([first])
            await a.until(lambda: a.courier.unconfirmed == 0)
            await worked_off(b, 2)
            assert (await b.effects())[0] == "l3 task"
            assert await b.journal.read(lambda c: inbox.seen(c, [first.id, "another"])) == {first.id}


async def test_a_copy_of_what_was_answered_at_once_changes_nothing(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with (
        node(broker.client("b"), tmp_path / "b.db", name="b", settings=LOCAL) as b,
        broker.client("a") as a,
    ):
        b.courier.host("l2", b.answer, at_once=collecting)
        async with b.courier:
            await a.wait_connected(5)
            await b.courier.wait_connected(5)
            one, other = task("one"), task("other")
            for signal in (one, one, other, one):
                await a.publish(topics.inbox("test", "l2", "task", "book"), encode(signal), qos=1)
            await worked_off(b, 2)
        assert await b.effects() == ["at once t-one", "at once t-other"]


@pytest.mark.parametrize("travels", [False, True])
async def test_what_follows_and_cannot_be_sent_is_the_handlers(tmp_path: Path, travels: bool) -> None:
    def too_much(signal: Signal) -> Outcome:
        large = Signal.create(
            TaskPayload(objective="x" * 300_000),
            task_id=signal.task_id,
            source=signal.target,
            target="book",
            now=time.time(),
            cause=signal,
        )
        return Outcome(send=(large,), writes=(recording("never"),))

    settings = replace(LOCAL, local=not travels)
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=settings) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer, at_once=too_much)
        async with a.courier:
            await a.courier.send([task("one")])
            await a.until(lambda: len(a.results) == 1)
            assert "never" not in await a.effects()


async def test_what_came_of_a_lost_lease_is_not_recorded_either(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        lost = asyncio.Event()

        async def loses_it(signal: Signal) -> Outcome:
            await a.journal.write(
                lambda c: inbox.release(c, signal.id, owner=a.journal.boot_id, not_before=9e9, refund=False)
            )
            lost.set()
            return await a.answer(signal)

        a.courier.host("book", a.collect, at_once=collecting)
        a.courier.host("l2", loses_it)
        async with a.courier:
            await a.courier.send([task("one")])
            await lost.wait()
            await a.until(lambda: a.courier.running == 0)
            assert await a.effects() == []
            assert await waiting(a) == [("l2", "new")]
