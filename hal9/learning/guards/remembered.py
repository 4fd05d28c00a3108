"""Actions that were really taken, with how they ended: what a guard is tested on before it holds."""

import json

from hal9.memory import MemoryStore
from hal9.tools.action import Action, command_action

__all__ = ["remember_actions", "remembered_actions"]

_KEPT = 2_000
_NAME = "remembered_actions"


def remember_actions(store: MemoryStore, taken: list[tuple[str, bool]]) -> None:
    """Keep commands with whether they went well; the newest stay."""
    with store.writing() as tables:
        row = tables.conn.execute("SELECT value FROM switches WHERE name = ?", (_NAME,)).fetchone()
        known = json.loads(row["value"]) if row is not None else []
        kept = [*known, *([command[:4_000], went_well] for command, went_well in taken)][-_KEPT:]
        tables.conn.execute(
            "INSERT INTO switches (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_NAME, json.dumps(kept)),
        )


def remembered_actions(store: MemoryStore) -> list[tuple[Action, bool]]:
    """Remembered commands as actions, oldest first."""
    with store.reading() as connection:
        row = connection.execute("SELECT value FROM switches WHERE name = ?", (_NAME,)).fetchone()
    rows = json.loads(row["value"]) if row is not None else []
    return [(command_action(str(command)), bool(went_well)) for command, went_well in rows]
