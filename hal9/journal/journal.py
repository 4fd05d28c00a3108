"""The journal's database, and who writes to it when.

Group commit: the writes of one turn of the event loop become one transaction. A caller's future resolves only
after COMMIT; when one fails, all are taken back and done again, each with a savepoint, and it fails alone.

A few small writes are committed in the event loop itself: in WAL mode without fsync that takes a tenth of a
millisecond, a fifth of what waking another thread and being woken by it costs. Everything that may take long
is the writer thread's: large batches, the wait for another process's lock, fsync (`synchronous="FULL"`), and
checkpoints. On PostgreSQL that is every write: each takes a way through the network.
"""

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeVar

from hal9.database import (
    Connection,
    Migration,
    Place,
    PostgresPlace,
    atomic,
    beside,
    change_mark,
    open_database,
)
from hal9.errors.journal import JournalClosed, JournalInUse
from hal9.journal.inbox import PreviousEnd
from hal9.journal.migrations import MIGRATIONS
from hal9.journal.write_errors import typed_error

__all__ = ["Journal"]

T = TypeVar("T")
Write = Callable[[Connection], Any]
_Item = tuple[Write, "asyncio.Future[Any]"]
# To the writer thread: a batch, or a checkpoint beside the writing, or the end of one without any writing.
_Message = list[_Item] | Literal["checkpoint", "finish checkpoint"]
_Settled = tuple["asyncio.Future[Any]", Any, BaseException | None]

# Beyond this a batch holds its first caller up for longer than the saved commits are worth.
_BATCH_LIMIT = 512
# So many writes of one turn are still quicker done than handed over.
_INLINE_LIMIT = 16
_BUSY_MILLISECONDS = 10_000
# SQLite's own default is every 1000 pages, at whoever happens to commit; ours is the writer thread.
_CHECKPOINT_BYTES, _LOG_BYTES, _LOOK_COMMITS = 6 << 20, 2 << 20, 16


class _Occupied(Exception):
    """Another process holds the write lock."""


