"""`hal9 state move`: there and back, resumed, compared row by row."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hal9.budgets import BudgetStore, Spend
from hal9.cli.app import cli
from hal9.cluster import Home
from hal9.cluster.state import move as moving
from hal9.cluster.state.move import move_state, places_at
from hal9.database import atomic, open_database
from hal9.errors.database import (
    DatabaseAddressInvalid,
    StateMoveDiffers,
    StateMoveFailed,
    StateSourceMissing,
    StateTargetTaken,
)
from hal9.journal import MIGRATIONS, tasks
from hal9.journal.tasks import TaskRow
from hal9.memory import MemoryScope, MemoryStore, NewMemory
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.store.migrations import MIGRATIONS as MEMORY
from hal9.signals import TaskPayload
from tests.support.postgres import PostgresServer, fresh_prefix

pytestmark = pytest.mark.postgresql


def fill(home: Home, *, count: int = 1200) -> None:
    """Tasks, spending, memories with vectors, and rows whose order only their numbers tell."""
    home.make_state()
    with contextlib.closing(open_database(home.journal, MIGRATIONS)) as journal, atomic(journal):
        for number in range(count):
            payload = TaskPayload(objective=f"task {number} — Größe")
            row = TaskRow(
                id=f"t{number:05}", payload=payload, state="queued", created_at=0.1 * number, deadline=1e9
            )
            tasks.insert_task(journal, row)
    with BudgetStore(home.budgets) as book:
        for number in range(20):
            book.settle(book.reserve(f"c{number}", "t", tokens=9, usd=0.25), Spend(tokens=5, usd=0.1))
    with MemoryStore(home.memory, embedder=HashingEmbedder(32)) as store:
        store.remember_many(
            [
                NewMemory(kind="task", content=f"E{n:03} happened", scope=MemoryScope("w", "m", "x"))
                for n in range(50)
            ]
        )
        with store.writing() as tables:
            for name in ("zeta", "alpha", "mu"):
                texts: dict[str, Any] = dict.fromkeys(
                    ("actor", "cause", "kind", "target", "before", "after", "content_hash", "state"), "x"
                )
                tables.table("adjustments").insert({"id": name, "time": 1.5, **texts})


@pytest.fixture
def move(postgres: PostgresServer, home: Home) -> Any:
    name = fresh_prefix()
    fill(home)
    here = places_at("sqlite:", cluster=name, folder=home.state)
    there = places_at(postgres.url, cluster=name, folder=home.state)
    yield here, there
    postgres.drop(name)


def test_there_and_back_everything_is_equal(move: Any, tmp_path: Path) -> None:
    here, there = move
    done = {(one.database, one.table): one.rows for one in move_state(here, there)}
    assert done["journal", "tasks"] == done["journal", "events"] == 1200
    assert done["memory", "memories"] == 50
    with contextlib.closing(open_database(there["journal"], MIGRATIONS)) as journal, atomic(journal):
        payload = TaskPayload(objective="one more")
        tasks.insert_task(
            journal, TaskRow(id="new", payload=payload, state="queued", created_at=1, deadline=2)
        )
        assert journal.execute("SELECT max(seq) FROM tasks").fetchone()[0] == 1201, "numbers go on"
    with MemoryStore(there["memory"], embedder=HashingEmbedder(32)) as store:
        names = [row[0] for row in store.connection.execute("SELECT id FROM adjustments ORDER BY rowid")]
        assert names == ["zeta", "alpha", "mu"]
    with BudgetStore(there["budgets"]) as book:
        assert book.totals().usd == pytest.approx(2.0)
    back = places_at(f"sqlite:{tmp_path / 'back'}", cluster="x", folder=tmp_path)
    again = {(one.database, one.table): one.rows for one in move_state(there, back)}
    assert again["journal", "tasks"] == 1201
    with contextlib.closing(open_database(back["memory"], MEMORY)) as memory:
        assert [row[0] for row in memory.execute("SELECT id FROM adjustments ORDER BY rowid")] == names
        found = memory.execute("SELECT count(*) FROM memories_fts WHERE memories_fts MATCH 'E007'").fetchone()
        assert found[0] == 1


def test_an_interrupted_move_goes_on_where_it_was(move: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = move
    store = moving._Mover._store
    stored: list[int] = []

    def dies(self: Any, insert: str, batch: Any) -> None:
        if self._table == "tasks" and self._where.startswith("journal") and len(stored) == 1:
            raise KeyboardInterrupt
        store(self, insert, batch)
        if self._table == "tasks":
            stored.append(len(batch))

    monkeypatch.setattr(moving._Mover, "_store", dies)
    with pytest.raises(KeyboardInterrupt):
        move_state(here, there)
    stored.append(0)

    def counted(self: Any, insert: str, batch: Any) -> None:
        if self._table == "tasks":
            stored.append(len(batch))
        store(self, insert, batch)

    monkeypatch.setattr(moving._Mover, "_store", counted)
    done = {(one.database, one.table): one.rows for one in move_state(here, there)}
    assert done["journal", "tasks"] == 1200
    assert sum(stored) == 1200, "what was there was not copied again"


def test_what_differs_or_does_not_fit_is_named(move: Any) -> None:
    here, there = move
    move_state(here, there)
    with pytest.raises(StateTargetTaken, match="holds rows"):
        move_state(here, there)
    with pytest.raises(StateSourceMissing):
        move_state({**here, "journal": Path("/nowhere/journal.db")}, there)


def test_a_row_that_cannot_be_stored_is_named_and_nothing_is_lost(move: Any) -> None:
    here, there = move
    with contextlib.closing(sqlite3.connect(here["journal"])) as raw, raw:
        raw.execute("UPDATE tasks SET payload = 'a' || char(0) || 'b' WHERE id = 't00700'")
    with pytest.raises(StateMoveFailed, match=r"journal\.tasks"):
        move_state(here, there)
    with contextlib.closing(sqlite3.connect(here["journal"])) as raw, raw:
        raw.execute("UPDATE tasks SET payload = '{}' WHERE id = 't00700'")
    move_state(here, there)


def test_a_row_that_was_changed_meanwhile_is_found(move: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = move
    counting = moving._Mover._go_on_counting

    def meddles(self: Any) -> None:
        counting(self)
        if self._table == "tasks" and self._where.startswith("journal"):
            with atomic(self._new):
                self._new.execute("UPDATE tasks SET deadline = 7 WHERE id = 't00003'")

    monkeypatch.setattr(moving._Mover, "_go_on_counting", meddles)
    with pytest.raises(StateMoveDiffers, match=r"\[4\] of journal\.tasks"):
        move_state(here, there)


def test_the_command(move: Any, home: Home, postgres: PostgresServer) -> None:
    _, there = move
    said = CliRunner().invoke(
        cli, ["--home", str(home.root), "state", "move", "sqlite:", there["journal"].url]
    )
    assert said.exit_code == 0, said.output
    assert "journal.tasks: 1200 rows, all equal" in said.output
    assert "not-a-secret" not in said.output
    said = CliRunner().invoke(cli, ["--home", str(home.root), "state", "move", "sqlite:", "mysql://x"])
    assert isinstance(said.exception, DatabaseAddressInvalid)
    postgres.drop("hal9_")
