"""Runs a turn's commands within their limits of time, memory and disk, and lets none outlive it.

A program of its own, no HAL9 in it.

It is told what to run by lines of JSON on standard input, and answers with frames on standard output: a
letter, a length of four bytes, the data (`o` output, `e` end as JSON, `r` ready). When standard input ends,
whoever gave the commands is gone, at whatever moment: then everything is killed and it ends. Inside a sandbox
it is the first process of its own process namespace, so that nothing at all is left; outside it becomes the
parent of every orphan below it.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_CHILD_SUBREAPER = 1, 4, 36
_GRACE_SECONDS = 1.0
_LAST_OUTPUT_SECONDS = 0.2
_FIRST_LOOK_SECONDS = 0.02
_LOOK_SECONDS = 0.1
_DISK_SHARE = 20
_CHUNK = 65536
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)


def main() -> int:
    """Serve until standard input ends."""
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _protect()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)  # no command gets what we were given
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    _send(b"r", b"")
    buffer = b""
    while True:
        if b"\n" not in buffer:
            data = os.read(0, _CHUNK)
            if not data:
                return 0
            buffer += data
            continue
        line, buffer = buffer.split(b"\n", 1)
        request = json.loads(line)
        job = _Job(request, wake_read)
        buffer = job.run(buffer)
        if job.abandoned:
            return 0


def _protect() -> None:
    """Be nobody's debuggee, and the parent of orphans."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A command must not be able to write into this process and report what it likes.
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def _send(kind: bytes, data: bytes) -> None:
    rest = memoryview(struct.pack(">cI", kind, len(data)) + data)
    while rest:
        rest = rest[os.write(1, rest) :]


class _Job:
    """One command."""

    def __init__(self, request: dict[str, Any], wake: int) -> None:
        self.request = request
        self.limits = request["limits"]
        self.wake = wake
        self.abandoned = False
        self.stopped = ""
        self.peak = 0
        self.status: int | None = None
        self.started = time.monotonic()
        self.next_look = self.started + _FIRST_LOOK_SECONDS
        self.next_disk = self.started + _LOOK_SECONDS
        self.ended = 0.0
        self.output = -1
        self.pid = 0

    def run(self, buffer: bytes) -> bytes:
        """Run it to its end; returns what came on standard input meanwhile and was not for it."""
        reading, writing = os.pipe()
        try:
            self._start(writing)
        except OSError as error:
            os.close(reading)
            os.close(writing)
            self._end(f"it could not be started: {error.strerror}")
            return buffer
        os.close(writing)
        self.output = reading
        try:
            buffer = self._watch(buffer)
        finally:
            self._kill_all()
            if self.output >= 0:
                os.close(self.output)
        if not self.abandoned:
            self._end("")
        return buffer

    def _start(self, writing: int) -> None:
        """Start it in a session of its own.

        It is spawned, not forked: a fork of this process would cost several milliseconds for the pages that
        both then write. So the limits that do not change are ours, and the child has them from the beginning.
        """
        argv, environment = self.request["argv"], self.request["environment"]
        os.chdir(self.request["cwd"])
        try:
            program = _find(argv[0], environment)
            if program is None:
                os.write(writing, f"{argv[0]}: command not found\n".encode("utf-8", "replace"))
                self.status, self.ended = 127 << 8, time.monotonic()
                return
            _take_on(self.limits)
            self.pid = os.posix_spawn(
                program,
                argv,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writing, 1),
                    (os.POSIX_SPAWN_DUP2, writing, 2),
                ],
                setsid=True,
                setsigdef=_RESET,
            )
        finally:
            os.chdir("/")
        if sys.platform == "linux":
            _limit_child(self.pid, int(self.limits["seconds"] * self.limits["processors"]) + 5)

    def _end(self, failed: str) -> None:
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        report = {"code": code, "stopped": self.stopped, "peak": self.peak, "failed": failed}
        _send(b"e", json.dumps(report).encode())

    def _watch(self, buffer: bytes) -> bytes:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        poll.register(self.output, select.POLLIN)
        while True:
            self._reap()
            now = time.monotonic()
            if self.status is not None and (self.output < 0 or now > self.ended + _LAST_OUTPUT_SECONDS):
                return buffer
            if not self.stopped and self.status is None:
                self._check(now)
                if self.stopped:
                    self._stop()
                    continue
            for fd, _ in poll.poll(max((self._next(now) - now) * 1000, 1)):
                if fd == self.output and not self._forward():
                    poll.unregister(fd)
                    os.close(fd)
                    self.output = -1
                elif fd == self.wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake, _CHUNK)
                elif fd == 0:
                    # While a command runs, there is nothing to say but the end.
                    data = os.read(0, _CHUNK)
                    self.abandoned = not data
                    buffer += data
            if self.abandoned:
                return buffer

    def _forward(self) -> bool:
        data = os.read(self.output, _CHUNK)
        if data:
            _send(b"o", data)
        return bool(data)

    def _next(self, now: float) -> float:
        limit: float = self.started + self.limits["seconds"]
        if self.status is not None:
            return self.ended + _LAST_OUTPUT_SECONDS
        return min(self.next_look, limit, now + 1.0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status
                self.ended = time.monotonic()

    # --- limits -----------------------------------------------------------------------------------

    def _check(self, now: float) -> None:
        if now > self.started + self.limits["seconds"]:
            self.stopped = "timeout"
            return
        if now < self.next_look or sys.platform != "linux":
            return
        processes = _below(os.getpid())
        used = sum(_private_bytes(pid) for pid in processes)
        self.peak = max(self.peak, used)
        if used > self.limits["memory"]:
            self.stopped = "memory"
        elif len(processes) > self.limits["processes"]:
            self.stopped = "processes"
        elif now > self.next_disk:
            began = time.monotonic()
            if _disk_bytes(self.request["cwd"], self.limits["disk"]) > self.limits["disk"]:
                self.stopped = "disk"
            # Looking through a large tree must not become the main work.
            self.next_disk = time.monotonic() + max((time.monotonic() - began) * _DISK_SHARE, _LOOK_SECONDS)
        self.next_look = time.monotonic() + _LOOK_SECONDS

    def _stop(self) -> None:
        """Politely for a moment where there is time for it, then for certain."""
        if self.stopped == "timeout":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)
            until = time.monotonic() + _GRACE_SECONDS
            while self.status is None and time.monotonic() < until:
                self._drain()
                self._reap()
        self._kill_all()

    def _drain(self) -> None:
        """A process that writes while it ends must not wait for us."""
        if not (self.output >= 0 and select.select([self.output], [], [], 0.02)[0] and self._forward()):
            time.sleep(0.01)

    def _kill_all(self) -> None:
        """Kill every process that the command left, whatever session it moved to."""
        if os.getpid() == 1:
            if not _kill_others() and self.status is not None:
                return
        elif self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        while sys.platform == "linux":
            self._reap()
            left = [pid for pid in _below(os.getpid()) if pid != os.getpid()]
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
        while self.status is None and self.pid:
            try:
                _, self.status = os.waitpid(self.pid, 0)
            except ChildProcessError:
                break