class Journal:
    """One database, one writer at a time, one reader thread; use it with `async with`.

    Args:
        path: the file, whose folder must exist, or a place on PostgreSQL, which several processes share.
        migrations: the whole schema history.
        previous_end: how the run before has ended, as far as anybody knows.
        boot_id: names this run of the program as owner of leases; random by default.
        synchronous: NORMAL survives kill -9, FULL also power loss (an fsync per commit).
        max_pages: caps the file's size in SQLite pages (4096 bytes each); None leaves it to the disk.

    Raises:
        JournalInUse: on entering, when another process has this journal open.
        DatabaseTooNew, DatabaseDamaged: on entering.
    """

    def __init__(
        self,
        path: Place | str,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
        boot_id: str | None = None,
        previous_end: PreviousEnd | None = None,
        synchronous: str = "NORMAL",
        max_pages: int | None = None,
    ) -> None:
        self.path: Place = Path(path) if isinstance(path, str) else path
        self.shared = isinstance(self.path, PostgresPlace)
        self.boot_id = boot_id or uuid.uuid4().hex
        self.previous_end = previous_end or PreviousEnd()
        self._migrations = tuple(migrations)
        self._synchronous = synchronous
        self._max_pages = max_pages
        self._queue: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._gathered: list[_Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: threading.Thread | None = None
        self._write_connection: Connection | None = None
        self._read_connection: Connection | None = None
        self._point_connection: Connection | None = None
        self._checkpoint_connection: Connection | None = None
        self._checkpointing = False
        self._handed_over = 0  # batches that the writer thread has not settled yet
        self._readers: ThreadPoolExecutor | None = None
        self._lock: IO[bytes] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._seen_mark: int | None = None
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

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` inside a transaction; return its value once that is committed.

        `fn` may run in another thread: it must use nothing but the connection and what it closed over, and be
        short. It runs again when another write of the same transaction failed, or the first try met another
        process's lock. Cancelling the caller does not undo the write.

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
        if not gathered or self._write_here(gathered):
            return
        self._handed_over += 1
        self._queue.put(gathered)

    def _write_here(self, batch: list[_Item]) -> bool:
        """Commit in the event loop; False when it is for the writer thread."""
        connection = self._write_connection
        if self._handed_over or len(batch) > _INLINE_LIMIT or self._synchronous != "NORMAL":
            return False
        if connection is None or self.shared:
            return False
        done = self._commit(connection, batch, patient=False)
        if done is None:
            return False
        _settle(*done)
        return True

    def changed_elsewhere(self) -> bool:
        """Whether anybody but this journal has committed to its file since this was asked last.

        Always so where that cannot be told: on PostgreSQL, and while the writer thread is at it.
        """
        connection = self._write_connection
        if connection is None or self.shared or self._handed_over:
            return True
        before, self._seen_mark = self._seen_mark, change_mark(connection)
        return before != self._seen_mark

    def after_commit(self, callback: Callable[[], None]) -> None:
        """From inside a write: have `callback` called in the event loop once that write is committed.

        A write that is rolled back alone may still see its callback called; one whose batch fails does not.
        """
        self._callbacks.append(callback)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` on a read-only connection in the reader thread; it sees everything committed before.

        Raises:
            JournalUnwritable: PostgreSQL is away.
        """
        readers, connection = self._readers, self._read_connection
        if readers is None or connection is None:
            raise JournalClosed(path=str(self.path))
        return await asyncio.get_running_loop().run_in_executor(readers, self._look, fn, connection)

    def read_now(self, fn: Callable[[Connection], T]) -> T:
        """Like `read`, at once and in the event loop: for one row by its key, never for a list."""
        if self._point_connection is None:
            raise JournalClosed(path=str(self.path))
        return self._look(fn, self._point_connection)

    def _look(self, fn: Callable[[Connection], T], connection: Connection) -> T:
        if not self.shared:
            return fn(connection)
        try:
            return fn(connection)
        except sqlite3.Error as error:
            raise self._typed(error) from error

    # --- opening and closing ---------------------------------------------------------------

    def _open(self) -> None:
        lock = beside(self.path, ".lock").open("ab")
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
            if isinstance(self.path, Path):
                self._prepare_file(self.path, writer)
            self._read_connection = self._open_reader()
            self._point_connection = self._open_reader()
        except BaseException:
            self._close()
            raise

    def _prepare_file(self, path: Path, writer: Connection) -> None:
        # What was accepted by kill -9 standards stays readable by its owner only.
        path.chmod(0o600)
        writer.execute("PRAGMA busy_timeout=0")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        # A log that begins anew is cut to this; so its size says how much of it is not in the file.
        writer.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
        if self._max_pages is not None:
            writer.execute(f"PRAGMA max_page_count={int(self._max_pages)}")
        self._checkpoint_connection = open_database(
            path, check_same_thread=False, synchronous=self._synchronous
        )

    def _open_reader(self) -> Connection:
        return open_database(
            self.path, check_same_thread=False, synchronous=self._synchronous, read_only=True
        )

    def _close(self) -> None:
        readers = (self._point_connection, self._read_connection, self._checkpoint_connection)
        for connection in (*readers, self._write_connection):
            if connection is not None:
                connection.close()
        self._point_connection = self._read_connection = self._checkpoint_connection = None
        self._write_connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- the writer thread ----------------------------------------------------------------

    def _run(self) -> None:
        loop, connection = self._loop, self._write_connection
        if loop is None or connection is None:
            raise JournalClosed(path=str(self.path))
        last = False
        while not last:
            batch, taken, checkpoints, last = self._gather()
            done = self._commit(connection, batch) if batch else None
            if done is not None:
                self._tell(loop, self._taken_over, taken, *done)
            if checkpoints:
                self._checkpoint(loop, finishes=checkpoints.count("finish checkpoint"))

    def _gather(self) -> tuple[list[_Item], int, list[str], bool]:
        """What waits: writes, of how many batches, which checkpoints, and whether it was the last."""
        batch: list[_Item] = []
        taken, checkpoints = 0, list[str]()
        message = self._queue.get()
        while message is not None:
            if isinstance(message, str):
                checkpoints.append(message)
            else:
                batch.extend(message)
                taken += 1
            if len(batch) >= _BATCH_LIMIT:
                return batch, taken, checkpoints, False
            try:
                message = self._queue.get_nowait()
            except queue.Empty:
                return batch, taken, checkpoints, False
        return batch, taken, checkpoints, True

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, so is everyone who waited
            loop.call_soon_threadsafe(callback, *arguments)

    def _taken_over(self, taken: int, settled: list[_Settled], callbacks: list[Callable[[], None]]) -> None:
        self._handed_over -= taken
        _settle(settled, callbacks)

    def _checkpoint(self, loop: asyncio.AbstractEventLoop, *, finishes: int) -> None:
        """Move the log's pages into the file, over a connection of its own: writing goes on meanwhile.

        What was written meanwhile stays in the log, and the log can begin anew only when it is moved too. So
        a short second pass follows while nobody writes.
        """
        connection = self._checkpoint_connection
        if connection is None:
            return
        # A full disk shows at the next write, by its name.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if finishes:
            self._checkpointing = False
            self._tell(loop, self._taken_over, finishes, [], [])
        else:
            self._tell(loop, self._finish_checkpoint)

    def _log_is_long(self) -> bool:
        log = beside(self.path, "-wal")
        return not self.shared and log.exists() and log.stat().st_size > _CHECKPOINT_BYTES

    def _finish_checkpoint(self) -> None:
        if self._writer is not None:
            self._handed_over += 1  # from now on writes wait behind it
            self._queue.put("finish checkpoint")

    def _commit(
        self, connection: Connection, batch: list[_Item], *, patient: bool = True
    ) -> tuple[list[_Settled], list[Callable[[], None]]] | None:
        """Commit a batch; what came of each write, and what to call after the commit.

        None when another process writes just now and `patient` is not wanted.
        """
        # Savepoints are a quarter of all statements, and hardly any write fails: at first without them.
        done = self._commit_once(connection, batch, apart=False, patient=patient)
        if done is None or len(batch) == 1 or not any(error for _, _, error in done[0]):
            return done
        return self._commit_once(connection, batch, apart=True, patient=patient)

    def _commit_once(
        self, connection: Connection, batch: list[_Item], *, apart: bool, patient: bool
    ) -> tuple[list[_Settled], list[Callable[[], None]]] | None:
        """One try: with all writes failing as one, or `apart`, each with a savepoint of its own."""
        settled: list[_Settled] = []
        self._callbacks = []
        try:
            with self._exclusive(connection, patient=patient):
                for fn, future in batch:
                    settled.append(
                        self._one(connection, fn, future) if apart else (future, fn(connection), None)
                    )
        except _Occupied:
            return None
        except BaseException as error:  # noqa: BLE001 - every caller of the batch gets to know
            self._give_up(connection)
            typed = self._typed(error)
            failed: list[_Settled] = [
                (future, None, settled[index][2] or typed if index < len(settled) else typed)
                for index, (_, future) in enumerate(batch)
            ]
            return failed, []
        self.commits += 1
        self.writes += len(batch)
        if self.commits % _LOOK_COMMITS == 0 and not self._checkpointing and self._log_is_long():
            self._checkpointing = True
            self._queue.put("checkpoint")
        return settled, self._callbacks

    @contextlib.contextmanager
    def _exclusive(self, connection: Connection, *, patient: bool) -> Iterator[None]:
        """`atomic`, with or without waiting for other processes that write."""
        if self.shared:
            with atomic(connection):
                yield
            return
        if patient:
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        try:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(atomic(connection))
                except sqlite3.OperationalError as error:
                    if not patient and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                        raise _Occupied from None
                    raise
                yield
        finally:
            if patient:
                connection.execute("PRAGMA busy_timeout=0")

    @staticmethod
    def _give_up(connection: Connection) -> None:
        # With its session a transaction on PostgreSQL is gone by itself.
        with contextlib.suppress(sqlite3.OperationalError):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _one(self, connection: Connection, fn: Write, future: "asyncio.Future[Any]") -> _Settled:
        try:
            with atomic(connection):
                return future, fn(connection), None
        except BaseException as error:
            if not connection.in_transaction:
                # SQLite gave the whole transaction up (disk full); nobody in this batch was recorded.
                raise
            return future, None, self._typed(error)

    def _typed(self, error: BaseException) -> BaseException:
        return typed_error(error, self.path)


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
