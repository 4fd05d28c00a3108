"""Frames that hosts which share a journal, and no broker, leave there for one another.

What is left may be lost: who asks asks again. So frames are written outside of the group commit and without
the writers' lock, and taken away as they are read. Functions take a connection that is in no transaction.
"""

from hal9.database import Connection

__all__ = ["MOST_WAITING", "leave_frame", "m010_frames", "take_frames"]

MOST_WAITING = 64
"""Frames for one host; a host that takes none away must not fill the database."""
_KEPT_SECONDS = 60.0
_AT_ONCE = 16


def m010_frames(connection: Connection) -> None:
    """Frames under way; `at` is on the server's clock."""
    connection.execute(
        "CREATE TABLE frames (seq INTEGER PRIMARY KEY, target TEXT NOT NULL, source TEXT NOT NULL, "
        "body BLOB NOT NULL, at REAL NOT NULL) STRICT"
    )
    connection.execute("CREATE INDEX frames_target ON frames (target, seq)")


def leave_frame(connection: Connection, target: str, source: str, body: bytes, *, now: float) -> bool:
    """Leave a frame for a host; False when too many wait for it already.

    What has lain for a minute, whoever it was for, goes: its sender has asked again since.
    """
    connection.execute("DELETE FROM frames WHERE at < ?", (now - _KEPT_SECONDS,))
    done = connection.execute(
        "INSERT INTO frames (target, source, body, at) SELECT ?, ?, ?, ? "
        "WHERE (SELECT count(*) FROM frames WHERE target = ?) < ?",
        (target, source, body, now, target, MOST_WAITING),
    )
    return done.rowcount == 1


def take_frames(connection: Connection, target: str) -> list[tuple[str, bytes]]:
    """Take away some of what is there for a host: sources and frames, oldest first."""
    rows = connection.execute(
        "DELETE FROM frames WHERE seq IN (SELECT seq FROM frames WHERE target = ? ORDER BY seq LIMIT ?) "
        "RETURNING seq, source, body",
        (target, _AT_ONCE),
    ).fetchall()
    rows.sort(key=lambda row: int(row["seq"]))
    return [(str(row["source"]), bytes(row["body"])) for row in rows]
