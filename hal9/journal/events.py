"""What happened to tasks, in one order: every change of a task's state and every step has a number.

The numbers are given inside the transaction that changes the task, so a reader that has seen number N misses
nothing by asking for what came after N, also over restarts. Numbers are never used twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hal9.database import Connection
from hal9.signals import StepRecord

__all__ = [
    "TaskEvent",
    "events_after",
    "last_event",
    "m006_events",
    "record_state",
    "record_states",
    "record_step",
]


_NO_END = 2**62
_OF_ALL = (
    "SELECT e.seq, e.task_id, e.at, e.state, s.body FROM events e LEFT JOIN steps s ON s.id = e.step_id "
    "WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
)
_OF_ONE = (
    "SELECT e.seq, e.task_id, e.at, e.state, s.body FROM events e LEFT JOIN steps s ON s.id = e.step_id "
    "WHERE e.task_id = ? AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
)


def m006_events(connection: Connection) -> None:
    """Events: one number for every change of a task's state and every step; those already there get one."""
    connection.execute(
        """
        CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            task_id TEXT NOT NULL,
            state TEXT,
            step_id TEXT,
            at REAL NOT NULL
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX events_by_task ON events (task_id, seq)")
    connection.execute("CREATE INDEX tasks_by_state ON tasks (state, seq)")
    connection.execute(
        """
        INSERT INTO events (task_id, state, step_id, at)
        SELECT task_id, state, step_id, at FROM (
            SELECT seq AS a, 0 AS b, 0 AS c, id AS task_id, 'queued' AS state, NULL AS step_id,
                created_at AS at
            FROM tasks
            UNION ALL
            SELECT seq, 1, 0, id, 'running', NULL, started_at FROM tasks WHERE started_at IS NOT NULL
            UNION ALL
            SELECT t.seq, 2, s.seq, t.id, NULL, s.id, t.created_at
            FROM steps s JOIN tasks t ON t.id = s.task_id
            UNION ALL
            SELECT seq, 3, 0, id, state, NULL, finished_at FROM tasks WHERE finished_at IS NOT NULL
        ) AS happened ORDER BY a, b, c
        """
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One event: a task took on a state, or a step was recorded for it (then `step` is there)."""

    seq: int
    task_id: str
    at: float
    state: str | None = None
    step: StepRecord | None = None


def record_state(connection: Connection, task_id: str, state: str, *, at: float) -> None:
    """Number a task's new state."""
    record_states(connection, task_id, [(state, at)])


def record_states(connection: Connection, task_id: str, states: Sequence[tuple[str, float]]) -> None:
    """Number the states a task took on, each with its moment, in their order."""
    rows = ", ".join(["(?, ?, ?)"] * len(states))
    connection.execute(
        f"INSERT INTO events (task_id, state, at) VALUES {rows}",  # noqa: S608 - fixed text
        [value for state, at in states for value in (task_id, state, at)],
    )


def record_step(connection: Connection, step: StepRecord) -> None:
    """Number a recorded step."""
    connection.execute(
        "INSERT INTO events (task_id, step_id, at) VALUES (?, ?, ?)", (step.task_id, step.id, step.ended_at)
    )


def last_event(connection: Connection) -> int:
    """The newest number; 0 before anything happened."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def events_after(
    connection: Connection,
    seq: int,
    *,
    task_id: str | None = None,
    until: int | None = None,
    limit: int = 500,
) -> list[TaskEvent]:
    """Events with greater numbers, oldest first.

    Args:
        connection: a reader.
        seq: the last number the caller has seen.
        task_id: only of this task.
        until: the last number wanted.
        limit: at most so many; call again with the last one's number for more.
    """
    end = _NO_END if until is None else until
    # Two statements: with "task_id = ? OR ? IS NULL" no index would be used.
    rows = (
        connection.execute(_OF_ALL, (seq, end, limit))
        if task_id is None
        else connection.execute(_OF_ONE, (task_id, seq, end, limit))
    )
    return [
        TaskEvent(
            seq=row["seq"],
            task_id=row["task_id"],
            at=row["at"],
            state=row["state"],
            step=StepRecord.model_validate_json(row["body"]) if row["body"] else None,
        )
        for row in rows
    ]
