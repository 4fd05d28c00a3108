"""The memory file's schema, step by step. A released step is never edited; a change is a new step.

Everything learned lives in this one file, so the tables of connection weights, gradients and the ledger
are created here too, although the learning room owns what is written into them.
"""

from typing import Any

from hal9.database import Connection, Migration, on_postgres
from hal9.memory.store.creation import create_table, sqlite_tables
from hal9.memory.store.postgres_words import index_words
from hal9.memory.store.unspaced_words import create_pairs, index_vowel_signs

__all__ = ["MIGRATIONS"]


_SCOPE: dict[str, Any] = {"workspace": str, "module": str, "task_family": str}


def _memories(connection: Connection) -> None:
    """1: memories, their full-text index, and the epoch that tells vector caches to reload."""
    create_table(
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
    _index_content(connection)
    create_table(connection, "memory_meta", {"key": str, "value": int})
    connection.execute("INSERT INTO memory_meta(key, value) VALUES ('vector_epoch', 0)")


def _index_content(connection: Connection) -> None:
    if on_postgres(connection):
        index_words(connection)
        return
    sqlite_tables(connection).table("memories").enable_fts(["content"], tokenize="porter unicode61")
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


def _patterns(connection: Connection) -> None:
    """2: error occurrences, the patterns they form, and the mitigations of patterns."""
    create_table(
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
    create_table(
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
    create_table(
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


def _learning(connection: Connection) -> None:
    """3: connection weights, gradients, the ledger of adjustments, and tasks worth replaying."""
    create_table(
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
    create_table(
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
    create_table(
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
    create_table(
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


def _packs(connection: Connection) -> None:
    """4: which packs were imported, from where, with which content."""
    create_table(
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


def _outcomes(connection: Connection) -> None:
    """5: how each finished task was judged, what became of each recalled mitigation, switches of learning."""
    create_table(
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
    create_table(
        connection,
        "uses",
        {"id": int, "mitigation_id": int, "task_id": str, "outcome": str},
    )
    connection.execute("CREATE UNIQUE INDEX uses_once ON uses(mitigation_id, task_id)")
    create_table(connection, "switches", {"name": str, "value": str})


def _routes(connection: Connection) -> None:
    """6: what became of each hand-over, in the order learned, so that weights can be computed anew."""
    create_table(
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


def _route_changes(connection: Connection) -> None:
    """7: hand-overs as they were before a verdict was corrected or a rollback took them out."""
    create_table(
        connection,
        "route_changes",
        {"id": int, "event": int, "at": float, "number": int, "success": float, "usd": float},
        nullable=("number",),
        indexes=(("at",), ("event",)),
    )


def _places(connection: Connection) -> None:
    """8: rules hold for places; how each mind does with a rule; guards; what runs of agents taught."""
    for column in ("place", "work"):
        connection.execute(f"ALTER TABLE mitigations ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
    connection.execute("CREATE INDEX idx_mitigations_place ON mitigations(workspace, place, module)")
    create_table(
        connection,
        "rule_minds",
        {"id": int, "mitigation_id": int, "mind": str, "helped": int, "failed": int},
        defaults={"helped": 0, "failed": 0},
    )
    connection.execute("CREATE UNIQUE INDEX rule_minds_once ON rule_minds(mitigation_id, mind)")
    create_table(
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
    create_table(
        connection,
        "guard_evidence",
        {"id": int, "repo": str, "kind": str, "value": str, "blamed": int, "well": int, "lines": str},
    )
    connection.execute("CREATE UNIQUE INDEX guard_evidence_once ON guard_evidence(repo, kind, value)")
    create_table(connection, "guard_cells", {"cell": str, "right": int, "cases": int, "repos": str})
    create_table(connection, "remedy_levels", {"level": str, "cases": int, "helped": str})
    create_table(connection, "run_causes", {"id": int, "repo": str, "cause": str, "content": str})
    connection.execute("CREATE UNIQUE INDEX run_causes_once ON run_causes(repo, cause)")
    create_table(
        connection, "runs_read", {"fingerprint": str, "at": float, "repo": str, "agent": str, "steps": int}
    )


def _unspaced_words(connection: Connection) -> None:
    """9: words of scripts without spaces."""
    create_pairs(connection)


def _where_used(connection: Connection) -> None:
    """10: which files the tasks touched that were given a rule."""
    connection.execute("ALTER TABLE uses ADD COLUMN paths TEXT NOT NULL DEFAULT '[]'")


def _steps_read(connection: Connection) -> None:
    """11: which steps of agents' sessions were read, since sessions grow and are copied."""
    create_table(connection, "run_steps_read", {"mark": str})


def _vowel_signs(connection: Connection) -> None:
    """12: words of scripts with vowel signs."""
    index_vowel_signs(connection)


MIGRATIONS: tuple[Migration, ...] = (
    _memories,
    _patterns,
    _learning,
    _packs,
    _outcomes,
    _routes,
    _route_changes,
    _places,
    _unspaced_words,
    _where_used,
    _steps_read,
    _vowel_signs,
)
