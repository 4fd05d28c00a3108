"""Looking rules up by more than their exact scope."""

import json
from collections.abc import Sequence

from hal9.memory.records import MemoryScope, Rule, RuleState, covers_work
from hal9.memory.rules.rule_rows import rule_of
from hal9.memory.rules.rules import HERE
from hal9.memory.store.store import MemoryStore

__all__ = ["have_vectors", "placed_rules"]


def placed_rules(
    store: MemoryStore, task: MemoryScope, states: Sequence[RuleState] = ("admitted",), *, limit: int = 300
) -> list[Rule]:
    """The newest rules of a task's workspace that hold for a file or folder, whatever the task touches."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM mitigations WHERE state IN (SELECT value FROM json_each(:states)) "  # noqa: S608
            f"AND {HERE} AND place > '' AND place != '**' ORDER BY id DESC LIMIT :limit",
            {
                "workspace": task.workspace,
                "also": task.also or task.workspace,
                "states": json.dumps(list(states)),
                "limit": limit,
            },
        ).fetchall()
    known = map(rule_of, rows)
    return [one for one in known if one.scope.work in task.roles or covers_work(one.scope.work, task.work)]


def have_vectors(store: MemoryStore, ids: Sequence[int]) -> bool:
    """Whether any of these rules has a vector of the present model."""
    if store.embedder is None:
        return False
    with store.reading() as connection:
        found = connection.execute(
            "SELECT 1 FROM mitigations WHERE embedding_model = ? "
            "AND id IN (SELECT value FROM json_each(?)) LIMIT 1",
            (store.embedder.model_id, json.dumps(list(ids))),
        ).fetchone()
    return found is not None
