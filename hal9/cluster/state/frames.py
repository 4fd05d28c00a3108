"""The way between hosts that share PostgreSQL and no broker: frames of the exchange, left in the journal.

Asked for often while something is under way, and once in a while else. It needs nothing of the server but
plain statements, so poolers may stand between.
"""

import asyncio
import logging
import sqlite3
import threading

from hal9.bus.exchange import Exchange
from hal9.clock import Clock
from hal9.database import Connection, PostgresPlace, on_postgres, open_database
from hal9.errors.base import DatabaseError
from hal9.errors.bus import FrameNotStored
from hal9.journal.frames import MOST_WAITING, leave_frame, take_frames

__all__ = ["DatabaseWire"]

_log = logging.getLogger("hal9.cluster.frames")
_BUSY_SECONDS = 0.02
_IDLE_SECONDS = 1.0
_BUSY_FOR = 3.0


class DatabaseWire:
    """Leaves frames for other hosts, and hands on what they left for this one.

    Args:
        place: the journal.
        node: this host's name.
        exchange: whose frames.
        clock: time.
    """

    def __init__(self, place: PostgresPlace, *, node: str, exchange: Exchange, clock: Clock) -> None:
        self._place = place
        self._node = node
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._busy_until = 0.0

    async def send(self, node: str, frame: bytes) -> None:
        """Leave a frame for a host.

        Raises:
            FrameNotStored: the database is away, or the host takes nothing.
        """
        self._stay_busy()
        try:
            left = await asyncio.to_thread(self._leave, node, frame)
        except (sqlite3.Error, DatabaseError) as error:
            raise FrameNotStored(node=node, detail=str(error)) from error
        if not left:
            raise FrameNotStored(node=node, detail=f"{MOST_WAITING} frames wait for it already")

    async def run(self) -> None:
        """Hand on what arrives; runs for ever."""
        told = False
        try:
            while True:
                try:
                    frames = await asyncio.to_thread(self._take)
                    told = False
                except (sqlite3.Error, DatabaseError) as error:
                    if not told:
                        _log.warning("no frames can be fetched: %s", error)
                    frames, told = [], True
                for source, body in frames:
                    self._stay_busy()
                    self._exchange.arrived(source, body, back=self.send)
                if not frames:
                    await self._pause()
        finally:
            await asyncio.to_thread(self._close)

    def _stay_busy(self) -> None:
        self._busy_until = self._clock.monotonic() + _BUSY_FOR
        self._wake.set()

    async def _pause(self) -> None:
        busy = self._exchange.waits or self._clock.monotonic() < self._busy_until
        self._wake.clear()
        if busy:
            await self._clock.sleep(_BUSY_SECONDS)
            return
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = open_database(self._place)
        return self._connection

    def _leave(self, node: str, frame: bytes) -> bool:
        with self._lock:
            connection = self._open()
            now = connection.server_time() if on_postgres(connection) else 0.0
            return leave_frame(connection, node, self._node, frame, now=now)

    def _take(self) -> list[tuple[str, bytes]]:
        with self._lock:
            return take_frames(self._open(), self._node)

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
