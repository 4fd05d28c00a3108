"""The memory file's schema, step by step. A released step is never edited; a change is a new step.

Everything learned lives in this one file, so the tables of connection weights, gradients and the ledger
are created here too, although the learning room owns what is written into them.
"""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hal9.database import Migration

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["MIGRATIONS"]


def _database(connection: sqlite3.Connection) -> "Database":
    import sqlite_utils  # noqa: PLC0415  loads slowly; importing the room must not

    return sqlite_utils.Database(connection, execute_plugins=False)


def _create(
    connection: sqlite3.Connection,
    table: str,
    columns: dict[str, Any],
    *,
    nullable: Sequence[str] = (),
    defaults: dict[str, Any] | None = None,
    indexes: Sequence[Sequence[str]] = (),
) -> None:
    """Create a table whose first column is the key and whose columns are NOT NULL unless named."""
    key = next(iter(columns))
    made = _database(connection).create_table(
        table,
        columns,
        pk=key,
        not_null={name for name in columns if name != key and name not in nullable},
        defaults=defaults or {},
    )
    for index in indexes:
        made.create_index(list(index))


_SCOPE: dict[str, Any] = {"workspace": str, "module": str, "task_family": str}


def _memories(connection: sqlite3.Connection) -> None:
    """1: memories, their full-text index, and the epoch that tells vector caches to reload."""
    _create(
        connection,
        "memories",
        {
            "id": int,
            "kind": str,
            "neuron": str,
            "layer": int,
            "content": str,
            **_SCOPE,
            "importance": float,
            "task_id": str,
            "source": str,
            "meta": str,
            "content_hash": str,
            "created": float,
            "accessed": float,
            "access_count": int,
            "embedding": bytes,
            "embedding_model": str,
            "embedding_dim": int,
            "helped": int,
            "hurt": int,
            "neutral": int,
            "quarantined": int,
            "quarantine_reason": str,
        },
        nullable=("embedding", "embedding_model", "embedding_dim"),
        defaults={
            "access_count": 0,
            "helped": 0,
            "hurt": 0,
            "neutral": 0,
            "quarantined": 0,
            "quarantine_reason": "",
        },
        indexes=(
            ("workspace", "module", "task_family"),
            ("kind", "layer", "created"),
            ("content_hash",),
            ("embedding_model",),
        ),
    )
    _database(connection).table("memories").enable_fts(["content"], tokenize="porter unicode61")
    # sqlite-utils' own triggers fire on every update; counting an outcome must not re-index the text.
    connection.execute(
        "CREATE TRIGGER memories_ai AFTER INSERT ON memories BEGIN "
        "INSERT INTO memories_fts(rowid, content) VALUES (new.id, new.content); END"
    )
    connection.execute(
        "CREATE TRIGGER memories_ad AFTER DELETE ON memories BEGIN "
        "INSERT INTO memories_fts(memories_fts, rowid, content) VALUES ('delete', old.id, old.content); END"
    )
    connection.execute(
        "CREATE TRIGGER memories_au AFTER UPDATE OF content ON memories BEGIN "
        "INSERT INTO memories_fts(memories_fts, rowid, content) VALUES ('delete', old.id, old.content); "
        "INSERT INTO memories_fts(rowid, content) VALUES (new.id, new.content); END"
    )
    _create(connection, "memory_meta", {"key": str, "value": int})
    connection.execute("INSERT INTO memory_meta(key, value) VALUES ('vector_epoch', 0)")


