"""Tasks that the cluster remembers, with the checks they had, as tasks to tune on."""

import contextlib
from pathlib import Path

from hal9.errors.tuning import TuningTooFewTasks
from hal9.learning.replay_cases import replay_case
from hal9.memory import MemoryStore
from hal9.tuning.tasks import FEWEST_TASKS, TuningTask

__all__ = ["remembered_tasks"]


def remembered_tasks(store: MemoryStore, *, most: int = 200) -> tuple[TuningTask, ...]:
    """The latest remembered tasks whose check and workspace are still there, newest first.

    Raises:
        TuningTooFewTasks: fewer than a run takes.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT checks FROM tasks WHERE checks != '[]' ORDER BY created DESC LIMIT ?", (most * 4,)
        ).fetchall()
    found: dict[str, TuningTask] = {}
    for row in rows:
        with contextlib.suppress(ValueError, KeyError, IndexError):  # written by an older version
            payload = replay_case(row["checks"]).payload
            if payload.check is None or payload.workspace is None or not Path(payload.workspace).is_dir():
                continue
            task = TuningTask(
                input=payload.objective,
                check=payload.check,
                workspace=Path(payload.workspace),
                targets=tuple(payload.targets),
            )
            found.setdefault(task.name, task)
        if len(found) == most:
            break
    if len(found) < FEWEST_TASKS:
        raise TuningTooFewTasks(found=len(found), needed=FEWEST_TASKS, remembered=True)
    return tuple(found.values())
