"""Dead letters: what could not be received, handled or delivered, with the reason.

The table is bounded, so that a flood of garbage cannot fill the disk: the oldest go first.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from hal9.database import Connection

__all__ = ["DeadLetter", "Stage", "by_reason", "count", "insert", "latest"]

Stage = Literal["receive", "handle", "send"]

EXCERPT_BYTES = 2048
KEEP = 10_000


class DeadLetter(NamedTuple):
    """One refused message; `excerpt` is the beginning of the raw bytes, `size` their full number."""

    signal_id: str | None
    topic: str
    stage: Stage
    reason: str
    detail: str
    excerpt: bytes
    size: int
    at: float

    @classmethod
    def of(
        cls,
        raw: bytes,
        *,
        topic: str,
        stage: Stage,
        reason: str,
        detail: str,
        at: float,
        signal_id: str | None = None,
    ) -> "DeadLetter":
        """Keep the beginning of what came."""
        return cls(signal_id, topic, stage, reason, detail[:EXCERPT_BYTES], raw[:EXCERPT_BYTES], len(raw), at)


_COLUMNS = ", ".join(DeadLetter._fields)


def insert(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Record letters and drop the oldest beyond the limit."""
    connection.executemany(
        f"INSERT INTO dead_letters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
        letters,
    )
    connection.execute(
        "DELETE FROM dead_letters WHERE seq <= (SELECT max(seq) FROM dead_letters) - ?", (KEEP,)
    )


def latest(connection: Connection, *, limit: int = 50) -> list[DeadLetter]:
    """The newest letters, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM dead_letters ORDER BY seq DESC LIMIT ?",  # noqa: S608 - fixed text
        (limit,),
    )
    return [DeadLetter(*row) for row in rows]


def by_reason(connection: Connection) -> dict[str, int]:
    """How many letters there are of each reason."""
    rows = connection.execute("SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY 2 DESC")
    return {str(reason): int(number) for reason, number in rows}


def count(connection: Connection) -> int:
    """How many letters there are."""
    return int(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
