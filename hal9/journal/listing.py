"""Lists of tasks for people: one page at a time, without the parts that nobody sees in a list."""

import json
from dataclasses import dataclass
from typing import Any

from hal9.database import Connection, Row
from hal9.journal.tasks import TaskState

__all__ = ["TaskSummary", "page_of_tasks"]

# What a list shows is picked out of the stored JSON; results with diffs and files stay where they are.
_SHOWN = (
    "SELECT seq, id, workload, state, created_at, started_at, finished_at, stop_reason, "
    "substr(json_extract(payload, '$.objective'), 1, 400) AS objective, "
    "json_extract(result, '$.tally') AS tally FROM tasks "
)
_ALL = _SHOWN + "WHERE seq < ? ORDER BY seq DESC LIMIT ?"
_OF_STATE = _SHOWN + "WHERE state = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
_FIRST = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """One line of a list. Times are epoch seconds."""

    seq: int
    id: str
    state: TaskState
    workload: str
    objective: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    stop_reason: str | None
    tokens: int
    usd: float


def page_of_tasks(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    state: TaskState | None = None,
) -> list[TaskSummary]:
    """Tasks newest first, those with smaller numbers than `before`."""
    start = _FIRST if before is None else before
    rows = (
        connection.execute(_ALL, (start, limit))
        if state is None
        else connection.execute(_OF_STATE, (state, start, limit))
    )
    return [_summary(row) for row in rows]


def _summary(row: Row) -> TaskSummary:
    tally: dict[str, Any] = json.loads(row["tally"]) if row["tally"] else {}
    return TaskSummary(
        seq=row["seq"],
        id=row["id"],
        state=row["state"],
        workload=row["workload"],
        objective=row["objective"] or "",
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        stop_reason=row["stop_reason"],
        tokens=int(tally.get("prompt_tokens", 0)) + int(tally.get("completion_tokens", 0)),
        usd=float(tally.get("usd", 0.0)),
    )
