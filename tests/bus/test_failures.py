"""The courier when everything around it fails: the real embedded broker behind a proxy that misbehaves."""

import asyncio
import os
import shutil
import signal as signals
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.bus import StoreLimits
from hal9.database import Connection
from hal9.journal import inbox, outbox
from tests.bus.harness import Embedded, embedded
from tests.bus.nodes import QUICK, Node, node, task

COUNT = 200


def serve(a: Node) -> None:
    a.courier.host("book", a.collect)
    a.courier.host("l2", a.answer, concurrency=8)


async def everything_once(a: Node, ids: list[str]) -> None:
    await a.until(lambda: len(a.results) >= len(ids) and not a.courier.unconfirmed, 40)
    assert sorted(await a.effects()) == sorted(
        [f"handled {i}" for i in ids] + [f"collected {i}" for i in ids]
    )
    assert not a.failures
    assert await a.journal.read(outbox.count) == 0


async def send_slowly(a: Node, count: int = COUNT) -> list[str]:
    ids = []
    for number in range(count):
        signal = task(str(number))
        ids.append(signal.id)
        await a.courier.send([signal])
        await asyncio.sleep(0.003)
    return ids


async def test_connections_that_are_reset_again_and_again(nats: Embedded, tmp_path: Path) -> None:
    async with node(nats.bus("a"), tmp_path / "a.db") as a:
        serve(a)
        async with a.courier, asyncio.TaskGroup() as group:
            sending = group.create_task(send_slowly(a))
            for _ in range(4):
                await a.courier.wait_connected(10)
                await asyncio.sleep(0.15)
                nats.cut()
            await everything_once(a, await sending)


async def test_a_connection_that_is_only_half_there(nats: Embedded, tmp_path: Path) -> None:
    bus = nats.bus("a")
    async with node(bus, tmp_path / "a.db") as a:
        serve(a)
        async with a.courier:
            await a.courier.wait_connected(10)
            sessions = bus.sessions
            nats.proxy.silent = True
            ids = await send_slowly(a, 20)
            async with asyncio.timeout(120):
                while bus.connected:  # no answer for answer_timeout: the session counts as gone
                    await asyncio.sleep(0.05)
            nats.proxy.silent = False
            await bus.wait_session(sessions)
            await everything_once(a, ids)


async def test_a_broker_that_is_killed(nats: Embedded, tmp_path: Path) -> None:
    async with node(nats.bus("a"), tmp_path / "a.db") as a:
        serve(a)
        async with a.courier, asyncio.TaskGroup() as group:
            sending = group.create_task(send_slowly(a))
            for _ in range(2):
                await a.courier.wait_connected(20)
                await asyncio.sleep(0.1)
                await nats.stop()
                await nats.start()
            await everything_once(a, await sending)


async def test_a_broker_that_lost_its_whole_store(nats: Embedded, tmp_path: Path) -> None:
    async with node(nats.bus("a"), tmp_path / "a.db") as a:
        a.courier.host("book", a.collect)
        async with a.courier:
            await a.courier.wait_connected(10)
            ids = await send_slowly(a, 50)  # nobody serves l2 yet: the broker has them, or drops them
            pid = nats.broker.pid
            assert pid is not None
            os.kill(pid, signals.SIGSTOP)  # so that it cannot write what we delete
            await asyncio.to_thread(shutil.rmtree, nats.broker.directory / "store")
            await nats.stop()
            await nats.start()
            await a.courier.wait_connected(20)
            await a.courier.add("l2", a.answer, concurrency=8)
            await everything_once(a, ids)


async def test_garbage_on_our_topics(nats: Embedded, tmp_path: Path) -> None:
    garbage = [
        b"",
        b"\x00\xff" * 500,
        b"[]",
        b"null",
        b'{"v":1}',
        os.urandom(3000),
        b"{" * 10_000,
        b"x" * 300_000,
    ]
    async with node(nats.bus("a"), tmp_path / "a.db") as a, nats.bus("vandal") as vandal:
        serve(a)
        await vandal.wait_connected(10)
        async with a.courier:
            await a.courier.wait_connected(10)
            for payload in garbage:
                for topic in ("in/l2/task/book", "in/book/ack/l2", "in/l2/nonsense/x", "in/book/result/l2"):
                    await vandal.publish(f"hal9/test/{topic}", payload, qos=1)
            await vandal.publish("hal9/test/in/l2/UPPER CASE/book".replace(" ", "_"), b"{}", qos=1)
            ids = await send_slowly(a, 10)
            await everything_once(a, ids)
        reasons = {letter.reason for letter in await a.letters()}
        assert reasons == {"bad_json", "bad_shape", "oversize", "bad_topic"}
        assert len(await a.letters()) == len(garbage) * 4 + 1


