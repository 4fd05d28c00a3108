"""A rule that a person gives outright: understood, stored and in force, or refused with the reason."""

from dataclasses import replace

from hal9.errors.memory import MemoryInvalid
from hal9.learning.guards.offering import offer_for
from hal9.learning.rules.scope_proposal import KINDS
from hal9.learning.rules.understanding import understand
from hal9.learning.rules.withdrawing import RuleLife
from hal9.memory import (
    EVERYWHERE,
    MemoryScope,
    MemoryStore,
    NewRule,
    Rule,
    RuleStore,
    read_place,
    template_rule,
)
from hal9.memory.rules.roles import ROLES, role_of

__all__ = ["rule_place", "teach", "withdraw"]


def rule_place(wanted: str, workspace: str) -> MemoryScope:
    """Where a person wants a rule to hold: "project", a folder, a file, a glob, or a kind of work."""
    if wanted.strip().lower() in KINDS:
        return MemoryScope(workspace, place=EVERYWHERE, work=wanted.strip().lower())
    return MemoryScope(workspace, place=read_place(wanted))


def withdraw(store: MemoryStore, rule_id: int, *, cause: str) -> Rule:
    """Take a rule back on a person's word; it never returns by itself.

    Raises:
        MemoryMissing: there is no such rule.
    """
    book = RuleStore(store)
    one = book.get(rule_id)
    RuleLife(store, book).set_state(one, "retired", "withdrawn by the user", cause=cause, actor="user")
    return book.get(rule_id)


def teach(store: MemoryStore, text: str, scope: MemoryScope, *, cause: str) -> tuple[int | None, list[str]]:
    """Store a person's rule; returns its number and sentences for them.

    Args:
        store: the memory file.
        text: the rule in their words.
        scope: where it holds.
        cause: an id for the ledger.
    """
    meant = understand(text)
    if not scope.work:
        scope = replace(scope, work=role_of(text))
    book = RuleStore(store)
    life = RuleLife(store, book)
    if meant.kind == "nothing":
        return None, ["no rule: the words do not say what is to be done"]
    if meant.kind == "withdrawal":
        taken = life.withdraw(replace(scope, roles=ROLES), words=text, recalled=(), cause=cause)
        if taken:
            return None, [f"rule {one.id} is out of use: {one.rule}" for one in taken]
        return None, ["no rule in force there speaks of that; `hal9 rules` lists them"]
    with store.writing():
        try:
            rule = template_rule(scope=scope, note=text)
            number = book.propose(NewRule(rule=rule, scope=scope, source="user", trusted_by="user"))
        except MemoryInvalid as error:
            return None, [f"no rule: {error}"]
        one = book.get(number)
        if meant.kind == "hostile":
            life.set_state(
                one, "quarantined", f"it reads like harm ({meant.detail!r})", cause=cause, actor="user"
            )
            return None, [
                f"kept away from prompts: it reads like an instruction to do harm ({meant.detail!r})"
            ]
        if one.state != "admitted":
            life.set_state(one, "admitted", "the user's word", cause=cause, actor="user")
        replaced = life.supersede(number, words=text, cause=cause)
    change = f"change with `hal9 rules set {number} --for project|FOLDER|FILE`"
    said = [f"understood: {rule} · holds for: {scope.label()} · {change}"]
    offer = offer_for(store, rule)
    said += [offer.sentence(number)] if offer is not None else []
    return number, said + [f"it replaces rule {old.id}: {old.rule}" for old in replaced]
