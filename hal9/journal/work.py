"""Work a neuron has split into parts and waits for: rows that survive the process.

Functions take the connection of a running transaction (or a reader).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hal9.database import Connection
from hal9.signals import ResultPayload, Signal, TaskPayload

__all__ = ["Part", "Work", "cancel_work", "close_work", "find_work", "open_work", "record_part", "send_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a split: where it goes, what is asked, what came back."""

    position: int
    target: str
    payload: TaskPayload
    signal_id: str | None = None
    result: ResultPayload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A task signal a neuron has split."""

    signal: Signal
    neuron: str
    open: bool
    parts: tuple[Part, ...]


def open_work(
    connection: Connection, signal: Signal, neuron: str, parts: Sequence[Part], *, now: float
) -> None:
    """Remember that `signal` was split; parts without a signal id wait for their turn."""
    opened = connection.execute(
        "INSERT OR IGNORE INTO work (signal_id, task_id, neuron, signal, state, opened_at) "
        "VALUES (?, ?, ?, ?, 'open', ?)",
        (signal.id, signal.task_id, neuron, signal.model_dump_json(), now),
    )
    if opened.rowcount == 0:  # split before, by a turn that was begun anew
        connection.execute("UPDATE work SET opened_at = ? WHERE signal_id = ?", (now, signal.id))
        connection.execute("DELETE FROM parts WHERE work_id = ?", (signal.id,))
    connection.executemany(
        "INSERT INTO parts (work_id, position, signal_id, target, payload) VALUES (?, ?, ?, ?, ?)",
        [
            (signal.id, part.position, part.signal_id, part.target, part.payload.model_dump_json())
            for part in parts
        ],
    )


def find_work(connection: Connection, part_signal_id: str) -> Work | None:
    """The work a part's signal belongs to."""
    row = connection.execute(
        "SELECT work.* FROM work JOIN parts ON parts.work_id = work.signal_id WHERE parts.signal_id = ?",
        (part_signal_id,),
    ).fetchone()
    if row is None:
        return None
    parts = connection.execute("SELECT * FROM parts WHERE work_id = ? ORDER BY position", (row["signal_id"],))
    return Work(
        signal=Signal.model_validate_json(row["signal"]),
        neuron=row["neuron"],
        open=row["state"] == "open",
        parts=tuple(
            Part(
                position=part["position"],
                target=part["target"],
                payload=TaskPayload.model_validate_json(part["payload"]),
                signal_id=part["signal_id"],
                result=ResultPayload.model_validate_json(part["result"]) if part["result"] else None,
            )
            for part in parts
        ),
    )


def record_part(connection: Connection, part_signal_id: str, result: ResultPayload) -> None:
    """Keep the result of one part."""
    connection.execute(
        "UPDATE parts SET result = ? WHERE signal_id = ?", (result.model_dump_json(), part_signal_id)
    )


def send_part(connection: Connection, work_id: str, part: Part) -> None:
    """Note that a part was sent, and as what: one that waited, or a further one."""
    connection.execute(
        "INSERT INTO parts (work_id, position, signal_id, target, payload) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (work_id, position) DO UPDATE SET signal_id = excluded.signal_id,"
        " target = excluded.target, payload = excluded.payload",
        (work_id, part.position, part.signal_id, part.target, part.payload.model_dump_json()),
    )


def close_work(connection: Connection, signal_id: str) -> None:
    """The work is answered; its parts are not needed any more."""
    connection.execute("DELETE FROM work WHERE signal_id = ?", (signal_id,))
    connection.execute("DELETE FROM parts WHERE work_id = ?", (signal_id,))


def cancel_work(connection: Connection, task_id: str) -> None:
    """Forget all open work of a task."""
    connection.execute(
        "DELETE FROM parts WHERE work_id IN (SELECT signal_id FROM work WHERE task_id = ?)", (task_id,)
    )
    connection.execute("DELETE FROM work WHERE task_id = ?", (task_id,))
