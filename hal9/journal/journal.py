"""The journal's file and its one writing thread.

Group commit: while one transaction is being committed, the writes that arrive meanwhile gather, and become
the next transaction together. A caller's future resolves only after COMMIT; a write that fails is rolled back
alone, through its savepoint (a batch of one needs none).
"""

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from hal9.database import Migration, atomic, open_database
from hal9.errors import DatabaseDamaged, JournalClosed, JournalInUse, JournalUnwritable
from hal9.journal.migrations import MIGRATIONS

__all__ = ["Journal"]

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], Any]
_Item = tuple[Write, "asyncio.Future[Any]"]
_Settled = tuple["asyncio.Future[Any]", Any, BaseException | None]

# Beyond this a batch holds its first caller up for longer than the saved commits are worth.
_BATCH_LIMIT = 512
_UNWRITABLE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY")


class Journal:
    """One SQLite file, one writer thread, one reader thread; use it with `async with`.

    Args:
        path: the file; its folder must exist.
        migrations: the whole schema history.
        boot_id: names this run of the program as owner of leases; random by default.
        synchronous: NORMAL survives kill -9, FULL also power loss (an fsync per commit).
        max_pages: caps the file's size in SQLite pages (4096 bytes each); None leaves it to the disk.

    Raises:
        JournalInUse: on entering, when another process has this journal open.
        DatabaseTooNew, DatabaseDamaged: on entering.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
        boot_id: str | None = None,
        synchronous: str = "NORMAL",
        max_pages: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.boot_id = boot_id or uuid.uuid4().hex
        self._migrations = tuple(migrations)
        self._synchronous = synchronous
        self._max_pages = max_pages
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._gathered: list[_Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: threading.Thread | None = None
        self._write_connection: sqlite3.Connection | None = None
        self._read_connection: sqlite3.Connection | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._lock: IO[bytes] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.commits = 0
        self.writes = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(None, self._open)
        self._writer = threading.Thread(target=self._run, name="hal9-journal-writer", daemon=True)
        self._writer.start()
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hal9-journal-reader")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        self._hand_over()
        self._queue.put(None)
        loop = asyncio.get_running_loop()
        if writer is not None:
            await loop.run_in_executor(None, writer.join)
        if readers is not None:
            await loop.run_in_executor(None, readers.shutdown)
        self._close()

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in the writer thread inside a transaction; return its value once that is committed.

        `fn` runs in another thread: it must use nothing but the connection and what it closed over.
        Cancelling the caller does not undo the write.

        Raises:
            JournalUnwritable: disk full and the like; nothing of `fn` was recorded.
            JournalClosed: not open.
            Whatever `fn` raises; nothing of `fn` was recorded then.
        """
        if self._writer is None:
            raise JournalClosed(path=str(self.path))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._gathered:
            # Waking the other thread costs more than a write: once for all writes of this turn of the loop.
            loop.call_soon(self._hand_over)
        self._gathered.append((fn, future))
        return await future

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """From inside a write: have `callback` called in the event loop once that write is committed.

        A write that is rolled back alone may still see its callback called; one whose batch fails does not.
        """
        self._callbacks.append(callback)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` on a read-only connection in the reader thread; it sees everything committed before."""
        readers, connection = self._readers, self._read_connection
        if readers is None or connection is None:
            raise JournalClosed(path=str(self.path))
        return await asyncio.get_running_loop().run_in_executor(readers, fn, connection)

    # --- opening and closing ---------------------------------------------------------------

    def _open(self) -> None:
        lock = self.path.with_name(self.path.name + ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise JournalInUse(path=str(self.path)) from error
        self._lock = lock
        try:
            writer = open_database(
                self.path, self._migrations, check_same_thread=False, synchronous=self._synchronous
            )
            self._write_connection = writer
            # What was accepted by kill -9 standards stays readable by its owner only.
            self.path.chmod(0o600)
            if self._max_pages is not None:
                writer.execute(f"PRAGMA max_page_count={int(self._max_pages)}")
            reader = open_database(self.path, check_same_thread=False, synchronous=self._synchronous)
            reader.execute("PRAGMA query_only=ON")
            self._read_connection = reader
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        for connection in (self._read_connection, self._write_connection):
            if connection is not None:
                connection.close()
        self._read_connection = self._write_connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- the writer thread ----------------------------------------------------------------

    def _run(self) -> None:
        loop, connection = self._loop, self._write_connection
        if loop is None or connection is None:
            raise JournalClosed(path=str(self.path))
        while True:
            item = self._queue.get()
            if item is None:
                return
            batch = item
            last = False
            while len(batch) < _BATCH_LIMIT:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                batch += item
            self._callbacks = []
            commits = self.commits
            settled = self._commit(connection, batch)
            callbacks = self._callbacks if self.commits > commits else []
            with contextlib.suppress(RuntimeError):  # the loop is gone, so is everyone who waited
                loop.call_soon_threadsafe(_settle, settled, callbacks)
            if last:
                return

    def _commit(self, connection: sqlite3.Connection, batch: list[_Item]) -> list[_Settled]:
        settled: list[_Settled] = []
        try:
            with atomic(connection):
                if len(batch) == 1:
                    fn, future = batch[0]
                    settled.append((future, fn(connection), None))
                else:
                    for fn, future in batch:
                        settled.append(self._one(connection, fn, future))
        except BaseException as error:  # noqa: BLE001 - every caller of the batch gets to know
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            typed = self._typed(error)
            return [
                (future, None, settled[index][2] or typed if index < len(settled) else typed)
                for index, (_, future) in enumerate(batch)
            ]
        self.commits += 1
        self.writes += len(batch)
        return settled

    def _one(self, connection: sqlite3.Connection, fn: Write, future: "asyncio.Future[Any]") -> _Settled:
        try:
            with atomic(connection):
                return future, fn(connection), None
        except BaseException as error:
            if not connection.in_transaction:
                # SQLite gave the whole transaction up (disk full); nobody in this batch was recorded.
                raise
            return future, None, self._typed(error)

    def _typed(self, error: BaseException) -> BaseException:
        # When SQLite itself gave the transaction up, rolling back fails too and hides the cause.
        while isinstance(error, sqlite3.Error) and isinstance(error.__context__, sqlite3.Error):
            error = error.__context__
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith(_UNWRITABLE):
                return JournalUnwritable(path=str(self.path), detail=f"{name}: {error}")
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                return DatabaseDamaged(path=str(self.path), detail=f"{name}: {error}")
        return error

    @property
    def size_bytes(self) -> int:
        """Bytes of the file and its write-ahead log."""
        total = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def _settle(settled: list[_Settled], callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
    for future, value, error in settled:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
