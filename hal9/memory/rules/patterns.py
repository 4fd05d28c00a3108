"""Patterns: errors that keep coming back in one place, recognised by signature or by meaning."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hal9.database import Connection, Row
from hal9.errors.memory import MemoryMissing
from hal9.memory.records import MemoryScope, NewMemory, Occurrence, Pattern
from hal9.memory.rules.rules import RuleStore
from hal9.memory.rules.scope import scope_for_memory
from hal9.memory.rules.signature import signature
from hal9.memory.store.store import MemoryStore
from hal9.text import clean_text, split_lines

__all__ = ["Observation", "PatternMatch", "PatternPolicy", "PatternStore", "confidence"]

_TITLE_CHARS = 120
_NEIGHBOURS = 500


@dataclass(frozen=True, slots=True)
class PatternPolicy:
    """When errors form a pattern.

    Attributes:
        pattern_threshold: occurrences that form one.
        neighbour_similarity: cosine from which two error texts are neighbours although their signatures
            differ.
        match_threshold: confidence from which a pattern is recognised.
        pattern_importance: importance of the memory that records a new pattern.
    """

    pattern_threshold: int = 3
    neighbour_similarity: float = 0.80
    match_threshold: float = 0.5
    pattern_importance: float = 0.9


@dataclass(frozen=True, slots=True)
class Observation:
    """What became of one reported error."""

    memory_id: int
    occurrence_id: int
    signature: str
    pattern: Pattern | None
    formed: bool


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """An error recognised as an instance of a pattern."""

    pattern: Pattern
    by: Literal["signature", "neighbourhood"]
    similarity: float


def confidence(
    occurrences: int, threshold: int, *, confirmed: int = 0, refuted: int = 0, best_bound: float = 0.0
) -> float:
    """How sure we are of a pattern, 0..1.

    ``1 - (1 - e)(1 - m)``, where ``e = (n + confirmed) / (n + confirmed + threshold + 2 refuted)`` is the
    evidence that it recurs and ``m`` the lower bound of its best rule's success rate. At the moment of
    forming (n = threshold) it is exactly 0.5 without any rule, and it tends to 1 with either kind of
    evidence, so a match threshold of 0.5 is reached by every pattern and left again by a refuted one.

    Args:
        occurrences: n, errors counted.
        threshold: errors that form a pattern.
        confirmed: recognitions that turned out right.
        refuted: recognitions that turned out wrong.
        best_bound: m.
    """
    evidence = occurrences + confirmed
    recurs = evidence / (evidence + threshold + 2 * refuted) if evidence > 0 else 0.0
    return 1.0 - (1.0 - recurs) * (1.0 - best_bound)


class PatternStore:
    """Records errors and recognises patterns. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore, policy: PatternPolicy | None = None) -> None:
        self.store = store
        self.policy = policy or PatternPolicy()
        self._rules = RuleStore(store)

    def observe(self, error: Occurrence) -> Observation:
        """Remember an error, count it, and form or extend its pattern; all of it or nothing.

        The scope is widened by `scope_for_memory` first: errors of one module belong together.
        """
        mark = signature(clean_text(error.text), error_type=error.error_type)
        scope = scope_for_memory(error.scope.cleaned())
        vectors = self.store.embed([clean_text(error.text)])
        with self.store.writing() as tables:
            memory_id = self.store.remember_many([_error_memory(error, mark, scope)], vectors=vectors)[0]
            now = self.store.clock.now()
            occurrence_id = self.store.insert(
                "occurrences",
                {
                    "memory_id": memory_id,
                    "pattern_id": None,
                    "signature": mark,
                    "error_type": error.error_type,
                    "neuron": clean_text(error.neuron),
                    "layer": error.layer,
                    **_scope_columns(scope),
                    "task_id": clean_text(error.task_id),
                    "magnitude": error.magnitude,
                    "at": now,
                },
            )
            known = self._find(mark, error.error_type, scope, memory_id)
            if known is not None:
                self._assign(tables.conn, known, [occurrence_id], now)
                return Observation(memory_id, occurrence_id, mark, self.get(known), formed=False)
            members = self._forming(mark, error.error_type, scope, memory_id, occurrence_id)
            if len(members) < self.policy.pattern_threshold:
                return Observation(memory_id, occurrence_id, mark, None, formed=False)
            pattern_id = self._form(mark, error, scope, members, now)
            return Observation(memory_id, occurrence_id, mark, self.get(pattern_id), formed=True)

    def match(self, text: str, *, error_type: str, scope: MemoryScope) -> PatternMatch | None:
        """Recognise an error text; None when no pattern of this scope is sure enough."""
        scope = scope_for_memory(scope.cleaned())
        mark = signature(clean_text(text), error_type=error_type)
        with self.store.reading() as connection:
            row = connection.execute(
                f"SELECT id FROM patterns WHERE signature = ? AND error_type = ? AND {_SCOPE_IS} ORDER BY id",  # noqa: S608
                (mark, error_type, *_scope_values(scope)),
            ).fetchone()
        if row is not None:
            return self._sure(PatternMatch(self.get(int(row["id"])), "signature", 1.0))
        made = self.store.embed([clean_text(text)])
        if made is None:
            return None
        near = self._nearest_pattern(made[0], error_type, scope, exclude=-1)
        if near is None:
            return None
        return self._sure(PatternMatch(self.get(near[0]), "neighbourhood", near[1]))

    def judge(self, pattern_id: int, *, right: bool) -> Pattern:
        """Count a recognition as right or wrong; wrong ones lower the confidence."""
        column = "confirmed" if right else "refuted"
        with self.store.writing() as tables:
            changed = tables.conn.execute(
                f"UPDATE patterns SET {column} = {column} + 1 WHERE id = ?",  # noqa: S608
                (pattern_id,),
            ).rowcount
            if changed == 0:
                raise MemoryMissing(kind="pattern", id=pattern_id)
        return self.get(pattern_id)

    def set_prevention(self, pattern_id: int, strategy: str) -> None:
        """Write down how to prevent a pattern, for people."""
        self.get(pattern_id)
        with self.store.writing() as tables:
            tables.table("patterns").update(pattern_id, {"prevention_strategy": clean_text(strategy)})

    def get(self, pattern_id: int) -> Pattern:
        """One pattern.

        Raises:
            MemoryMissing: it is not stored.
        """
        with self.store.reading() as connection:
            row = connection.execute("SELECT * FROM patterns WHERE id = ?", (pattern_id,)).fetchone()
        if row is None:
            raise MemoryMissing(kind="pattern", id=pattern_id)
        return self._pattern(row)

    def all(self, scope: MemoryScope | None = None) -> list[Pattern]:
        """Every pattern, or those of exactly this scope, surest first."""
        kept = None if scope is None else scope_for_memory(scope.cleaned())
        where, values = ("1 = 1", ()) if kept is None else (_SCOPE_IS, _scope_values(kept))
        with self.store.reading() as connection:
            rows = connection.execute(f"SELECT * FROM patterns WHERE {where}", values).fetchall()  # noqa: S608
        return sorted((self._pattern(row) for row in rows), key=lambda one: (-one.confidence, one.id))

    # --- inner ---

    def _sure(self, match: PatternMatch) -> PatternMatch | None:
        return match if match.pattern.confidence >= self.policy.match_threshold else None

    def _find(self, mark: str, error_type: str, scope: MemoryScope, memory_id: int) -> int | None:
        connection = self.store.connection
        row = connection.execute(
            f"SELECT id FROM patterns WHERE signature = ? AND error_type = ? AND {_SCOPE_IS} ORDER BY id",  # noqa: S608
            (mark, error_type, *_scope_values(scope)),
        ).fetchone()
        if row is not None:
            return int(row["id"])
        vector = self._vector_of(memory_id)
        near = None if vector is None else self._nearest_pattern(vector, error_type, scope, memory_id)
        return near[0] if near else None

    def _vector_of(self, memory_id: int) -> NDArray[np.float32] | None:
        if self.store.embedder is None:
            return None
        row = self.store.connection.execute(
            "SELECT embedding FROM memories WHERE id = ? AND embedding_model = ?",
            (memory_id, self.store.embedder.model_id),
        ).fetchone()
        return None if row is None else np.frombuffer(row["embedding"], dtype="<f4")

    def _neighbours(
        self,
        vector: NDArray[np.float32],
        error_type: str,
        scope: MemoryScope,
        *,
        assigned: bool,
        exclude: int,
    ) -> list[tuple[Row, float]]:
        """Occurrences of this scope whose texts are near, nearest first; the newest 500 are looked at."""
        if self.store.embedder is None:
            return []
        null = "IS NOT NULL" if assigned else "IS NULL"
        with self.store.reading() as connection:
            rows = connection.execute(
                f"SELECT o.id, o.pattern_id, m.embedding FROM occurrences o "  # noqa: S608
                f"JOIN memories m ON m.id = o.memory_id "
                f"WHERE o.error_type = ? AND o.workspace = ? AND o.module = ? AND o.task_family = ? "
                f"AND o.pattern_id {null} AND m.embedding_model = ? AND m.quarantined = 0 AND m.id != ? "
                "ORDER BY o.id DESC LIMIT ?",
                (
                    error_type,
                    *_scope_values(scope),
                    self.store.embedder.model_id,
                    exclude,
                    _NEIGHBOURS,
                ),
            ).fetchall()
        if not rows:
            return []
        matrix = np.stack([np.frombuffer(row["embedding"], dtype="<f4") for row in rows])
        scores = matrix @ vector
        near = [
            (row, float(score))
            for row, score in zip(rows, scores, strict=True)
            if score >= self.policy.neighbour_similarity
        ]
        return sorted(near, key=lambda pair: -pair[1])

    def _nearest_pattern(
        self, vector: NDArray[np.float32], error_type: str, scope: MemoryScope, exclude: int
    ) -> tuple[int, float] | None:
        near = self._neighbours(vector, error_type, scope, assigned=True, exclude=exclude)
        return (int(near[0][0]["pattern_id"]), near[0][1]) if near else None

    def _forming(
        self, mark: str, error_type: str, scope: MemoryScope, memory_id: int, occurrence_id: int
    ) -> list[int]:
        """Unassigned occurrences that belong with this one, itself included."""
        rows = self.store.connection.execute(
            f"SELECT id FROM occurrences WHERE signature = ? AND error_type = ? AND {_SCOPE_IS} "  # noqa: S608
            "AND pattern_id IS NULL",
            (mark, error_type, *_scope_values(scope)),
        ).fetchall()
        members = {int(row["id"]) for row in rows} | {occurrence_id}
        vector = self._vector_of(memory_id)
        if vector is not None:
            near = self._neighbours(vector, error_type, scope, assigned=False, exclude=memory_id)
            members |= {int(row["id"]) for row, _ in near}
        return sorted(members)

    def _assign(self, connection: Connection, pattern_id: int, occurrences: list[int], now: float) -> None:
        connection.execute(
            "UPDATE occurrences SET pattern_id = ? WHERE id IN (SELECT value FROM json_each(?))",
            (pattern_id, json.dumps(occurrences)),
        )
        connection.execute(
            "UPDATE patterns SET occurrences = occurrences + ?, last_seen = ? WHERE id = ?",
            (len(occurrences), now, pattern_id),
        )

    def _form(self, mark: str, error: Occurrence, scope: MemoryScope, members: list[int], now: float) -> int:
        title = split_lines(clean_text(error.text).strip())
        first = self.store.connection.execute(
            "SELECT min(at) AS at FROM occurrences WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(members),),
        ).fetchone()
        row: dict[str, Any] = {
            "signature": mark,
            "error_type": error.error_type,
            **_scope_columns(scope),
            "title": (title[-1] if title else mark)[:_TITLE_CHARS],
            "occurrences": 0,
            "threshold": self.policy.pattern_threshold,
            "prevention_strategy": None,
            "first_seen": float(first["at"]),
            "last_seen": now,
        }
        pattern_id = self.store.insert("patterns", row)
        self._assign(self.store.connection, pattern_id, members, now)
        self.store.remember(
            NewMemory(
                kind="pattern",
                content=f"{error.error_type} recurs: {row['title']}",
                neuron=error.neuron,
                layer=error.layer,
                scope=scope,
                importance=self.policy.pattern_importance,
                source="patterns",
                meta={"pattern_id": pattern_id, "signature": mark},
            )
        )
        return pattern_id

    def _pattern(self, row: Row) -> Pattern:
        answers = self._rules.all(states=("candidate", "admitted", "retired"), pattern_id=int(row["id"]))
        best = max((self._rules.lower_bound(one) for one in answers), default=0.0)
        return Pattern(
            id=int(row["id"]),
            signature=row["signature"],
            error_type=row["error_type"],
            scope=MemoryScope(row["workspace"], row["module"], row["task_family"]),
            title=row["title"],
            occurrences=int(row["occurrences"]),
            confirmed=int(row["confirmed"]),
            refuted=int(row["refuted"]),
            prevention_strategy=row["prevention_strategy"],
            confidence=confidence(
                int(row["occurrences"]),
                int(row["threshold"]),
                confirmed=int(row["confirmed"]),
                refuted=int(row["refuted"]),
                best_bound=best,
            ),
            first_seen=float(row["first_seen"]),
            last_seen=float(row["last_seen"]),
        )


def _error_memory(error: Occurrence, mark: str, scope: MemoryScope) -> NewMemory:
    return NewMemory(
        kind="error",
        content=error.text,
        neuron=error.neuron,
        layer=error.layer,
        scope=scope,
        importance=min(1.0, max(0.0, error.magnitude)),
        task_id=error.task_id,
        source="detector",
        meta={"error_type": error.error_type, "signature": mark},
    )


_SCOPE_IS = "workspace = ? AND module = ? AND task_family = ?"


def _scope_values(scope: MemoryScope) -> tuple[str, str, str]:
    return scope.workspace, scope.module, scope.task_family


def _scope_columns(scope: MemoryScope) -> dict[str, str]:
    return {"workspace": scope.workspace, "module": scope.module, "task_family": scope.task_family}
