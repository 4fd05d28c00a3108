"""Signals between inboxes of one node: straight from one to the other, in the transaction that makes them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.bus import LoopbackBroker, Outcome
from hal9.database import Connection
from hal9.errors.bus import NotHosted
from hal9.errors.signals import SignalOversize
from hal9.journal import inbox, outbox
from hal9.signals import ResultPayload, Signal, encode
from tests.bus.nodes import QUICK, Node, node, recording, task

LOCAL = replace(QUICK, local=True)


@asynccontextmanager
async def listening(broker: LoopbackBroker) -> AsyncIterator[list[str]]:
    """The topics of all inbox messages that pass the broker."""
    heard: list[str] = []
    async with broker.client("listener") as bus:
        await bus.wait_connected(5)
        await bus.subscribe("hal9/test/in/#")

        async def listen() -> None:
            while True:
                for message in await bus.receive():
                    heard.append(message.topic)
                    message.ack()

        async with asyncio.TaskGroup() as group:
            listener = group.create_task(listen())
            yield heard
            listener.cancel()


def failing(_connection: Connection) -> None:
    raise ZeroDivisionError


async def settled(one: Node, results: int) -> None:
    await one.until(lambda: len(one.results) == results and not one.courier.unconfirmed)


async def test_they_do_not_pass_the_broker_and_need_no_outbox(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with listening(broker) as heard, node(broker.client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect, concurrency=4)
        a.courier.host("l2", a.answer, concurrency=4)
        async with a.courier:
            signals = [task(f"number {n}") for n in range(50)]
            await a.courier.send(signals, writes=[recording("asked")])
            assert await a.journal.read(outbox.count) == 0
            await settled(a, 50)
        assert sorted(await a.effects()) == sorted(
            [f"handled {one.id}" for one in signals] + [f"collected {one.id}" for one in signals] + ["asked"]
        )
    assert heard == []


async def test_each_inbox_is_still_served_in_order(tmp_path: Path) -> None:
    seen: list[str] = []
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:

        async def note(signal: Signal) -> Outcome:
            await asyncio.sleep(0)
            seen.append(signal.id)
            return Outcome()

        a.courier.host("l2", note, concurrency=1)
        a.courier.host("book", a.collect)
        signals = [task(str(n)) for n in range(2500)]  # more than are kept in memory
        async with a.courier:
            for start in range(0, 2500, 7):
                await a.courier.send(signals[start : start + 7])
            await a.until(lambda: len(seen) == 2500, 60)
    assert seen == [signal.id for signal in signals]


async def test_never_more_handlers_run_than_there_may(tmp_path: Path) -> None:
    running = peak = 0
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:

        async def slow(_signal: Signal) -> Outcome:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.002)
            running -= 1
            a.results.append(_signal)
            return Outcome()

        a.courier.host("l2", slow, concurrency=3)
        a.courier.host("book", a.collect)
        async with a.courier:
            sends = [a.courier.send([task(f"{n}"), task(f"{n} too")]) for n in range(60)]
            await asyncio.gather(*sends)
            await settled(a, 120)
    assert peak == 3


async def test_a_signal_for_another_node_takes_the_broker(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with (
        listening(broker) as heard,
        node(broker.client("a"), tmp_path / "a.db", name="a", settings=LOCAL) as a,
        node(broker.client("b"), tmp_path / "b.db", name="b", settings=LOCAL) as b,
    ):
        a.courier.host("book", a.collect)
        b.courier.host("l2", b.answer)
        async with a.courier, b.courier:
            await a.courier.send([task("far")])
            await settled(a, 1)
            await b.until(lambda: not b.courier.unconfirmed)
            await a.until(lambda: len(heard) >= 4)
    assert {"hal9/test/in/l2/task/book", "hal9/test/in/book/result/l2"} <= set(heard)


async def test_a_neuron_may_not_speak_for_one_that_is_hosted_elsewhere(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with listening(broker) as heard, node(broker.client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        forged = Signal.create(
            ResultPayload(ok=True, answer="not mine to give"),
            task_id="t-1",
            source="stranger",
            target="book",
            now=time.time(),
        )

        async def forge(_signal: Signal) -> Outcome:
            return Outcome(send=(forged,))

        a.courier.host("book", a.collect)
        a.courier.host("l2", forge)
        async with a.courier:
            with pytest.raises(NotHosted):
                await a.courier.send([forged])
            await a.courier.send([task("forge")])
            # It goes to the broker, whose permissions decide who may use that name.
            await a.until(lambda: "hal9/test/in/book/result/stranger" in heard)


async def test_one_that_is_too_large_refuses_the_whole_and_keeps_no_handler_busy(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer, concurrency=1)
        async with a.courier:
            for _ in range(3):
                with pytest.raises(SignalOversize):
                    await a.courier.send([task("small"), task("x" * 300_000)])
            with pytest.raises(ZeroDivisionError):
                await a.courier.send([task("never")], writes=[failing])
            await a.courier.send([task("after")])
            await settled(a, 1)
        assert await a.journal.read(inbox.counts) == {"new": 0, "working": 0, "done": 2}


async def test_over_hopped_signals_end_as_dead_letters_here_too(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer)
        async with a.courier:
            await a.courier.send([task("round and round").model_copy(update={"hops": 65})])
            async with asyncio.timeout(120):
                while not await a.letters():
                    await asyncio.sleep(0.01)
        assert [letter.reason for letter in await a.letters()] == ["over_hopped"]


async def test_what_was_leased_when_the_node_ended_is_done_by_the_next_run(tmp_path: Path) -> None:
    begun = asyncio.Event()
    signal = task("interrupted")
    async with node(
        LoopbackBroker().client("a"), tmp_path / "a.db", settings=replace(LOCAL, drain=0.05)
    ) as a:

        async def hang(_signal: Signal) -> Outcome:
            begun.set()
            await asyncio.sleep(3600)
            return Outcome()

        a.courier.host("book", a.collect)
        a.courier.host("l2", hang)
        async with a.courier:
            await a.courier.send([signal])
            await begun.wait()
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=LOCAL) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer)
        async with a.courier:
            await settled(a, 1)
        assert (await a.effects()).count(f"handled {signal.id}") == 1


async def test_a_copy_from_the_broker_of_a_local_signal_is_only_confirmed(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    signal = task("once")
    async with node(broker.client("a"), tmp_path / "a.db", settings=LOCAL) as a, broker.client("x") as peer:
        await peer.wait_connected(5)
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer)
        async with a.courier:
            await a.courier.wait_connected(5)
            await a.courier.send([signal])
            await peer.publish("hal9/test/in/l2/task/book", encode(signal), qos=1)
            await settled(a, 1)
            await asyncio.sleep(0.1)
        assert (await a.effects()).count(f"handled {signal.id}") == 1
