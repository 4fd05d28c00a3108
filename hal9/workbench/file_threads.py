"""File work of one snapshot, off the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["FileThreads"]

T = TypeVar("T")
_THREADS = 2
_READ_SECONDS = 30.0


class FileThreads:
    """Threads for file work; a cancelled caller stops the work at the next file."""

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not for `hal9 --help`

        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="hal9-files")

    async def run(self, work: Callable[[threading.Event], T], *, seconds: float | None = _READ_SECONDS) -> T:
        """Run it in a thread.

        Raises:
            TimeoutError: it takes longer than `seconds`.
        """
        stop = threading.Event()
        done = asyncio.get_running_loop().run_in_executor(self._threads, work, stop)
        try:
            if seconds is None:
                return await asyncio.shield(done)
            async with asyncio.timeout(seconds):
                return await asyncio.shield(done)
        except BaseException:
            if not done.done():
                stop.set()
                if seconds is None:
                    # It stops at the next file; what it holds open must not be closed under it.
                    with contextlib.suppress(BaseException):
                        await asyncio.shield(done)
            raise

    def close(self) -> None:
        """Do not wait for a file system that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