def _kill_others() -> bool:
    """Kill everybody else in a namespace whose first process we are; whether there was anybody."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _take_on(limits: dict[str, Any]) -> None:
    """The limits that all commands of a turn have; they are this process's too."""
    wanted = {resource.RLIMIT_FSIZE: limits["file"], resource.RLIMIT_CORE: 0}
    if limits["alone"]:
        # In its own user namespace the count is the command's own; elsewhere it is the whole user's.
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for kind, value in wanted.items():
        soft, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        if soft != most:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most))


def _limit_child(pid: int, seconds: int) -> None:
    """Processor time, and that the command goes before the cluster does when memory runs out."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        most = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
        resource.prlimit(pid, resource.RLIMIT_CPU, (most, most))
    with contextlib.suppress(OSError):
        file = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            os.write(file, b"900")
        finally:
            os.close(file)


def _find(name: str, environment: dict[str, str]) -> str | None:
    """The program of this name, looked for as `exec` does; None when there is none."""
    if "/" in name:
        return name if os.path.exists(name) else None
    paths = (os.path.join(folder, name) for folder in _folders(environment))
    return next((path for path in paths if os.access(path, os.X_OK) and not os.path.isdir(path)), None)


def _folders(environment: dict[str, str]) -> list[str]:
    return environment.get("PATH", os.defpath).split(os.pathsep)


def _below(top: int) -> list[int]:
    """All processes below one, zombies left out; in a namespace of its own that is everybody else."""
    if top == 1:
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != 1 and _alive(pid)]
    found: list[int] = []
    waiting = [top]
    while waiting:
        children = [pid for pid in _children(waiting.pop()) if _alive(pid)]
        found += children
        waiting += children
    return found


def _children(parent: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{thread}/children", "rb") as stream:
                found += map(int, stream.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _private_bytes(pid: int) -> int:
    """Memory that would be free again without this process (pages shared with others are not counted)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:
            fields = stream.read().split()
        return (int(fields[1]) - int(fields[2])) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _disk_bytes(folder: str, enough: int) -> int:
    """Space that a tree takes; stops counting above `enough`."""
    total = 0
    waiting = [folder]
    device = os.stat(folder).st_dev
    while waiting and total <= enough:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev == device:
                        total += status.st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return enough + 1
    return total


if __name__ == "__main__":
    sys.exit(main())
