"""SQLite the way every room uses it: WAL, busy timeout, foreign keys on, autocommit with explicit BEGIN."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from hal9.database.protocol import Connection, Migration
from hal9.database.transactions import atomic
from hal9.errors.database import DatabaseDamaged, DatabaseTooNew

__all__ = ["migrate", "open_sqlite"]


def open_sqlite(
    path: Path | str,
    migrations: Sequence[Migration] = (),
    *,
    check_same_thread: bool = True,
    synchronous: str = "NORMAL",
    busy_timeout_ms: int = 10_000,
    read_only: bool = False,
) -> sqlite3.Connection:
    """Open (and create, and migrate) a database.

    Args:
        path: file, or ":memory:".
        migrations: all migrations this program knows, oldest first.
        check_same_thread: False when the caller serialises access itself.
        synchronous: SQLite's setting; NORMAL survives kill -9, FULL also power loss.
        busy_timeout_ms: how long another process's write is waited for.
        read_only: refuse every write.

    Raises:
        DatabaseTooNew: the file was written by a newer program.
        DatabaseDamaged: the file is not a sound database.
    """
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=check_same_thread)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout={int(busy_timeout_ms)}")
        _enter_wal(connection, seconds=busy_timeout_ms / 1000)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
        migrate(connection, migrations, path=str(path))
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # A flipped bit in the schema's text surfaces as UnicodeDecodeError.
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise DatabaseDamaged(path=str(path), detail=str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _enter_wal(connection: sqlite3.Connection, *, seconds: float) -> None:
    """Switch to WAL; of two processes that make a new file at once one is told "locked" without any wait."""
    ends = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= ends:
                raise
            time.sleep(0.01)
        else:
            return


def migrate(connection: Connection, migrations: Sequence[Migration], *, path: str) -> None:
    """Bring the schema up to date; each migration commits with its own number."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        if not migrations:
            return
        raise DatabaseTooNew(path=path, found=version, known=len(migrations))
    for number, step in enumerate(migrations[version:], start=version + 1):
        with atomic(connection):
            # Another process may have migrated while this one waited for the write lock.
            if int(connection.execute("PRAGMA user_version").fetchone()[0]) >= number:
                continue
            step(connection)
            connection.execute(f"PRAGMA user_version={number}")
