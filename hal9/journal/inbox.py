"""The inbox: signals that arrived, each exactly once, with who works on them.

States: `new` (waiting), `working` (leased to one run of the program), `done` (its outcome is recorded; the
id stays until retention ends so that a late copy is recognised). Functions take the connection of a running
transaction.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hal9.database import Connection

__all__ = [
    "Arrival",
    "Claim",
    "PreviousEnd",
    "Waiting",
    "claim",
    "counts",
    "finish",
    "insert",
    "insert_done",
    "lapsed",
    "moved_on",
    "purge",
    "recover",
    "release",
    "renew",
    "seen",
    "take",
]

_CHUNK = 256


class Arrival(NamedTuple):
    """A signal that was just received; `body` is the encoded envelope, `received_at` epoch seconds."""

    id: str
    source: str
    target: str
    kind: str
    task_id: str
    body: bytes
    received_at: float


class Waiting(NamedTuple):
    """A signal that nobody works on; `attempts` counts how often somebody began."""

    id: str
    body: bytes
    attempts: int
    not_before: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousEnd:
    """How the process that worked on this journal before has ended, as far as anybody knows.

    Attributes:
        culprit: id of the one signal whose handling is to blame; None when nobody knows.
        reason: what it did.
        excused: it was killed on request, so no signal is to blame.
    """

    culprit: str | None = None
    reason: str = ""
    excused: bool = False


class Claim(NamedTuple):
    """A signal that somebody begins with.

    Attributes:
        attempts: how often somebody has begun with it, this time included.
        deaths: how often the process has ended while it was worked on.
        blame: what it did to the process, when that is known.
    """

    attempts: int
    deaths: int
    blame: str


_COLUMNS = ", ".join(Arrival._fields)


def insert(
    connection: Connection,
    arrivals: Sequence[Arrival],
    *,
    owner: str | None = None,
    lease_until: float | None = None,
) -> set[str]:
    """Record arrivals; with an owner they are leased to it at once, as `claim` would.

    Returns:
        The ids seen for the first time; the others are duplicates.
    """
    fresh: set[str] = set()
    state = ("new", 0, None, None) if owner is None else ("working", 1, owner, lease_until)
    for start in range(0, len(arrivals), _CHUNK):
        chunk = arrivals[start : start + _CHUNK]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(chunk))
        rows = connection.execute(
            f"INSERT INTO inbox ({_COLUMNS}, state, attempts, owner, lease_until) VALUES {marks} "  # noqa: S608 - fixed text
            "ON CONFLICT (id) DO NOTHING RETURNING id",
            [value for arrival in chunk for value in (*arrival, *state)],
        )
        fresh.update(str(row[0]) for row in rows)
    return fresh


def insert_done(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    """Record arrivals whose outcome is recorded in this very transaction; none may be a duplicate."""
    for start in range(0, len(arrivals), _CHUNK):
        chunk = arrivals[start : start + _CHUNK]
        marks = ", ".join(["(?, ?, ?, ?, ?, NULL, ?, 'done', 1, ?)"] * len(chunk))
        connection.execute(
            f"INSERT INTO inbox ({_COLUMNS}, state, attempts, finished_at) VALUES {marks}",  # noqa: S608 - fixed text
            [
                value
                for one in chunk
                for value in (
                    one.id,
                    one.source,
                    one.target,
                    one.kind,
                    one.task_id,
                    one.received_at,
                    one.received_at,
                )
            ],
        )


def seen(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that have arrived before."""
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        rows = connection.execute(f"SELECT id FROM inbox WHERE id IN ({marks})", chunk)  # noqa: S608 - fixed text
        found.update(str(row[0]) for row in rows)
    return found


def claim(connection: Connection, ids: Sequence[str], *, owner: str, lease_until: float) -> dict[str, Claim]:
    """Lease waiting signals to one run of the program.

    Returns:
        For each id that was really waiting: what is known of earlier beginnings.
    """
    claimed: dict[str, Claim] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        rows = connection.execute(
            "UPDATE inbox SET state = 'working', owner = ?, lease_until = ?, attempts = attempts + 1 "  # noqa: S608 - fixed text
            f"WHERE id IN ({marks}) AND state = 'new' RETURNING id, attempts, deaths, blame",
            [owner, lease_until, *chunk],
        )
        claimed.update((str(row[0]), Claim(int(row[1]), int(row[2]), str(row[3]))) for row in rows)
    return claimed


