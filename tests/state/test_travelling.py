"""A folder on one host, a daemon on another that cannot see it: the folder travels, and the changes come back."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from hal9.bus import stop_survivor
from hal9.bus.crew import BackgroundTasks
from hal9.bus.exchange import LARGEST_BODY, Exchange
from hal9.clock import SystemClock
from hal9.cluster import Daemon, Home, connect
from hal9.cluster.state.frames import DatabaseWire
from hal9.database import Place, PostgresPlace, open_database
from hal9.errors.bus import ExchangeUnanswered, FrameNotStored
from hal9.journal import MIGRATIONS
from hal9.journal.frames import MOST_WAITING, leave_frame, take_frames
from hal9.workbench.patches import find_changes
from tests.bus.test_broker_errors import broker
from tests.conftest import Script, edit_settings
from tests.state.test_on_postgres import home_on
from tests.support.postgres import PostgresServer, fresh_prefix
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgresql
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pair(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Two homes whose state is in one database."""
    name = fresh_prefix()
    homes = []
    for host in ("left", "right"):
        homes.append(home_on(postgres, tmp_path / host / "home", name=name))
        edit_settings(homes[-1], "  host: ", f"  host: {host} ")
        edit_settings(homes[-1], "isolation: auto ", "isolation: none ")
    yield homes[0], homes[1]
    postgres.drop(name)


