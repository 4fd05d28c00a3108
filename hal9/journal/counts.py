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

__all__ = ["Counts", "add_count", "compare", "held_rows", "read_counts", "read_record", "write_record"]


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
