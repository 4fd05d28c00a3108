"""A loop that stands still is noticed and told; the turn that did it twice is set aside."""

import asyncio
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from hal9.cluster import Home, connect
from hal9.cluster.supervision.previous_end import previous_end
from hal9.cluster.supervision.process import read_status, stop_daemon
from hal9.cluster.supervision.watchdog import Watchdog, take_blame
from hal9.errors.cluster import DaemonNotRunning
from tests.conftest import Script
from tests.support.daemons import daemon_process, finished, movement, stop, wait_ready
from tests.support.waiting import eventually_now

TURN = "01a2245d-6bb9-7a8e-903a-b96a33a1c896"


async def test_a_loop_that_stands_still_is_noticed_with_its_place_and_turn(tmp_path: Path) -> None:
    told: list[dict[str, object]] = []

    async def turn() -> None:
        while not told:
            time.sleep(0.05)  # blocks the loop, as a careless handler would

    async with Watchdog(tmp_path, told.append, patience=2):
        await asyncio.sleep(0.6)
        assert not told
        await asyncio.create_task(turn(), name=f"l2-implementer {TURN}")
    assert told[0]["turn"] == TURN
    assert "test_watchdog.py" in str(told[0]["where"])
    blame = take_blame(tmp_path)
    assert blame["turn"] == TURN
    assert take_blame(tmp_path) == {}


async def test_a_loop_that_goes_on_again_is_not_to_blame(tmp_path: Path) -> None:
    told: list[dict[str, object]] = []

    async def turn() -> None:
        while not told:
            time.sleep(0.05)

    async with Watchdog(tmp_path, told.append, patience=2):
        await asyncio.create_task(turn(), name=f"l2-implementer {TURN}")
        async with asyncio.timeout(120):
            while (tmp_path / "blocked_turn.json").exists():
                await asyncio.sleep(0.05)
    assert take_blame(tmp_path) == {}


async def test_the_next_start_knows_which_turn_blocked_the_daemon(home: Home) -> None:
    """What is done about it (twice, and the turn is set aside) is proved in tests/bus/test_courier.py."""
    home.make_state()

    def told(detail: dict[str, Any]) -> None:
        seen.append(detail)

    async def turn() -> None:
        while not seen:
            time.sleep(0.05)

    seen: list[dict[str, Any]] = []
    async with Watchdog(home.state, told, patience=2):
        await asyncio.create_task(turn(), name=f"l2-implementer {TURN}")
        end = previous_end(home)  # as the next daemon would ask, had this one been killed
    assert end.culprit == TURN
    assert "test_watchdog.py" in end.reason
    assert not end.excused
    assert previous_end(home).culprit is None


@pytest.mark.slow
def test_a_turn_that_blocks_the_daemon_twice_is_set_aside(home: Home, script: Script) -> None:
    task_id = asyncio.run(_submitted(home))
    blocks = {"HAL9_MODEL": "scripted:tests.support.scripts:blocks"}
    for _ in range(2):
        with daemon_process(home, **blocks):
            eventually_now(
                lambda: read_status(home)["state"] == "stuck" and bool(read_status(home).get("stuck")),
                "status says that the loop stands still",
                progress=lambda: movement(home),
            )
            said = read_status(home)["stuck"]
            assert "scripts.py" in said["where"]
            assert said["turn"]
            # The polite way: it is asked, and then ended all the same.
            assert stop_daemon(home, seconds=30) > 0
    with daemon_process(home, **blocks) as process:
        wait_ready(home, process)
        assert finished(home, task_id) == "failed"
        stop(process)
    task = asyncio.run(_task(home, task_id))
    assert task["stop_reason"] == "internal_error"
    message = task["result"]["error"]["message"]
    assert "set aside" in message
    assert "scripts.py" in message


async def _submitted(home: Home) -> str:
    async with connect(home.root) as cluster:
        return await cluster.submit("Say something")


async def _task(home: Home, task_id: str) -> dict[str, Any]:
    from hal9.cluster import task_as_json

    async with connect(home.root) as cluster:
        return task_as_json(await cluster.task(task_id))


def test_old_words_of_a_daemon_are_not_believed(home: Home) -> None:
    home.make_state()
    said = {"state": "ready", "pid": 4711, "written_monotonic": time.monotonic() - 150.0}
    home.status.write_text(json.dumps(said))
    assert read_status(home)["state"] == "down"  # nobody holds the lock
    with home.lock.open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Who has the lock has not said who it is: never a signal to process 0, which would be all of us.
        assert read_status(home)["state"] == "starting"
        with pytest.raises(DaemonNotRunning):
            stop_daemon(home, seconds=1)
        lock.write("4711\n")
        lock.flush()
        found = read_status(home)
        assert found["state"] == "stuck"
        assert 149.0 < found["status_age"] < 200.0
        home.status.write_text(json.dumps({**said, "written_monotonic": time.monotonic()}))
        assert read_status(home)["state"] == "ready"
        home.status.write_text(json.dumps({**said, "pid": 4712}))
        assert read_status(home)["state"] == "starting"  # an earlier daemon's words


@pytest.mark.slow
def test_a_daemon_that_was_stopped_as_a_whole_has_not_stood_still(home: Home, script: Script) -> None:
    with daemon_process(home, HAL9_MODEL="scripted:tests.support.scripts:echo") as process:
        wait_ready(home, process)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(13.0)
        os.kill(process.pid, signal.SIGCONT)
        eventually_now(lambda: read_status(home)["state"] == "ready", "it goes on")
        assert "stood still" not in (home.root / "daemon.log").read_text()
        stop(process)
