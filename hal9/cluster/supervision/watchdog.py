"""Notices an event loop that stands still, says so where the loop cannot, and remembers which turn did it."""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hal9.cluster.state_files import read_state, write_state

__all__ = ["BLAME_FILE", "Watchdog", "take_blame"]

_log = logging.getLogger("hal9.cluster.supervision.watchdog")

BLAME_FILE = "blocked_turn.json"
_TICK_SECONDS = 1.0
_PATIENCE_TICKS = 10
_REPEAT_TICKS = 30
_FRAMES = 12


class Watchdog:
    """A thread that looks once a second whether the event loop has moved; use it with `async with`.

    It counts its own ticks, not seconds: a process that was stopped as a whole (SIGSTOP, a laptop that slept)
    has not stood still.

    Args:
        folder: the home's state folder; what blocks is kept there for the next start.
        tell: called from the thread with {"seconds", "where", "turn"} while the loop stands still.
        patience: ticks after which a loop counts as standing still.
    """

    def __init__(
        self, folder: Path, tell: Callable[[dict[str, Any]], None], *, patience: int = _PATIENCE_TICKS
    ) -> None:
        self._blame = folder / BLAME_FILE
        self._tell = tell
        self._patience = patience
        self._moved = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hal9-watchdog", daemon=True)
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._beating = asyncio.create_task(self._beat(), name="watchdog beat")
        self._thread.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _beat(self) -> None:
        while True:
            self._moved = True
            await asyncio.sleep(_TICK_SECONDS / 2)

    def _watch(self) -> None:
        still = 0
        while not self._stop.wait(_TICK_SECONDS):
            if self._moved:
                if still >= self._patience:
                    _log.warning("the event loop goes on after %d s", still)
                    self._blame.unlink(missing_ok=True)
                self._moved, still = False, 0
                continue
            still += 1
            if still == self._patience or (still > self._patience and still % _REPEAT_TICKS == 0):
                self._report(still, first=still == self._patience)
            elif still > self._patience:
                self._tell(self._detail)

    def _report(self, still: int, *, first: bool) -> None:
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - the only way to another thread's stack
        stack = traceback.extract_stack(frame)[-_FRAMES:] if frame is not None else []
        turn = _current_turn(self._loop)
        where = f"{Path(stack[-1].filename).name}:{stack[-1].lineno} in {stack[-1].name}" if stack else ""
        self._detail: dict[str, Any] = {"seconds": still, "where": where, "turn": turn}
        _log.error(
            "the event loop has stood still for %d s in %s%s\n%s",
            still,
            where or "an unknown place",
            f" (turn {turn})" if turn else "",
            "".join(traceback.format_list(stack)),
        )
        if first and turn:
            try:
                write_state(self._blame, self._detail)
            except OSError as error:
                _log.error("%s cannot be written: %s", self._blame, error)
        self._tell(self._detail)


def _current_turn(loop: asyncio.AbstractEventLoop) -> str:
    """Id of the signal whose handler runs in the loop just now; handlers' tasks are named "INBOX ID"."""
    task = asyncio.current_task(loop)
    words = task.get_name().split() if task is not None else []
    return words[1] if len(words) == 2 and words[1].count("-") == 4 else ""


def take_blame(folder: Path) -> dict[str, Any]:
    """Which turn blocked the daemon that ran here before, if one did; asked once per start."""
    path = folder / BLAME_FILE
    said = read_state(path)
    path.unlink(missing_ok=True)
    return said
