"""Knowing when a process ends, whoever's child it is."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from hal9.processes import until_ended

LONG = 3600.0


async def test_an_ended_process_is_noticed_at_once() -> None:
    process = subprocess.Popen(["sleep", "600"])
    waiting = asyncio.create_task(until_ended(process.pid, longest=LONG))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    process.kill()
    if sys.platform == "linux":
        async with asyncio.timeout(60):
            await waiting
    waiting.cancel()
    process.wait()


async def test_somebody_elses_child_too() -> None:
    script = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3).pid, flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        waiting = asyncio.create_task(until_ended(child, longest=LONG))
        await asyncio.sleep(0.05)
    finally:
        os.kill(child, signal.SIGKILL)
    if sys.platform == "linux":
        async with asyncio.timeout(60):
            await waiting
    parent.communicate(b"\n")


@pytest.mark.parametrize("ends_before", [False, True])
async def test_the_longest_time_and_a_process_that_is_gone(ends_before: bool) -> None:
    process = subprocess.Popen(["true" if ends_before else "sleep", "600"])
    if ends_before:
        process.wait()
    files = len(os.listdir("/dev/fd"))
    async with asyncio.timeout(60):
        await until_ended(process.pid, longest=0.05)
    assert len(os.listdir("/dev/fd")) == files
    process.kill()
    process.wait()
