"""The outbox: signals that were accepted for sending and that no receiver has confirmed yet.

A row is written before anything is published and is deleted only by the receiver's end-to-end
acknowledgement or by expiry. Functions take the connection of a running transaction.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hal9.database import Connection, Row

__all__ = ["Entry", "clear", "count", "due", "expired", "insert", "load", "oldest", "remove", "set_attempts"]

_CHUNK = 256


class Entry(NamedTuple):
    """One outgoing signal; `body` is the encoded envelope, times are epoch seconds."""

    id: str
    source: str
    target: str
    kind: str
    task_id: str
    body: bytes
    created_at: float
    expires_at: float
    attempt: int


_COLUMNS = ", ".join(Entry._fields)


def insert(connection: Connection, entries: Sequence[Entry]) -> None:
    """Accept signals for sending; one that is already there is left as it is."""
    # One statement per chunk: each step of SQLite gives the interpreter lock away and must win it back.
    for start in range(0, len(entries), _CHUNK):
        chunk = entries[start : start + _CHUNK]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(chunk))
        connection.execute(
            f"INSERT INTO outbox ({_COLUMNS}) VALUES {marks} ON CONFLICT (id) DO NOTHING",  # noqa: S608 - fixed text
            [value for entry in chunk for value in entry],
        )


def clear(connection: Connection, acknowledged: Iterable[tuple[str, str]]) -> list[str]:
    """Forget signals whose receipt was confirmed.

    Args:
        connection: of a running transaction.
        acknowledged: (signal id, who confirmed); only the signal's own target can confirm it.

    Returns:
        The ids that were really removed.
    """
    removed: list[str] = []
    by_target: dict[str, list[str]] = {}
    for signal_id, target in acknowledged:
        by_target.setdefault(target, []).append(signal_id)
    for target, ids in by_target.items():
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            rows = connection.execute(
                f"DELETE FROM outbox WHERE target = ? AND id IN ({marks}) RETURNING id",  # noqa: S608 - fixed text
                [target, *chunk],
            )
            removed.extend(str(row[0]) for row in rows)
    return removed


def remove(connection: Connection, signal_id: str) -> bool:
    """Delete a row by id, whoever it was for (expiry); False when it was gone already."""
    return connection.execute("DELETE FROM outbox WHERE id = ?", (signal_id,)).rowcount == 1


def load(connection: Connection, ids: Sequence[str]) -> list[Entry]:
    """The rows with these ids that still exist, oldest first."""
    found: list[Row] = []
    for start in range(0, len(ids), _CHUNK):
        chunk = list(ids[start : start + _CHUNK])
        marks = ", ".join("?" * len(chunk))
        found.extend(
            connection.execute(
                f"SELECT {_COLUMNS} FROM outbox WHERE id IN ({marks}) ORDER BY seq",  # noqa: S608 - fixed text
                chunk,
            )
        )
    return [Entry(*row) for row in found]


def due(connection: Connection) -> list[tuple[str, float, int]]:
    """(id, expires_at, attempt) of everything unconfirmed, oldest first."""
    return [
        (str(row[0]), float(row[1]), int(row[2]))
        for row in connection.execute("SELECT id, expires_at, attempt FROM outbox ORDER BY seq")
    ]


def expired(connection: Connection, *, now: float, limit: int = 256) -> list[Entry]:
    """Unconfirmed signals whose time is over, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE expires_at <= ? ORDER BY seq LIMIT ?",  # noqa: S608 - fixed text
        (now, limit),
    )
    return [Entry(*row) for row in rows]


def set_attempts(connection: Connection, attempts: Sequence[tuple[str, int, bytes]]) -> None:
    """Write (id, attempt, newly encoded body) of signals about to be sent again."""
    connection.executemany(
        "UPDATE outbox SET attempt = ?, body = ? WHERE id = ?",
        [(attempt, body, signal_id) for signal_id, attempt, body in attempts],
    )


def count(connection: Connection) -> int:
    """How many signals await confirmation."""
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def oldest(connection: Connection) -> float | None:
    """When the oldest unconfirmed signal was accepted (epoch seconds); None when all are confirmed."""
    row = connection.execute("SELECT created_at FROM outbox ORDER BY seq LIMIT 1").fetchone()
    return None if row is None else float(row[0])
