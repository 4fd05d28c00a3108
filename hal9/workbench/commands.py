"""Commands as subprocesses: resource limits, timeout, capped output, a process group that dies as one."""

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.workbench import CommandNotFound
from hal9.processes import end_group
from hal9.workbench.sandbox import Sandbox

__all__ = ["CommandResult", "Limits", "run_command"]

# Only these variables reach a task's commands: no provider key ever does.
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "HOME", "USER", "LOGNAME")
_KILL_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use."""

    timeout_seconds: float = 120.0
    output_bytes: int = 64 * 1024
    memory_bytes: int = 2048 * 1024 * 1024
    file_bytes: int = 64 * 1024 * 1024
    processes: int = 128


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `output` is stdout and stderr as they came, middle cut when too long."""

    command: str
    exit_code: int | None
    output: str
    seconds: float
    timed_out: bool
    truncated: bool

    @property
    def ok(self) -> bool:
        """Ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out


class _CappedOutput:
    """Keeps the first and the last part of a stream of any length."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
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


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    # The interpreter that runs HAL9 comes first, so that `python` and `pytest` in a check are found.
    own = str(Path(sys.executable).parent)
    return {
        **passed,
        "PATH": os.pathsep.join([own, os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HAL9_WORKBENCH": "1",
    }


def _limited(argv: Sequence[str], limits: Limits, *, sandboxed: bool) -> list[str]:
    """Set rlimits in a shell that then becomes the command: no code of ours runs between fork and exec."""
    settings = [
        f"ulimit -v {limits.memory_bytes // 1024}",
        f"ulimit -f {limits.file_bytes // 512}",
        f"ulimit -t {int(limits.timeout_seconds) + 5}",
        "ulimit -c 0",
    ]
    if sandboxed:
        # RLIMIT_NPROC counts all processes of the user; only in a user namespace is that the command's own.
        settings.append(f"ulimit -p {limits.processes} 2>/dev/null || true")
    return ["/bin/sh", "-c", "; ".join(settings) + '; exec "$@"', "sh", *argv]


async def run_command(
    command: str | Sequence[str],
    *,
    root: Path,
    limits: Limits,
    sandbox: Sandbox,
    network: bool = False,
    hidden: tuple[Path, ...] = (),
    on_output: Callable[[str], None] | None = None,
) -> CommandResult:
    """Run a command (a string goes through the shell, a sequence is an argv) in `root`.

    Raises:
        CommandNotFound: the program of an argv does not exist.
    """
    shell = isinstance(command, str)
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    shown = command if isinstance(command, str) else shlex.join(argv)
    limited = _limited(argv, limits, sandboxed=sandbox.kind == "bubblewrap")
    wrapped = sandbox.wrap(limited, root=root, network=network, hidden=hidden)
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *wrapped,
        cwd=root,
        env=_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output = _CappedOutput(limits.output_bytes)
    timed_out = False
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            await _drain(process, output, on_output)
            await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        # Reached on cancellation too: nothing a task started outlives its turn.
        await end_group(process, grace_seconds=_KILL_GRACE_SECONDS)
    if not shell and process.returncode == 127 and not timed_out:
        raise CommandNotFound(command=shown)
    return CommandResult(
        command=shown,
        exit_code=None if timed_out else process.returncode,
        output=output.text(),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
        truncated=output.truncated,
    )


async def _drain(
    process: asyncio.subprocess.Process, output: _CappedOutput, on_output: Callable[[str], None] | None
) -> None:
    if process.stdout is None:
        return
    while data := await process.stdout.read(65536):
        output.add(data)
        if on_output is not None:
            on_output(data.decode("utf-8", "replace"))
