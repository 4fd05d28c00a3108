"""Sleep: merge what is there twice, distil what is known as a pattern, forget what nobody needs.

Importance fades while a memory is not retrieved; what was seen to do harm is quarantined rather than deleted,
so that it can be inspected and released.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hal9.database import Connection
from hal9.memory.statistics import wilson_lower
from hal9.memory.store.store import MemoryStore

__all__ = ["ConsolidationPolicy", "ConsolidationReport", "consolidate", "faded_importance"]

_DAY = 86_400.0
_GROUP = 2_000


@dataclass(frozen=True, slots=True)
class ConsolidationPolicy:
    """What sleep may do.

    Attributes:
        retention_days: a memory not retrieved for so long may be forgotten.
        forget_below: faded importance under which it then is.
        half_life_days: idle time that halves importance.
        duplicate_similarity: cosine from which two memories of one kind and scope are the same.
        keep_per_pattern: error texts that a pattern keeps; the newest and gravest stay.
        quarantine_margin: how many more harmful than helpful outcomes quarantine a memory.
        max_memories: above this the least useful are forgotten, whatever their age.
    """

    retention_days: float = 30.0
    forget_below: float = 0.3
    half_life_days: float = 30.0
    duplicate_similarity: float = 0.98
    keep_per_pattern: int = 5
    quarantine_margin: int = 2
    max_memories: int = 100_000


@dataclass(frozen=True, slots=True)
class ConsolidationReport:
    """What sleep did (or, on a dry run, would do)."""

    before: int
    merged: int
    distilled: int
    quarantined: int
    forgotten: int
    after: int


class _DryRun(Exception):
    """Unwinds the transaction of a dry run."""


def faded_importance(importance: float, idle_seconds: float, half_life_days: float) -> float:
    """Importance after idling: halved every half-life.

    It is derived on reading and never written, so sleeping twice fades nothing twice.
    """
    return float(importance * 0.5 ** (max(0.0, idle_seconds) / (half_life_days * _DAY)))


def consolidate(
    store: MemoryStore, policy: ConsolidationPolicy | None = None, *, dry_run: bool = False
) -> ConsolidationReport:
    """Consolidate the memory in one transaction.

    Args:
        store: an open memory file.
        policy: what may be done.
        dry_run: report only; nothing changes.

    Raises:
        MemoryUnwritable: nothing was changed.
    """
    policy = policy or ConsolidationPolicy()
    reports = list[ConsolidationReport]()
    try:
        with store.writing() as tables:
            connection = tables.conn
            before = store.count()
            merged = _merge_equal(store, connection) + _merge_near(store, connection, policy)
            quarantined = store.quarantine(_harmful(connection, policy), "did more harm than good")
            distilled = store.forget(_superfluous_examples(connection, policy))
            forgotten = store.forget(_stale(store, connection, policy))
            forgotten += store.forget(_overflow(store, connection, policy))
            reports.append(
                ConsolidationReport(before, merged, distilled, quarantined, forgotten, store.count())
            )
            _leave(dry_run)
    except _DryRun:
        pass
    return reports[0]


def _leave(dry_run: bool) -> None:
    if dry_run:
        raise _DryRun


def _absorb(store: MemoryStore, connection: Connection, keep: int, gone: Iterable[int]) -> int:
    """Add the counts of duplicates to the one that stays, point their occurrences at it, delete them."""
    others = list(gone)
    listed = json.dumps(others)
    connection.execute(
        "UPDATE memories SET (importance, accessed, access_count, helped, hurt, neutral) = "
        "(SELECT max(importance), max(accessed), sum(access_count), sum(helped), sum(hurt), sum(neutral) "
        "FROM memories WHERE id = :keep OR id IN (SELECT value FROM json_each(:ids))) WHERE id = :keep",
        {"ids": listed, "keep": keep},
    )
    connection.execute(
        "UPDATE occurrences SET memory_id = ? WHERE memory_id IN (SELECT value FROM json_each(?))",
        (keep, listed),
    )
    return store.forget(others)


def _merge_equal(store: MemoryStore, connection: Connection) -> int:
    groups = connection.execute(
        "SELECT json_group_array(id) AS ids FROM memories WHERE quarantined = 0 "
        "GROUP BY content_hash, neuron, layer HAVING count(*) > 1"
    ).fetchall()
    merged = 0
    for group in groups:
        ids = sorted(json.loads(group["ids"]))
        merged += _absorb(store, connection, ids[0], ids[1:])
    return merged


def _merge_near(store: MemoryStore, connection: Connection, policy: ConsolidationPolicy) -> int:
    """Greedy within kind, neuron, layer and scope: a memory joins the oldest one that it equals in meaning.

    Errors are left to their patterns, where the texts that stay differ on purpose.
    """
    if store.embedder is None:
        return 0
    groups = connection.execute(
        "SELECT json_group_array(id) AS ids FROM memories WHERE quarantined = 0 AND embedding_model = ? "
        "AND kind NOT IN ('error', 'pattern') "
        "GROUP BY kind, neuron, layer, workspace, module, task_family HAVING count(*) > 1",
        (store.embedder.model_id,),
    ).fetchall()
    merged = 0
    for group in groups:
        ids = sorted(json.loads(group["ids"]))[-_GROUP:]
        rows = connection.execute(
            "SELECT id, embedding FROM memories WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(ids),),
        ).fetchall()
        if len({len(row["embedding"]) for row in rows}) != 1:
            continue
        matrix = np.stack([np.frombuffer(row["embedding"], dtype="<f4") for row in rows])
        same = (matrix @ matrix.T) >= policy.duplicate_similarity
        taken = np.zeros(len(rows), dtype=bool)
        for index, row in enumerate(rows):
            if taken[index]:
                continue
            twins = [at for at in range(index + 1, len(rows)) if same[index, at] and not taken[at]]
            if twins:
                taken[twins] = True
                merged += _absorb(store, connection, int(row["id"]), [int(rows[at]["id"]) for at in twins])
    return merged


def _harmful(connection: Connection, policy: ConsolidationPolicy) -> list[int]:
    rows = connection.execute(
        "SELECT id FROM memories WHERE quarantined = 0 AND hurt - helped >= ?", (policy.quarantine_margin,)
    )
    return [int(row["id"]) for row in rows]


def _superfluous_examples(connection: Connection, policy: ConsolidationPolicy) -> list[int]:
    rows = connection.execute(
        "SELECT memory_id FROM (SELECT memory_id, row_number() OVER (PARTITION BY pattern_id "
        "ORDER BY importance DESC, created DESC, memory_id DESC) AS place FROM "
        "(SELECT DISTINCT o.pattern_id, o.memory_id, m.importance, m.created FROM occurrences o "
        "JOIN memories m ON m.id = o.memory_id WHERE o.pattern_id IS NOT NULL) AS examples) AS ranked "
        "WHERE place > ?",
        (policy.keep_per_pattern,),
    )
    return sorted({int(row["memory_id"]) for row in rows})


def _stale(store: MemoryStore, connection: Connection, policy: ConsolidationPolicy) -> list[int]:
    now = store.clock.now()
    rows = connection.execute(
        "SELECT id, importance, accessed, helped FROM memories WHERE accessed < ? AND kind != 'pattern' "
        "AND quarantined = 0",
        (now - policy.retention_days * _DAY,),
    )
    return [
        int(row["id"])
        for row in rows
        if row["helped"] == 0
        and faded_importance(row["importance"], now - row["accessed"], policy.half_life_days)
        < policy.forget_below
    ]


def _overflow(store: MemoryStore, connection: Connection, policy: ConsolidationPolicy) -> list[int]:
    surplus = store.count() - policy.max_memories
    if surplus <= 0:
        return []
    now = store.clock.now()
    rows = connection.execute(
        "SELECT id, importance, accessed, helped, hurt FROM memories WHERE kind != 'pattern'"
    )
    useful = [
        (
            faded_importance(row["importance"], now - row["accessed"], policy.half_life_days)
            + wilson_lower(row["helped"], row["helped"] + row["hurt"]),
            int(row["id"]),
        )
        for row in rows
    ]
    return [one for _, one in sorted(useful)[:surplus]]
