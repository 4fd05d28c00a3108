"""The courier over the in-memory bus: what it promises when all goes well and when handlers do not."""

import asyncio
import errno
import json
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.bus import CourierSettings, LoopbackBroker, Outcome
from hal9.errors.base import MindError
from hal9.errors.bus import CourierClosed, NotHosted, OutboxFull, RetentionTooShort, TopicInvalid
from hal9.errors.signals import SignalOversize
from hal9.journal import inbox, outbox
from hal9.signals import ProgressPayload, Signal, StatusPayload, encode
from tests.bus.nodes import QUICK, node, recording, task


async def test_tasks_and_results_between_two_nodes(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with (
        node(broker.client("a"), tmp_path / "a.db", name="a") as a,
        node(broker.client("b"), tmp_path / "b.db", name="b") as b,
    ):
        a.courier.host("book", a.collect)
        b.courier.host("l2", b.answer, concurrency=4)
        async with a.courier, b.courier:
            signals = [task(f"number {n}") for n in range(100)]
            await a.courier.send(signals, writes=[recording("asked")])
            await a.until(lambda: len(a.results) == 100 and not a.courier.unconfirmed)
            await b.until(lambda: not b.courier.unconfirmed)
        assert sorted(await b.effects()) == sorted(f"handled {signal.id}" for signal in signals)
        assert (await a.effects()).count("asked") == 1
        assert await a.journal.read(outbox.count) == 0


async def test_each_inbox_is_served_in_order_of_arrival(tmp_path: Path) -> None:
    seen: list[str] = []
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:

        async def note(signal: Signal) -> Outcome:
            seen.append(signal.id)
            return Outcome()

        a.courier.host("l2", note, concurrency=1)
        a.courier.host("book", a.collect)
        signals = [task(str(n)) for n in range(3000)]  # more than are kept in memory
        async with a.courier:
            await a.courier.send(signals)
            await a.until(lambda: len(seen) == 3000, 30)
    assert seen == [signal.id for signal in signals]


async def test_a_copy_is_confirmed_again_and_handled_once(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    signal = task("once")
    async with node(broker.client("a"), tmp_path / "a.db") as a, broker.client("peer") as peer:
        await peer.wait_connected(5)
        await peer.subscribe("hal9/test/in/book/ack/+")
        a.courier.host("l2", a.answer)
        async with a.courier:
            await a.courier.wait_connected(5)
            for _ in range(3):
                await peer.publish("hal9/test/in/l2/task/book", encode(signal), qos=1)
                async with asyncio.timeout(120):
                    confirmation = (await peer.receive(1))[0]
                confirmation.ack()
                assert json.loads(confirmation.payload)["payload"]["ids"] == [signal.id]
        assert await a.effects() == [f"handled {signal.id}"]


BAD = {
    "bad_json": b"{not json",
    "bad_shape": b'{"v": 1}',
    "unknown_version": encode(task("x")).replace(b'"v":1', b'"v":99'),
    "unknown_kind": encode(task("x")).replace(b'"kind":"task"', b'"kind":"surprise"'),
    "oversize": b"x" * (256 * 1024 + 1),
    "forged": encode(task("x", source="somebody-else")),
    "expired": encode(task("x", ttl=-1.0)),
    "over_hopped": encode(task("x").model_copy(update={"hops": 65})),
}


@pytest.mark.parametrize("reason", BAD)
async def test_what_cannot_be_accepted_becomes_a_dead_letter_with_its_reason(
    tmp_path: Path, reason: str
) -> None:
    broker = LoopbackBroker()
    async with node(broker.client("a"), tmp_path / "a.db") as a, broker.client("peer") as peer:
        await peer.wait_connected(5)
        a.courier.host("l2", a.answer)
        async with a.courier:
            await a.courier.wait_connected(5)
            await peer.publish("hal9/test/in/l2/task/book", BAD[reason], qos=1)
            good = task("good")
            await peer.publish("hal9/test/in/l2/task/book", encode(good), qos=1)
            async with asyncio.timeout(120):
                while not await a.effects():
                    await asyncio.sleep(0.01)
        letters = await a.letters()
        assert [letter.reason for letter in letters] == [reason]
        assert letters[0].excerpt == BAD[reason][:2048]
        assert letters[0].topic == "hal9/test/in/l2/task/book"
        assert await a.effects() == [f"handled {good.id}"]


async def test_a_signal_nobody_confirms_is_reported_when_it_expires(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        async with a.courier:
            signal = task("into the void", target="nobody", ttl=1.0)
            await a.courier.send([signal])
            await a.until(lambda: bool(a.failures) and not a.courier.unconfirmed)
        (failure,) = a.failures
        assert (failure.stage, failure.reason, failure.signal.id) == ("send", "undeliverable", signal.id)
        assert failure.attempts > 1
        assert await a.effects() == [f"failed {signal.id}"]
        (letter,) = await a.letters()
        assert "'nobody' never confirmed it" in letter.detail


async def test_a_handler_that_fails_is_tried_again_and_then_reported(tmp_path: Path) -> None:
    tries = 0

    async def fail(_signal: Signal) -> Outcome:
        nonlocal tries
        tries += 1
        raise MindError

    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", fail)
        async with a.courier:
            signal = task("hopeless")
            await a.courier.send([signal])
            await a.until(lambda: bool(a.failures))
        assert tries == 3
        assert (a.failures[0].stage, a.failures[0].reason, a.failures[0].attempts) == (
            "handle",
            "MindError",
            3,
        )
        assert await a.effects() == [f"failed {signal.id}"]
        assert [letter.reason for letter in await a.letters()] == ["MindError"]
        assert await a.journal.read(inbox.counts) == {"new": 0, "working": 0, "done": 1}


async def test_a_handler_that_fails_once_succeeds_later(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        tries: dict[str, int] = {}

        async def moody(signal: Signal) -> Outcome:
            tries[signal.id] = tries.get(signal.id, 0) + 1
            if tries[signal.id] == 1:
                raise ValueError("not today")
            return await a.answer(signal)

        a.courier.host("book", a.collect)
        a.courier.host("l2", moody, concurrency=2)
        async with a.courier:
            await a.courier.send([task(str(n)) for n in range(10)])
            await a.until(lambda: len(a.results) == 10)
        assert set(tries.values()) == {2}
        assert not a.failures


async def test_a_handler_without_room_on_its_disk_waits_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.bus.hosting._NO_ROOM_SECONDS", 0.01)
    tries = 0

    async def full(signal: Signal) -> Outcome:
        nonlocal tries
        tries += 1
        if tries <= 3 * QUICK.retry.attempts:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await a.answer(signal)

    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", full)
        async with a.courier:
            await a.courier.send([task("x")])
            await a.until(lambda: len(a.results) == 1)
        assert not a.failures
        assert len(await a.effects()) == 2


async def test_an_outcome_is_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken(_connection: object) -> None:
        raise RuntimeError("a write that fails")

    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:

        async def half(signal: Signal) -> Outcome:
            good = await a.answer(signal)
            return Outcome(send=good.send, writes=(*good.writes, broken))

        a.courier.host("book", a.collect)
        a.courier.host("l2", half)
        async with a.courier:
            signal = task("x")
            await a.courier.send([signal])
            await a.until(lambda: bool(a.failures))
        assert await a.effects() == [f"failed {signal.id}"]
        assert not a.results


async def test_the_failure_handler_may_answer_in_the_same_transaction(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:

        async def fail(_signal: Signal) -> Outcome:
            raise MindError

        original = a.courier._recorder._on_failure

        async def answer_anyway(failure: object) -> Outcome:
            first = await original(failure)  # type: ignore[arg-type]
            reply = await a.answer(a.failures[-1].signal)
            return Outcome(send=reply.send, writes=first.writes)

        a.courier._recorder._on_failure = answer_anyway
        a.courier.host("book", a.collect)
        a.courier.host("l2", fail)
        async with a.courier:
            await a.courier.send([task("x")])
            await a.until(lambda: len(a.results) == 1)


async def test_producers_are_held_back_while_too_much_is_unconfirmed(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    settings = replace(QUICK, outbox_limit=5)
    async with node(broker.client("a"), tmp_path / "a.db", settings=settings) as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer)
        broker.stop()
        async with a.courier:
            await a.courier.send([task(str(n)) for n in range(5)])
            with pytest.raises(OutboxFull) as caught:
                await a.courier.send([task("one too many")])
            assert caught.value.waiting == 5
            broker.start()
            await a.courier.wait_connected(5)
            await a.until(lambda: a.courier.unconfirmed < 5)
            await a.courier.send([task("now there is room")])
            await a.until(lambda: len(a.results) == 6)


async def test_what_is_not_acceptable_is_said_to_the_sender(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        with pytest.raises(CourierClosed):
            await a.courier.send([task("x")])
        with pytest.raises(TopicInvalid):
            a.courier.host("Not A Name", a.collect)
        a.courier.host("book", a.collect)
        async with a.courier:
            with pytest.raises(NotHosted):
                await a.courier.send([task("x", source="stranger")])
            with pytest.raises(TopicInvalid):
                await a.courier.send([task("x", target="a/b")])
            with pytest.raises(SignalOversize):
                await a.courier.send([task("x" * 300_000)])
        assert await a.journal.read(outbox.count) == 0


def test_ids_must_be_remembered_longer_than_the_broker_remembers() -> None:
    with pytest.raises(RetentionTooShort):
        CourierSettings(retention=10.0, broker_max_age=10.0)


async def test_finished_ids_are_forgotten_after_retention(tmp_path: Path) -> None:
    settings = replace(QUICK, broker_max_age=0.01, retention=0.02)
    for round_ in range(2):
        async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=settings) as a:
            if round_:
                await a.journal.write(lambda c: c.execute("UPDATE inbox SET finished_at = finished_at - 1"))
            a.courier.host("book", a.collect)
            a.courier.host("l2", a.answer)
            async with a.courier:
                if round_ == 0:
                    await a.courier.send([task("x")])
                    await a.until(lambda: len(a.results) == 1)
                else:
                    async with asyncio.timeout(120):
                        while (await a.journal.read(inbox.counts))["done"]:
                            await asyncio.sleep(0.01)


async def test_work_in_progress_keeps_its_lease(tmp_path: Path) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    settings = replace(QUICK, lease=0.3)
    calls = 0
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db", settings=settings) as a:

        async def slow(_signal: Signal) -> Outcome:
            nonlocal calls
            calls += 1
            started.set()
            await go_on.wait()
            return Outcome(writes=(recording("done"),))

        a.courier.host("book", a.collect)
        a.courier.host("l2", slow)
        async with a.courier:
            await a.courier.send([task("x")])
            await started.wait()
            await asyncio.sleep(1.0)
            until = await a.journal.read(
                lambda c: c.execute("SELECT lease_until FROM inbox WHERE state = 'working'").fetchone()[0]
            )
            assert until > time.time()
            go_on.set()
            async with asyncio.timeout(120):
                while not await a.effects():
                    await asyncio.sleep(0.01)
        assert calls == 1


async def test_an_outcome_whose_lease_was_lost_is_discarded(tmp_path: Path) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:

        async def slow(_signal: Signal) -> Outcome:
            started.set()
            await go_on.wait()
            return Outcome(writes=(recording("too late"),))

        a.courier.host("book", a.collect)
        a.courier.host("l2", slow)
        async with a.courier:
            await a.courier.send([task("x")])
            await started.wait()
            await a.journal.write(lambda c: c.execute("UPDATE inbox SET owner = 'another run'"))
            go_on.set()
            await asyncio.sleep(0.2)
        assert await a.effects() == []


async def test_leaving_in_the_middle_of_work_gives_it_back_uncounted(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    settings = replace(QUICK, drain=0.1)
    started = asyncio.Event()
    async with node(broker.client("a"), tmp_path / "a.db", settings=settings) as a:

        async def endless(_signal: Signal) -> Outcome:
            started.set()
            await asyncio.Event().wait()
            return Outcome()

        a.courier.host("book", a.collect)
        a.courier.host("l2", endless)
        async with a.courier:
            await a.courier.send([task("x")])
            await started.wait()
        row = await a.journal.read(lambda c: tuple(c.execute("SELECT state, attempts FROM inbox").fetchone()))
        assert row == ("new", 0)
    async with node(broker.client("a"), tmp_path / "a.db", settings=settings) as again:
        again.courier.host("book", again.collect)
        again.courier.host("l2", again.answer)
        async with again.courier:
            await again.until(lambda: len(again.results) == 1)


@pytest.mark.parametrize(
    ("ends", "aside"),
    [
        ([inbox.PreviousEnd()] * 2, True),
        ([inbox.PreviousEnd()], False),
        ([inbox.PreviousEnd(excused=True)] * 3, False),
        ([inbox.PreviousEnd(culprit="ID", reason="the event loop stood still")] * 2, True),
        ([inbox.PreviousEnd(culprit="somebody else", reason="x")] * 2, False),
    ],
    ids=["died twice", "died once", "killed on request", "blocked twice", "somebody else's fault"],
)
async def test_a_signal_in_which_the_process_died_twice_is_set_aside(
    tmp_path: Path, ends: list[inbox.PreviousEnd], aside: bool
) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        a.courier.host("l2", a.answer)
        signal = task("poison")
        row = inbox.Arrival(signal.id, "book", "l2", "task", signal.task_id, encode(signal), time.time())
        await a.journal.write(lambda c: inbox.insert(c, [row], owner="dead", lease_until=1e12))
        for number, given in enumerate(ends):
            end = replace(given, culprit=signal.id) if given.culprit == "ID" else given
            await a.journal.write(lambda c, end=end: inbox.recover(c, owner="new", end=end))  # type: ignore[misc]
            if number < len(ends) - 1:
                await a.journal.write(lambda c: inbox.claim(c, [signal.id], owner="dead", lease_until=1e12))
        async with a.courier:
            await a.until(lambda: bool(a.failures) if aside else bool(a.results))
    if aside:
        assert a.failures[0].reason == "crashed"
        assert "ended 2 times while handling it" in a.failures[0].detail
        assert ("stood still" in a.failures[0].detail) == (ends[0].culprit is not None)
    assert not aside or not a.results


async def test_an_inbox_may_join_later(tmp_path: Path) -> None:
    async with node(LoopbackBroker().client("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        async with a.courier:
            await a.courier.add("l2", a.answer, concurrency=2, layer=2)
            await a.courier.send([task("x")])
            await a.until(lambda: len(a.results) == 1)


async def test_watchers_see_status_first_and_progress_thinned_out(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with node(broker.client("a"), tmp_path / "a.db", name="a") as a:
        a.courier.host("l2", a.answer, layer=2)
        async with a.courier:
            await a.courier.wait_connected(5)
            await a.courier.set_status("ready", {"load": 1})
            await asyncio.sleep(0.05)
            async with aclosing(a.courier.watch(task_id="t1")) as events:
                async with asyncio.timeout(120):
                    first = await anext(events)
                assert isinstance(first.payload, StatusPayload)
                assert (first.payload.state, first.payload.neurons) == ("ready", {"l2": 2})
                assert first.payload.boot_id == a.journal.boot_id
                began = time.monotonic()
                for number in range(500):
                    a.courier.emit_progress("t1", {"n": number})
                    a.courier.emit_progress("t2", {"n": -1})
                    await asyncio.sleep(0.001)
                numbers: list[int] = []
                async with asyncio.timeout(120):
                    while not numbers or numbers[-1] != 499:
                        event = await anext(events)
                        assert isinstance(event.payload, ProgressPayload)
                        numbers.append(event.payload.detail["n"])
                took = time.monotonic() - began
    assert numbers == sorted(numbers)
    # At most ten a second for as long as it took, and the ends.
    assert len(numbers) <= 10 * took + 3


async def test_no_sign_of_life_of_work_that_is_over(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with node(broker.client("a"), tmp_path / "a.db", name="a") as a:

        async def quick(signal: Signal) -> Outcome:
            a.courier.emit_progress(signal.task_id, {"n": 0}, source="l2")
            return await a.answer(signal)

        a.courier.host("book", a.collect)
        a.courier.host("l2", quick)
        async with a.courier:
            await a.courier.wait_connected(5)
            async with aclosing(a.courier.watch(status=False)) as events:
                told = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0.05)
                await a.courier.send([task("quick")])
                await a.until(lambda: len(a.results) == 1)
                a.courier.emit_progress("t-slow", {"n": 1}, source="l2")
                async with asyncio.timeout(60):
                    first = await told
    assert first.task_id == "t-slow"


async def test_a_node_that_breaks_off_is_shown_as_offline(tmp_path: Path) -> None:
    broker = LoopbackBroker()
    async with (
        node(broker.client("a"), tmp_path / "a.db", name="a") as a,
        node(broker.client("b"), tmp_path / "b.db", name="b") as b,
        a.courier,
    ):
        await a.courier.wait_connected(5)
        async with aclosing(a.courier.watch(progress=False)) as events:
            async with b.courier:
                await b.courier.set_status("ready")
                states = []
                async with asyncio.timeout(120):
                    while ("b", "ready") not in states:
                        event = await anext(events)
                        assert isinstance(event.payload, StatusPayload)
                        states.append((event.source, event.payload.state))
            async with asyncio.timeout(120):
                while ("b", "offline") not in states:
                    event = await anext(events)
                    assert isinstance(event.payload, StatusPayload)
                    states.append((event.source, event.payload.state))
