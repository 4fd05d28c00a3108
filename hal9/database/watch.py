"""Noticing that somebody has committed, without asking all the time.

SQLite appends every commit to its log beside the file, and Linux tells who wants to know of it (inotify).
Where that cannot be had, and on PostgreSQL, the time of a short pause passes instead. What was committed is
for the caller to look up; `change_mark` tells cheaply whether anything was.
"""

import asyncio
import contextlib
import ctypes
import os
import struct
import sys
from types import TracebackType
from typing import Self

from hal9.database.opening import beside
from hal9.database.protocol import Place, PostgresPlace

__all__ = ["CommitWatch"]

_MODIFY, _DELETE_SELF, _MOVE_SELF, _IGNORED = 0x2, 0x400, 0x800, 0x8000
_HEAD = struct.Struct("iIII")


class CommitWatch:
    """Wakes one waiter when something may have been committed; use it with `async with`.

    Args:
        place: the database.
        pause: the shortest time between two awakenings, and the time waited where commits cannot be noticed.
    """

    def __init__(self, place: Place, *, pause: float) -> None:
        self._log = None if isinstance(place, PostgresPlace) else beside(place, "-wal")
        self._pause = pause
        self._descriptor = -1
        self._watched = False
        self._listening = False
        self._stirred = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._log is not None and sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            self._watch()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            self._listen(wanted=False)
            os.close(self._descriptor)
            self._descriptor = -1

    async def wait(self, longest: float) -> None:
        """Until something may have been committed, by whatever process, or the longest time is over."""
        if not self._watched:
            # What was committed before it was watched has told nobody: the caller looks again in any case.
            self._watch()
            await asyncio.sleep(min(self._pause, longest))
            return
        if self._stirred.is_set() or longest <= self._pause:
            # Whoever is busy commits all the time: what comes meanwhile is one awakening.
            self._listen(wanted=False)
            await asyncio.sleep(min(self._pause, longest))
            if longest <= self._pause:
                return
            self._stirred.clear()
        self._listen(wanted=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._stirred.wait()

    def _watch(self) -> None:
        if self._descriptor < 0 or self._log is None:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        mask = ctypes.c_uint32(_MODIFY | _DELETE_SELF | _MOVE_SELF)
        self._watched = libc.inotify_add_watch(self._descriptor, os.fsencode(self._log), mask) >= 0

    def _listen(self, *, wanted: bool) -> None:
        if wanted == self._listening:
            return
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_reader(self._descriptor, self._stir)
        else:
            loop.remove_reader(self._descriptor)
        self._listening = wanted

    def _stir(self) -> None:
        with contextlib.suppress(BlockingIOError):
            told = os.read(self._descriptor, 65536)
            at = 0
            while at < len(told):
                _, mask, _, length = _HEAD.unpack_from(told, at)
                if mask & (_DELETE_SELF | _MOVE_SELF | _IGNORED):
                    self._watched = False  # the log is another file from now on
                at += _HEAD.size + length
        self._stirred.set()
