"""kill -9 while a task is planned, and while what its parts made is merged, judged and carried over."""

import asyncio
import json
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from hal9.cluster import Home, connect
from hal9.journal.failpoints import ENVIRONMENT_VARIABLE, PLAN_FAILPOINTS
from tests.support.daemons import daemon_process, finished, movement, stop, wait_ready
from tests.support.waiting import eventually_now

FAST = ("parts-carried",)
MIND = {"HAL9_MODEL": "scripted:tests.support.scripts:divides"}


async def submitted(home: Home, workspace: Path) -> str:
    async with connect(home.root) as cluster:
        return await cluster.submit(
            "Write all of it.", workspace=workspace, check="cat one.txt two.txt three.txt", divide=True
        )


@pytest.mark.parametrize(
    "failpoint",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in PLAN_FAILPOINTS],
)
def test_a_divided_task_killed_at_a_transition_is_done_once(
    home: Home, workspace: Path, failpoint: str
) -> None:
    task_id = asyncio.run(submitted(home, workspace))
    with daemon_process(home, **MIND, **{ENVIRONMENT_VARIABLE: failpoint}) as first:
        eventually_now(lambda: first.poll() is not None, "the daemon died", progress=lambda: movement(home))
        assert first.returncode == -signal.SIGKILL, (home.root / "daemon.log").read_text()[-2000:]
    with daemon_process(home, **MIND) as second:
        wait_ready(home, second)
        assert finished(home, task_id) == "done"
        stop(second)
    examine(home, workspace)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_divided_task_killed_at_a_random_moment_is_done_once(
    home: Home, workspace: Path, seed: int
) -> None:
    chance = random.Random(seed)
    task_id = asyncio.run(submitted(home, workspace))
    with daemon_process(home, **MIND) as process:
        until = chance.randint(1, 24)
        eventually_now(
            lambda: written(home) >= until or ended(home, task_id),
            "the task goes on",
            progress=lambda: movement(home),
        )
        time.sleep(chance.random() * 0.05)  # a random moment within the next step
        process.kill()
        process.wait()
    with daemon_process(home, **MIND) as last:
        wait_ready(home, last)
        assert finished(home, task_id) == "done", (home.root / "daemon.log").read_text()[-2000:]
        stop(last)
    examine(home, workspace, interruptions=2)


def written(home: Home) -> int:
    """Entries in all turns' logs so far."""
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        try:
            return int(journal.execute("SELECT count(*) FROM turn_entries").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def ended(home: Home, task_id: str) -> bool:
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        row = journal.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return row is not None and row[0] in ("done", "failed")


def examine(home: Home, workspace: Path, *, interruptions: int = 0) -> None:
    """All parts were done, merged and carried over once; nothing is left."""
    texts = {path.name: path.read_text() for path in workspace.glob("*.txt")}
    assert texts == {"one.txt": "1\n", "two.txt": "2\n", "three.txt": "1\n2\n"}
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        assert journal.execute("SELECT count(*) FROM parts").fetchone() == (0,)
        assert journal.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)
        entries = journal.execute("SELECT signal_id, kind, body FROM turn_entries").fetchall()
    # Each turn has its replies and results once: nothing was thought or done again that was recorded.
    done = Counter((turn, json.loads(body)["label"]) for turn, kind, body in entries if kind == "result")
    assert set(done.values()) == {1}
    planned = [json.loads(body)["tool"] for _, kind, body in entries if kind == "result"]
    assert planned.count("plan") == 1
    assert 3 <= planned.count("bash") <= 3 + interruptions  # an interrupted command may be called again
    assert not list(home.snapshots.iterdir())
