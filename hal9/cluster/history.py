"""What happened to finished tasks: one row per task, with the factors that may explain a failure."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hal9.cluster.client import Cluster
from hal9.database import Connection, Place, is_there, open_database
from hal9.journal import tasks
from hal9.journal.tasks import TaskRow
from hal9.memory.store.migrations import MIGRATIONS
from hal9.neurons import task_class
from hal9.signals import StepRecord

__all__ = ["FACTORS", "failure_rows", "kinds_of_failure", "parse_age"]

FACTORS = {
    "failed": "whether the task failed, or was rejected by a user or a judge",
    "words": "length of the task's text in words",
    "check": "whether the task had a check to pass",
    "workspace": "whether the task had a workspace to change",
    "task_class": "the kind of task",
    "implementer": "which neuron implemented it first",
    "prompt_version": "version of the first implementer's prompt",
    "recalled": "whether a memory was put into the prompt of the first attempt",
    "layers_thinking": "how many layers asked a model before it was first implemented",
    "mind": "which language model answered first",
    "tool": "first word of the check's command",
    "hour": "hour of the day",
}
_ERROR, _LAYER = "error_", "failed_in_layer_"
# A kind of failure that was seen less often says nothing of its causes.
_SEEN = 5
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_age(text: str) -> float:
    """Seconds of an age such as 90s, 30m, 12h, 7d, 2w.

    Raises:
        ValueError: not of this form.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is no age; write a number and s, m, h, d or w, such as 7d")
    return float(number) * _UNITS[unit]


async def failure_rows(cluster: Cluster, *, since: float, kinds: bool = False) -> list[dict[str, Any]]:
    """One row per task that ended since a moment (epoch seconds), cancelled ones left out.

    Args:
        cluster: whose journal and verdicts are read.
        since: epoch seconds.
        kinds: each row also says of every kind of failure that was seen several times whether it is one:
            `error_TYPE` by the type of error, `failed_in_layer_N` by the layer. These are outcomes, not
            factors; a kind that all failures are of is left out.
    """
    verdicts = await asyncio.to_thread(_verdicts, cluster.home.memory)

    def read(connection: Connection) -> list[dict[str, Any]]:
        found = [
            task
            for task in tasks.list_tasks(connection, limit=100_000)
            if task.state in ("done", "failed") and (task.finished_at or 0) >= since
        ]
        return [_row(task, tasks.steps_of(connection, task.id), verdicts.get(task.id)) for task in found]

    rows = await cluster.read(read)
    failures = sum(row["failed"] for row in rows)
    seen = Counter(kind for row in rows for kind in row["kinds"])
    told = sorted(kind for kind, count in seen.items() if kinds and _SEEN <= count < failures)
    for row in rows:
        own = row.pop("kinds")
        row.update({kind: kind in own for kind in told})
    return rows


def kinds_of_failure(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The columns of rows that name a kind of failure, each with what it means."""
    found = dict[str, str]()
    for name in rows[0] if rows else ():
        if name.startswith(_ERROR):
            found[name] = (
                f"whether the task ended with the error {name.removeprefix(_ERROR).replace('_', ' ')}"
            )
        elif name.startswith(_LAYER):
            found[name] = f"whether the task failed in layer {name.removeprefix(_LAYER)}"
    return found


def _verdicts(memory: Place) -> dict[str, tuple[bool, str]]:
    """What checks, judges and users have said of tasks: passed or not, and the type of error."""
    if not is_there(memory):
        return {}
    with closing(open_database(memory, MIGRATIONS)) as connection:
        rows = connection.execute("SELECT task_id, passed, error_type FROM outcomes WHERE passed IS NOT NULL")
        return {row["task_id"]: (bool(row["passed"]), row["error_type"]) for row in rows}


def _row(task: TaskRow, steps: Sequence[StepRecord], verdict: tuple[bool, str] | None) -> dict[str, Any]:
    failed = task.state == "failed" or (verdict is not None and not verdict[0])
    error = task.result.error if task.result else None
    kinds = set[str]()
    if failed:
        kinds.add(_ERROR + ((verdict[1] if verdict else "") or (error.reason if error else "") or "unknown"))
        layer = next((step.layer for step in reversed(steps) if error and step.neuron == error.neuron), None)
        if layer is not None:
            kinds.add(f"{_LAYER}{layer}")
    # A failing check is tried again: only what was settled before the first answer can be a cause of failing.
    thinking = [step for step in steps if step.kind in ("think", "split")]
    at = next((k for k, step in enumerate(thinking) if step.layer == 2 and step.kind == "think"), None)
    first = thinking[at] if at is not None else None
    before = thinking[: at + 1] if at is not None else []
    return {
        "kinds": kinds,
        "failed": failed,
        "words": len(task.payload.objective.split()),
        "check": task.payload.check is not None,
        "workspace": task.payload.workspace is not None,
        "task_class": task_class(task.payload),
        "implementer": first.neuron if first else "none",
        "prompt_version": str(first.promptgram_version) if first else "none",
        "recalled": any(step.recalled for step in before),
        "layers_thinking": len({step.layer for step in before}),
        "mind": first.mind if first else "none",
        "tool": _tool(task.payload.check),
        "hour": time.localtime(task.created_at).tm_hour,
    }


def _tool(check: str | None) -> str:
    """The program that a check runs."""
    words = (check or "").split()
    return Path(words[0]).name if words else "none"
