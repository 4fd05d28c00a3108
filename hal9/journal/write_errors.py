"""What a database's error means for who wanted to write."""

import sqlite3

from hal9.database import Place
from hal9.errors.database import DatabaseDamaged
from hal9.errors.journal import JournalUnwritable

__all__ = ["typed_error"]

_UNWRITABLE = (
    "PostgreSQL",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_BUSY",
)


def typed_error(error: BaseException, path: Place) -> BaseException:
    """What the database's error means for who wanted to write; other errors as they are."""
    # When SQLite itself gave the transaction up, rolling back fails too and hides the cause.
    while isinstance(error, sqlite3.Error) and isinstance(error.__context__, sqlite3.Error):
        error = error.__context__
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(_UNWRITABLE):
            return JournalUnwritable(path=str(path), detail=f"{name}: {error}")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return DatabaseDamaged(path=str(path), detail=f"{name}: {error}")
    return error
