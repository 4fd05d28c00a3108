"""Processes: which one is still the same, and ending one so that nothing of it is left open."""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from pathlib import Path

__all__ = ["boot_id", "close_pipes", "end_group", "owner_lives", "process_owner", "until_ended"]

_ASK_SECONDS = 0.25


async def end_group(process: asyncio.subprocess.Process, *, grace_seconds: float) -> None:
    """End a process that leads a group of its own, and the whole group with it.

    Politely for a moment, then for certain.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await process.wait()
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await close_pipes(process)


async def close_pipes(process: asyncio.subprocess.Process) -> None:
    """Close what is left of an ended process: a pipe that nobody reads is paused and never sees its end."""
    # asyncio has no public way to it, and leaves it to the garbage collector, which complains.
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
        await asyncio.sleep(0)


async def until_ended(pid: int, *, longest: float) -> None:
    """Until a process may have ended, or the longest time (seconds) is over.

    Linux tells when it ends, whoever's child it is; elsewhere a short time passes, and the caller looks.
    """
    handle = -1
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            handle = os.pidfd_open(pid)
    if handle < 0:
        return await asyncio.sleep(min(_ASK_SECONDS, longest))
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


_PROCESS_BOOT = uuid.uuid4().hex
"""Stands for the boot where the system names none; monotonic times then compare within this process."""


def boot_id() -> str:
    """Names this run of the machine; where the system names none, this process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _PROCESS_BOOT


def _started(pid: int) -> str:
    """When a living process started, in the kernel's ticks; "" where that cannot be read or it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name in parentheses may hold spaces; the fields after it do not: state is the 3rd, start time the
    # 22nd.
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] in "ZX" else fields[19]


def process_owner(boot: str) -> str:
    """Names this process so that a later one with its number is told from it."""
    return f"{os.getpid()}:{_started(os.getpid())}:{boot}"


def owner_lives(owner: str, boot: str) -> bool:
    """Whether the process that `process_owner` named still runs, in the machine's run `boot`."""
    pid_text, started, owner_boot = owner.split(":")
    pid = int(pid_text)
    if started:
        return owner_boot == boot and _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
