"""Rules with solved examples, counted by what became of the tasks that were given them.

A rule begins as a candidate, is admitted when it fixes a case that failed without it, is retired after
two failures (each success pays for two more), and is quarantined when it does harm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hal9.database import Connection
from hal9.errors.memory import MemoryInvalid, MemoryMissing
from hal9.memory.records import (
    TAUGHT_ON,
    MemoryScope,
    NewMemory,
    NewRule,
    Outcome,
    Rule,
    RuleState,
    SolvedExample,
    defused,
    dump_json,
)
from hal9.memory.rules.place import places_of
from hal9.memory.rules.rule_rows import rule_of
from hal9.memory.statistics import wilson_lower
from hal9.memory.store.store import MemoryStore, content_hash
from hal9.text import clean_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "HERE",
    "RULE_MEMORY",
    "Admission",
    "HeldBackCase",
    "HeldBackTrial",
    "RulePolicy",
    "RuleStore",
    "rule_hash",
]


HERE = "workspace IN (:workspace, :also, '*')"
"""Condition on a rule's workspace; a task's may go by two names."""
RULE_MEMORY = "lesson"
"""Source of the memories that stand for rules in force."""


@dataclass(frozen=True, slots=True)
class RulePolicy:
    """When a rule goes.

    Attributes:
        retire_after: failures without a success that retire it.
        success_pays: how many further failures one success pays for.
        quarantine_hurt: harmful uses, when they outnumber the helpful, that quarantine it.
        max_rule_chars: longest rule that is stored.
        max_example_chars: longest example task, and longest answer.
        trusted_minds: minds whose rules are taken at all; none by default, since small models write useless
            ones.
        importance: of the memory that stands for a rule in force.
    """

    retire_after: int = 2
    success_pays: int = 2
    quarantine_hurt: int = 2
    max_rule_chars: int = 2_000
    max_example_chars: int = 20_000
    trusted_minds: tuple[str, ...] = ()
    importance: float = 0.9


@dataclass(frozen=True, slots=True)
class HeldBackCase:
    """A task that failed and can be checked again; `reference` is whatever the trial needs to check it."""

    task_id: str
    task: str
    reference: Any = None


class HeldBackTrial(Protocol):
    """Runs one held-back case with a rule (or bare, with None) and says whether it passed."""

    def __call__(self, case: HeldBackCase, rule: Rule | None) -> bool:
        """Whether the case passes."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What a held-back evaluation found."""

    admitted: bool
    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    still_failing: tuple[str, ...]
    reason: str


def rule_hash(rule: str, example: SolvedExample | None, scope: MemoryScope) -> str:
    """Identity of a rule's content; counters and states are not part of it."""
    return content_hash(
        rule,
        example.task if example else "",
        example.answer if example else "",
        scope.workspace,
        scope.module,
        scope.task_family,
        # Rules that hold for no place keep the hash that they had before there were places.
        *((scope.place, scope.work) if scope.place else ()),
    )


