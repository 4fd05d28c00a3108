"""Long workloads as the dashboard shows them: their tasks, their last lines, how their figure went."""

import re
from collections.abc import Sequence
from typing import Any

from hal9.dashboard.pictures import curve
from hal9.database import Connection
from hal9.journal import tasks
from hal9.journal.tasks import TaskRow

__all__ = ["best_curve", "workload_run", "workload_runs"]

_RUNS = 12
_LINES = 400
_SHOWN_LINES = 12
_BEST = re.compile(r"\bbest (\d+\.\d+)")


def workload_runs(connection: Connection) -> list[dict[str, Any]]:
    """The newest tasks that are not the neurons', each with what it told."""
    rows = connection.execute(
        "SELECT id FROM tasks WHERE workload <> 'neurons' ORDER BY seq DESC LIMIT ?", (_RUNS,)
    ).fetchall()
    found = (tasks.get_task(connection, row[0]) for row in rows)
    return [workload_run(connection, task) for task in found if task is not None]


def workload_run(connection: Connection, task: TaskRow) -> dict[str, Any]:
    """A workload's task, its last lines, and how its best figure went."""
    rows = connection.execute(
        "SELECT body ->> '$.evidence' FROM steps WHERE task_id = ? ORDER BY seq DESC LIMIT ?",
        (task.id, _LINES),
    )
    lines = [row[0] for row in rows if row[0]][::-1]
    best = [float(found[1]) for found in map(_BEST.search, lines) if found]
    return {
        "task": task,
        "lines": lines[-_SHOWN_LINES:],
        "told": len(lines),
        "best": best[-1] if best else None,
        "curve": best_curve(best),
    }


def best_curve(best: Sequence[float]) -> Any:
    """A run's best NDCG over its episodes; nothing while there are fewer than two."""
    if len(best) < 2:
        return ""
    low, high = min(best), max(best)
    margin = max(0.01, (high - low) * 0.1)
    points = [(float(number), value, value, value) for number, value in enumerate(best)]
    return curve(
        points,
        label=f"best NDCG over {len(best)} episodes, {best[0]:.3f} to {best[-1]:.3f}",
        low=max(0.0, low - margin),
        high=min(1.0, high + margin),
    )
