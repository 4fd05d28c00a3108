"""Events for any number of listeners: one reader of the journal tells them all, none is asked twice.

A listener is told everything after the number it names, first from the journal, then as it is committed, so
that nothing is lost over a lost connection or a restart. One that cannot keep up is let go: it comes back
with the last number it has seen. Signs of life (tokens as they are written) are passed on as well; those may
be lost.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from hal9.cluster.home import Home
from hal9.cluster.live import live_events
from hal9.database import CommitWatch, Connection, PostgresPlace, change_mark, open_database
from hal9.errors.api import StreamsExhausted
from hal9.errors.base import BusError, Hal9Error
from hal9.errors.cluster import DaemonNotRunning
from hal9.journal import MIGRATIONS
from hal9.journal.events import TaskEvent, events_after, last_event
from hal9.signals import ProgressPayload

__all__ = ["EventHub", "Progress"]

_log = logging.getLogger("hal9.api.hub")
_POLL_SECONDS = 0.03
_LOOK_SECONDS = 5.0
_BATCH = 500
_QUEUE = 2000
_RETRY_SECONDS = 2.0
_IDLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A sign of life of a neuron at work; not in the journal."""

    task_id: str
    source: str
    event: str
    detail: dict[str, Any] = field(default_factory=dict)


Item = TaskEvent | Progress


class _Listener:
    def __init__(self, task_id: str | None, *, progress: bool) -> None:
        self.task_id = task_id
        self.progress = progress
        self.queue: asyncio.Queue[Item | None] = asyncio.Queue(_QUEUE)
        self.lost = False

    def put(self, item: Item) -> None:
        if self.lost or (isinstance(item, Progress) and not self.progress):
            return
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            if isinstance(item, TaskEvent):
                self.lost = True  # it has to come back and read from the journal


class EventHub:
    """Reads the journal of a home; use it with `async with`.

    Args:
        home: whose events.
        max_listeners: how many there may be at a time.
    """

    def __init__(self, home: Home, *, max_listeners: int = 2000) -> None:
        self._home = home
        self._max = max_listeners
        self._all: set[_Listener] = set()
        self._by_task: dict[str, set[_Listener]] = {}
        self._reader: Connection | None = None
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._live: asyncio.Task[None] | None = None
        self._live_listeners = 0
        self._group = asyncio.TaskGroup()
        self._cursor = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        self._reader = await asyncio.to_thread(
            open_database, self._home.journal, MIGRATIONS, check_same_thread=False
        )
        self._cursor = last_event(self._reader)
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._follow(), name="api events")]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        for task in (*self._tasks, *([self._live] if self._live is not None else ())):
            task.cancel()
        try:
            await self._group.__aexit__(exc_type, exc, traceback)
        finally:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def close(self) -> None:
        """End all streams; their listeners come back to the next server."""
        self._closed = True
        for listener in self._everybody():
            with contextlib.suppress(asyncio.QueueFull):
                listener.queue.put_nowait(None)
            listener.lost = True

    @property
    def listeners(self) -> int:
        """How many are listening."""
        return len(self._all) + sum(len(one) for one in self._by_task.values())

    @property
    def closed(self) -> bool:
        """Whether its streams have ended for good."""
        return self._closed

    @property
    def last(self) -> int:
        """The newest event's number that was told."""
        return self._cursor

    def _everybody(self) -> list[_Listener]:
        return [*self._all, *(one for group in self._by_task.values() for one in group)]

    @asynccontextmanager
    async def listen(
        self, *, after: int, task_id: str | None = None, progress: bool = False
    ) -> AsyncIterator[AsyncGenerator[Item | None, None]]:
        """Events after a number, of one task or of all; None when there were none for a while.

        The stream ends when the listener cannot keep up.

        Raises:
            StreamsExhausted: there are too many already.
        """
        if self.listeners >= self._max:
            raise StreamsExhausted(limit=self._max)
        listener = _Listener(task_id, progress=progress)
        group = self._all if task_id is None else self._by_task.setdefault(task_id, set())
        group.add(listener)
        self._count_live(progress)
        try:
            async with aclosing(self._items(listener, after)) as items:
                yield items
        finally:
            self._count_live(-progress)
            group.discard(listener)
            if task_id is not None and not group:
                self._by_task.pop(task_id, None)

    def _count_live(self, by: int) -> None:
        """Signs of life come as long as somebody wants them: reading them costs a neuron's every step."""
        self._live_listeners += by
        if self._live_listeners and self._live is None and not self._closed:
            self._live = self._group.create_task(self._follow_live(), name="api signs of life")
        elif not self._live_listeners and self._live is not None:
            self._live.cancel()
            self._live = None

    async def _items(self, listener: _Listener, after: int) -> AsyncGenerator[Item | None, None]:
        # What is committed from now on arrives in the queue; what was before comes from the journal.
        start = self._cursor
        while after < start:
            found = await self._read(after, listener.task_id, start)
            for event in found:
                yield event
            if len(found) < _BATCH:
                break
            after = found[-1].seq
        while not (listener.lost and listener.queue.empty()) and not (
            self._closed and listener.queue.empty()
        ):
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    item = await listener.queue.get()
            except TimeoutError:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, TaskEvent) and item.seq <= start:
                continue  # it was committed between listening and reading, and came from the journal
            yield item

    async def _read(
        self, after: int, task_id: str | None = None, until: int | None = None
    ) -> list[TaskEvent]:
        reader = self._reader
        if reader is None:
            return []
        look = partial(events_after, reader, after, task_id=task_id, until=until, limit=_BATCH)
        async with self._lock:
            if task_id is not None and not isinstance(self._home.journal, PostgresPlace):
                return look()  # a few rows that an index finds: a thread would cost more
            return await asyncio.to_thread(look)

    async def _follow(self) -> None:
        """Tell what was committed; the question whether anything was costs a few microseconds."""
        reader = self._reader
        if reader is None:
            return
        version = None
        async with CommitWatch(self._home.journal, pause=_POLL_SECONDS) as watch:
            while True:
                try:
                    async with self._lock:
                        now = change_mark(reader)
                    if now != version:
                        while found := await self._read(self._cursor):
                            for event in found:
                                self._tell(event)
                            self._cursor = found[-1].seq
                        version = now
                except sqlite3.OperationalError as error:
                    _log.warning("events wait: %s", error)  # the database is away; nothing is missed
                    await asyncio.sleep(_RETRY_SECONDS)
                await watch.wait(_LOOK_SECONDS)

    def _tell(self, item: Item) -> None:
        for listener in self._all:
            listener.put(item)
        for listener in self._by_task.get(item.task_id, ()):
            listener.put(item)

    async def _follow_live(self) -> None:
        while True:
            try:
                async with aclosing(live_events(self._home)) as signals:
                    async for signal in signals:
                        if isinstance(signal.payload, ProgressPayload):
                            self._tell(
                                Progress(
                                    task_id=signal.task_id,
                                    source=signal.source,
                                    event=signal.payload.event,
                                    detail=signal.payload.detail,
                                )
                            )
            except (DaemonNotRunning, BusError, KeyError):
                pass  # no cluster, no signs of life; events come from the journal all the same
            except Hal9Error as error:
                _log.info("no signs of life: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