def _patterns(connection: sqlite3.Connection) -> None:
    """2: error occurrences, the patterns they form, and the mitigations of patterns."""
    _create(
        connection,
        "patterns",
        {
            "id": int,
            "signature": str,
            "error_type": str,
            **_SCOPE,
            "title": str,
            "occurrences": int,
            "confirmed": int,
            "refuted": int,
            "threshold": int,
            "prevention_strategy": str,
            "first_seen": float,
            "last_seen": float,
        },
        nullable=("prevention_strategy",),
        defaults={"confirmed": 0, "refuted": 0},
        indexes=(("signature", "error_type"), ("workspace", "module", "task_family")),
    )
    _create(
        connection,
        "occurrences",
        {
            "id": int,
            "memory_id": int,
            "pattern_id": int,
            "signature": str,
            "error_type": str,
            "neuron": str,
            "layer": int,
            **_SCOPE,
            "task_id": str,
            "magnitude": float,
            "at": float,
        },
        nullable=("memory_id", "pattern_id"),
        indexes=(("signature", "error_type"), ("pattern_id",), ("memory_id",)),
    )
    _create(
        connection,
        "mitigations",
        {
            "id": int,
            "pattern_id": int,
            "rule": str,
            "example_task": str,
            "example_answer": str,
            **_SCOPE,
            "source": str,
            "trusted_by": str,
            "state": str,
            "state_reason": str,
            "tried": int,
            "helped": int,
            "failed": int,
            "hurt": int,
            "unjudged": int,
            "created": float,
            "last_used": float,
            "content_hash": str,
            "provenance": str,
            "embedding": bytes,
            "embedding_model": str,
            "embedding_dim": int,
        },
        nullable=(
            "pattern_id",
            "example_task",
            "example_answer",
            "last_used",
            "embedding",
            "embedding_model",
            "embedding_dim",
        ),
        defaults={"tried": 0, "helped": 0, "failed": 0, "hurt": 0, "unjudged": 0, "state_reason": ""},
        indexes=(("workspace", "module", "task_family"), ("state",), ("content_hash",), ("pattern_id",)),
    )


def _learning(connection: sqlite3.Connection) -> None:
    """3: connection weights, gradients, the ledger of adjustments, and tasks worth replaying."""
    _create(
        connection,
        "weights",
        {
            "id": int,
            "from_neuron": str,
            "to_neuron": str,
            "task_class": str,
            "weight": float,
            "success_count": float,
            "failure_count": float,
            "last_adjusted": float,
            "state": str,
        },
        nullable=("last_adjusted",),
        defaults={"weight": 0.5, "success_count": 0, "failure_count": 0, "state": "{}"},
    )
    connection.execute("CREATE UNIQUE INDEX weights_edge ON weights(from_neuron, to_neuron, task_class)")
    _create(
        connection,
        "gradients",
        {
            "id": str,
            "task_id": str,
            "source": str,
            "target": str,
            "layer": int,
            "error_type": str,
            "magnitude": float,
            "prompt_version": str,
            "body": str,
            "state": str,
            "reason": str,
            "received": float,
            "settled": float,
        },
        nullable=("settled",),
        defaults={"reason": "", "prompt_version": ""},
        indexes=(("task_id",), ("state",)),
    )
    _create(
        connection,
        "adjustments",
        {
            "id": str,
            "time": float,
            "actor": str,
            "cause": str,
            "kind": str,
            "target": str,
            "before": str,
            "after": str,
            "evidence": str,
            "figures": str,
            "content_hash": str,
            "state": str,
            "reverts": str,
        },
        nullable=("reverts",),
        defaults={"evidence": "{}", "figures": "{}"},
        indexes=(("target", "time"), ("cause",), ("state",), ("reverts",)),
    )
    _create(
        connection,
        "tasks",
        {
            "id": str,
            "text": str,
            **_SCOPE,
            "neuron": str,
            "answer": str,
            "checks": str,
            "passed": int,
            "created": float,
        },
        nullable=("answer",),
        defaults={"checks": "[]", "passed": 0},
        indexes=(("workspace", "module", "task_family"), ("passed",)),
    )


def _packs(connection: sqlite3.Connection) -> None:
    """4: which packs were imported, from where, with which content."""
    _create(
        connection,
        "packs",
        {
            "id": int,
            "name": str,
            "version": str,
            "origin": str,
            "content_hash": str,
            "imported": float,
            "added": int,
            "skipped": int,
        },
        indexes=(("content_hash",),),
    )


