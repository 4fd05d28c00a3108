"""What a person is told of their rules: what a correction came to, and which rules are in doubt."""

from collections.abc import Callable

from hal9.errors.memory import MemoryMissing
from hal9.learning.detection.outcomes import TaskOutcome
from hal9.learning.guards.offering import offer_for
from hal9.learning.rules.narrowing import narrow
from hal9.learning.rules.outcome import RuleOutcome
from hal9.learning.rules.spreading import spread_of
from hal9.learning.state.key_value import KeyValueStore
from hal9.memory import RuleStore

__all__ = ["ask_about", "told_of"]


def ask_about(book: RuleStore, outcome: TaskOutcome, *, alert: Callable[[str], None]) -> None:
    """Put rules that did not help to the user, each once: one that fails elsewhere, one that helps nowhere.

    A rule of the user's own stays in force meanwhile.

    Args:
        book: the rules.
        outcome: of a task that was given some of them.
        alert: tells the user.
    """
    asked = KeyValueStore(book.store)
    for number in outcome.recalled:
        try:
            one = book.get(number)
        except MemoryMissing:
            continue  # another machine's rule, or one that is not kept any more: nothing to ask about
        narrowed = narrow(book.store, one, cause=outcome.task_id) if outcome.passed is False else None
        if narrowed is not None:
            found, said = narrowed
            key = f"asked:narrow:{number}:{found.place}"
        elif one.source == "user" and one.state == "admitted" and book.doubtful(one):
            key = f"asked:rule:{number}"
            said = (
                f"rule {number} did not help in {one.failed + one.hurt} of {one.tried} tasks: keep it? "
                f"({one.rule[:80]}) `hal9 rules forget {number}` takes it back"
            )
        else:
            continue
        if not asked.get(key):
            asked.put(key, True)
            alert(said)


def told_of(learned: RuleOutcome, book: RuleStore) -> list[str]:
    """What a correction came to, in sentences for the user."""
    if learned.rule_id is None:
        return [f"no rule: {learned.reason}"]
    said = [f"rule {learned.rule_id} {learned.state}: {learned.reason}"]
    if learned.holds_for:
        rule = book.get(learned.rule_id).rule
        said.append(
            f"understood: {rule[:200]} · holds for: {learned.holds_for} · "
            f"change with `hal9 rules set {learned.rule_id} --for project|FOLDER|FILE`"
        )
    if learned.holds_for:
        offer = offer_for(book.store, book.get(learned.rule_id).rule)
        said += [offer.sentence(learned.rule_id)] if offer is not None else []
    spread = spread_of(book, book.get(learned.rule_id)) if learned.holds_for else None
    if spread is not None:
        numbers, place = ", ".join(map(str, spread.rules)), spread.place.removesuffix("/**")
        said.append(
            f"rules {numbers} say the same in {len(spread.rules)} places: `hal9 rules set {learned.rule_id} "
            f"--for {'project' if place == '**' else place}` lets this one hold for all of them"
        )
    said += [f"it replaces rule {number}: {book.get(number).rule[:120]}" for number in learned.replaced]
    return said
