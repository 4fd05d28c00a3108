"""Ending child processes so that nothing of them is left open."""

import asyncio
import contextlib
import os
import signal

__all__ = ["close_pipes", "end_group"]


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
