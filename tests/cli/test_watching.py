"""What a person at a terminal sees who watches, and stops watching."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

from hal9.cluster import Cluster, Home
from tests.conftest import running_cluster

ROOT = Path(__file__).parents[2]
# Tests that run in the background hand down a SIGINT that is ignored; a person's terminal does not.
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from hal9.__main__ import main; sys.exit(main())"
)


def watched(home: Home, *arguments: str, until: str) -> tuple[str, int]:
    """Run `hal9 watch` in a terminal, press Ctrl-C when a text is there; all of it, and the exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "--home", str(home.root), "watch", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, pressed = "", False
    try:
        while True:
            assert select.select([ours], [], [], 90)[0], f"nothing more after {shown!r}"
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed: it ended
                break
            if not part:
                break
            shown += part.decode(errors="replace")
            if not pressed and until in shown:
                pressed = True
                process.send_signal(signal.SIGINT)
        return shown, process.wait(30)
    finally:
        os.close(ours)
        process.kill()
        process.wait(30)


async def test_ctrl_c_ends_the_view_and_says_that_the_task_goes_on(home: Home) -> None:
    async with Cluster(home) as cluster:
        task_id = await cluster.submit("Nobody is there yet")
        shown, code = await asyncio.to_thread(watched, home, task_id, until="Nobody is there")
        assert code == 130, shown
        assert "The task goes on" in shown
        assert f"hal9 watch {task_id[-12:]}" in shown.replace("\r\n", " ")
        assert "Traceback" not in shown
        assert (await cluster.task(task_id)).state == "queued"


async def test_a_view_of_everything_says_what_it_waits_for(home: Home) -> None:
    async with running_cluster(home):
        shown, code = await asyncio.to_thread(watched, home, until="Waiting for")
    assert code == 130, shown
    assert "Ctrl-C ends only this view" in shown
    assert "Traceback" not in shown
