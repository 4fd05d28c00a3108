"""Undoing: one change, or everything since a moment; what is restored is byte for byte what was.

Learned state is what changes how a task is done: the promptgrams in force, the admitted rules with their
places, the guards and the connection weights. Counters of rules, errors and patterns are observations, not
changes; they stay.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hal9.errors.learning import RollbackBlocked, RollbackToFuture
from hal9.errors.promptgram import PromptgramMergeConflict
from hal9.learning.gate.gate import CHANGES, Gate
from hal9.learning.gate.rule_rollback import guards_to, scopes_to, undo_guard, undo_scope
from hal9.learning.routing.restore import restore_weights, weights_document
from hal9.learning.state.ledger import Change, Ledger
from hal9.learning.state.prompts import PromptStore
from hal9.memory import MemoryStore, RuleStore
from hal9.promptgram import Promptgram, merge
from hal9.settings import RoutingSettings

BACK_TO = "to "
"""How the cause of what a rollback to a moment writes begins; the moment follows."""

__all__ = ["BACK_TO", "Rollback", "Undone", "state_document"]


def state_document(store: MemoryStore, prompts: PromptStore) -> str:
    """The learned state as canonical JSON: equal states give equal bytes."""
    document: dict[str, Any] = {
        "mitigations": sorted(
            [one.content_hash, one.rule, one.scope.label()]
            for one in RuleStore(store).all(states=("admitted",))
        ),
        "prompts": {name: prompts.in_force(name).dump() for name in sorted(prompts.files)},
        "weights": weights_document(store),
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1)


@dataclass(frozen=True, slots=True)
class Undone:
    """What a rollback did, in sentences, and the hash of the state it led to."""

    said: tuple[str, ...]
    state_hash: str


class Rollback:
    """Undoes changes. Safe to call from any thread, like the store.

    Args:
        store: the memory file.
        prompts: the promptgrams in force.
        gate: brings contents into force.
        routing: settings in force now; None where nothing is routed.
    """

    def __init__(
        self,
        store: MemoryStore,
        prompts: PromptStore,
        gate: Gate,
        *,
        routing: Callable[[], RoutingSettings] | None = None,
    ) -> None:
        self.store = store
        self.prompts = prompts
        self.ledger = Ledger(store)
        self.book = RuleStore(store)
        self._gate = gate
        self._routing = routing

    def change(self, change_id: str, *, actor: str = "user") -> Undone:
        """Undo one change.

        Raises:
            ChangeUnknown: there is none with this id.
            RollbackBlocked: later changes stand on it, or it is nothing that can be undone.
        """
        with self.store.writing():
            change = self.ledger.get(change_id)
            if change.kind in CHANGES:
                said = self._prompt(change, actor)
            elif change.kind == "mitigation":
                said = self._rule(change, actor)
            elif change.kind == "rule_scope":
                said = undo_scope(self.store, change, actor)
            elif change.kind == "guard":
                said = undo_guard(self.store, change)
            elif change.kind == "import":
                said = self._import(change, actor)
            else:
                raise RollbackBlocked(
                    change=change.id, detail=f"a {change.kind} entry is a note, not a change"
                )
        return self._done([said])

    def to(self, moment: float, *, actor: str = "user") -> Undone:
        """Restore the learned state as it was at a moment (seconds since the epoch).

        Raises:
            RollbackToFuture: the moment has not been yet.
        """
        now = self.store.clock.now()
        if not moment <= now:
            raise RollbackToFuture(moment=moment, now=now)
        said: list[str] = []
        with self.store.writing():
            said += self._prompts_to(moment, actor)
            said += self._rules_to(moment, actor)
            cause = f"{BACK_TO}{moment:.6f}"
            said += scopes_to(self.store, moment, cause=cause, actor=actor)
            said += guards_to(self.store, moment, cause=cause)
            said += self._weights_to(moment, actor)
            self._states_to(moment, actor)
            self.ledger.record("rollback", "all", cause=f"{BACK_TO}{moment:.6f}", actor=actor)
        return self._done(said or ["nothing had changed since"])

    def _done(self, said: Iterable[str]) -> Undone:
        self.prompts.reload()
        state = state_document(self.store, self.prompts)
        return Undone(tuple(said), hashlib.sha256(state.encode()).hexdigest())

    # --- one change -------------------------------------------------------------------------------

    def _prompt(self, change: Change, actor: str) -> str:
        if change.state in ("waiting", "candidate", "canary"):
            self.prompts.write_canary(change.target, None)
            self.ledger.move(change.id, "denied", actor=actor, cause="withdrawn")
            return f"{change.target}: the change was withdrawn before it came into force"
        if change.state != "applied":
            raise RollbackBlocked(change=change.id, detail=f"it is {change.state}")
        current = self.prompts.in_force(change.target)
        if current.dump() == change.after:
            self._gate.restore(change, actor=actor, cause="rollback")
            return f"{change.target}: back to version {Promptgram.parse(change.before).version}"
        try:
            merged = merge(Promptgram.parse(change.after), Promptgram.parse(change.before), current)
        except PromptgramMergeConflict as error:
            raise RollbackBlocked(change=change.id, detail=str(error)) from error
        self._gate.set_prompt(change.target, merged.dump(), cause=change.id, actor=actor)
        self.ledger.move(change.id, "rolled_back", actor=actor, cause="rollback, later changes kept")
        return f"{change.target}: undone, later changes kept (version {merged.version})"

    def _rule(self, change: Change, actor: str) -> str:
        number = int(change.target)
        now = self.book.get(number).state
        if now != change.after:
            raise RollbackBlocked(change=change.id, detail=f"rule {number} is {now} by now")
        self._set_rule(number, now, change.before or "retired", actor, change.id)
        return f"rule {number}: {now} → {change.before or 'retired'}"

    def _import(self, change: Change, actor: str) -> str:
        """Quarantine all rules that came in with it, withdraw its changes that are not in force yet."""
        taken = kept = 0
        numbers = [int(one) for one in json.loads(change.after or "[]")]
        for number in numbers:
            one = self.book.get(number)
            if one.state in ("candidate", "admitted"):
                self._set_rule(number, one.state, "quarantined", actor, change.id)
                taken += 1
            else:
                kept += 1
        self.store.quarantine(_described_by(self.store, numbers), f"import {change.id[-12:]} taken back")
        withdrawn = 0
        for row in self.ledger.rows(kinds=CHANGES, states=("waiting", "candidate", "canary")):
            if row.cause == change.cause:
                self._prompt(row, actor)
                withdrawn += 1
        said = f"import of {change.target}: {taken} rules quarantined"
        if kept:
            said += f", {kept} were out of use already"
        return said + (f", {withdrawn} changes withdrawn" if withdrawn else "")

    def _set_rule(self, number: int, now: str, state: str, actor: str, cause: str) -> None:
        self.book.set_state(number, state, "rolled back")  # type: ignore[arg-type] # states from the ledger
        self.ledger.record(
            "mitigation",
            str(number),
            change=(now, state),
            cause=cause,
            actor=actor,
            details={"evidence": {"reason": "rolled back"}},
        )

    # --- to a moment --------------------------------------------------------------------------------

    def _prompts_to(self, moment: float, actor: str) -> list[str]:
        said = []
        later: dict[str, Change] = {}
        for row in self.ledger.rows(kinds=("prompt_set",)):
            if row.time > moment:
                later.setdefault(row.target, row)
        for neuron, first in sorted(later.items()):
            if not self.prompts.knows(neuron) or self.prompts.in_force(neuron).dump() == first.before:
                continue
            self._gate.set_prompt(neuron, first.before, cause=f"{BACK_TO}{moment:.6f}", actor=actor)
            said.append(f"{neuron}: back to version {Promptgram.parse(first.before).version}")
        return said

    def _rules_to(self, moment: float, actor: str) -> list[str]:
        then: dict[int, str] = {}
        for row in self.ledger.rows(kinds=("mitigation",)):
            number = int(row.target)
            if row.time <= moment:
                then[number] = row.after
            else:
                then.setdefault(number, row.before or "retired")
        said = []
        for number, state in sorted(then.items()):
            now = self.book.get(number).state
            if now != state and "admitted" in (now, state):
                self._set_rule(number, now, state, actor, f"{BACK_TO}{moment:.6f}")
                said.append(f"rule {number}: {now} → {state}")
        return said

    def _weights_to(self, moment: float, actor: str) -> list[str]:
        if self._routing is None:
            return []
        before = weights_document(self.store)
        said = restore_weights(self.store, self._routing(), moment)
        after = weights_document(self.store)
        if after != before:
            self.ledger.record(
                "weights",
                "all",
                change=(_lines(before), _lines(after)),
                cause=f"{BACK_TO}{moment:.6f}",
                actor=actor,
                details={"evidence": {"restored": said}},
            )
        return said

    def _states_to(self, moment: float, actor: str) -> None:
        """Let the changes say what is true again; what was being tried is given up."""
        history: dict[str, list[Change]] = {}
        for row in self.ledger.rows(kinds=("state",)):
            history.setdefault(row.target, []).append(row)
        for change in self.ledger.rows(kinds=CHANGES):
            earlier = [row for row in history.get(change.id, []) if row.time <= moment]
            was_applied = change.time <= moment and bool(earlier) and earlier[-1].after == "applied"
            if change.state in ("waiting", "candidate", "canary"):
                self.prompts.write_canary(change.target, None)
                self.ledger.move(change.id, "denied", actor=actor, cause="rollback")
            elif was_applied and change.state == "rolled_back":
                self.ledger.move(change.id, "applied", actor=actor, cause="rollback")
            elif not was_applied and change.state == "applied":
                self.ledger.move(change.id, "rolled_back", actor=actor, cause="rollback")


def _described_by(store: MemoryStore, rules: list[int]) -> list[int]:
    """Memories by which search finds these rules."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id FROM memories WHERE kind = 'learning' "
            "AND CAST(json_extract(meta, '$.mitigation_id') AS INTEGER) IN (SELECT value FROM json_each(?))",
            (json.dumps(rules),),
        ).fetchall()
    return [int(row["id"]) for row in rows]


def _lines(edges: list[list[object]]) -> str:
    """One edge per line, for the ledger's diff."""
    return "".join(json.dumps(edge, ensure_ascii=False) + "\n" for edge in edges)
