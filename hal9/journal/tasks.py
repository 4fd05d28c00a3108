"""Rows of tasks: every function takes the connection of a running transaction (or a reader)."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from hal9.database import Connection, Row
from hal9.journal.counts import add_count, move_count, state_counts
from hal9.journal.events import record_state, record_states, record_step
from hal9.journal.turns import purge_turns
from hal9.signals import ResultPayload, StepRecord, TaskPayload

__all__ = [
    "TERMINAL",
    "RequestRow",
    "TaskRow",
    "TaskState",
    "add_request",
    "close_request",
    "ended_but_worked_on",
    "finish_task",
    "get_task",
    "has_ended",
    "insert_steps",
    "insert_task",
    "list_requests",
    "list_tasks",
    "open_request_kinds",
    "open_requests",
    "open_workloads",
    "past_deadline",
    "purge",
    "queued_tasks",
    "request_outcome",
    "resolve_task_id",
    "start_task",
    "steps_of",
    "task_counts",
    "task_with_steps",
    "was_given_to",
]

TaskState = Literal["queued", "running", "done", "failed", "cancelled"]
TERMINAL: tuple[TaskState, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. `payload` is what was asked, `result` what came of it."""

    id: str
    payload: TaskPayload
    state: TaskState
    created_at: float
    deadline: float
    workload: str = "neurons"
    started_at: float | None = None
    finished_at: float | None = None
    root_signal: str | None = None
    result: ResultPayload | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """Something a client asks of the daemon: cancel, feedback and the like."""

    seq: int
    kind: str
    task_id: str | None
    body: dict[str, Any]
    at: float
    done_at: float | None = None
    outcome: str | None = None


def _task(row: Row) -> TaskRow:
    return TaskRow(
        id=row["id"],
        workload=row["workload"],
        payload=TaskPayload.model_validate_json(row["payload"]),
        state=row["state"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        deadline=row["deadline"],
        root_signal=row["root_signal"],
        result=ResultPayload.model_validate_json(row["result"]) if row["result"] else None,
        stop_reason=row["stop_reason"],
    )


def insert_task(connection: Connection, task: TaskRow, *, root_target: str | None = None) -> None:
    """Accept a task; from this commit on it is not lost.

    Args:
        connection: of a running transaction.
        task: it; a running one is on its way to `root_target` already.
        root_target: the neuron its first signal goes to.
    """
    connection.execute(
        "INSERT INTO tasks "
        "(id, workload, payload, state, created_at, started_at, deadline, root_signal, root_target) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            task.id,
            task.workload,
            task.payload.model_dump_json(),
            task.state,
            task.created_at,
            task.started_at,
            task.deadline,
            task.root_signal,
            root_target,
        ),
    )
    states = [("queued", task.created_at)]
    if task.state == "running" and task.started_at is not None:
        states.append(("running", task.started_at))
    record_states(connection, task.id, states)
    add_count(connection, "accepted")
    move_count(connection, entered=task.state)


def get_task(connection: Connection, task_id: str) -> TaskRow | None:
    """One task by its full id."""
    row = connection.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return _task(row) if row else None


def has_ended(connection: Connection, task_id: str) -> bool:
    """Whether a task has its result."""
    row = connection.execute(
        "SELECT 1 FROM tasks WHERE id = ? AND state IN ('done', 'failed', 'cancelled')", (task_id,)
    ).fetchone()
    return row is not None


def resolve_task_id(connection: Connection, prefix: str) -> list[str]:
    """Ids that begin or end with the given text; the text "last" names the newest task."""
    if prefix == "last":
        rows = connection.execute("SELECT id FROM tasks ORDER BY seq DESC LIMIT 1")
    elif connection.execute("SELECT 1 FROM tasks WHERE id = ?", (prefix,)).fetchone():
        return [prefix]  # a whole id: found by the index, whatever else may end with it
    else:
        safe = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = connection.execute(
            "SELECT id FROM tasks WHERE id LIKE ? ESCAPE '\\' OR id LIKE ? ESCAPE '\\' "
            "ORDER BY seq DESC LIMIT 10",
            (f"{safe}%", f"%{safe}"),
        )
    return [row[0] for row in rows]


def list_tasks(connection: Connection, *, limit: int = 20, state: TaskState | None = None) -> list[TaskRow]:
    """Newest first."""
    rows = connection.execute(
        "SELECT * FROM tasks WHERE CAST(? AS TEXT) IS NULL OR state = ? ORDER BY seq DESC LIMIT ?",
        (state, state, limit),
    )
    return [_task(row) for row in rows]


