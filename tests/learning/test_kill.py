"""kill -9 between any two steps of a gradient's way: after a restart everything is applied exactly once."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from hal9.cluster import Home, connect
from hal9.journal.failpoints import ENVIRONMENT_VARIABLE
from tests.conftest import edit_settings
from tests.support.daemons import start, stop, wait_ready

MIND = "scripted:tests.learning.scripts:obeys_rules"
# The first passage of a handler is L2's turn; 2, 3, 4 are the gradient at L2, L3, L4.
AT_GRADIENTS = (2, 3, 4)
MIDDLE_FIRST = (pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow))
CHECK = "from dates import invoice_date as f\n\ndef check():\n    assert f(3, 4, 2026) == 1\n\ncheck()\n"


def counts(home: Home) -> dict[str, int]:
    connection = sqlite3.connect(home.state / "memory.db")
    try:
        queries = {
            "gradients": "SELECT count(*) FROM gradients",
            "applied": "SELECT count(*) FROM gradients WHERE state = 'applied'",
            "occurrences": "SELECT count(*) FROM occurrences",
            "errors": "SELECT count(*) FROM memories WHERE kind = 'error'",
            "outcomes": "SELECT count(*) FROM outcomes",
        }
        return {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}
    finally:
        connection.close()


def told(home: Home) -> str:
    """What the daemons said: the reason, when one ended otherwise than by the failpoint."""
    return home.root.joinpath("daemon.log").read_text(encoding="utf-8")[-3_000:]


@pytest.mark.parametrize("passage", MIDDLE_FIRST)
@pytest.mark.parametrize(
    "failpoint",
    [
        "handler-finished",
        pytest.param("handler-started", marks=pytest.mark.slow),
        pytest.param("handler-claimed", marks=pytest.mark.slow),
        pytest.param("outcome-before-commit", marks=pytest.mark.slow),
        pytest.param("outcome-committed", marks=pytest.mark.slow),
    ],
)
async def test_a_gradient_is_applied_exactly_once(
    home: Home, workspace: Path, failpoint: str, passage: int
) -> None:
    edit_settings(
        home, "attempts: 4                 # tries to pass", "attempts: 1                 # tries to pass"
    )
    (workspace / "check_it.py").write_text(CHECK)
    async with connect(home.root) as cluster:
        task_id = await cluster.submit(
            "In module billing, write the function invoice_date(day, month, year).",
            workspace=workspace,
            check="python check_it.py",
            targets=("dates.py",),
        )
    process = start(home, HAL9_MODEL=MIND, **{ENVIRONMENT_VARIABLE: f"{failpoint}:{passage}"})
    try:
        await asyncio.to_thread(process.wait, 90)
    finally:
        stop(process)
    assert process.returncode == -9, told(home)
    if failpoint == "handler-finished":
        # The memory file has this step, the journal does not: it will be done again.
        assert counts(home)["gradients"] == passage - AT_GRADIENTS[0] + 1
    process = start(home, HAL9_MODEL=MIND)
    try:
        await asyncio.to_thread(wait_ready, home, process)
        async with connect(home.root) as cluster:
            assert (await cluster.wait(task_id, timeout_seconds=180)).state == "failed"
        for _ in range(1200):
            with contextlib.suppress(sqlite3.Error):
                if counts(home)["applied"] >= 3:
                    break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
    finally:
        stop(process)
    expected = {"gradients": 3, "applied": 3, "occurrences": 1, "errors": 3, "outcomes": 1}
    assert counts(home) == expected, told(home)