def _outcomes(connection: sqlite3.Connection) -> None:
    """5: how each finished task was judged, what became of each recalled mitigation, switches of learning."""
    _create(
        connection,
        "outcomes",
        {
            "task_id": str,
            "at": float,
            "task_class": str,
            **_SCOPE,
            "state": str,
            "passed": int,
            "score": float,
            "judged_by": str,
            "error_type": str,
            "seconds": float,
            "usd": float,
            "prompts": str,
            "routes": str,
            "recalled": str,
        },
        nullable=("passed", "score"),
        defaults={"judged_by": "", "error_type": "", "seconds": 0, "usd": 0},
        indexes=(("at",), ("workspace", "module", "task_family")),
    )
    _create(
        connection,
        "uses",
        {"id": int, "mitigation_id": int, "task_id": str, "outcome": str},
    )
    connection.execute("CREATE UNIQUE INDEX uses_once ON uses(mitigation_id, task_id)")
    _create(connection, "switches", {"name": str, "value": str})


def _routes(connection: sqlite3.Connection) -> None:
    """6: what became of each hand-over, in the order learned, so that weights can be computed anew."""
    _create(
        connection,
        "route_events",
        {
            "id": int,
            "kind": str,
            "from_neuron": str,
            "to_neuron": str,
            "task_class": str,
            "number": int,
            "task_id": str,
            "success": float,
            "usd": float,
            "odds": float,
            "policy": str,
            "at": float,
        },
        nullable=("number", "success", "odds"),
        defaults={"usd": 0, "policy": ""},
        indexes=(("from_neuron", "task_class", "number"),),
    )
    connection.execute(
        "CREATE UNIQUE INDEX route_events_once ON route_events(task_id, from_neuron, to_neuron, task_class) "
        "WHERE kind != 'promotion'"
    )
    connection.execute("INSERT INTO memory_meta(key, value) VALUES ('route_epoch', 0)")


def _route_changes(connection: sqlite3.Connection) -> None:
    """7: hand-overs as they were before a verdict was corrected or a rollback took them out."""
    _create(
        connection,
        "route_changes",
        {"id": int, "event": int, "at": float, "number": int, "success": float, "usd": float},
        nullable=("number",),
        indexes=(("at",), ("event",)),
    )


def _places(connection: sqlite3.Connection) -> None:
    """8: rules hold for places; how each mind does with a rule; guards; what runs of agents taught."""
    for column in ("place", "work"):
        connection.execute(f"ALTER TABLE mitigations ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
    connection.execute("CREATE INDEX idx_mitigations_place ON mitigations(workspace, place, module)")
    _create(
        connection,
        "rule_minds",
        {"id": int, "mitigation_id": int, "mind": str, "helped": int, "failed": int},
        defaults={"helped": 0, "failed": 0},
    )
    connection.execute("CREATE UNIQUE INDEX rule_minds_once ON rule_minds(mitigation_id, mind)")
    _create(
        connection,
        "guards",
        {
            "id": int,
            "mitigation_id": int,
            "workspace": str,
            "content": str,
            "effect": str,
            "state": str,
            "state_reason": str,
            "source": str,
            "fired": int,
            "heeded": int,
            "overridden": int,
            "wrong": int,
            "created": float,
        },
        nullable=("mitigation_id",),
        defaults={"state_reason": "", "fired": 0, "heeded": 0, "overridden": 0, "wrong": 0},
        indexes=(("workspace", "state"),),
    )
    _create(
        connection,
        "guard_evidence",
        {"id": int, "repo": str, "kind": str, "value": str, "blamed": int, "well": int, "lines": str},
    )
    connection.execute("CREATE UNIQUE INDEX guard_evidence_once ON guard_evidence(repo, kind, value)")
    _create(connection, "guard_cells", {"cell": str, "right": int, "cases": int, "repos": str})
    _create(connection, "remedy_levels", {"level": str, "cases": int, "helped": str})
    _create(connection, "run_causes", {"id": int, "repo": str, "cause": str, "content": str})
    connection.execute("CREATE UNIQUE INDEX run_causes_once ON run_causes(repo, cause)")
    _create(
        connection, "runs_read", {"fingerprint": str, "at": float, "repo": str, "agent": str, "steps": int}
    )


MIGRATIONS: tuple[Migration, ...] = (
    _memories,
    _patterns,
    _learning,
    _packs,
    _outcomes,
    _routes,
    _route_changes,
    _places,
)
