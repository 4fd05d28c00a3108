"""A home whose disk, journal or clock is not what it was: a clear error, or going on correctly."""

import sqlite3
import time
from contextlib import closing

import pytest

from hal9.clock import SteadyClock
from hal9.cluster import Daemon, Home, connect
from hal9.database import Connection
from hal9.errors.cluster import HomeUnwritable
from hal9.errors.database import DatabaseTooNew
from hal9.errors.journal import JournalIncomplete
from hal9.journal import counts
from tests.conftest import Script, running_cluster
from tests.support.waiting import eventually


async def submit(home: Home, number: int) -> None:
    async with connect(home.root) as cluster:
        for one in range(number):
            await cluster.submit(f"task {one}")


def cut(home: Home) -> None:
    (home.state / "journal.db").write_bytes(b"")
    for suffix in ("-wal", "-shm"):
        (home.state / "journal.db").with_name((home.state / "journal.db").name + suffix).unlink(
            missing_ok=True
        )


async def test_a_journal_cut_to_nothing_is_no_fresh_home(home: Home, script: Script) -> None:
    script("echo")
    await submit(home, 3)
    cut(home)
    with pytest.raises(JournalIncomplete, match="3 tasks were accepted, the journal knows of 0"):
        async with connect(home.root):
            pass
    with pytest.raises(JournalIncomplete, match="--accept-loss"):
        async with Daemon(home):
            raise AssertionError("it must not come up")
    async with Daemon(home, accept_loss=True) as daemon:
        assert any("3 tasks were accepted" in alert for alert in daemon.status.alerts)
        async with connect(home.root) as cluster:
            task = await cluster.wait(await cluster.submit("go on"), timeout_seconds=180)
            assert task.state == "done"
    async with running_cluster(home) as (daemon, cluster):
        assert len(await cluster.tasks()) == 1
        assert not any("lost" in alert for alert in daemon.status.alerts)


async def test_an_older_copy_of_the_journal_is_noticed(home: Home, script: Script) -> None:
    script("echo")
    await submit(home, 2)
    older = (home.state / "journal.db").read_bytes()
    async with running_cluster(home) as (_, cluster):
        for task in await cluster.tasks():
            await cluster.wait(task.id, timeout_seconds=180)
    cut(home)
    (home.state / "journal.db").write_bytes(older)
    with pytest.raises(JournalIncomplete, match="2 tasks were finished, the journal knows of 0"):
        async with Daemon(home):
            raise AssertionError("it must not come up")


async def test_rows_that_somebody_deleted_are_noticed(home: Home) -> None:
    await submit(home, 4)
    with closing(sqlite3.connect(home.state / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM tasks WHERE seq = 2")
    with pytest.raises(JournalIncomplete, match="should hold 4 tasks and holds 3"):
        async with connect(home.root):
            pass


async def test_a_damaged_or_missing_record_accuses_nobody(home: Home) -> None:
    await submit(home, 2)
    record = counts.record_path(home.state / "journal.db")
    record.write_text(record.read_text().replace("2", "9"))
    await submit(home, 1)
    record.unlink()
    await submit(home, 1)
    assert counts.read_record(home.state / "journal.db") == counts.Counts(accepted=4)


async def test_a_home_from_a_newer_version_is_left_alone(home: Home) -> None:
    await submit(home, 1)
    with closing(sqlite3.connect(home.state / "journal.db")) as connection, connection:
        connection.execute("PRAGMA user_version=999")
    with pytest.raises(DatabaseTooNew, match="nothing was changed"):
        async with connect(home.root):
            pass


async def test_a_state_folder_that_cannot_be_written_is_named(home: Home, script: Script) -> None:
    script("echo")
    home.state.write_text("in the way")
    for opened in (connect(home.root), Daemon(home)):
        with pytest.raises(HomeUnwritable, match="cannot be written"):
            async with opened:
                raise AssertionError("it must not come up")


async def test_a_full_disk_stops_the_work_and_loses_nothing(home: Home, script: Script) -> None:
    script("echo")
    async with running_cluster(home) as (daemon, cluster):
        first = await cluster.submit("before")
        await cluster.wait(first, timeout_seconds=180)

        def full(connection: Connection) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

        await daemon.journal.write(full)
        ids = [await cluster.submit(f"{number} " + "x" * 20_000) for number in range(4)]
        await eventually(
            lambda: any("waits" in alert and "full" in alert for alert in daemon.status.alerts),
            "the daemon says that its disk is full",
        )
        await daemon.journal.write(lambda c: c.execute("PRAGMA max_page_count=1000000"))
        states = [(await cluster.wait(task_id, timeout_seconds=180)).state for task_id in ids]
    assert states == ["done"] * 4


@pytest.mark.parametrize("days", [1, -1])
async def test_a_clock_that_is_set_by_a_day_ends_no_task(home: Home, script: Script, days: int) -> None:
    script("unhurried")
    jump = 0.0
    async with Daemon(home, clock=SteadyClock(wall=lambda: time.time() + jump)) as daemon:
        before_clock = SteadyClock(wall=lambda: time.time() + jump)
        async with connect(home.root, clock=before_clock) as cluster:
            running = await cluster.submit("before", timeout_seconds=120)
            await eventually(
                lambda: _state(daemon, running, "running"), "the first task runs when the clock is set"
            )
        jump = days * 86_400.0
        daemon.status.write()
        assert abs(daemon.status._said["clock_offset"] - jump) < 5
        # A client that starts now knows the new time only.
        late = SteadyClock(wall=lambda: time.time() + jump)
        async with connect(home.root, clock=late) as cluster:
            after = await cluster.submit("after", timeout_seconds=120)
            tasks = [await cluster.wait(one, timeout_seconds=180) for one in (running, after)]
    assert [task.state for task in tasks] == ["done", "done"]
    assert all(abs(task.created_at - time.time()) < 300 for task in tasks)


async def _state(daemon: Daemon, task_id: str, state: str) -> bool:
    from hal9.journal import tasks

    task = await daemon.journal.read(lambda c: tasks.get_task(c, task_id))
    return task is not None and task.state == state


def test_small_corrections_of_the_clock_are_followed_and_big_ones_are_not() -> None:
    wall, passed = 1000.0, 0.0
    clock = SteadyClock(wall=lambda: wall, monotonic=lambda: passed)
    wall, passed = 1010.5, 10.0  # slewed by half a second
    assert clock.now() == 1010.5
    wall, passed = 1010.5 + 86_400, 20.0  # set
    assert clock.now() == 1020.5
    assert clock.offset == pytest.approx(86_390)
    wall, passed = wall + 10.2, 30.0
    assert clock.now() == pytest.approx(1030.7)
    wall = 1031.0  # set back
    assert clock.now() == pytest.approx(1030.7, abs=0.4)
    assert clock.offset == pytest.approx(0.0, abs=0.4)


def test_a_steady_clock_is_corrected() -> None:
    wall, passed = 1000.0, 5.0
    clock = SteadyClock(wall=lambda: wall, monotonic=lambda: passed)
    clock.correct(-300.0)
    assert clock.now() == 700.0
    assert clock.offset == 300.0
    wall, passed = 1010.0, 15.0
    assert clock.now() == 710.0, "what is right stays right"
    clock.correct(2.5)
    assert clock.now() == 712.5
    assert clock.offset == 297.5
