"""Opening a database wherever it is."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from hal9.database.protocol import Connection, Migration, Place, PostgresPlace
from hal9.database.sqlite import open_sqlite

if TYPE_CHECKING:
    from hal9.database.postgres import PostgresConnection

__all__ = ["beside", "change_mark", "is_there", "keep_private", "look_into", "on_postgres", "open_database"]


def open_database(
    place: Place | str,
    migrations: Sequence[Migration] = (),
    *,
    check_same_thread: bool = True,
    synchronous: str = "NORMAL",
    busy_timeout_ms: int = 10_000,
    read_only: bool = False,
) -> Connection:
    """Open (and create, and migrate) a database.

    Args:
        place: a file, ":memory:", or a place on PostgreSQL.
        migrations: all migrations this program knows, oldest first.
        check_same_thread: False when the caller serialises access itself (SQLite).
        synchronous: SQLite's setting; NORMAL survives kill -9, FULL also power loss.
        busy_timeout_ms: how long another process's write is waited for (SQLite).
        read_only: refuse every write.

    Raises:
        DatabaseTooNew: it was written by a newer program.
        DatabaseDamaged: the file is not a sound database.
        DatabaseDriverMissing, DatabaseUnreachable, DatabaseRefused, DatabaseTooOld: of PostgreSQL.
    """
    if not isinstance(place, PostgresPlace):
        return open_sqlite(
            place,
            migrations,
            check_same_thread=check_same_thread,
            synchronous=synchronous,
            busy_timeout_ms=busy_timeout_ms,
            read_only=read_only,
        )
    from hal9.database.postgres import PostgresConnection  # noqa: PLC0415  its driver is an extra

    connection = PostgresConnection(place, read_only=read_only)
    try:
        connection.migrate(migrations)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def look_into(place: Place) -> Iterator[Connection]:
    """Read what is there, as it is: nothing is made, migrated or changed.

    Raises:
        sqlite3.Error: there is nothing, or nothing sound.
        DatabaseUnreachable, DatabaseRefused: of PostgreSQL.
    """
    if isinstance(place, PostgresPlace):
        connection = open_database(place, read_only=True)
    else:
        connection = sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def on_postgres(connection: Connection) -> "TypeGuard[PostgresConnection]":
    """Whether PostgreSQL stands behind a connection."""
    return not isinstance(connection, sqlite3.Connection)


def change_mark(connection: Connection) -> int:
    """A number that differs once another connection has committed something; it may differ without."""
    if on_postgres(connection):
        return connection.change_mark()
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def beside(place: Place, suffix: str) -> Path:
    """The file with this ending beside a database; beside where it would be, when it is on PostgreSQL."""
    path = place.beside if isinstance(place, PostgresPlace) else place
    return path.with_name(path.name + suffix)


def keep_private(place: Place) -> None:
    """Let only its owner read a file; who may read PostgreSQL is the server's affair."""
    if isinstance(place, Path):
        place.chmod(0o600)


def is_there(place: Place) -> bool:
    """Whether the database was ever made.

    Raises:
        DatabaseUnreachable, DatabaseRefused: of PostgreSQL.
    """
    if not isinstance(place, PostgresPlace):
        return place.is_file()
    with look_into(place) as connection:
        return not on_postgres(connection) or connection.version() > 0
