"""The list of tasks on screens of several widths."""

import io
import time

import pytest
from rich.console import Console

from hal9.cli.tasks.render import task_table
from hal9.journal.tasks import TaskRow
from hal9.signals import TaskPayload


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_list_of_tasks_can_be_read_at_any_width(width: int) -> None:
    objective = "Write the report about [late] orders"
    rows = [
        TaskRow(
            id="01890a5d-ac96-774b-bcce-b302099a8057",
            payload=TaskPayload(objective=objective),
            state="failed",
            created_at=time.time() - 7200,
            started_at=time.time() - 7199,
            finished_at=time.time() - 7000,
            deadline=9.0,
            stop_reason="budget_exhausted",
        )
    ]
    screen = Console(file=io.StringIO(), width=width)
    screen.print(task_table(rows, width=width))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "02099a8057" in shown
    words = shown.split()
    assert set(objective.split()) <= set(words)
    assert "budget_exhausted" in words
    assert "2 h" in shown
