"""Is the memory sound, and how much of it is junk?

Junk is what a person would throw away: an empty text, a second copy, a memory that did more harm than good,
one that nobody retrieved within the retention time, or a row whose content or vector is damaged.
"""

import json
import sqlite3
from dataclasses import dataclass

import numpy as np

from hal9.database import Connection, on_postgres
from hal9.errors.database import DatabaseDamaged
from hal9.memory.rules.rule_rows import rule_of
from hal9.memory.rules.rules import RuleStore, rule_hash
from hal9.memory.store.store import MemoryStore, content_hash

__all__ = ["AuditReport", "audit"]

_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found.

    Attributes:
        integrity: "ok", or SQLite's words about the damage.
        memories: per kind.
        rules: per state.
        quarantined: memories out of search.
        junk: per reason; a memory with several reasons counts once, under the first.
        junk_rate: share of memories that are junk, 0..1.
        stale_vectors: rows without a vector of the present model.
        tampered: memories and rules whose content does not fit their hash, or whose counters don't add
            up.
    """

    integrity: str
    memories: dict[str, int]
    rules: dict[str, int]
    quarantined: int
    patterns: int
    junk: dict[str, int]
    junk_rate: float
    stale_vectors: int
    tampered: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Neither the file nor a row is damaged."""
        return self.integrity == "ok" and not self.tampered and self.junk["damaged vector"] == 0


def audit(store: MemoryStore, *, retention_days: float = 30.0, repair: bool = False) -> AuditReport:
    """Look at every row.

    Args:
        store: an open memory file.
        retention_days: after so long without a retrieval a memory counts as never used.
        repair: also quarantine tampered memories and rules and drop damaged vectors (so that they are
            made again); nothing is deleted.
    """
    with store.reading() as connection:
        integrity = _integrity(connection)
        if integrity != "ok":
            # The rows of a damaged file cannot be trusted to be readable.
            return _damaged(integrity)
        junk, junk_ids, bad_vectors, tampered = _judge_memories(store, connection, retention_days)
        wrong = _tampered_rules(connection)
        kinds = _counts(connection, "SELECT kind, count(*) FROM memories GROUP BY kind")
        states = _counts(connection, "SELECT state, count(*) FROM mitigations GROUP BY state")
        quarantined = int(
            connection.execute("SELECT count(*) FROM memories WHERE quarantined = 1").fetchone()[0]
        )
        patterns = int(connection.execute("SELECT count(*) FROM patterns").fetchone()[0])
    if repair:
        _repair(store, tampered, wrong, bad_vectors)
    total = sum(kinds.values())
    return AuditReport(
        integrity=integrity,
        memories=kinds,
        rules=states,
        quarantined=quarantined,
        patterns=patterns,
        junk=junk,
        junk_rate=len(junk_ids) / total if total else 0.0,
        stale_vectors=store.stale_vectors(),
        tampered=tuple([f"memory {one}" for one in tampered] + [f"rule {one}" for one in wrong]),
    )


_REASONS = ("empty", "copy", "harmful", "never used", "damaged vector", "tampered")


def _damaged(integrity: str) -> AuditReport:
    return AuditReport(
        integrity=integrity,
        memories={},
        rules={},
        quarantined=0,
        patterns=0,
        junk=dict.fromkeys(_REASONS, 0),
        junk_rate=0.0,
        stale_vectors=0,
        tampered=(),
    )


def _integrity(connection: Connection) -> str:
    if on_postgres(connection):
        return "ok"  # the server checks its pages when they are read; what is in them is judged below
    try:
        lines = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        if lines == ["ok"]:
            connection.execute("INSERT INTO memories_fts(memories_fts) VALUES ('integrity-check')")
    except (sqlite3.DatabaseError, DatabaseDamaged) as error:
        return str(error)
    return "ok" if lines == ["ok"] else "; ".join(lines)


def _counts(connection: Connection, query: str) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in connection.execute(query)}


def _judge_memories(
    store: MemoryStore, connection: Connection, retention_days: float
) -> tuple[dict[str, int], set[int], list[int], list[int]]:
    oldest = store.clock.now() - retention_days * _DAY
    junk = dict.fromkeys(_REASONS, 0)
    ids, bad_vectors, tampered = set[int](), list[int](), list[int]()
    seen = set[tuple[str, str, int]]()
    for row in connection.execute("SELECT * FROM memories ORDER BY id"):
        one = int(row["id"])
        identity = (row["content_hash"], row["neuron"], int(row["layer"]))
        true_hash = content_hash(
            row["kind"], row["content"], row["workspace"], row["module"], row["task_family"]
        )
        vector_bad = not _vector_sound(row["embedding"], row["embedding_dim"])
        changed = true_hash != row["content_hash"]
        if vector_bad:
            bad_vectors.append(one)
        if changed:
            tampered.append(one)
        unused = row["access_count"] == 0 and row["created"] < oldest and row["kind"] != "pattern"
        found = (
            not row["content"].strip(),
            identity in seen,
            row["hurt"] > row["helped"],
            unused,
            vector_bad,
            changed,
        )
        seen.add(identity)
        if any(found):
            junk[_REASONS[found.index(True)]] += 1
            ids.add(one)
    return junk, ids, bad_vectors, tampered


def _vector_sound(blob: bytes | None, dimension: int | None) -> bool:
    if blob is None:
        return True
    if dimension is None or len(blob) != 4 * dimension:
        return False
    vector = np.frombuffer(blob, dtype="<f4")
    return bool(np.isfinite(vector).all()) and abs(float(np.linalg.norm(vector)) - 1.0) < 1e-3


def _tampered_rules(connection: Connection) -> list[int]:
    wrong = list[int]()
    for row in connection.execute("SELECT * FROM mitigations ORDER BY id"):
        one = rule_of(row)
        adds_up = (
            one.tried == one.helped + one.failed + one.hurt
            and min(one.helped, one.failed, one.hurt, one.unjudged) >= 0
        )
        if not adds_up or rule_hash(one.rule, one.example, one.scope) != one.content_hash:
            wrong.append(one.id)
    return wrong


def _repair(store: MemoryStore, tampered: list[int], wrong: list[int], bad_vectors: list[int]) -> None:
    with store.writing() as tables:
        store.quarantine(tampered, "content does not fit its hash")
        book = RuleStore(store)
        for number in wrong:
            book.set_state(number, "quarantined", "content or counters do not fit")
        tables.conn.execute(
            "UPDATE memories SET embedding = NULL, embedding_model = NULL, embedding_dim = NULL "
            "WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(bad_vectors),),
        )
        if bad_vectors:
            store.bump_epoch()
