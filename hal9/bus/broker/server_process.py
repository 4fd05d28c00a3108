"""Server processes and their files: which process is ours, ending it, files only their owner may read."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["end_child", "end_process", "is_our_server", "read_pid", "stop_survivor", "taken", "write_private"]

STOP_SECONDS = 4.0


def stop_survivor(directory: Path) -> bool:
    """End a broker that outlived its daemon; True if there was one."""
    pid = read_pid(directory)
    if pid is None or not is_our_server(pid, directory):
        return False
    end_process(pid, directory)
    return True


def read_pid(directory: Path) -> int | None:
    """The server's process id as it was written when it started; None when there is none."""
    try:
        return int((directory / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def is_our_server(pid: int, directory: Path) -> bool:
    """Whether this process is a server that runs on this directory; ids of ended processes are used again."""
    wanted = str(directory / "nats.conf")
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        if Path("/proc").is_dir():
            return False
        listing = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return wanted in listing.stdout
    return wanted in words


def end_process(pid: int | None, directory: Path) -> None:
    """Ask a server that is not our child to stop, then make it."""
    if pid is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        if not is_our_server(pid, directory):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        while is_our_server(pid, directory) and time.monotonic() < deadline:
            time.sleep(0.02)


def end_child(process: subprocess.Popen[bytes]) -> None:
    """Ask our child to stop, then make it."""
    endings: tuple[Callable[[], None], ...] = (process.terminate, process.kill)
    for end in endings:
        if process.poll() is not None:
            return
        end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def taken(port: int) -> bool:
    """Whether somebody listens on (or has just left) this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, in one step."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
