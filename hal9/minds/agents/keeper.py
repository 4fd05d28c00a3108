"""Runs an agent outside of a sandbox, and ends all it started as soon as whoever asked is gone.

A program of its own, no HAL9 in it: `python -I keeper.py FD PROGRAM ARGUMENT…`. FD reads from a pipe that
nobody writes into: its end is the end of the one who asked, at whatever moment and by whatever signal. Then,
and also when the agent itself has ended, everything below this process is killed, in whatever session it is.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the program; its exit status."""
    fd, argv = int(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # They reach the whole group: what the agent does about them decides. Unlike an ignored signal, a
        # handler is not handed on to it.
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        agent = subprocess.Popen(argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - this is the protocol
        return 127
    threading.Thread(target=_end_with, args=(fd,), daemon=True).start()
    code = agent.wait()
    _kill_below()
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _end_with(fd: int) -> None:
    """Wait for the end of the pipe, then end everything."""
    os.read(fd, 1)
    _kill_below()
    os.killpg(0, signal.SIGKILL)


def _kill_below() -> None:
    """Kill all processes below this one, until there is none."""
    while left := _below(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _below(top: int) -> list[int]:
    """All living processes below one; none where the system does not tell."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            state, parent = stat.read_bytes().rpartition(b")")[2].split()[:2]
            if state not in (b"Z", b"X"):
                parents.setdefault(int(parent), []).append(int(stat.parent.name))
    found: list[int] = []
    waiting = [top]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


if __name__ == "__main__":
    sys.exit(main())
