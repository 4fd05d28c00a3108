"""Daemons as processes of their own, for tests that kill them; nothing of them is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hal9.bus import stop_survivor
from hal9.cluster import Home, daemon_pid
from hal9.cluster.supervision.process import read_status
from hal9.database import beside, look_into
from tests.support.waiting import eventually_now

__all__ = ["daemon_process", "finished", "movement", "start", "stop", "wait_ready"]

ROOT = Path(__file__).parents[2]


def start(home: Home, **environ: str) -> subprocess.Popen[bytes]:
    """The daemon as a child of this test."""
    log = home.root.joinpath("daemon.log").open("ab")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "hal9", "--home", str(home.root), "up", "--log-to-stderr"],
            cwd=ROOT,
            env={**os.environ, "HAL9_MODEL": "scripted:tests.support.scripts:adder", **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        log.close()


@contextlib.contextmanager
def daemon_process(home: Home, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """`start`, and an end for certain: of the process, and of a broker that outlived it."""
    process = start(home, **environ)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        stop_survivor(home.broker)


def movement(home: Home) -> tuple[Any, ...]:
    """Changes as long as anything happens in a home: its journal, its status, its log."""
    paths = (beside(home.journal, ""), beside(home.journal, "-wal"), home.status, home.root / "daemon.log")
    found: list[Any] = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def wait_ready(home: Home, process: subprocess.Popen[bytes]) -> None:
    """Until it says that it is ready, or has ended."""
    eventually_now(
        lambda: (
            process.poll() is not None
            or (read_status(home).get("state") == "ready" and daemon_pid(home) == process.pid)
        ),
        "the daemon is ready",
        progress=lambda: movement(home),
    )


def finished(home: Home, task_id: str) -> str:
    """The state of a task once it has its result."""

    def ended() -> str | None:
        with look_into(home.journal) as connection:
            row = connection.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
        return row[0] if row and row[0] in ("done", "failed", "cancelled") else None

    # The status file is written every two seconds whatever happens: only the journal shows progress here.
    wal = beside(home.journal, "-wal")
    return str(
        eventually_now(
            ended,
            f"task {task_id} has its result",
            progress=lambda: (wal.stat().st_size, wal.stat().st_mtime_ns) if wal.exists() else None,
            still_seconds=90.0,
        )
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)
