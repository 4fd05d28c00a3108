"""The daemon as a process: is it there, start it detached, stop it in order or by force."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from hal9.bus.server_process import stop_survivor
from hal9.cluster.home import Home
from hal9.errors.cluster import DaemonFailed, DaemonNotRunning, DaemonRunning, StopTimeout
from hal9.text import split_lines

__all__ = ["daemon_pid", "read_status", "start_detached", "stop_daemon"]

_POLL_SECONDS = 0.05


def daemon_pid(home: Home) -> int | None:
    """Process id of the running daemon; the lock, not the file, tells whether it runs."""
    try:
        with home.lock.open("r+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = stream.read().strip()
                return int(text) if text.isdigit() else 0
    except FileNotFoundError:
        return None
    return None


def read_status(home: Home) -> dict[str, Any]:
    """The daemon's own words; state "down" when none runs, whatever the file says."""
    try:
        said = json.loads(home.status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = {}
    if daemon_pid(home) is None:
        return {**said, "state": "down", "pid": None, "alerts": said.get("alerts", [])}
    return dict(said)


def start_detached(home: Home, *, seconds: float = 30.0) -> int:
    """Start the daemon in the background; returns its process id once it is ready.

    Raises:
        DaemonRunning: one runs already.
        DaemonFailed: it ended, or was not ready in time.
    """
    pid = daemon_pid(home)
    if pid is not None:
        raise DaemonRunning(home=str(home.root), pid=pid)
    home.make_state()
    home.status.unlink(missing_ok=True)
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hal9", "--home", str(home.root), "up", "--log-to-stderr"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise DaemonFailed(
                log=str(home.log), detail=_last_line(home) or f"exit code {process.returncode}"
            )
        if read_status(home).get("state") == "ready":
            return process.pid
        time.sleep(_POLL_SECONDS)
    process.terminate()
    raise DaemonFailed(log=str(home.log), detail=f"not ready within {seconds:.0f} s")


def stop_daemon(home: Home, *, seconds: float, force: bool = False) -> int:
    """End the daemon; returns the process id it had.

    Raises:
        DaemonNotRunning: there is none.
        StopTimeout: it still runs.
    """
    pid = daemon_pid(home)
    if pid is None:
        raise DaemonNotRunning(home=str(home.root))
    os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if daemon_pid(home) is None:
            if force:
                # The embedded broker survives its daemon on purpose; who stops by force wants it gone too.
                stop_survivor(home.broker)
            return pid
        time.sleep(_POLL_SECONDS)
    raise StopTimeout(pid=pid, seconds=seconds)


def _last_line(home: Home) -> str:
    try:
        lines = split_lines(home.log.read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return ""
    return lines[-1][:400] if lines else ""
