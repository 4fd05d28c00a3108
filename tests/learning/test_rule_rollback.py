"""Where a rule holds and what a guard does can be undone, one by one and to a moment."""

import pytest

from hal9.clock import ManualClock
from hal9.errors.learning import RollbackBlocked
from hal9.learning import LearningEngine, Ledger
from hal9.learning.gate.rule_rollback import set_rule_scope
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.memory import MemoryScope, MemoryStore, NewRule, RuleStore


def _rule(store: MemoryStore) -> int:
    scope = MemoryScope("shop", place="src/billing/**")
    return RuleStore(store).propose(NewRule(rule="in cents", scope=scope, source="user", trusted_by="user"))


def test_moving_a_rule_is_undone(engine: LearningEngine, store: MemoryStore) -> None:
    number = _rule(store)
    set_rule_scope(store, number, MemoryScope("shop", place="**", work="code"), cause="t", actor="user")
    change = Ledger(store).rows(kinds=("rule_scope",))[-1]
    engine.rollback.change(change.id)
    assert RuleStore(store).get(number).scope.parts() == ["shop", "", "", "src/billing/**", ""]
    with pytest.raises(RollbackBlocked, match="by now"):
        engine.rollback.change(change.id)


def test_a_new_guard_is_undone(engine: LearningEngine, store: MemoryStore) -> None:
    book = GuardStore(store)
    number = book.add(
        parse_guard("when: {program: git}\neffect: require\nsay: x"), workspace="*", source="user", cause="t"
    )
    book.accept(number, [], cause="t")
    engine.rollback.change(Ledger(store).rows(kinds=("guard",))[-1].id)
    assert book.get(number).state == "proposed"
    assert book.in_force(["shop"]) == []


def test_back_to_a_moment_takes_places_and_guards_along(
    engine: LearningEngine, store: MemoryStore, clock: ManualClock
) -> None:
    number, book = _rule(store), GuardStore(store)
    moment = clock.now()
    clock.advance(10)
    set_rule_scope(store, number, MemoryScope("shop", place="**"), cause="t", actor="user")
    set_rule_scope(store, number, MemoryScope("shop", place="docs/**"), cause="t", actor="user")
    guard = book.add(parse_guard("when: {program: git}\nsay: x"), workspace="*", source="user", cause="t")
    book.accept(guard, [], cause="t")
    said = engine.rollback.to(moment).said
    assert RuleStore(store).get(number).scope.place == "src/billing/**"
    assert book.get(guard).state == "withdrawn"
    assert len(said) == 2
