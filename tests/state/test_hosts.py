"""Several daemons, one database: work is shared, nothing is done twice, a dead host's work is taken up."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.bus import stop_survivor
from hal9.clock import SteadyClock
from hal9.cluster import Cluster, Daemon, Home, connect
from hal9.database import open_database
from hal9.errors.cluster import HostUnknown
from hal9.journal import hosts
from hal9.journal.tasks import TaskRow
from tests.conftest import Script, edit_settings
from tests.state.test_on_postgres import home_on
from tests.support.daemons import start, wait_ready
from tests.support.postgres import PostgresServer, fresh_prefix
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgresql


@pytest.fixture
async def two(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[tuple[Home, Home]]:
    name = fresh_prefix()
    made = []
    for host in ("left", "right"):
        home = home_on(postgres, tmp_path / host, name=name)
        edit_settings(home, "  host: ", f"  host: {host} ")
        made.append(home)
    yield made[0], made[1]
    postgres.drop(name)


def found(home: Home) -> list[hosts.HostRow]:
    with closing(open_database(home.journal)) as connection:
        return hosts.list_hosts(connection)


def begun(home: Home) -> Counter[str]:
    """How many turns each task had."""
    with closing(open_database(home.journal)) as connection:
        rows = connection.execute("SELECT task_id, count(*) FROM steps GROUP BY task_id").fetchall()
    return Counter({str(row[0]): int(row[1]) for row in rows})


async def test_two_daemons_share_the_work_and_one_leads(two: tuple[Home, Home], script: Script) -> None:
    script("echo")
    left, right = two
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Daemon(left))
        second = await stack.enter_async_context(Daemon(right))
        cluster = await stack.enter_async_context(connect(left.root))
        ids = [await cluster.submit(f"say {number}") for number in range(12)]
        for one in ids:
            assert (await cluster.wait(one, timeout_seconds=180)).state == "done"
        assert sum(one.leads for one in found(left)) == 1
        assert first.hosts.leads
        assert not second.hosts.leads
        assert set(begun(left).values()) == {begun(left)[ids[0]]}, "none was done twice"
        said = await cluster.status()
        assert {one["name"] for one in said["hosts"]} == {"left", "right"}
        await drains(cluster, second, ids)
    assert found(left) == [], "who ends in order is forgotten at once"


async def drains(cluster: Cluster, second: Daemon, ids: list[str]) -> None:
    await cluster.drain("left")
    await eventually(lambda: second.hosts.leads, "the other one leads")
    more = await cluster.submit("and one more")
    assert (await cluster.wait(more, timeout_seconds=180)).state == "done"
    await cluster.drain("left", drain=False)
    with pytest.raises(HostUnknown, match="left, right"):
        await cluster.drain("middle")
    cancelled = await cluster.submit("again")
    await cluster.wait(cancelled, timeout_seconds=60)
    assert cancelled not in ids


async def test_a_task_with_a_folder_goes_to_a_host_that_has_it(
    two: tuple[Home, Home], workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("adder")
    left, right = two
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Daemon(left))
        second = await stack.enter_async_context(Daemon(right))
        asked: list[str] = []

        async def has_none(task: TaskRow) -> bool:
            asked.append(task.id)
            gone = replace(
                task, payload=task.payload.model_copy(update={"workspace": "/nowhere/on/this/host"})
            )
            return await type(second.scheduler)._for_here(second.scheduler, gone)

        monkeypatch.setattr(second.scheduler, "_for_here", has_none)
        cluster = await stack.enter_async_context(connect(left.root))
        ids = [
            await cluster.submit("write adder.py", workspace=str(workspace), check="python3 check.py")
            for _ in range(3)
        ]
        for one in ids:
            assert (await cluster.wait(one, timeout_seconds=180)).state == "done"
        assert first.hosts.leads
        task = await cluster.task(ids[0])
        absent = replace(task, payload=task.payload.model_copy(update={"workspace": "/nowhere"}))
        for age, leader_takes_it in ((0.0, False), (60.0, True)):
            old = replace(absent, created_at=first.scheduler._clock.now() - age)
            assert await first.scheduler._for_here(old) is leader_takes_it, "it must not wait for ever"
            assert not await type(second.scheduler)._for_here(second.scheduler, old)


async def test_hosts_whose_clocks_differ_count_by_the_servers(two: tuple[Home, Home], script: Script) -> None:
    script("echo")
    left, right = two

    def off(seconds: float) -> SteadyClock:
        return SteadyClock(wall=lambda: time.time() + seconds)

    async with AsyncExitStack() as stack:
        early = await stack.enter_async_context(Daemon(left, clock=off(-300.0)))
        late = await stack.enter_async_context(Daemon(right, clock=off(300.0)))
        for daemon in (early, late):
            assert abs(daemon._clock.now() - time.time()) < 5
        behind = await stack.enter_async_context(connect(left.root, clock=off(-300.0)))
        ahead = await stack.enter_async_context(connect(right.root, clock=off(300.0)))
        # Shorter than the clocks are apart: read by the other's clock it would be over at once.
        ids = [
            await cluster.submit(f"say {number}", timeout_seconds=120)
            for number in range(3)
            for cluster in (behind, ahead)
        ]
        for one in ids:
            task = await behind.wait(one, timeout_seconds=60)
            assert task.state == "done", task
            assert abs(task.created_at - time.time()) < 60
            assert task.started_at is not None
            assert task.finished_at is not None
            assert task.created_at - 1 <= task.started_at <= task.finished_at + 1
        assert sum(one.leads for one in found(left)) == 1
        for cluster in (behind, ahead):
            assert [one["silent_for"] < 60 for one in (await cluster.status())["hosts"]] == [True, True]


async def test_a_host_is_killed_and_another_does_its_work(two: tuple[Home, Home], script: Script) -> None:
    script("echo")
    left, right = two
    process = await asyncio.to_thread(start, left)
    try:
        await asyncio.to_thread(wait_ready, left, process)
        async with Daemon(right) as daemon, connect(right.root) as cluster:
            assert not daemon.hosts.leads
            ids = [await cluster.submit(f"say {number}") for number in range(8)]
            os.kill(process.pid, signal.SIGKILL)
            since = daemon._clock.monotonic()
            await eventually(lambda: daemon.hosts.leads, "the one that is left leads")
            moved = daemon._clock.monotonic() - since
            for one in ids:
                task = await cluster.wait(one, timeout_seconds=180)
                assert task.state == "done", task
            assert [one.name for one in found(right)] == ["right"]
            assert set(begun(right)) == set(ids)
            print(f"led after {moved:.1f} s")
    finally:
        process.kill()
        process.wait()
        stop_survivor(left.broker)
