"""The signals of a node that no receiver has confirmed: which go out now, which later, and how many fit.

What the journal's outbox holds is mirrored here without the bodies, so that nobody has to read the table to
know what is due. `outbox_relay` sends them, and sends them again.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hal9.errors.bus import OutboxFull
from hal9.journal import outbox

__all__ = ["Unconfirmed"]


@dataclass(slots=True)
class _Waiting:
    """An unconfirmed signal: when to send it again (monotonic), when it expires (wall clock)."""

    next_at: float
    expires_at: float
    attempt: int
    queued: bool


class Unconfirmed:
    """Bookkeeping in memory; every signal in it has a row in the outbox.

    Args:
        limit: so many signals may be unconfirmed before producers have to wait.
        patience: seconds for which `wait_room` waits.
    """

    def __init__(self, *, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._waiting: dict[str, _Waiting] = {}
        self._ready: deque[outbox.Entry] = deque()
        self._ready_event = asyncio.Event()
        self._room = asyncio.Event()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, signal_id: str) -> bool:
        return signal_id in self._waiting

    async def wait_room(self, number: int) -> None:
        """Hold a producer back while too much is unconfirmed.

        Raises:
            OutboxFull: there was no room for too long.
        """
        if len(self._waiting) + number <= self._limit:
            return
        try:
            async with asyncio.timeout(self._patience):
                while len(self._waiting) + number > self._limit:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise OutboxFull(waiting=len(self._waiting), limit=self._limit) from None

    async def wait_any(self) -> None:
        """Until anything is unconfirmed."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()

    def restore(self, rows: Iterable[tuple[str, float, int]]) -> None:
        """Take over (id, expires_at, attempt) of what earlier runs could not deliver; due at once."""
        for signal_id, expires_at, attempt in rows:
            self._waiting[signal_id] = _Waiting(0.0, expires_at, attempt, queued=False)
            self._some.set()

    def publish(self, entries: Sequence[outbox.Entry]) -> None:
        """Have rows that are committed sent as soon as there is a session."""
        for entry in entries:
            self._waiting[entry.id] = _Waiting(0.0, entry.expires_at, entry.attempt, queued=True)
            self._ready.append(entry)
        self._ready_event.set()
        self._some.set()

    async def next_ready(self) -> outbox.Entry:
        """The first signal that is to go out and still unconfirmed; it stays first until `sent`."""
        while True:
            while not self._ready:
                self._ready_event.clear()
                await self._ready_event.wait()
            entry = self._ready[0]
            if entry.id in self._waiting:
                return entry
            self._ready.popleft()  # confirmed or expired while it waited here

    def sent(self, entry: outbox.Entry, *, again_at: float) -> None:
        """The first ready one went out; unless it is confirmed it goes again at `again_at` (monotonic)."""
        self._ready.popleft()
        waiting = self._waiting.get(entry.id)
        if waiting is not None:
            waiting.queued = False
            waiting.next_at = again_at

    def resend_all(self) -> None:
        """A new session may mean a broker that lost its store: everything that went out is due again."""
        for waiting in self._waiting.values():
            if not waiting.queued:
                waiting.next_at = 0.0

    def due(self, *, now: float, limit: int) -> list[str]:
        """Ids that are to be sent again by `now` (monotonic), oldest first."""
        found = (key for key, one in self._waiting.items() if not one.queued and one.next_at <= now)
        return [key for key, _ in zip(found, range(limit), strict=False)]

    def expired(self, *, now: float, limit: int) -> list[str]:
        """Ids whose time is over at `now` (wall clock), oldest first."""
        found = (key for key, one in self._waiting.items() if one.expires_at <= now)
        return [key for key, _ in zip(found, range(limit), strict=False)]

    def forget(self, ids: Iterable[str]) -> None:
        """These are confirmed or given up."""
        for signal_id in ids:
            self._waiting.pop(signal_id, None)
        self._room.set()
