"""How many tasks a journal should hold: a small checksummed record beside it, and the comparison.

Counters in the journal only ever grow, each in the transaction of what it counts. The record is written after
such commits, so it never claims more than was committed; a journal that knows of less has lost rows.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from hal9.database import Connection, Place, beside

__all__ = [
    "Counts",
    "add_count",
    "compare",
    "held_rows",
    "move_count",
    "read_counts",
    "read_record",
    "recount_states",
    "state_counts",
    "write_record",
]

_STATE = "state."


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks were ever accepted, finished, and forgotten after their retention."""

    accepted: int = 0
    finished: int = 0
    forgotten: int = 0


def record_path(journal: Place) -> Path:
    """Where the record of a journal stands."""
    return beside(journal, ".counts")


def add_count(connection: Connection, name: str, number: int = 1) -> None:
    """Count, in the transaction of what is counted."""
    if number:
        connection.execute("UPDATE counters SET value = value + ? WHERE name = ?", (number, name))


def move_count(connection: Connection, *, left: str | None = None, entered: str | None = None) -> None:
    """Count a task that left one state and entered another, in the transaction of that."""
    moved = [(number, f"{_STATE}{state}") for number, state in ((-1, left), (1, entered)) if state]
    connection.executemany("UPDATE counters SET value = value + ? WHERE name = ?", moved)


def state_counts(connection: Connection) -> dict[str, int]:
    """How many tasks are in which state, without looking at all of them; states without any are left out."""
    rows = connection.execute(
        "SELECT name, value FROM counters WHERE name LIKE ? AND value > 0", (f"{_STATE}%",)
    ).fetchall()
    return {str(name).removeprefix(_STATE): int(value) for name, value in rows}


def recount_states(connection: Connection) -> None:
    """Count the tasks in each state anew, by looking at all of them."""
    connection.execute("DELETE FROM counters WHERE name LIKE ?", (f"{_STATE}%",))
    for state in ("queued", "running", "done", "failed", "cancelled"):
        connection.execute(
            "INSERT INTO counters (name, value) SELECT ?, count(*) FROM tasks WHERE state = ?",
            (f"{_STATE}{state}", state),
        )


def read_counts(connection: Connection) -> Counts:
    """What the journal itself knows."""
    rows = dict(connection.execute("SELECT name, value FROM counters").fetchall())
    return Counts(**{name: int(rows.get(name, 0)) for name in ("accepted", "finished", "forgotten")})


def held_rows(connection: Connection) -> int:
    """How many tasks the journal really holds."""
    return int(connection.execute("SELECT count(*) FROM tasks").fetchone()[0])


def write_record(journal: Place, counts: Counts) -> None:
    """Replace the record in one step.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    body = json.dumps(asdict(counts), sort_keys=True)
    path = record_path(journal)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps({"counts": body, "sha256": _digest(body)}), encoding="utf-8")
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def read_record(journal: Place) -> Counts | None:
    """The record; None when there is none, or when it is damaged itself."""
    try:
        said = json.loads(record_path(journal).read_text(encoding="utf-8"))
        body = said["counts"]
        if said["sha256"] != _digest(body):
            return None
        return Counts(**json.loads(body))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def compare(record: Counts | None, counts: Counts, held: int) -> str:
    """What is missing, as a sentence; empty when nothing is."""
    if record is not None and counts.accepted < record.accepted:
        return f"{record.accepted} tasks were accepted, the journal knows of {counts.accepted}"
    if record is not None and counts.finished < record.finished:
        return f"{record.finished} tasks were finished, the journal knows of {counts.finished}"
    if held != counts.accepted - counts.forgotten:
        return f"it should hold {counts.accepted - counts.forgotten} tasks and holds {held}"
    return ""
