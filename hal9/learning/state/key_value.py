"""Small named values that survive a restart: paused, frozen neurons, learned prompts, running canaries."""

import json
from typing import Any

from hal9.database import change_mark
from hal9.memory import MemoryStore

__all__ = ["KeyValueStore"]


class KeyValueStore:
    """Named JSON values in the memory file. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default when it was never set."""
        with self.store.reading() as connection:
            row = connection.execute("SELECT value FROM switches WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row["value"])

    def put(self, name: str, value: Any) -> None:
        """Set a value; None removes it. Nests inside `store.writing()`."""
        with self.store.writing() as tables:
            if value is None:
                tables.conn.execute("DELETE FROM switches WHERE name = ?", (name,))
            else:
                text = json.dumps(value, sort_keys=True, ensure_ascii=False)
                # In plain SQL: an upsert that first asks for the table's columns costs several times as much.
                tables.conn.execute(
                    "INSERT INTO switches (name, value) VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (name, text),
                )

    def named(self, prefix: str) -> dict[str, Any]:
        """All values whose names begin with the prefix, by the rest of the name."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT name, value FROM switches WHERE substr(name, 1, ?) = ? ORDER BY name",
                (len(prefix), prefix),
            ).fetchall()
        return {row["name"][len(prefix) :]: json.loads(row["value"]) for row in rows}

    def foreign_changes(self) -> int:
        """A number that changes whenever another connection has written."""
        with self.store.reading() as connection:
            return change_mark(connection)

    # --- pause and freeze -----------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether a person has stopped all learning."""
        return bool(self.get("paused", default=False))

    @property
    def frozen(self) -> frozenset[str]:
        """Neurons that learn nothing."""
        return frozenset(self.named("frozen:"))
