"""kill -9 again and again during one turn: what gets further each time is not given up."""

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from hal9.cluster import Home, connect
from hal9.journal.failpoints import ENVIRONMENT_VARIABLE
from tests.support.daemons import daemon_process, finished, movement, stop, wait_ready
from tests.support.waiting import eventually_now

MIND = {"HAL9_MODEL": "scripted:tests.support.scripts:repairs_with_tools"}
DEATHS = 3  # results of the turn; more than the deaths after which a signal is set aside


async def submitted(home: Home, workspace: Path) -> str:
    async with connect(home.root) as cluster:
        return await cluster.submit("Repair add", workspace=workspace, check="python check.py")


def test_a_turn_that_gets_further_each_time_is_not_set_aside(home: Home, workspace: Path) -> None:
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    task_id = asyncio.run(submitted(home, workspace))
    for _ in range(DEATHS):
        with daemon_process(home, **MIND, **{ENVIRONMENT_VARIABLE: "turn-result-recorded"}) as process:
            eventually_now(
                lambda one=process: one.poll() is not None,  # type: ignore[misc]
                "the daemon died",
                progress=lambda: movement(home),
            )
            assert process.returncode == -signal.SIGKILL, (home.root / "daemon.log").read_text()[-2000:]
    with daemon_process(home, **MIND) as last:
        wait_ready(home, last)
        assert finished(home, task_id) == "done", (home.root / "daemon.log").read_text()[-2000:]
        stop(last)
    assert "a + b" in (workspace / "adder.py").read_text()
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        rows = journal.execute("SELECT body FROM turn_entries WHERE kind = 'result'").fetchall()
    labels = [json.loads(body)["label"] for (body,) in rows]
    assert len(labels) == len(set(labels)) == DEATHS
