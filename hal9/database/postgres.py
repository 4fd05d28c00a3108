"""PostgreSQL with the face of SQLite's driver, over psycopg 3.

One schema per database of the cluster (journal, budgets, memory). A write transaction holds that schema's
advisory lock from its beginning to its end, as SQLite's BEGIN IMMEDIATE holds the file: one writer at a time,
on any number of hosts. So numbers are given in the order of the commits, and a reader who goes on after the
last number it saw misses nothing.

A session that was lost is opened anew at the next statement outside of a transaction. When it was lost during
COMMIT, the server is asked whether the transaction counts.
"""

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from hal9.database.protocol import Migration, Parameters, PostgresPlace, without_password
from hal9.database.translation import FUNCTIONS, Translated, translate
from hal9.errors.database import (
    DatabaseDriverMissing,
    DatabaseRefused,
    DatabaseTooNew,
    DatabaseTooOld,
    DatabaseUnreachable,
)

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresConnection", "PostgresRow", "ServerError"]

_OLDEST = 140_000  # server_version_num; 14 is the oldest that is still maintained
_ASKS = 50
# Connection, conflict with others, resources, locks, shutdown, the system below.
_PASSING = ("08", "40", "53", "55", "57", "58")
_ALIVE: dict[str, Any] = {
    # The same on this side: an answer that a broken network swallowed would be waited for for ever.
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
_SESSION = (
    # A host that is gone must not hold the writers' lock for the hours TCP would allow.
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 6000; SET idle_in_transaction_session_timeout = 30000; SET TimeZone = 'UTC'; "
    "SET client_min_messages = warning"
)


class ServerError(sqlite3.OperationalError):
    """What PostgreSQL, or the way to it, said; callers catch SQLite's class for both engines."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        # What passes by itself is named so that a journal waits for it; a refused statement does not pass.
        passes = sqlstate is None or sqlstate.startswith(_PASSING)
        self.sqlite_errorname = f"PostgreSQL {sqlstate or 'connection'}" if passes else f"SQLSTATE {sqlstate}"
        self.sqlstate = sqlstate


class PostgresRow(tuple[Any, ...]):
    """A row whose columns are found by position or name; one class for each set of columns."""

    __slots__ = ()
    _at: dict[str, int] = {}  # noqa: RUF012  set in each class

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self._at[key] if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """The columns' names."""
        return list(self._at)


@lru_cache(maxsize=1024)
def _row_class(names: tuple[str, ...]) -> type[PostgresRow]:
    return type(
        "PostgresRow", (PostgresRow,), {"__slots__": (), "_at": {name: at for at, name in enumerate(names)}}
    )


def _rows(cursor: Any) -> Callable[[Sequence[Any]], PostgresRow]:
    return _row_class(tuple(column.name for column in cursor.description or ()))


class PostgresConnection:
    """One session; give it SQLite's statements.

    Args:
        place: where.
        read_only: refuse every write.

    Raises:
        DatabaseDriverMissing, DatabaseUnreachable, DatabaseRefused, DatabaseTooOld.
    """

    def __init__(self, place: PostgresPlace, *, read_only: bool = False) -> None:
        self.place = place
        self._read_only = read_only
        self._lock = threading.RLock()
        self._writers = _number(f"writers of {place.schema}")
        self._held: set[str] = set()
        self._xid = ""
        self._closed = False
        self._session = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return int(self._session.info.transaction_status) in (2, 3)

    def close(self) -> None:
        """End the session; what it held is free."""
        self._closed = True
        self._session.close()

    def execute(self, sql: str, parameters: Parameters = (), /) -> "psycopg.Cursor[PostgresRow]":
        """Run one statement of SQLite's.

        Raises:
            ServerError: the server refused it, or is not there.
            sqlite3.IntegrityError: it breaks a constraint.
        """
        done = translate(sql)
        with self._lock, self._translated():
            if sql == "BEGIN IMMEDIATE":
                return self._begin()
            if sql == "COMMIT":
                return self._commit()
            self._again()
            if not done.takes_values:
                return self._session.execute(done.sql)
            return self._session.execute(done.sql, _values(done, parameters))

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> "psycopg.Cursor[PostgresRow]":
        """Run one statement once for each of the values, without waiting in between."""
        done = translate(sql)
        with self._lock, self._translated():
            self._again()
            cursor = self._session.cursor()
            cursor.executemany(done.sql, [_values(done, one) for one in parameters])
            return cursor

    # --- what SQLite has no statement for ------------------------------------------------------

    def server_time(self) -> float:
        """The server's clock, seconds since the epoch: the one clock that all hosts share."""
        row = self.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        return float(row[0]) if row else 0.0

    def change_mark(self) -> int:
        """A number that differs once anything was committed by anybody, and may differ without."""
        row = self.execute("SELECT hashtextextended(pg_current_snapshot()::text, 0)").fetchone()
        return int(row[0]) if row else 0

    def hold(self, name: str) -> None:
        """Hold a name as long as this session lives; others may hold it too; see `is_held`."""
        with self._lock:
            self.execute("SELECT pg_advisory_lock_shared(?)", (_number(name),))
            self._held.add(name)

    def alone(self, name: str) -> bool:
        """Be the only session that has a name, as long as this one lives; False when another is."""
        row = self.execute("SELECT pg_try_advisory_lock(?)", (_number(f"alone: {name}"),)).fetchone()
        return bool(row and row[0])

    def cancel(self) -> None:
        """From another thread: stop the statement that runs; it raises ServerError."""
        self._session.cancel()

    def is_held(self, name: str) -> bool:
        """Whether any session holds a name that this one does not; call it in a transaction."""
        row = self.execute("SELECT pg_try_advisory_xact_lock(?)", (_number(name),)).fetchone()
        return not (row and row[0])

    def migrate(self, migrations: Sequence[Migration]) -> None:
        """Make the schema and bring it up to date; each migration commits with its own number.

        Raises:
            DatabaseTooNew: a newer HAL9 made it.
        """
        if not migrations:
            return
        version = self.version()
        if version > len(migrations):
            raise DatabaseTooNew(path=str(self.place), found=version, known=len(migrations))
        if version == len(migrations):
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            self._make_schema()
            for number, step in enumerate(migrations[self.version() :], start=self.version() + 1):
                step(self)
                self.execute("UPDATE schema_version SET version = ?", (number,))
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def _make_schema(self) -> None:
        self.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.place.schema}"')
        for function in FUNCTIONS:
            self._session.execute(function)
        self.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        self.execute("INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)")

    def version(self) -> int:
        """How many migrations were done here; 0 before it was made."""
        there = self.execute("SELECT to_regclass(?)", (f'"{self.place.schema}".schema_version',)).fetchone()
        if there is None or there[0] is None:
            return 0
        row = self.execute("SELECT version FROM schema_version").fetchone()
        return int(row[0]) if row else 0

    # --- the session -------------------------------------------------------------------------

    def _begin(self) -> "psycopg.Cursor[PostgresRow]":
        self._again()
        cursor = self._session.execute(
            f"BEGIN; SELECT pg_advisory_xact_lock({self._writers}); SELECT pg_current_xact_id()::text"
        )
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        self._xid = str(row[0]) if row else ""
        return cursor

    def _commit(self) -> "psycopg.Cursor[PostgresRow]":
        import psycopg  # noqa: PLC0415  an extra

        try:
            return self._session.execute("COMMIT")
        except psycopg.OperationalError:
            if not self._session.broken or not self._was_committed():
                raise
            return self._session.cursor()

    def _was_committed(self) -> bool:
        """Ask whether the transaction counts whose COMMIT was never answered."""
        xid = self._xid
        self._again()
        for _ in range(_ASKS):
            row = self._session.execute("SELECT pg_xact_status(%s::xid8)", (xid,)).fetchone()
            status = row[0] if row else None
            if status != "in progress":
                return bool(status == "committed")
            time.sleep(0.1)
        return False

    def _again(self) -> None:
        """Open a lost session anew; a transaction that was under way in it is lost."""
        if not self._session.closed or self._closed:
            return
        self._session = self._connect()
        for name in sorted(self._held):
            self._session.execute("SELECT pg_advisory_lock_shared(%s)", (_number(name),))

    def _connect(self) -> "psycopg.Connection[PostgresRow]":
        try:
            import psycopg  # noqa: PLC0415  an extra
        except ImportError as error:
            raise DatabaseDriverMissing(detail=str(error)) from error
        try:
            session = psycopg.connect(
                self.place.url,
                autocommit=True,
                row_factory=_rows,
                connect_timeout=10,
                application_name="hal9",
                **_ALIVE,
            )
        except psycopg.Error as error:
            raise _typed(error, self.place) from error
        try:
            _require(session.info.server_version, self.place)
            _adapt(session)
            readers = "; SET default_transaction_read_only = on" if self._read_only else ""
            session.execute(f'{_SESSION}; SET search_path = "{self.place.schema}"{readers}')
        except psycopg.Error as error:
            session.close()
            raise _typed(error, self.place) from error
        except BaseException:
            session.close()
            raise
        return session

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Psycopg's errors as SQLite's classes, which the rooms catch."""
        import psycopg  # noqa: PLC0415  an extra

        try:
            yield
        except psycopg.IntegrityError as error:
            raise sqlite3.IntegrityError(str(error)) from error
        except psycopg.Error as error:
            raise ServerError(str(error).strip(), error.sqlstate) from error
        except (DatabaseUnreachable, DatabaseRefused) as error:
            # In the middle of work it passes: whoever waits for a full disk waits for the server too.
            raise ServerError(str(error)) from error


def _number(name: str) -> int:
    """A name as a key for advisory locks."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _values(done: Translated, parameters: Parameters) -> Any:
    if not done.lists:
        return parameters
    if isinstance(parameters, dict):
        return {
            name: json.loads(value) if name in done.lists else value for name, value in parameters.items()
        }
    return [json.loads(value) if at in done.lists else value for at, value in enumerate(parameters)]


def _require(version: int, place: PostgresPlace) -> None:
    if version < _OLDEST:
        raise DatabaseTooOld(
            where=without_password(place.url), found=version // 10_000, needed=_OLDEST // 10_000
        )


def _adapt(session: Any) -> None:
    """Numbers as SQLite gives and takes them: truth is 0 or 1, sums are int or float."""
    from psycopg.adapt import Dumper, Loader  # noqa: PLC0415  an extra

    class Truth(Dumper):
        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    class Number(Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            return float(text) if "." in text or not text.lstrip("-").isdigit() else int(text)

    session.adapters.register_dumper(bool, Truth)
    session.adapters.register_loader("numeric", Number)


def _typed(error: Exception, place: PostgresPlace) -> Exception:
    """Why no session could be opened, with what to do."""
    text = " ".join(str(error).split())
    where = without_password(place.url)
    if any(
        words in text for words in ("password", "authentication", "does not exist", "pg_hba", "permission")
    ):
        return DatabaseRefused(where=where, detail=text)
    return DatabaseUnreachable(where=where, detail=text)
