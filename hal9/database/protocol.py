"""What a database connection is to the rooms: DB-API as SQLite's driver has it, whatever engine is behind.

`sqlite3.Connection` fits as it is; `hal9.database.postgres` gives PostgreSQL the same face.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "Connection",
    "Cursor",
    "Migration",
    "Parameters",
    "Place",
    "PostgresPlace",
    "Row",
    "without_password",
]

Parameters = Sequence[Any] | Mapping[str, Any]


class Row(Protocol):
    """One row; columns by position or by name."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> Any:
        """The columns' names."""


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows a statement changed."""

    def fetchone(self) -> Any:
        """The next row, None after the last."""

    def fetchmany(self, size: int = ..., /) -> list[Any]:
        """At most so many rows."""

    def fetchall(self) -> list[Any]:
        """The rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One session with a database, in autocommit but for `hal9.database.atomic`."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement, with ``?`` or ``:name`` where values go."""

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run one statement once for each of the values."""

    def close(self) -> None:
        """End the session."""


Migration = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Where one of the cluster's databases is on PostgreSQL.

    Attributes:
        url: ``postgresql://user:password@host:port/database``; may hold a password, so it is never shown.
        schema: the schema with this database's tables.
        beside: the file that would hold it on SQLite; what belongs to this host alone lies beside it.
    """

    url: str
    schema: str
    beside: Path

    def __str__(self) -> str:
        return f"{without_password(self.url)}#{self.schema}"

    def __repr__(self) -> str:
        return f"PostgresPlace({self})"


Place = Path | PostgresPlace


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415 - a file needs none

    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit((parts.scheme, f"{name}{at}{host}", parts.path, "", ""))
