"""One way to write, on either engine."""

from collections.abc import Iterator
from contextlib import contextmanager

from hal9.database.protocol import Connection

__all__ = ["atomic"]


@contextmanager
def atomic(connection: Connection) -> Iterator[Connection]:
    """Everything inside is committed together or not at all; nested use makes a savepoint."""
    if connection.in_transaction:
        connection.execute("SAVEPOINT hal9_nested")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK TO hal9_nested")
            connection.execute("RELEASE hal9_nested")
            raise
        connection.execute("RELEASE hal9_nested")
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        # On a full disk SQLite has rolled back already; a second ROLLBACK would hide the cause.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
