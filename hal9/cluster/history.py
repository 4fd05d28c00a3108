"""What happened to finished tasks: one row per task, with the factors that may explain a failure."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal9.cluster.client import Cluster
from hal9.journal import tasks
from hal9.journal.tasks import TaskRow
from hal9.neurons import task_class
from hal9.signals import StepRecord

__all__ = ["FACTORS", "failure_rows", "parse_age"]

FACTORS = {
    "failed": "whether the task failed",
    "words": "length of the task's text in words",
    "check": "whether the task had a check to pass",
    "workspace": "whether the task had a workspace to change",
    "task_class": "the kind of task",
    "implementer": "which neuron implemented it",
    "prompt_version": "version of the implementer's prompt",
    "recalled": "whether a memory was put into the prompt",
    "layers_thinking": "how many layers asked a model",
    "tokens": "tokens spent",
    "mind": "which language model answered",
    "tool": "first word of the check's command",
    "hour": "hour of the day",
}
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


async def failure_rows(cluster: Cluster, *, since: float) -> list[dict[str, Any]]:
    """One row per task that ended since a moment (epoch seconds), cancelled ones left out."""

    def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        found = [
            task
            for task in tasks.list_tasks(connection, limit=100_000)
            if task.state in ("done", "failed") and (task.finished_at or 0) >= since
        ]
        return [_row(task, tasks.steps_of(connection, task.id)) for task in found]

    return await cluster.read(read)


def _row(task: TaskRow, steps: Sequence[StepRecord]) -> dict[str, Any]:
    thinking = [step for step in steps if step.kind in ("think", "split", "synthesise")]
    implementers = [step for step in thinking if step.layer == 2]
    last = implementers[-1] if implementers else None
    return {
        "failed": task.state == "failed",
        "words": len(task.payload.objective.split()),
        "check": task.payload.check is not None,
        "workspace": task.payload.workspace is not None,
        "task_class": task_class(task.payload),
        "implementer": last.neuron if last else "none",
        "prompt_version": last.promptgram_version if last else 0,
        "recalled": any(step.recalled for step in steps),
        "layers_thinking": len({step.layer for step in thinking}),
        "tokens": sum(step.tally.prompt_tokens + step.tally.completion_tokens for step in steps),
        "mind": last.mind if last else "none",
        "tool": Path(task.payload.check.split()[0]).name if task.payload.check else "none",
        "hour": int(task.created_at // 3600 % 24),
    }
