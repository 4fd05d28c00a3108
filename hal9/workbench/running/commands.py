"""Commands of one turn: one after the other under a supervisor that dies with us, bounded in every way."""

import asyncio
import contextlib
import json
import os
import shlex
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal9.errors.workbench import CommandNotFound, CommandsUnavailable
from hal9.settings import WorkbenchSettings
from hal9.workbench.running.environments import Environment
from hal9.workbench.running.sandbox import View, choose_sandbox, command_environment

__all__ = ["CommandResult", "CommandRunner"]

_MEGA = 1024 * 1024
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
# What is kept of one command's output in a file, where a neuron can read what the result leaves out.
_FULL_OUTPUT_BYTES = 16 * _MEGA
_SET_DUMPABLE = 4
_HEADER = struct.Struct(">cI")
_REASONS = {
    "memory": "stopped: it used more than {memory_mb} MB of memory (workbench.memory_mb)",
    "processes": "stopped: it had more than {processes} processes (workbench.processes)",
    "disk": "stopped: the workspace grew beyond {disk_mb} MB (workbench.disk_mb)",
}


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `output` is stdout and stderr as they came, middle cut when too long.

    Attributes:
        exit_code: negative for a signal; None when it was stopped.
        stopped: why we ended it, in words; "" when it ended by itself.
        full_output: a file with all of a cut output (up to 16 MB).
    """

    command: str
    exit_code: int | None
    output: str
    seconds: float
    timed_out: bool
    truncated: bool
    stopped: str = ""
    full_output: Path | None = None

    @property
    def ok(self) -> bool:
        """Ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.stopped


class _CappedOutput:
    """Keeps the first and the last part of a stream of any length, and all of it for a file."""

    def __init__(self, limit: int, file: Path) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._all = bytearray()
        self.file = file
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        if len(self._all) < _FULL_OUTPUT_BYTES:
            self._all += data[: _FULL_OUTPUT_BYTES - len(self._all)]
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if len(self._tail) > self._half:
            self._dropped += len(self._tail) - self._half
            del self._tail[: len(self._tail) - self._half]

    @property
    def truncated(self) -> bool:
        return self._dropped > 0

    def text(self) -> str:
        middle = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode("utf-8", "replace")

    def save(self) -> Path:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(self._all)
        return self.file


