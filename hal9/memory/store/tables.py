"""Rows as mappings into tables, in the one form of SQL that both engines take."""

from collections.abc import Mapping
from typing import Any

from hal9.database import Connection

__all__ = ["Table", "Tables"]


class Tables:
    """The tables behind a connection.

    Attributes:
        conn: the connection, inside a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.conn = connection

    def table(self, name: str) -> "Table":
        """One table; its name is the program's, never a user's."""
        return Table(self.conn, name)


class Table:
    """One table whose key is its column `id`."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def insert(self, row: Mapping[str, Any], *, ignore: bool = False) -> Any:
        """Insert one row and return its key; with `ignore` one that is there stays, and None is returned."""
        unless = " ON CONFLICT DO NOTHING" if ignore else ""
        done = self._connection.execute(f"{self._inserting(row)}{unless} RETURNING id", tuple(row.values()))
        found = done.fetchone()
        return None if found is None else found[0]

    def upsert(self, row: Mapping[str, Any]) -> None:
        """Insert a row, or give the one with its key these values."""
        changed = ", ".join(f'"{name}" = excluded."{name}"' for name in row if name != "id")
        self._connection.execute(
            f"{self._inserting(row)} ON CONFLICT (id) DO UPDATE SET {changed}", tuple(row.values())
        )

    def update(self, key: Any, values: Mapping[str, Any]) -> None:
        """Change columns of the row with a key."""
        changed = ", ".join(f'"{name}" = ?' for name in values)
        self._connection.execute(
            f"UPDATE {self._name} SET {changed} WHERE id = ?",  # noqa: S608 - names of the program
            (*values.values(), key),
        )

    def _inserting(self, row: Mapping[str, Any]) -> str:
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        return f"INSERT INTO {self._name} ({names}) VALUES ({marks})"  # noqa: S608 - names of the program
