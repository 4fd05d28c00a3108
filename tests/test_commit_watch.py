"""Noticing commits: at once, also another process's, none missed, and never later than the longest wait."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hal9.database import CommitWatch, Connection, PostgresPlace, atomic, change_mark, open_database

LONG = 3600.0


def table(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (n INTEGER)")


def insert(connection: Connection) -> None:
    with atomic(connection):
        connection.execute("INSERT INTO t VALUES (1)")


async def test_a_commit_of_this_or_another_process_wakes(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    writer = open_database(path, (table,))
    async with CommitWatch(path, pause=0.01) as watch, asyncio.timeout(60):
        for _ in range(3):
            waiting = asyncio.create_task(watch.wait(LONG))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            insert(writer)
            await waiting
        script = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('INSERT INTO t VALUES (2)'); c.commit()"
        waiting = asyncio.create_task(watch.wait(LONG))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True)
        await waiting
    writer.close()


async def test_what_is_committed_between_two_waits_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    writer, reader = open_database(path, (table,)), open_database(path)
    async with CommitWatch(path, pause=0.01) as watch, asyncio.timeout(60):
        mark = change_mark(reader)
        insert(writer)  # before the first wait
        await watch.wait(LONG)
        assert change_mark(reader) != mark
        for _ in range(20):
            mark = change_mark(reader)
            insert(writer)
            await watch.wait(LONG)
            assert change_mark(reader) != mark
    writer.close()
    reader.close()


async def test_a_quiet_wait_is_one_awakening_and_a_database_that_comes_later_is_looked_at(
    tmp_path: Path,
) -> None:
    path = tmp_path / "later.db"
    async with CommitWatch(path, pause=0.01) as watch, asyncio.timeout(60):
        await watch.wait(LONG)  # nothing is there yet: the pause passes
        writer = open_database(path, (table,))
        await watch.wait(
            LONG
        )  # from here on it is watched; what was committed before is for the caller to see
        await watch.wait(0.05)
        insert(writer)
        await watch.wait(LONG)
        writer.close()


async def test_many_commits_are_few_awakenings(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    writer = open_database(path, (table,))
    woken = 0

    async def count(watch: CommitWatch) -> None:
        nonlocal woken
        while True:
            await watch.wait(LONG)
            woken += 1

    async with CommitWatch(path, pause=0.05) as watch:
        counting = asyncio.create_task(count(watch))
        begun = time.monotonic()
        for _ in range(300):
            insert(writer)
            await asyncio.sleep(0)
        passed = time.monotonic() - begun
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    assert woken <= passed / 0.05 + 1
    writer.close()


async def test_a_log_that_comes_later_or_anew_is_watched_too(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    async with CommitWatch(path, pause=0.01) as watch, asyncio.timeout(60):
        await watch.wait(LONG)  # there is nothing yet: a pause passes
        for _ in range(2):
            writer = open_database(path, (table,))
            await watch.wait(0.02)
            waiting = asyncio.create_task(watch.wait(LONG))
            await asyncio.sleep(0.05)
            insert(writer)
            await waiting
            writer.close()  # the last one to close takes the log away
            while path.with_name("some.db-wal").exists():
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("place", ["nothing.db", "postgresql"])
async def test_where_commits_cannot_be_noticed_a_pause_passes(tmp_path: Path, place: str) -> None:
    where = (
        PostgresPlace("postgresql://h/d", "s", tmp_path / "x.db")
        if place == "postgresql"
        else tmp_path / place
    )
    async with CommitWatch(where, pause=0.01) as watch, asyncio.timeout(60):
        for _ in range(5):
            await watch.wait(LONG)
