"""Moving a cluster's state between SQLite and PostgreSQL: in batches, resumable, compared row by row."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hal9.budgets import MIGRATIONS as BUDGETS
from hal9.database import Connection, Migration, Place, PostgresPlace, atomic, on_postgres, open_database
from hal9.errors.database import (
    DatabaseAddressInvalid,
    StateMoveDiffers,
    StateMoveFailed,
    StateSourceMissing,
    StateTargetTaken,
)
from hal9.journal import MIGRATIONS as JOURNAL
from hal9.memory.store.migrations import MIGRATIONS as MEMORY

__all__ = ["Moved", "move_state", "places_at"]

_DATABASES: dict[str, Sequence[Migration]] = {"journal": JOURNAL, "budgets": BUDGETS, "memory": MEMORY}
_BATCH = 500
_NOTE = "moved_from"
# Made by the migrations themselves; everything else must be empty before a move begins.
_MADE = ("counters", "memory_meta")


@dataclass(frozen=True, slots=True)
class Moved:
    """One table that was moved and compared."""

    database: str
    table: str
    rows: int


def places_at(address: str, *, cluster: str, folder: Path) -> dict[str, Place]:
    """The three databases at an address.

    Args:
        address: ``sqlite:FOLDER``, ``sqlite:`` for the home's own, or ``postgresql://…``.
        cluster: the cluster's name, which names the schemas.
        folder: the home's state folder.

    Raises:
        DatabaseAddressInvalid.
    """
    if address.startswith("sqlite:"):
        root = Path(address.removeprefix("sqlite:")).expanduser() if address != "sqlite:" else folder
        return {name: root / f"{name}.db" for name in _DATABASES}
    if address.startswith(("postgresql://", "postgres://")):
        return {
            name: PostgresPlace(address, f"{cluster}_{name}", folder / f"{name}.db") for name in _DATABASES
        }
    raise DatabaseAddressInvalid(url=address)


def move_state(
    source: dict[str, Place], target: dict[str, Place], *, tell: Callable[[Moved], None] = lambda _: None
) -> list[Moved]:
    """Copy all three databases and compare every row; what an earlier try has copied is not copied again.

    Nothing may write to either meanwhile. The source stays as it is.

    Args:
        source: from `places_at`.
        target: from `places_at`; empty, or with what an interrupted move from this source left.
        tell: called with each table once it is moved and compared.

    Raises:
        StateSourceMissing: there is nothing to move.
        StateTargetTaken: the target holds something else.
        StateMoveFailed: a row cannot be stored there.
        StateMoveDiffers: what was stored is not what was read.
    """
    done = list[Moved]()
    for name, migrations in _DATABASES.items():
        place = source[name]
        if isinstance(place, Path) and not place.is_file():
            if name == "journal":
                raise StateSourceMissing(where=str(place))
            continue  # a cluster that has learned or spent nothing yet
        if isinstance(target[name], Path):
            Path(str(target[name])).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            closing(open_database(place, migrations)) as old,
            closing(open_database(target[name], migrations)) as new,
        ):
            _begin(new, source=f"{name} of {place}", where=str(target[name]))
            for table in _tables(new):
                rows = _Mover(old, new, table, where=f"{name}.{table}").move()
                done.append(Moved(name, table, rows))
                tell(done[-1])
            with atomic(new):
                new.execute(f"DROP TABLE {_NOTE}")
    return done


def _begin(new: Connection, *, source: str, where: str) -> None:
    """Note where the rows come from; go on only into what is empty or was begun from there."""
    with atomic(new):
        if _NOTE in _tables(new, every=True):
            if new.execute(f"SELECT source FROM {_NOTE}").fetchone()[0] != source:  # noqa: S608 - fixed name
                raise StateTargetTaken(where=where)
            return
        for table in _tables(new):
            if table not in _MADE and new.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608
                raise StateTargetTaken(where=where)
        for table in _MADE:
            if table in _tables(new):
                new.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
        new.execute(f"CREATE TABLE {_NOTE} (source TEXT NOT NULL)")
        new.execute(f"INSERT INTO {_NOTE} VALUES (?)", (source,))  # noqa: S608 - fixed name


def _tables(connection: Connection, *, every: bool = False) -> list[str]:
    if on_postgres(connection):
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() "
            "AND table_type = 'BASE TABLE' AND table_name <> 'schema_version' ORDER BY 1"
        )
    else:
        rows = connection.execute(  # type: ignore[assignment]
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@' "
            "AND name NOT LIKE 'memories@_fts%' ESCAPE '@' ORDER BY 1"
        )
    names = [str(row[0]) for row in rows]
    return names if every else [name for name in names if name != _NOTE]


class _Mover:
    """One table on its way."""

    def __init__(self, old: Connection, new: Connection, table: str, *, where: str) -> None:
        self._old, self._new, self._table, self._where = old, new, table, where
        columns, keys, numbered = _shape(new, table)
        if on_postgres(old):
            numbered = numbered or _shape(old, table)[2]
        # SQLite numbers the rows of a table with a key of text by itself; there the number has no column.
        self._columns = [*columns, "rowid"] if numbered and "rowid" not in columns else columns
        self._keys = ["rowid"] if numbered else keys
        self._identity = numbered or (len(keys) == 1 and keys[0] in ("seq", "id") and self._counts(keys[0]))

    def _counts(self, key: str) -> bool:
        row = self._old.execute(f"SELECT {key} FROM {self._table} LIMIT 1").fetchone()  # noqa: S608
        return row is not None and isinstance(row[0], int)

    def move(self) -> int:
        """Copy what is not there yet, then compare everything; returns the number of rows."""
        marks = ", ".join("?" * len(self._columns))
        insert = f"INSERT INTO {self._table} ({self._list}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
        batch = list[Sequence[Any]]()
        for row in self._rows(self._old, after=self._last()):
            batch.append(row)
            if len(batch) == _BATCH:
                self._store(insert, batch)
                batch = []
        self._store(insert, batch)
        self._go_on_counting()
        return self._compare()

    @property
    def _list(self) -> str:
        return ", ".join(f'"{name}"' for name in self._columns)

    def _last(self) -> Any:
        """How far an earlier try came."""
        if not self._identity:
            return None
        return self._new.execute(f"SELECT max({self._keys[0]}) FROM {self._table}").fetchone()[0]  # noqa: S608

    def _rows(self, connection: Connection, *, after: Any = None) -> Iterator[tuple[Any, ...]]:
        """Every row in the order of the keys, a batch at a time."""
        order = ", ".join(f'"{name}"' if name != "rowid" else name for name in self._keys)
        marks = ", ".join("?" * len(self._keys))
        last: Sequence[Any] | None = None if after is None else [after]
        while True:
            beyond = "" if last is None else f"WHERE ({order}) > ({marks}) "
            rows = connection.execute(
                f"SELECT {self._list} FROM {self._table} {beyond}ORDER BY {order} LIMIT {_BATCH}",  # noqa: S608
                tuple(last or ()),
            ).fetchall()
            for row in rows:
                yield tuple(row)
            if len(rows) < _BATCH:
                return
            last = [rows[-1][self._columns.index(name)] for name in self._keys]

    def _store(self, insert: str, batch: Sequence[Sequence[Any]]) -> None:
        if not batch:
            return
        try:
            with atomic(self._new):
                self._new.executemany(insert, batch)
        except sqlite3.Error as error:
            keys = [self._columns.index(name) for name in self._keys]
            raise StateMoveFailed(
                table=self._where, first=str([batch[0][at] for at in keys]), detail=str(error)
            ) from error

    def _go_on_counting(self) -> None:
        """PostgreSQL counts on from where its own numbers ended, not from what was put in."""
        if self._identity and on_postgres(self._new):
            key = self._keys[0]
            with atomic(self._new):
                self._new.execute(
                    f"SELECT setval(pg_get_serial_sequence('{self._table}', '{key}'), "  # noqa: S608
                    f"coalesce(max({key}), 0) + 1, false) FROM {self._table}"
                )

    def _compare(self) -> int:
        count = 0
        for before, after in zip_longest(self._rows(self._old), self._rows(self._new)):
            if before != after:
                shown = before if before is not None else after
                keys = [shown[self._columns.index(name)] for name in self._keys] if shown else []
                raise StateMoveDiffers(table=self._where, key=str(keys))
            count += 1
        return count


def _shape(connection: Connection, table: str) -> tuple[list[str], list[str], bool]:
    """Columns that are stored, those of the key, and whether rows are numbered beside a key of text."""
    if on_postgres(connection):
        columns = [
            str(row[0])
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() "
                "AND table_name = ? AND is_generated = 'NEVER' ORDER BY ordinal_position",
                (table,),
            )
        ]
        keys = [
            str(row[0])
            for row in connection.execute(
                "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
                "AND a.attnum = ANY(i.indkey) WHERE i.indrelid = to_regclass(?) AND i.indisprimary "
                "ORDER BY array_position(i.indkey::int[], a.attnum::int)",
                (table,),
            )
        ]
        return columns, keys, "rowid" in columns
    found = connection.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [str(row["name"]) for row in found]
    keys = [str(row["name"]) for row in sorted(found, key=lambda row: row["pk"]) if row["pk"]]
    return columns, keys, False
