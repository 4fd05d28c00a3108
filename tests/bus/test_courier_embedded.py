"""The courier end to end over the embedded broker: real files, a real nats-server process."""

import asyncio
from pathlib import Path

from hal9.bus import Courier, EmbeddedBroker, MqttBus, Outcome, node_user
from hal9.database import Connection
from hal9.journal import Journal, inbox, outbox
from hal9.signals import ResultPayload, Signal, TaskPayload


def count_effect(connection: Connection) -> None:
    connection.execute("INSERT INTO effects VALUES (1)")


async def test_a_task_goes_there_and_its_result_comes_back(tmp_path: Path) -> None:
    answers: asyncio.Queue[Signal] = asyncio.Queue()

    async def think(signal: Signal) -> Outcome:
        assert isinstance(signal.payload, TaskPayload)
        reply = Signal.create(
            ResultPayload(ok=True, answer=signal.payload.objective.upper()),
            task_id=signal.task_id,
            source="l2-coder",
            target=signal.source,
            now=signal.created_at,
            cause=signal,
        )
        return Outcome(send=(reply,), writes=(count_effect,))

    async def collect(signal: Signal) -> Outcome:
        answers.put_nowait(signal)
        return Outcome()

    async with (
        EmbeddedBroker(tmp_path / "broker", users=[node_user("test", "daemon")]) as broker,
        Journal(tmp_path / "journal.db") as journal,
    ):
        await journal.write(lambda c: c.execute("CREATE TABLE effects (n)"))
        courier = Courier(
            MqttBus(broker.address("daemon"), client_id="daemon"), journal, cluster="test", node="daemon"
        )
        courier.host("l2-coder", think, concurrency=4)
        courier.host("book", collect)
        async with courier:
            await courier.wait_connected(10)
            from hal9.clock import SystemClock

            now = SystemClock().now()
            tasks = [
                Signal.create(
                    TaskPayload(objective=f"task {n}"),
                    task_id=f"t{n}",
                    source="book",
                    target="l2-coder",
                    now=now,
                )
                for n in range(20)
            ]
            await courier.send(tasks)
            async with asyncio.timeout(120):
                got = [await answers.get() for _ in tasks]
                while courier.unconfirmed:
                    await asyncio.sleep(0.01)
            assert sorted(s.payload.answer for s in got if isinstance(s.payload, ResultPayload)) == sorted(
                f"TASK {n}" for n in range(20)
            )
            assert await journal.read(lambda c: c.execute("SELECT count(*) FROM effects").fetchone()[0]) == 20
            assert await journal.read(outbox.count) == 0
        counts = await journal.read(inbox.counts)
        assert counts == {"new": 0, "working": 0, "done": 40}