def _keep_to_ourselves() -> None:
    """Close our environment and memory, with the keys in them, to commands that run as the same user."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only without a sandbox

        ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


class CommandRunner:
    """The supervisor of one turn's commands, started with the first of them."""

    def __init__(self, view: View, settings: WorkbenchSettings) -> None:
        self._view = view
        self._settings = settings
        self._sandbox = choose_sandbox(settings.isolation)
        self._process: asyncio.subprocess.Process | None = None
        self._variables: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._count = 0
        self._processors = os.cpu_count() or 1  # the system is asked each time
        self.environment: Environment | None = None

    async def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_seconds: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CommandResult:
        """Run one command; further ones wait for it.

        Raises:
            CommandNotFound: the program of an argv does not exist.
            CommandsUnavailable: the supervisor did not start, or was killed.
        """
        shell = isinstance(command, str)
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        shown = command if isinstance(command, str) else shlex.join(argv)
        seconds = timeout_seconds or self._settings.timeout_seconds
        async with self._lock:
            process = await self._started()
            self._count += 1
            output = _CappedOutput(
                self._settings.output_kb * 1024, self._view.folder / "outputs" / f"{self._count}.txt"
            )
            started = time.monotonic()
            try:
                await self._ask(process, argv, seconds)
                end = await self._follow(process, output, on_output)
            except BaseException:
                # Reached on cancellation: nothing a task started outlives its turn.
                await self.close()
                raise
        if end["failed"]:
            raise CommandsUnavailable(detail=end["failed"])
        if not shell and end["code"] == 127 and not end["stopped"]:
            raise CommandNotFound(command=shown)
        stopped = self._words(end["stopped"], seconds)
        if stopped:
            output.add(f"\n[{stopped}]\n".encode())
        return CommandResult(
            command=shown,
            exit_code=None if stopped else end["code"],
            output=output.text(),
            seconds=time.monotonic() - started,
            timed_out=end["stopped"] == "timeout",
            truncated=output.truncated,
            stopped=stopped,
            full_output=await asyncio.to_thread(output.save) if output.truncated else None,
        )

    def _words(self, reason: str, seconds: float) -> str:
        if reason == "timeout":
            return f"stopped after {seconds:g} s (workbench.timeout_seconds)"
        return _REASONS.get(reason, "stopped" if reason else "").format(
            memory_mb=self._settings.memory_mb,
            processes=self._settings.processes,
            disk_mb=self._settings.disk_mb,
        )

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self.close()
        if self._sandbox.kind == "none":
            _keep_to_ourselves()
        argv = await asyncio.to_thread(self._prepare)
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._process = process
        try:
            async with asyncio.timeout(_START_SECONDS):
                kind, _ = await self._frame(process)
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            said = await self._complaint(process)
            await self.close()
            raise CommandsUnavailable(detail=said or "the supervisor did not start") from error
        if kind != b"r":
            raise CommandsUnavailable(detail=f"the supervisor began with {kind!r}")
        return process

    def _prepare(self) -> list[str]:
        self._variables, self.environment = command_environment(
            self._view, self._settings, self._sandbox.kind
        )
        return self._sandbox.supervised(self._view, self._settings, self.environment)

    async def _ask(self, process: asyncio.subprocess.Process, argv: list[str], seconds: float) -> None:
        inside = self._sandbox.kind == "bubblewrap"
        request = {
            "argv": argv,
            "cwd": str(self._view.seen_at if inside else self._view.tree),
            "environment": self._variables,
            "limits": {
                "seconds": seconds,
                "memory": self._settings.memory_mb * _MEGA,
                "file": self._settings.file_mb * _MEGA,
                "disk": self._settings.disk_mb * _MEGA,
                "processes": self._settings.processes,
                "processors": self._processors,
                "alone": inside,
            },
        }
        await self._say(process, request)

    async def _say(self, process: asyncio.subprocess.Process, request: dict[str, Any]) -> None:
        if process.stdin is None:
            raise CommandsUnavailable(detail="the supervisor has no input")
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise CommandsUnavailable(detail="the supervisor is gone") from error

    async def _follow(
        self,
        process: asyncio.subprocess.Process,
        output: _CappedOutput,
        on_output: Callable[[str], None] | None,
    ) -> dict[str, Any]:
        while True:
            try:
                kind, data = await self._frame(process)
            except asyncio.IncompleteReadError as error:
                said = await self._complaint(process)
                raise CommandsUnavailable(detail=said or "the supervisor was killed") from error
            if kind == b"e":
                end: dict[str, Any] = json.loads(data)
                return end
            output.add(data)
            if on_output is not None:
                on_output(data.decode("utf-8", "replace"))

    async def _frame(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        if process.stdout is None:
            raise CommandsUnavailable(detail="the supervisor has no output")
        kind, length = _HEADER.unpack(await process.stdout.readexactly(_HEADER.size))
        return kind, await process.stdout.readexactly(length)

    async def _complaint(self, process: asyncio.subprocess.Process) -> str:
        if process.stderr is None:
            return ""
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                said = await process.stderr.read(4096)
        return said.decode("utf-8", "replace").strip()

    async def close(self) -> None:
        """End the supervisor, and everything it runs, and wait for that."""
        process, self._process = self._process, None
        if process is None:
            return
        from hal9.processes import end_group  # noqa: PLC0415

        # The end of its input ends it; only one that does not answer is killed.
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        await end_group(process, grace_seconds=0.1)
