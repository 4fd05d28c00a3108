"""Databases the way every room uses them: one way to open, one way to write, one way to migrate.

SQLite in a file, or PostgreSQL by its address. Writes happen only inside `atomic()`, which nests through
savepoints. Migrations are numbered functions; each is recorded in the transaction that applied it.
"""

from typing import TYPE_CHECKING

from hal9.database.opening import (
    beside,
    change_mark,
    is_there,
    keep_private,
    look_into,
    on_postgres,
    open_database,
)
from hal9.database.protocol import Connection, Cursor, Migration, Place, PostgresPlace, Row
from hal9.database.transactions import atomic
from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.database.watch import CommitWatch

__all__ = [
    "CommitWatch",
    "Connection",
    "Cursor",
    "Migration",
    "Place",
    "PostgresPlace",
    "Row",
    "atomic",
    "beside",
    "change_mark",
    "is_there",
    "keep_private",
    "look_into",
    "on_postgres",
    "open_database",
]

__getattr__ = lazy_names(__name__, {"watch": ("CommitWatch",)})