def queued_tasks(connection: Connection, *, limit: int = 64) -> list[TaskRow]:
    """Accepted, but not sent to a neuron yet; oldest first."""
    rows = connection.execute(
        "SELECT * FROM tasks WHERE state = 'queued' AND workload = 'neurons' ORDER BY seq LIMIT ?", (limit,)
    )
    return [_task(row) for row in rows]


def open_workloads(connection: Connection, *, besides: str) -> list[TaskRow]:
    """Unfinished tasks of all workloads but one, oldest first."""
    rows = connection.execute(
        "SELECT * FROM tasks WHERE state IN ('queued', 'running') AND workload <> ? ORDER BY seq", (besides,)
    )
    return [_task(row) for row in rows]


def start_task(
    connection: Connection,
    task_id: str,
    *,
    root_signal: str,
    now: float,
    root_target: str | None = None,
) -> bool:
    """Mark a queued task as on its way to `root_target`; False when it is not queued any more."""
    done = connection.execute(
        "UPDATE tasks SET state = 'running', started_at = ?, root_signal = ?, root_target = ? "
        "WHERE id = ? AND state = 'queued'",
        (now, root_signal, root_target, task_id),
    )
    if done.rowcount == 1:
        record_state(connection, task_id, "running", at=now)
        move_count(connection, left="queued", entered="running")
    return done.rowcount == 1


def was_given_to(connection: Connection, task_id: str, *, root_signal: str | None, neuron: str) -> bool:
    """Whether the task's first signal is this one and went to this neuron.

    A task that an earlier version sent has no neuron on record; then the signal's id has to do.
    """
    row = connection.execute(
        "SELECT 1 FROM tasks WHERE id = ? AND root_signal = ? AND coalesce(root_target, ?) = ?",
        (task_id, root_signal, neuron, neuron),
    ).fetchone()
    return row is not None


def finish_task(
    connection: Connection,
    task_id: str,
    *,
    state: TaskState,
    result: ResultPayload,
    now: float,
) -> bool:
    """Record the one terminal result; False when the task already has one."""
    before = connection.execute(
        "SELECT state FROM tasks WHERE id = ? AND state IN ('queued', 'running')", (task_id,)
    ).fetchone()
    if before is None:
        return False
    connection.execute(
        "UPDATE tasks SET state = ?, result = ?, stop_reason = ?, finished_at = ? WHERE id = ?",
        (state, result.model_dump_json(), result.error.reason if result.error else "done", now, task_id),
    )
    record_state(connection, task_id, state, at=now)
    add_count(connection, "finished")
    move_count(connection, left=before[0], entered=state)
    return True


def past_deadline(connection: Connection, *, now: float) -> tuple[list[str], bool]:
    """Ids of unfinished tasks whose time is up, and whether any task is unfinished.

    While a person is asked, time does not count.
    """
    rows = connection.execute(
        "SELECT id FROM tasks WHERE state IN ('queued', 'running') AND deadline < ? AND NOT EXISTS"
        " (SELECT 1 FROM questions WHERE questions.task_id = tasks.id AND questions.state = 'open')"
        " ORDER BY seq",
        (now,),
    )
    late = [row[0] for row in rows]
    some = connection.execute("SELECT 1 FROM tasks WHERE state IN ('queued', 'running') LIMIT 1").fetchone()
    return late, some is not None


def ended_but_worked_on(connection: Connection, owner: str) -> list[str]:
    """Ids of tasks that have their result while this run of the program still has a turn of theirs."""
    rows = connection.execute(
        "SELECT DISTINCT i.task_id FROM inbox i JOIN tasks t ON t.id = i.task_id "
        "WHERE i.state <> 'done' AND i.state = 'working' AND i.owner = ? AND i.kind = 'task' "
        "AND t.state IN ('done', 'failed', 'cancelled')",
        (owner,),
    )
    return [row[0] for row in rows]


def task_counts(connection: Connection) -> dict[str, int]:
    """How many tasks are in which state."""
    return state_counts(connection)


# --- steps --------------------------------------------------------------------------------


def insert_steps(connection: Connection, steps: list[StepRecord]) -> None:
    """Record what neurons did; a step that is already there is left alone."""
    for step in steps:
        done = connection.execute(
            "INSERT OR IGNORE INTO steps (id, task_id, signal_id, neuron, body) VALUES (?, ?, ?, ?, ?)",
            (step.id, step.task_id, step.signal_id, step.neuron, step.model_dump_json()),
        )
        if done.rowcount == 1:
            record_step(connection, step)