async def test_a_denied_publish_is_reported_though_the_broker_confirms_it(
    nats: Embedded, tmp_path: Path
) -> None:
    async with (
        node(nats.bus("a", user="limited"), tmp_path / "a.db", name="limited") as a,
        node(nats.bus("b"), tmp_path / "b.db", name="b") as b,
    ):
        a.courier.host("limited", a.collect)
        a.courier.host("impostor", a.collect)
        b.courier.host("l2", b.answer)
        async with a.courier, b.courier:
            await b.courier.wait_connected(10)
            allowed = task("allowed", source="limited", ttl=20.0)
            denied = task("denied", source="impostor", ttl=1.5)
            await a.courier.send([allowed, denied])
            await a.until(lambda: bool(a.failures) and bool(a.results))
            assert [failure.signal.id for failure in a.failures] == [denied.id]
            assert a.results[0].cause_id == allowed.id
        assert await b.effects() == [f"handled {allowed.id}"]


async def test_another_client_that_takes_our_id(nats: Embedded, tmp_path: Path) -> None:
    async with node(nats.bus("a"), tmp_path / "a.db") as a:
        serve(a)
        async with a.courier, asyncio.TaskGroup() as group:
            await a.courier.wait_connected(10)
            sending = group.create_task(send_slowly(a, 100))
            await asyncio.sleep(0.1)
            async with nats.bus("a") as thief:
                await thief.wait_connected(10)
                await asyncio.sleep(0.5)
            await everything_once(a, await sending)


async def test_a_full_disk_stops_receiving_and_loses_nothing(nats: Embedded, tmp_path: Path) -> None:
    async with (
        node(nats.bus("a"), tmp_path / "a.db", name="a") as a,
        node(nats.bus("b"), tmp_path / "b.db", name="b", max_pages=80) as b,
    ):
        a.courier.host("book", a.collect)
        b.courier.host("l2", b.answer)
        async with a.courier, b.courier:
            await b.courier.wait_connected(10)
            big = [task(f"{number} " + "x" * 20_000) for number in range(30)]
            await a.courier.send(big)
            await asyncio.sleep(1.5)
            assert len(a.results) < 30

            def more_space(connection: Connection) -> None:
                connection.execute("PRAGMA max_page_count=100000")

            await b.journal.write(more_space)
            await a.until(lambda: len(a.results) >= 30 and not a.courier.unconfirmed, 30)
            await b.until(lambda: not b.courier.unconfirmed, 30)
        assert sorted(await b.effects()) == sorted(f"handled {signal.id}" for signal in big)
        assert await b.journal.read(inbox.counts) == {"new": 0, "working": 0, "done": 30}


async def test_a_stale_session_cannot_fill_the_store_for_everybody(tmp_path: Path) -> None:
    limits = StoreLimits(max_bytes=2 * 1024 * 1024, ack_wait_seconds=1)
    async with embedded(tmp_path / "broker", limits=limits) as nats:
        async with nats.bus("stale") as stale:
            await stale.wait_connected(10)
            await stale.subscribe("hal9/test/in/stale/+/+")
        async with nats.bus("flood") as flood:
            await flood.wait_connected(10)
            for _ in range(60):
                await flood.publish("hal9/test/in/stale/task/flood", os.urandom(100_000), qos=1)
        async with node(nats.bus("a"), tmp_path / "a.db") as a:
            serve(a)
            async with a.courier:
                await a.courier.wait_connected(10)
                await everything_once(a, await send_slowly(a, 30))


@pytest.mark.slow
async def test_copies_from_many_resends_are_one_signal(nats: Embedded, tmp_path: Path) -> None:
    async with node(nats.bus("a"), tmp_path / "a.db", settings=replace(QUICK, ack_delay=2.0)) as a:
        serve(a)
        async with a.courier:
            ids = await send_slowly(a, 20)
            await everything_once(a, ids)
        attempts = await a.journal.read(lambda c: c.execute("SELECT max(attempts) FROM inbox").fetchone()[0])
        assert attempts == 1


async def test_a_node_on_the_other_side_of_a_restart(nats: Embedded, tmp_path: Path) -> None:
    signal = task("asked before", ttl=60.0)
    async with node(nats.bus("a"), tmp_path / "a.db", name="a") as a:
        a.courier.host("book", a.collect)
        async with a.courier:
            await a.courier.send([signal])
            await asyncio.sleep(0.1)
    async with node(nats.bus("b"), tmp_path / "b.db", name="b") as b:
        b.courier.host("l2", b.answer)
        async with b.courier:
            await b.courier.wait_connected(10)
            async with node(nats.bus("a"), tmp_path / "a.db", name="a") as again:
                again.courier.host("book", again.collect)
                async with again.courier:
                    await again.until(lambda: len(again.results) == 1)
        assert await b.effects() == [f"handled {signal.id}"]
