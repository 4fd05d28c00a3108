"""The daemon as a process: is it there, start it detached, stop it in order or by force."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import Any

from hal9.bus.broker.server_process import stop_survivor
from hal9.cluster.home import Home
from hal9.cluster.status import judged
from hal9.errors.cluster import DaemonFailed, DaemonNotRunning, DaemonRunning, StopTimeout
from hal9.text import split_lines

__all__ = ["clock_offset", "daemon_pid", "read_status", "start_detached", "stop_daemon"]

_POLL_SECONDS = 0.05
_STUCK_SECONDS = 3.0


def daemon_pid(home: Home) -> int | None:
    """Process id of the running daemon, 0 when it has not written that down yet, None when none runs.

    The lock, not the file, tells whether it runs.
    """
    try:
        with home.lock.open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = stream.read().strip()
                return int(text) if text.isdigit() else 0
    except FileNotFoundError:
        return None
    return None


def read_status(home: Home) -> dict[str, Any]:
    """The daemon's own words; state "down" when none runs, "stuck" when the words are too old to be true."""
    return judged(home, pid=daemon_pid(home))


def clock_offset(home: Home) -> float:
    """Seconds by which the machine's clock was set forward since the home's daemon started; 0 without one."""
    said = read_status(home)
    offset = said.get("clock_offset", 0.0)
    return float(offset) if said["state"] != "down" and isinstance(offset, int | float) else 0.0


def start_detached(home: Home, *, seconds: float = 90.0, accept_loss: bool = False) -> int:
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
            [sys.executable, "-m", "hal9", "--home", str(home.root), "up", "--log-to-stderr"]
            + ["--accept-loss"] * accept_loss,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process.poll() is not None:
            detail = _last_line(home) or f"exit code {process.returncode}"
            raise DaemonFailed(log=str(home.log), detail=detail, code=max(process.returncode, 1))
        if read_status(home).get("state") == "ready":
            return process.pid
        time.sleep(_POLL_SECONDS)
    process.terminate()
    raise DaemonFailed(log=str(home.log), detail=f"not ready within {seconds:.0f} s")


def stop_daemon(home: Home, *, seconds: float, force: bool = False) -> int:
    """End the daemon; returns the process id it had.

    One whose event loop stands still cannot end in order: it is asked, then killed. What it had accepted is
    taken up at the next start.

    Raises:
        DaemonNotRunning: there is none.
        StopTimeout: it still runs.
    """
    pid = _known_pid(home)
    stuck = read_status(home)["state"] == "stuck"
    if force:
        home.forced.touch()
    else:
        os.kill(pid, signal.SIGTERM)
        if _ended(home, min(seconds, _STUCK_SECONDS) if stuck else seconds):
            return pid
        if not stuck:
            raise StopTimeout(pid=pid, seconds=seconds)
    os.kill(pid, signal.SIGKILL)
    if not _ended(home, seconds):
        raise StopTimeout(pid=pid, seconds=seconds)
    # The embedded broker survives its daemon on purpose; who stops by force wants it gone too.
    stop_survivor(home.broker)
    return pid


def _known_pid(home: Home) -> int:
    """The daemon's process id; one that has just taken the lock is given a moment to write it down.

    Raises:
        DaemonNotRunning: there is none, or nobody knows which process it is.
    """
    ends = time.monotonic() + _STUCK_SECONDS
    while (pid := daemon_pid(home)) == 0 and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)
    if not pid:  # never signal process 0: that is our own process group
        raise DaemonNotRunning(home=str(home.root))
    return pid


def _ended(home: Home, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if daemon_pid(home) is None:
            return True
        time.sleep(_POLL_SECONDS)
    return daemon_pid(home) is None


def _last_line(home: Home) -> str:
    try:
        lines = split_lines(home.log.read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return ""
    return lines[-1][:400] if lines else ""
