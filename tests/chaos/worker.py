"""A node in a process of its own, to be killed. Role `asks` produces tasks, role `answers` handles them.

Every accepted task and every recorded effect leaves a row without any uniqueness constraint, so that a
duplicate would be seen as well as a loss.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hal9.bus import BrokerAddress, Courier, CourierSettings, Failure, MqttBus, Outcome, RetryPolicy
from hal9.database import Connection
from hal9.errors.base import MindError
from hal9.journal import Journal
from hal9.signals import ErrorDetail, ResultPayload, Signal, TaskPayload
from tests.support.postgres import read_place

SETTINGS = CourierSettings(
    resend_first=0.5,
    resend_last=2.0,
    lease=5.0,
    drain=1.0,
    retry=RetryPolicy(attempts=2, first_delay=0.01, last_delay=0.05, crashes=100),
)
MOST = 5000


def effect(note: str) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute("INSERT INTO effects (note) VALUES (?)", (note,))

    return write


def reply(signal: Signal, *, ok: bool) -> Signal:
    error = None if ok else ErrorDetail(reason="mind_failed", message="poison")
    return Signal.create(
        ResultPayload(ok=ok, error=error),
        task_id=signal.task_id,
        source=signal.target,
        target=signal.source,
        now=time.time(),
        cause=signal,
    )


async def answer(signal: Signal) -> Outcome:
    assert isinstance(signal.payload, TaskPayload)
    if signal.payload.objective == "poison":
        raise MindError
    await asyncio.sleep(0.001)
    return Outcome(send=(reply(signal, ok=True),), writes=(effect(signal.task_id),))


async def give_up(failure: Failure) -> Outcome:
    signal = failure.signal
    if failure.stage == "send":
        return Outcome(writes=(effect(f"undeliverable {signal.kind} {signal.task_id}"),))
    return Outcome(send=(reply(signal, ok=False),), writes=(effect(signal.task_id),))


async def collect(signal: Signal) -> Outcome:
    return Outcome(writes=(effect(signal.task_id),))


def table_named(name: str) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} (note TEXT NOT NULL)")

    return write


def count(table: str) -> Callable[[Connection], int]:
    return lambda connection: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def ask(courier: Courier, journal: Journal, finish: Path) -> None:
    number = await journal.read(count("asked"))
    while not finish.exists() and number < MOST:
        signal = Signal.create(
            TaskPayload(objective="poison" if number % 40 == 7 else "work"),
            task_id=f"t{number}",
            source="asks",
            target="answers",
            now=time.time(),
            ttl_seconds=600.0,
        )

        def asked(connection: Connection, task_id: str = signal.task_id) -> None:
            connection.execute("INSERT INTO asked (note) VALUES (?)", (task_id,))

        await courier.send([signal], writes=[asked])
        number += 1
        await asyncio.sleep(0.01)
    while await journal.read(count("effects")) < number or courier.unconfirmed:
        await asyncio.sleep(0.02)


async def main() -> None:
    role, directory, place = sys.argv[1], Path(sys.argv[2]), read_place(sys.argv[3])
    login = json.loads(sys.stdin.readline())
    address = BrokerAddress(
        host="127.0.0.1", port=login["port"], username=login["user"], password=login["password"]
    )
    async with Journal(place) as journal:
        for table in ("effects", "asked"):
            await journal.write(table_named(table))
        bus = MqttBus(address, client_id=role, answer_timeout=3.0)
        courier = Courier(bus, journal, cluster="test", node=role, settings=SETTINGS, on_failure=give_up)
        courier.host(role, collect if role == "asks" else answer, concurrency=4)
        async with courier:
            if role == "asks":
                await ask(courier, journal, directory / "finish")
                (directory / "all-answered").touch()
            while not (directory / "all-answered").exists() or courier.unconfirmed:
                await asyncio.sleep(0.02)
            # Whoever is through stays to confirm the other's last signals.
            (directory / f"{role}-through").touch()
            while not all((directory / f"{one}-through").exists() for one in ("asks", "answers")):
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main())