def renew(connection: Connection, ids: Sequence[str], *, owner: str, lease_until: float) -> None:
    """Extend leases of work that is still going on."""
    connection.executemany(
        "UPDATE inbox SET lease_until = ? WHERE id = ? AND state = 'working' AND owner = ?",
        [(lease_until, signal_id, owner) for signal_id in ids],
    )


def finish(connection: Connection, signal_id: str, *, owner: str, now: float) -> bool:
    """Mark work as done; the body is no longer needed, the id is.

    Returns:
        False when the lease was lost meanwhile: then nothing of this work may be recorded.
    """
    cursor = connection.execute(
        "UPDATE inbox SET state = 'done', owner = NULL, lease_until = NULL, body = NULL, finished_at = ? "
        "WHERE id = ? AND state = 'working' AND owner = ?",
        (now, signal_id, owner),
    )
    return cursor.rowcount == 1


def release(connection: Connection, signal_id: str, *, owner: str, not_before: float, refund: bool) -> None:
    """Give work back, to be begun again not before a time; `refund` does not count this beginning."""
    connection.execute(
        "UPDATE inbox SET state = 'new', owner = NULL, lease_until = NULL, not_before = ?, "
        "attempts = attempts - ? "
        "WHERE id = ? AND state = 'working' AND owner = ?",
        (not_before, int(refund), signal_id, owner),
    )


def recover(connection: Connection, *, owner: str, end: PreviousEnd, others: Sequence[str] = ()) -> int:
    """At start: work leased to earlier runs of the program is waiting again.

    A run that ended in order had given its work back. So what is still leased was worked on when the process
    died, and each such death is counted.

    Args:
        connection: of a running transaction.
        owner: this run.
        end: how the run before has ended.
        others: runs on other hosts, which keep their work.

    Returns:
        How many signals were taken back.
    """
    cursor = connection.execute(
        "UPDATE inbox SET state = 'new', owner = NULL, lease_until = NULL, "
        "deaths = deaths + CASE WHEN ? = 0 AND (? = 1 OR id = ?) THEN 1 ELSE 0 END, "
        "blame = CASE WHEN id = ? THEN ? ELSE blame END "
        "WHERE state = 'working' AND owner NOT IN (SELECT value FROM json_each(?))",
        (
            int(end.excused),
            int(end.culprit is None),
            end.culprit,
            end.culprit,
            end.reason,
            json.dumps([owner, *others]),
        ),
    )
    return cursor.rowcount


def moved_on(connection: Connection, signal_id: str) -> None:
    """Work on a signal got further: it is not what the process died of, however often that was."""
    connection.execute("UPDATE inbox SET deaths = 0, blame = '' WHERE id = ? AND deaths > 0", (signal_id,))


def lapsed(connection: Connection, *, now: float) -> int:
    """Take back work whose lease ran out without being renewed.

    Returns:
        How many signals were taken back.
    """
    cursor = connection.execute(
        "UPDATE inbox SET state = 'new', owner = NULL, lease_until = NULL "
        "WHERE state = 'working' AND lease_until <= ?",
        (now,),
    )
    return cursor.rowcount


def take(
    connection: Connection, target: str, *, after: int = 0, limit: int = 256
) -> tuple[list[Waiting], int]:
    """Waiting signals of one inbox in order of arrival.

    Args:
        connection: any connection.
        target: the inbox.
        after: where the previous call ended.
        limit: at most so many.

    Returns:
        The signals and where this call ended.
    """
    rows = connection.execute(
        "SELECT seq, id, body, attempts, not_before FROM inbox "
        "WHERE target = ? AND state <> 'done' AND state = 'new' AND seq > ? ORDER BY seq LIMIT ?",
        (target, after, limit),
    ).fetchall()
    end = int(rows[-1][0]) if rows else after
    return [Waiting(row[1], row[2], row[3], row[4]) for row in rows], end


def counts(connection: Connection) -> dict[str, int]:
    """How many signals are in each state."""
    found = {"new": 0, "working": 0, "done": 0}
    for state, number in connection.execute("SELECT state, count(*) FROM inbox GROUP BY state"):
        found[str(state)] = int(number)
    return found


def purge(connection: Connection, *, before: float, limit: int = 5000) -> int:
    """Forget done signals that finished before a time; at most `limit`, so that no transaction gets long.

    Returns:
        How many were forgotten.
    """
    cursor = connection.execute(
        "DELETE FROM inbox WHERE seq IN "
        "(SELECT seq FROM inbox WHERE state = 'done' AND finished_at < ? LIMIT ?)",
        (before, limit),
    )
    return cursor.rowcount
