"""A whole cluster whose journal, budgets and memory are on PostgreSQL."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hal9.budgets import BudgetStore
from hal9.cluster import Home, init_home
from hal9.errors.base import DatabaseError
from hal9.errors.database import DatabaseRefused, DatabaseUnreachable
from hal9.memory import MemoryStore, NewMemory, RuleStore, search
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.store.postgres_vectors import has_index
from tests.conftest import Script, edit_settings, running_cluster
from tests.support.postgres import PostgresServer, fresh_prefix
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgresql


def home_on(server: PostgresServer, root: Path, *, name: str) -> Home:
    """A fresh home whose state is on a server, in schemas of its own."""
    home = init_home(root)
    edit_settings(home, "  name: hal9 ", f"  name: {name} ")
    edit_settings(home, "state:\n  url: ", f"state:\n  url: {server.url} ")
    return home


@pytest.fixture
def shared_home(postgres: PostgresServer, tmp_path: Path) -> Iterator[Home]:
    name = fresh_prefix()
    yield home_on(postgres, tmp_path / "home", name=name)
    postgres.drop(name)


async def test_a_task_and_what_is_said_of_it(shared_home: Home, workspace: Path, script: Script) -> None:
    script("adder")
    async with running_cluster(shared_home) as (_, cluster):
        task_id = await cluster.submit("write adder.py", workspace=str(workspace), check="python3 check.py")
        task = await cluster.wait(task_id, timeout_seconds=180)
        assert task.state == "done"
        assert (workspace / "adder.py").is_file()
        assert [one.id for one in await cluster.tasks()] == [task_id]
        asked = {"note": "", "verdict": "reject", "why": "Always name the sum total."}
        await cluster.answer(await cluster.request("feedback", asked, task_id=task_id), timeout_seconds=60)
        await eventually(
            lambda: rules(shared_home), "the note is a rule", progress=lambda: rules(shared_home)
        )
    assert not (shared_home.state / "journal.db").exists()
    assert not (shared_home.state / "memory.db").exists()
    with BudgetStore(shared_home.budgets) as accounts:
        assert accounts.totals().calls >= 1


def rules(home: Home) -> list[str]:
    with MemoryStore(home.memory) as store:
        return [one.rule for one in RuleStore(store).all()]


async def test_the_daemon_indexes_the_vectors_of_many_memories(shared_home: Home, script: Script) -> None:
    script("echo")
    edit_settings(shared_home, "  embedder: auto ", "  embedder: hashing ")
    edit_settings(shared_home, "  index_above: 100000 ", "  index_above: 30 ")
    embedder = HashingEmbedder()
    with MemoryStore(shared_home.memory, embedder=embedder) as store:
        ids = store.remember_many([NewMemory(kind="error", content=f"text {one}") for one in range(40)])

        def indexed() -> bool:
            with store.reading() as connection:
                return has_index(connection, embedder.model_id)

        assert not indexed()
        async with running_cluster(shared_home):
            await eventually(indexed, "the vectors are indexed")
        assert search(store, "text 17", limit=1)[0].memory.id == ids[17]


async def test_the_server_dies_and_comes_back(tmp_path: Path, script: Script) -> None:
    script("echo")
    with PostgresServer(durable=True) as server:
        home = home_on(server, tmp_path / "home", name="cut")
        async with running_cluster(home) as (daemon, cluster):
            first = await cluster.submit("one")
            await cluster.wait(first, timeout_seconds=180)
            server.kill()
            await eventually(
                lambda: any("waits" in text for text in daemon.status.alerts),
                "it is told that the database is away",
            )
            await asyncio.to_thread(server.start)
            await eventually(lambda: submitted(cluster), "tasks are accepted again")
            assert [task.state for task in await cluster.tasks() if task.id == first] == ["done"]
            second = await cluster.submit("two")
            assert (await cluster.wait(second, timeout_seconds=180)).state == "done"


async def submitted(cluster: object) -> bool:
    try:
        await cluster.submit("again")  # type: ignore[attr-defined]
    except DatabaseError as error:
        assert "PostgreSQL" in str(error) or "does not answer" in str(error), error
        return False
    return True


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda url: url.replace("not-a-secret", "wrong"), DatabaseRefused, "password"),
        (lambda url: url.replace("/postgres", "/nowhere"), DatabaseRefused, "does not exist"),
        (lambda _: "postgresql://hal9:pw@127.0.0.1:1/postgres", DatabaseUnreachable, "Start PostgreSQL"),
    ],
)
def test_what_is_wrong_with_the_address_is_said_without_the_password(
    postgres: PostgresServer,
    tmp_path: Path,
    spoil: Callable[[str], str],
    error: type[Exception],
    said: str,
) -> None:
    home = init_home(tmp_path / "home")
    edit_settings(home, "state:\n  url: ", f"state:\n  url: {spoil(postgres.url)} ")
    with pytest.raises(error, match=said) as caught, MemoryStore(home.memory):
        pass
    assert "not-a-secret" not in str(caught.value)
    assert ":wrong@" not in str(caught.value)
