import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hal9.errors.database import DatabaseTooNew
from hal9.memory import MemoryScope, MemoryStore, NewMemory, RuleStore, audit, recall, search
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.store.migrations import MIGRATIONS

DATA = Path(__file__).parent / "data"
TABLES = {
    "memories",
    "memory_meta",
    "patterns",
    "occurrences",
    "mitigations",
    "weights",
    "gradients",
    "adjustments",
    "tasks",
    "packs",
    "outcomes",
    "uses",
    "switches",
}


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_old_files_open_with_all_they_held(tmp_path: Path, version: int) -> None:
    path = tmp_path / "memory.db"
    shutil.copy(DATA / f"memory_v{version}.db", path)
    with MemoryStore(path, embedder=HashingEmbedder(64)) as store:
        assert store.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        names = store.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {row[0] for row in names} >= TABLES
        assert store.count() == 3
        assert search(store, "E042", mode="words")[0].memory.content == "E042 negative reading"
        assert search(store, "dates DD.MM.YYYY", mode="vectors")[0].memory.id == 2
        assert (store.stale_vectors(), audit(store).tampered) == (0, ())
        if version >= 2:
            found = recall(store, "In module billing, write x.", MemoryScope("w", "billing", "x"))
            assert found is not None
            assert RuleStore(store).get(found.rule_id).helped == 2


def test_words_with_vowel_signs_are_found_in_a_file_from_before(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path) as store:
        store.remember_many([NewMemory(kind="task", content=text) for text in ("कौन आया", "कान में दर्द")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM memory_pairs")
        connection.execute("PRAGMA user_version = 11")
    with MemoryStore(path) as store:
        assert search(store, "कान", limit=1)[0].memory.content == "कान में दर्द"


def test_a_fresh_and_a_migrated_file_have_one_schema(tmp_path: Path) -> None:
    def schema(path: Path) -> list[tuple[str, str]]:
        with MemoryStore(path) as store:
            rows = store.connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name"
            )
            return [(row["name"], row["sql"]) for row in rows]

    shutil.copy(DATA / "memory_v1.db", tmp_path / "old.db")
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DatabaseTooNew, match="99"), MemoryStore(path):
        pass


def test_the_ledgers_columns_are_there(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        columns = [row["name"] for row in store.connection.execute("PRAGMA table_info(adjustments)")]
        edge = {"from_neuron": "a", "to_neuron": "b", "task_class": "x"}
        store.tables.table("weights").insert(edge)
        with pytest.raises(sqlite3.IntegrityError):
            store.tables.table("weights").insert(edge)
    assert columns == [
        "id",
        "time",
        "actor",
        "cause",
        "kind",
        "target",
        "before",
        "after",
        "evidence",
        "figures",
        "content_hash",
        "state",
        "reverts",
    ]
