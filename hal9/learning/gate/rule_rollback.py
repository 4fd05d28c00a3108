"""Undoing where a rule holds and what a guard does: one change, or all since a moment."""

import json

from hal9.errors.learning import RollbackBlocked
from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.state.ledger import Change, Ledger
from hal9.memory import MemoryScope, MemoryStore, RuleStore

__all__ = ["guards_to", "scopes_to", "set_rule_scope", "undo_guard", "undo_scope"]


def set_rule_scope(store: MemoryStore, number: int, scope: MemoryScope, *, cause: str, actor: str) -> str:
    """Let a rule hold for another place; the ledger keeps both, so that it can be undone.

    Raises:
        MemoryMissing: there is no such rule.
        MemoryInvalid: the scope covers nothing, or the same rule holds there already.
    """
    book = RuleStore(store)
    with store.writing():
        before = book.get(number)
        after = book.set_scope(number, scope)
        Ledger(store).record(
            "rule_scope",
            str(number),
            change=(json.dumps(before.scope.parts()), json.dumps(after.scope.parts())),
            cause=cause,
            actor=actor,
            details={"evidence": {"rule": after.rule}},
        )
    return f"rule {number}: holds for {after.scope.label()} (before: {before.scope.label()})"


def undo_scope(store: MemoryStore, change: Change, actor: str) -> str:
    """Let a rule hold where it held before a change.

    Raises:
        RollbackBlocked: it has been moved again since, or the entry does not tell where it held.
    """
    number = int(change.target)
    before, after = _scope(change.before), _scope(change.after)
    if before is None or after is None:
        raise RollbackBlocked(
            change=change.id,
            detail=f"its entry tells no place; `hal9 rules set {number} --for PLACE`",
        )
    now = RuleStore(store).get(number).scope
    if now.parts() != after.parts():
        raise RollbackBlocked(change=change.id, detail=f"rule {number} holds for {now.label()} by now")
    return set_rule_scope(store, number, before, cause=change.id, actor=actor)


def _scope(text: str | None) -> MemoryScope | None:
    try:
        parts = json.loads(text or "")
    except ValueError:
        return None
    return MemoryScope.of(parts) if isinstance(parts, list) and parts else None


def scopes_to(store: MemoryStore, moment: float, *, cause: str, actor: str) -> list[str]:
    """Let every rule that was moved since a moment hold where it held then."""
    first: dict[str, Change] = {}
    for row in Ledger(store).rows(kinds=("rule_scope",)):
        if row.time > moment:
            first.setdefault(row.target, row)
    said = []
    for target, row in sorted(first.items()):
        then = _scope(row.before)
        if then is not None and RuleStore(store).get(int(target)).scope.parts() != then.parts():
            said.append(set_rule_scope(store, int(target), then, cause=cause, actor=actor))
    return said


def undo_guard(store: MemoryStore, change: Change) -> str:
    """Bring a guard back to the state that it had before a change; one that was new is out of use.

    Raises:
        RollbackBlocked: its state has changed again since.
    """
    book, number = GuardStore(store), int(change.target)
    now = book.get(number).state
    if now != change.after:
        raise RollbackBlocked(change=change.id, detail=f"guard {number} is {now} by now")
    then = change.before or "withdrawn"
    book.restore(number, then, cause=change.id)
    return f"guard {number}: {now} → {then}"


def guards_to(store: MemoryStore, moment: float, *, cause: str) -> list[str]:
    """Bring every guard back to the state that it had at a moment; newer ones are out of use."""
    then: dict[int, str] = {}
    for row in Ledger(store).rows(kinds=("guard",)):
        if row.time <= moment:
            then[int(row.target)] = row.after
        else:
            then.setdefault(int(row.target), row.before or "withdrawn")
    book, said = GuardStore(store), []
    for number, state in sorted(then.items()):
        now = book.get(number).state
        if now != state:
            book.restore(number, state, cause=cause)
            said.append(f"guard {number}: {now} → {state}")
    return said
