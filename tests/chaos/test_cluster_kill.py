"""kill -9 of the daemon at every enumerated journal transition while a task is under way.

After a restart the accepted task must have exactly one terminal result, its workspace must hold the answer, and
what was spent must be on the books once.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from hal9.budgets import BudgetStore
from hal9.cluster import Home, connect, init_home
from hal9.database import is_there, look_into
from hal9.journal.failpoints import ENVIRONMENT_VARIABLE, FAILPOINTS
from tests.state.test_on_postgres import home_on
from tests.support.daemons import daemon_process, finished, movement, stop, wait_ready
from tests.support.postgres import PostgresServer, fresh_prefix
from tests.support.waiting import eventually_now

# These need a refused or a lost signal; the courier's own kill matrix makes them happen.
ELSEWHERE = {"dead-lettered", "resent"}
# Only the task book sends outside of an outcome, once per task.
ONCE = {"outbox-before-commit", "outbox-committed"}
# What is passed when signals between neurons of one process do not take the broker.
LOCAL = (
    "outbox-before-commit",
    "outbox-committed",
    "handler-claimed",
    "handler-started",
    "handler-finished",
    "outcome-before-commit",
    "outcome-committed",
)
WAYS = [("broker", name) for name in FAILPOINTS if name not in ELSEWHERE] + [
    ("local", name) for name in LOCAL
]
# What is handed over within the process is one transaction down to L2, and one up from it: by default the kills
# when L2's work is done and not recorded, and after that. The rest of a handler's way is as with the broker.
SHORT_WAYS = [
    pytest.param(way, name, marks=pytest.mark.slow)
    if way == "local" and name not in ("handler-finished", "outcome-committed")
    else (way, name)
    for way, name in WAYS
]
# The first and a later passage: over the broker on the way down, in the middle, on the way up.
PASSAGES = {"broker": (1, 3, 5), "local": (1,)}


async def one_task(home: Home, workspace: Path) -> str:
    async with connect(home.root) as cluster:
        return await cluster.submit(
            "Write add(a, b) in adder.py", workspace=workspace, check="python check.py"
        )


def assert_exactly_once(home: Home, task_id: str, workspace: Path) -> None:
    with look_into(home.journal) as journal:
        row = journal.execute("SELECT state, stop_reason FROM tasks WHERE id = ?", (task_id,)).fetchone()
        assert tuple(row) == ("done", "done")
        kinds = [
            json.loads(body)["kind"] for (body,) in journal.execute("SELECT body FROM steps ORDER BY seq")
        ]
        assert sorted(kinds) == ["check", "check", "pass", "pass", "think"], kinds
        assert journal.execute("SELECT count(*) FROM work").fetchone()[0] == 0
        assert journal.execute("SELECT count(*) FROM parts").fetchone()[0] == 0
        assert journal.execute("SELECT count(*) FROM dead_letters").fetchone()[0] == 0
        if isinstance(home.journal, Path):
            assert journal.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert "a + b" in (workspace / "adder.py").read_text()
    with BudgetStore(home.budgets) as book:
        spent = book.spent(task_id)
    # One call, or two when the process died after the first and before its outcome was recorded.
    assert spent.calls in (1, 2)


def through_the_broker(home: Home) -> None:
    """Have every signal take the broker, as between processes."""
    text = home.settings_file.read_text()
    assert text.count("everything: false ") == 1
    home.settings_file.write_text(text.replace("everything: false ", "everything: true "))


def kill_once(
    tmp_path: Path, way: str, failpoint: str, passage: int, *, server: PostgresServer | None = None
) -> bool:
    """Run one cell of the matrix; False when the failpoint was never reached so often."""
    if server is None:
        home = init_home(tmp_path / "home")
    else:
        home = home_on(server, tmp_path / "home", name=fresh_prefix())
    if way == "broker":
        through_the_broker(home)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "check.py").write_text("from adder import add\nassert add(2, 3) == 5\n")
    task_id = asyncio.run(one_task(home, workspace))
    with daemon_process(home, **{ENVIRONMENT_VARIABLE: f"{failpoint}:{passage}"}) as first:
        eventually_now(
            lambda: first.poll() is not None or _done(home, task_id),
            "the daemon died, or the task is done",
            progress=lambda: movement(home),
        )
        if first.poll() is None:
            stop(first)  # it may still get there on its way out
        killed = first.returncode == -signal.SIGKILL
        assert killed or first.returncode == 0, home.root.joinpath("daemon.log").read_text()[-2000:]
        with daemon_process(home) as second:
            wait_ready(home, second)
            assert finished(home, task_id) == "done"
            stop(second)
    assert_exactly_once(home, task_id, workspace)
    return killed


def _done(home: Home, task_id: str) -> bool:
    if not is_there(home.journal):
        return False
    with look_into(home.journal) as connection:
        row = connection.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return row is not None and row[0] in ("done", "failed", "cancelled")


@pytest.mark.parametrize(("way", "failpoint"), SHORT_WAYS)
def test_the_daemon_may_die_anywhere(tmp_path: Path, way: str, failpoint: str) -> None:
    # Confirmations are gathered: whether a place is passed twice before the task is done is the machine's
    # affair; once it is.
    for passage in (1,) if failpoint in ONCE else (2, 1):
        folder = tmp_path / str(passage)
        folder.mkdir()
        if kill_once(folder, way, failpoint, passage):
            return
    pytest.fail(f"{failpoint} was never reached")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("way", "failpoint"), WAYS)
def test_the_daemon_may_die_anywhere_at_any_passage_again_and_again(
    tmp_path: Path, way: str, failpoint: str
) -> None:
    reached = 0
    for repetition in range(20):
        folder = tmp_path / str(repetition)
        folder.mkdir()
        passage = 1 if failpoint in ONCE else PASSAGES[way][repetition % len(PASSAGES[way])]
        reached += kill_once(folder, way, failpoint, passage)
    assert reached >= 10


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("way", "failpoint"), WAYS)
def test_the_daemon_may_die_anywhere_on_postgresql(
    tmp_path: Path, postgres: PostgresServer, way: str, failpoint: str
) -> None:
    for passage in (1,) if failpoint in ONCE else (2, 1):
        folder = tmp_path / str(passage)
        folder.mkdir()
        if kill_once(folder, way, failpoint, passage, server=postgres):
            return
    pytest.fail(f"{failpoint} was never reached")


def test_the_broker_may_die_at_any_moment(tmp_path: Path) -> None:
    home = init_home(tmp_path / "home")
    through_the_broker(home)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "check.py").write_text("from adder import add\nassert add(2, 3) == 5\n")
    with daemon_process(home) as process:
        wait_ready(home, process)
        ids: list[str] = []
        killed = 0
        while killed < 2 or len(ids) < 6:
            ids.append(asyncio.run(one_task(home, workspace)))
            # It may be between two lives just now, perhaps without a file; then this round kills nobody.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.kill(int((home.broker / "pid").read_text()), signal.SIGKILL)
                killed += 1
            time.sleep(0.2)
        states = [finished(home, task_id) for task_id in ids]
        stop(process)
    assert states == ["done"] * len(ids)
