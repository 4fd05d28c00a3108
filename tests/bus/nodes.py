"""A node with a journal, for courier tests: what it hosts writes one row per handled signal."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hal9.bus import Bus, Courier, CourierSettings, Failure, Outcome, RetryPolicy
from hal9.database import Connection
from hal9.journal import Journal, dead_letters
from hal9.signals import ResultPayload, Signal, TaskPayload

QUICK = CourierSettings(
    resend_first=0.3,
    resend_last=1.0,
    lease=3.0,
    drain=2.0,
    producer_patience=0.3,
    retry=RetryPolicy(attempts=3, first_delay=0.02, last_delay=0.1),
)


def task(objective: str, *, source: str = "book", target: str = "l2", ttl: float = 60.0) -> Signal:
    return Signal.create(
        TaskPayload(objective=objective),
        task_id=f"t-{objective}".replace(" ", "-"),
        source=source,
        target=target,
        now=time.time(),
        ttl_seconds=ttl,
    )


def recording(note: str) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute("INSERT INTO effects (note) VALUES (?)", (note,))

    return write


class Node:
    """Two inboxes: `l2` answers every task, `book` collects the results."""

    def __init__(self, bus: Bus, journal: Journal, name: str, settings: CourierSettings) -> None:
        self.journal = journal
        self.failures: list[Failure] = []
        self.results: list[Signal] = []
        self.courier = Courier(
            bus, journal, cluster="test", node=name, settings=settings, on_failure=self.failed, seed=1
        )

    async def failed(self, failure: Failure) -> Outcome:
        self.failures.append(failure)
        return Outcome(writes=(recording(f"failed {failure.signal.id}"),))

    async def answer(self, signal: Signal) -> Outcome:
        assert isinstance(signal.payload, TaskPayload)
        reply = Signal.create(
            ResultPayload(ok=True, answer=signal.payload.objective.upper()),
            task_id=signal.task_id,
            source=signal.target,
            target=signal.source,
            now=time.time(),
            cause=signal,
        )
        return Outcome(send=(reply,), writes=(recording(f"handled {signal.id}"),))

    async def collect(self, signal: Signal) -> Outcome:
        self.results.append(signal)
        return Outcome(writes=(recording(f"collected {signal.cause_id}"),))

    async def effects(self) -> list[str]:
        return await self.journal.read(lambda c: [row[0] for row in c.execute("SELECT note FROM effects")])

    async def letters(self) -> list[dead_letters.DeadLetter]:
        return await self.journal.read(dead_letters.latest)

    async def until(self, done: Callable[[], bool], seconds: float = 15.0) -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def node(
    bus: Bus,
    path: Path,
    *,
    name: str = "node",
    settings: CourierSettings = QUICK,
    max_pages: int | None = None,
) -> AsyncIterator[Node]:
    """A node that is not connected yet: host what it should serve, then enter its courier."""
    async with Journal(path, max_pages=max_pages) as journal:
        await journal.write(lambda c: c.execute("CREATE TABLE IF NOT EXISTS effects (note TEXT NOT NULL)"))
        yield Node(bus, journal, name, settings)