def steps_of(connection: Connection, task_id: str) -> list[StepRecord]:
    """All steps of a task in the order they were recorded."""
    rows = connection.execute("SELECT body FROM steps WHERE task_id = ? ORDER BY seq", (task_id,))
    return [StepRecord.model_validate_json(row[0]) for row in rows]


def task_with_steps(connection: Connection, task_id: str) -> tuple[TaskRow | None, list[StepRecord]]:
    """A task, and all that was done for it."""
    return get_task(connection, task_id), steps_of(connection, task_id)


# --- requests -----------------------------------------------------------------------------


def add_request(
    connection: Connection, kind: str, body: dict[str, Any], *, now: float, task_id: str | None = None
) -> int:
    """Ask something of the daemon; it is taken up exactly once, also after a restart."""
    done = connection.execute(
        "INSERT INTO requests (kind, task_id, body, at) VALUES (?, ?, ?, ?) RETURNING seq",
        (kind, task_id, json.dumps(body), now),
    )
    return int(done.fetchone()[0])


def open_requests(connection: Connection, kinds: Collection[str]) -> list[RequestRow]:
    """Requests of these kinds that nobody has answered yet, oldest first."""
    wanted = ", ".join("?" for _ in kinds)
    rows = connection.execute(
        f"SELECT * FROM requests WHERE done_at IS NULL AND kind IN ({wanted}) ORDER BY seq",  # noqa: S608 - only marks
        tuple(kinds),
    )
    return [_request(row) for row in rows]


def open_request_kinds(connection: Connection) -> set[str]:
    """Kinds of which a request waits."""
    rows = connection.execute("SELECT DISTINCT kind FROM requests WHERE done_at IS NULL")
    return {str(row["kind"]) for row in rows}


def _request(row: Row) -> RequestRow:
    return RequestRow(
        seq=row["seq"],
        kind=row["kind"],
        task_id=row["task_id"],
        body=json.loads(row["body"]),
        at=row["at"],
        done_at=row["done_at"],
        outcome=row["outcome"],
    )


def list_requests(
    connection: Connection, *, limit: int = 20, besides: tuple[str, ...] = ()
) -> list[RequestRow]:
    """Requests with their answers, newest first, but for some kinds."""
    rows = connection.execute(
        "SELECT * FROM requests WHERE kind NOT IN (SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT ?",
        (json.dumps(besides), limit),
    )
    return [_request(row) for row in rows]


def close_request(connection: Connection, seq: int, *, outcome: str, now: float) -> bool:
    """Answer a request; False when it already has an answer."""
    done = connection.execute(
        "UPDATE requests SET done_at = ?, outcome = ? WHERE seq = ? AND done_at IS NULL", (now, outcome, seq)
    )
    return done.rowcount == 1


def request_outcome(connection: Connection, seq: int) -> str | None:
    """The answer to a request, or None while there is none."""
    row = connection.execute("SELECT outcome FROM requests WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row["outcome"]


def purge(connection: Connection, *, tasks_before: float, requests_before: float, limit: int = 500) -> int:
    """Forget finished tasks with their steps, and answered requests, that ended before these moments.

    Returns:
        How many rows went; call again while it is not 0.
    """
    turns = purge_turns(connection, finished_before=tasks_before, limit=limit)
    steps = connection.execute(
        "DELETE FROM steps WHERE task_id IN"
        " (SELECT id FROM tasks WHERE finished_at < ? ORDER BY seq LIMIT ?)",
        (tasks_before, limit),
    )
    connection.execute(
        "DELETE FROM events WHERE task_id IN"
        " (SELECT id FROM tasks WHERE finished_at < ? ORDER BY seq LIMIT ?)",
        (tasks_before, limit),
    )
    gone = connection.execute(
        "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE finished_at < ? ORDER BY seq LIMIT ?) "
        "RETURNING state",
        (tasks_before, limit),
    ).fetchall()
    add_count(connection, "forgotten", len(gone))
    for row in gone:
        move_count(connection, left=row[0])
    answered = connection.execute(
        "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE done_at < ? ORDER BY seq LIMIT ?)",
        (requests_before, limit),
    )
    return turns + steps.rowcount + len(gone) + answered.rowcount