@asynccontextmanager
async def far_daemon(home: Home, hidden: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A daemon on a machine where the folder `hidden` is empty."""
    with (home.root / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *("bwrap", "--dev-bind", "/", "/", "--tmpfs", str(hidden), "--die-with-parent", "--"),
                *(sys.executable, "-m", "hal9", "--home", str(home.root), "up", "--log-to-stderr"),
            ],
            cwd=ROOT,
            env={**os.environ, "HAL9_MODEL": "scripted:tests.support.scripts:adder"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await eventually(
            lambda: "ready:" in (home.root / "daemon.log").read_text(), "the other daemon is ready"
        )
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, 60)
        process.kill()
        stop_survivor(home.broker)


def frames(home: Home) -> int:
    with closing(open_database(home.journal)) as connection:
        return int(connection.execute("SELECT count(*) FROM frames").fetchone()[0])


async def works_on_a_folder_it_cannot_see(left: Home, right: Home, hidden: Path) -> None:
    """The left host has the folder and takes up nothing new: the right one does the task."""
    workspace = hidden / "project"
    workspace.mkdir(parents=True)
    (workspace / "check.py").write_text("from adder import add\nassert add(2, 3) == 5, add(2, 3)\n")
    (workspace / "large.bin").write_bytes(random.Random(1).randbytes(3 * LARGEST_BODY))
    async with Daemon(left) as daemon, far_daemon(right, hidden), connect(left.root) as cluster:
        await cluster.drain("left")
        await eventually(lambda: daemon.hosts.draining and not daemon.hosts.leads, "the left host drains")
        task_id = await cluster.submit(
            "Write add(a, b) in adder.py", workspace=workspace, check="python check.py"
        )
        task = await cluster.wait(task_id, timeout_seconds=120)
        assert task.state == "done", (task.result, (right.root / "daemon.log").read_text()[-3000:])
        assert (workspace / "adder.py").read_text() == "def add(a, b):\n    return a + b\n"
        await eventually(lambda: not (left.travelling / task_id).exists(), "no archive stays")
        kept = [
            path
            for path in (right.root / ".hal9").rglob("*")
            if path.name in ("adder.py", "large.bin", "blobs")
        ]
        assert kept == [], "nothing stays on the other host"
    assert frames(left) == 0
    changes = find_changes(left.changes, task_id)
    assert changes.carried == "all"
    changes.take_back()
    assert not (workspace / "adder.py").exists()


@pytest.mark.bubblewrap
async def test_a_folder_travels_between_daemons_that_share_only_the_database(
    pair: tuple[Home, Home], tmp_path: Path, script: Script
) -> None:
    script("adder")
    await works_on_a_folder_it_cannot_see(*pair, tmp_path / "here")


@pytest.mark.bubblewrap
@pytest.mark.mosquitto
@pytest.mark.slow
async def test_a_folder_travels_between_daemons_that_share_a_broker(
    pair: tuple[Home, Home], tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("adder")

    async def none_is_left(*_: object) -> None:
        raise AssertionError("with a broker in common, frames do not go through the database")

    monkeypatch.setattr(DatabaseWire, "send", none_is_left)
    async with broker(tmp_path) as port:
        for home in pair:
            edit_settings(
                home,
                "url:                          # mqtt",
                f"url: mqtt://127.0.0.1:{port} # mqtt",
            )
        await works_on_a_folder_it_cannot_see(*pair, tmp_path / "here")


# --- the way itself -----------------------------------------------------------------------------------


@pytest.fixture
def journal(places: Callable[[str], Place]) -> Place:
    place = places("journal")
    open_database(place, MIGRATIONS).close()
    return place


def test_frames_are_taken_once_in_order_and_not_without_end(journal: Place) -> None:
    with closing(open_database(journal)) as one, closing(open_database(journal)) as other:
        for number in range(MOST_WAITING):
            assert leave_frame(one, "b", "a", bytes([number]), now=100.0)
        assert not leave_frame(other, "b", "c", b"too many", now=100.0)
        assert leave_frame(other, "c", "a", b"for another", now=100.0)
        got = []
        while taken := take_frames(other, "b"):
            got += taken
        assert got == [("a", bytes([number])) for number in range(MOST_WAITING)]
        assert leave_frame(one, "b", "a", b"x", now=161.0)
        assert take_frames(other, "c") == [], "what lay for a minute is gone"
        assert take_frames(other, "b") == [("a", b"x")]


@asynccontextmanager
async def wired(
    place: PostgresPlace, node: str, crew: BackgroundTasks
) -> AsyncIterator[tuple[Exchange, DatabaseWire]]:
    async def no_broker(_node: str, _frame: bytes) -> None:
        raise AssertionError("there is no broker")

    exchange = Exchange(no_broker, clock=SystemClock())
    wire = DatabaseWire(place, node=node, exchange=exchange, clock=SystemClock())
    exchange.other_wire = lambda _node: wire.send
    exchange.open(crew)
    task = asyncio.create_task(wire.run())
    try:
        yield exchange, wire
    finally:
        exchange.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_questions_and_answers_over_the_database(
    journal: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(journal, PostgresPlace)
    body = random.Random(2).randbytes(LARGEST_BODY)

    async def answer(source: str, question: object, given: bytes) -> tuple[dict[str, object], bytes]:
        return {"to": source, "asked": question}, given[::-1]

    async with (
        BackgroundTasks() as crew,
        wired(journal, "near", crew) as (near, near_wire),
        wired(journal, "far", crew) as (far, _),
    ):
        near.answer = answer
        for number in range(5):
            said, back = await far.ask("near", {"n": number}, body, seconds=30)
            assert said == {"to": "far", "asked": {"n": number}}
            assert back == body[::-1]
        with pytest.raises(ExchangeUnanswered, match="nobody"):
            await far.ask("nobody", {}, seconds=0.2)
        for _ in range(MOST_WAITING):
            with contextlib.suppress(FrameNotStored):
                await near_wire.send("nobody", b"x")
        with pytest.raises(ExchangeUnanswered, match="64 frames wait"):
            await far.ask("nobody", {}, seconds=0.2)


@pytest.mark.slow
async def test_the_way_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    async def answer(_source: str, question: object, given: bytes) -> tuple[dict[str, object], bytes]:
        return {"asked": question}, given

    with PostgresServer(durable=True) as server:
        place = PostgresPlace(server.url, "cut_journal", tmp_path / "journal.db")
        open_database(place, MIGRATIONS).close()
        async with (
            BackgroundTasks() as crew,
            wired(place, "near", crew) as (near, _),
            wired(place, "far", crew) as (far, far_wire),
        ):
            near.answer = answer
            assert (await far.ask("near", {}, b"one", seconds=30))[1] == b"one"
            server.kill()
            with pytest.raises(FrameNotStored, match="near"):
                await far_wire.send("near", b"x")
            asking = asyncio.create_task(far.ask("near", {}, b"two", seconds=60))
            await asyncio.to_thread(server.start)
            assert (await asking)[1] == b"two"