class RuleStore:
    """Writes and reads the rules of a memory file. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore, policy: RulePolicy | None = None) -> None:
        self.store = store
        self.policy = policy or RulePolicy()

    def propose(self, new: NewRule, *, vector: NDArray[np.float32] | None = None) -> int:
        """Store a candidate and return its number; an equal one in the same scope is returned instead.

        Args:
            new: the rule.
            vector: shape (dimension,): what `embed` gave for its example's task (else the task it was
                taught on, else its rule), if known.

        Raises:
            MemoryInvalid: the rule is empty or too long, it covers nothing, or a mind wrote it that is not
                trusted.
        """
        if new.source == "mind" and new.trusted_by not in self.policy.trusted_minds:
            raise MemoryInvalid(
                what="rule",
                why=f"the mind {new.trusted_by!r} is not among those trusted to write rules",
            )
        rule, scope = defused(clean_text(new.rule)).strip(), new.scope.cleaned()
        example = _clean_example(new.example)
        self.check(rule, example, scope)
        if vector is None:
            taught_on = str(new.provenance.get(TAUGHT_ON, ""))
            made = self.store.embed([example.task if example else taught_on or rule])
            vector = None if made is None else made[0]
        identity = rule_hash(rule, example, scope)
        with self.store.writing() as tables:
            known = tables.conn.execute(
                "SELECT id FROM mitigations WHERE content_hash = ?", (identity,)
            ).fetchone()
            if known is not None:
                return int(known["id"])
            row = {
                "pattern_id": new.pattern_id,
                "rule": rule,
                "example_task": example.task if example else None,
                "example_answer": example.answer if example else None,
                "workspace": scope.workspace,
                "module": scope.module,
                "task_family": scope.task_family,
                "place": scope.place,
                "work": scope.work,
                "source": new.source,
                "trusted_by": clean_text(new.trusted_by),
                "state": "candidate",
                "created": self.store.clock.now(),
                "content_hash": identity,
                "provenance": dump_json(new.provenance),
            } | self.store.vector_columns(vector)
            return self.store.insert("mitigations", row)

    def check(self, rule: str, example: SolvedExample | None, scope: MemoryScope) -> None:
        """Find out whether `propose` would take a rule.

        Raises:
            MemoryInvalid: it would not; says why.
        """
        if not rule:
            raise MemoryInvalid(what="rule", why="its rule is empty")
        if len(rule) > self.policy.max_rule_chars:
            raise MemoryInvalid(
                what="rule",
                why=f"its rule has {len(rule)} characters, at most {self.policy.max_rule_chars} are kept",
            )
        if example is not None:
            for name, text in (("example task", example.task), ("example answer", example.answer)):
                if not text.strip():
                    raise MemoryInvalid(what="rule", why=f"its {name} is empty")
                if len(text) > self.policy.max_example_chars:
                    raise MemoryInvalid(
                        what="rule",
                        why=f"its {name} has {len(text)} characters, "
                        f"at most {self.policy.max_example_chars} are kept",
                    )
        if not scope.module and not scope.task_family and not scope.place:
            raise MemoryInvalid(
                what="rule",
                why="its scope names neither a place nor a module nor a task family, so no task would match; "
                "use '*' for any",
            )

    def get(self, rule_id: int) -> Rule:
        """One rule.

        Raises:
            MemoryMissing: it is not stored.
        """
        with self.store.reading() as connection:
            row = connection.execute("SELECT * FROM mitigations WHERE id = ?", (rule_id,)).fetchone()
        if row is None:
            raise MemoryMissing(kind="rule", id=rule_id)
        return rule_of(row)

    def all(self, *, states: Sequence[RuleState] = (), pattern_id: int | None = None) -> list[Rule]:
        """Stored rules, best first by the lower bound of their success rate."""
        clauses, values = ["1 = 1"], list[Any]()
        if states:
            clauses.append("state IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(states)))
        if pattern_id is not None:
            clauses.append("pattern_id = ?")
            values.append(pattern_id)
        with self.store.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM mitigations WHERE {' AND '.join(clauses)} ORDER BY id",  # noqa: S608
                values,
            ).fetchall()
        found = [rule_of(row) for row in rows]
        return sorted(found, key=lambda one: (-self.lower_bound(one), -one.helped, one.id))

    def in_scope(self, task: MemoryScope, states: Sequence[RuleState] = ("admitted",)) -> list[Rule]:
        """Rules whose scope covers a task's, exactly; SQL narrows, `MemoryScope.covers` decides."""
        with self.store.reading() as connection:
            rows = connection.execute(
                # Three look-ups by index: one condition with OR would read every rule of the workspace.
                "SELECT * FROM mitigations WHERE state IN (SELECT value FROM json_each(:states)) AND id IN ("  # noqa: S608
                f"SELECT id FROM mitigations WHERE {HERE} AND place = '' AND module IN (:module, '*') "
                "AND task_family IN (:family, '*') "
                f"UNION SELECT id FROM mitigations WHERE {HERE} "
                "AND place IN (SELECT value FROM json_each(:places)) "
                f"UNION SELECT id FROM mitigations WHERE {HERE} AND place >= 'glob:' AND place < 'glob;') "
                "ORDER BY id",
                {
                    "workspace": task.workspace,
                    "also": task.also or task.workspace,
                    "states": json.dumps(list(states)),
                    "module": task.module,
                    "family": task.task_family,
                    "places": json.dumps(places_of(task.paths)),
                },
            ).fetchall()
        return [one for one in map(rule_of, rows) if one.scope.covers(task)]

    def vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Stored vectors of the present model, shape (dimension,); a rule without one is left out."""
        import numpy as np  # noqa: PLC0415 - hooks do without

        if self.store.embedder is None:
            return {}
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT id, embedding FROM mitigations WHERE embedding_model = ? "
                "AND id IN (SELECT value FROM json_each(?))",
                (self.store.embedder.model_id, json.dumps(list(ids))),
            ).fetchall()
        return {int(row["id"]): np.frombuffer(row["embedding"], dtype="<f4") for row in rows}

    def lower_bound(self, rule: Rule) -> float:
        """Lower confidence bound of the success rate; the held-back case it fixed counts as one success.

        The wider 90% interval is used: with few tries, a 97.5% bound hardly tells good from untried.
        """
        prior = 1 if rule.state == "admitted" else 0
        return wilson_lower(rule.helped + prior, rule.tried + prior, z=1.2816)

    def attach(self, rule_id: int, pattern_id: int | None) -> None:
        """Say which pattern a rule answers."""
        with self.store.writing() as tables:
            self._require(tables.conn, rule_id)
            tables.table("mitigations").update(rule_id, {"pattern_id": pattern_id})

    def admit(self, rule_id: int, cases: Sequence[HeldBackCase], trial: HeldBackTrial) -> Admission:
        """Admit a candidate if it fixes at least one held-back case and breaks none.

        Every case is run bare and with the candidate (this may call a model, so no lock is held meanwhile).
        """
        candidate = self.get(rule_id)
        fixed, broken, failing = list[str](), list[str](), list[str]()
        for case in cases:
            bare, helped = trial(case, None), trial(case, candidate)
            if helped and not bare:
                fixed.append(case.task_id)
            elif bare and not helped:
                broken.append(case.task_id)
            elif not helped:
                failing.append(case.task_id)
        admitted = bool(fixed) and not broken
        if admitted:
            reason = f"fixes {len(fixed)} of {len(cases)} held-back cases: {', '.join(fixed[:5])}"
        elif broken:
            reason = f"breaks {len(broken)} of {len(cases)} held-back cases: {', '.join(broken[:5])}"
        else:
            reason = f"fixes none of {len(cases)} held-back cases"
        if candidate.state == "candidate":
            # A candidate that breaks something never gets near a prompt; one that merely fixes nothing may be
            # tried again when other cases have been seen.
            state: RuleState = "admitted" if admitted else "quarantined" if broken else "candidate"
            self.set_state(rule_id, state, reason)
        return Admission(
            admitted and candidate.state == "candidate", tuple(fixed), tuple(broken), tuple(failing), reason
        )

    def set_state(self, rule_id: int, state: RuleState, reason: str) -> None:
        """Change the state by decision; the reason is kept.

        What is in force is also a memory of kind "learning", found by search; it leaves search with its
        rule.
        """
        with self.store.writing() as tables:
            self._require(tables.conn, rule_id)
            tables.table("mitigations").update(rule_id, {"state": state, "state_reason": clean_text(reason)})
            known = [
                int(row["id"])
                for row in tables.conn.execute(
                    "SELECT id FROM memories WHERE kind = 'learning' AND source = ? "
                    "AND CAST(json_extract(meta, '$.mitigation_id') AS INTEGER) = ?",
                    (RULE_MEMORY, rule_id),
                )
            ]
            if state != "admitted":
                self.store.quarantine(known, f"rule {rule_id} is {state}")
            elif known:
                self.store.release(known)
            else:
                one = self.get(rule_id)
                self.store.remember(
                    NewMemory(
                        kind="learning",
                        content=one.rule,
                        scope=one.scope,
                        importance=self.policy.importance,
                        source=RULE_MEMORY,
                        meta={"mitigation_id": rule_id},
                    )
                )

    def record_outcome(self, rule_id: int, outcome: Outcome) -> Rule:
        """Count a use, then retire or quarantine if the record says so; returns the new record."""
        column = "unjudged" if outcome == "neutral" else outcome
        tried = 0 if outcome == "neutral" else 1
        with self.store.writing() as tables:
            self._require(tables.conn, rule_id)
            tables.conn.execute(
                f"UPDATE mitigations SET {column} = {column} + 1, tried = tried + ?, "  # noqa: S608
                "last_used = ? WHERE id = ?",
                (tried, self.store.clock.now(), rule_id),
            )
            after = self.get(rule_id)
            verdict = self._verdict(after)
            if verdict is not None:
                self.set_state(rule_id, *verdict)
                after = self.get(rule_id)
        return after

    def _verdict(self, one: Rule) -> tuple[RuleState, str] | None:
        if one.state not in ("admitted", "candidate"):
            return None
        if one.hurt >= self.policy.quarantine_hurt and one.hurt > one.helped:
            return "quarantined", f"hurt {one.hurt} tasks, helped {one.helped}"
        failures = one.failed + one.hurt
        if one.source == "user":
            return None  # the user's own word is never taken back silently; they are asked (see `doubtful`)
        if failures - self.policy.success_pays * one.helped >= self.policy.retire_after:
            return "retired", f"failed {failures} of {one.tried} tries"
        return None

    def doubtful(self, one: Rule) -> bool:
        """Whether the record of a rule asks for a person's look: it fails more than its successes pay for."""
        failures = one.failed + one.hurt
        return failures - self.policy.success_pays * one.helped >= self.policy.retire_after

    def set_scope(self, rule_id: int, scope: MemoryScope) -> Rule:
        """Let a rule hold for another place; its record stays.

        Raises:
            MemoryMissing: it is not stored.
            MemoryInvalid: the scope covers nothing, or the same rule holds there already.
        """
        scope = scope.cleaned()
        with self.store.writing() as tables:
            one = self.get(rule_id)
            self.check(one.rule, one.example, scope)
            identity = rule_hash(one.rule, one.example, scope)
            known = tables.conn.execute(
                "SELECT id FROM mitigations WHERE content_hash = ? AND id != ?", (identity, rule_id)
            ).fetchone()
            if known is not None:
                raise MemoryInvalid(
                    what="rule", why=f"rule {known['id']} says the same for that place already"
                )
            tables.table("mitigations").update(
                rule_id,
                {
                    "workspace": scope.workspace,
                    "module": scope.module,
                    "task_family": scope.task_family,
                    "place": scope.place,
                    "work": scope.work,
                    "content_hash": identity,
                },
            )
        return self.get(rule_id)

    def _require(self, connection: Connection, rule_id: int) -> None:
        if connection.execute("SELECT 1 FROM mitigations WHERE id = ?", (rule_id,)).fetchone() is None:
            raise MemoryMissing(kind="rule", id=rule_id)


def _clean_example(example: SolvedExample | None) -> SolvedExample | None:
    if example is None:
        return None
    return SolvedExample(defused(clean_text(example.task)), defused(clean_text(example.answer)))
