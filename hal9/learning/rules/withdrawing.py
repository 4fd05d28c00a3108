"""How rules end: replaced by a newer one, taken back by words or by number; all of it in the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from hal9.learning.rules.understanding import concerns, contradicts
from hal9.learning.state.ledger import Ledger
from hal9.memory import ANY, EVERYWHERE, MemoryScope, MemoryStore, Rule, RuleState, RuleStore
from hal9.memory.records import covers_place
from hal9.memory.rules.subjects import value_subjects
from hal9.memory.rules.wording import subject_words, supersedes

__all__ = ["ENDED", "RuleLife", "ended_for_good"]

ENDED = ("rolled back", "withdrawn", "replaced")
"""Beginnings of the reasons for which a rule never comes back by itself."""


def ended_for_good(rule: Rule) -> bool:
    """Whether a person took the rule back, so that only a person brings it into force again."""
    return rule.state_reason.startswith(ENDED)


@dataclass(frozen=True, slots=True)
class RuleLife:
    """Ends rules and says so. Methods nest in a transaction of the store.

    Attributes:
        store: the memory file.
        book: its rules.
    """

    store: MemoryStore
    book: RuleStore

    def set_state(self, one: Rule, state: RuleState, reason: str, *, cause: str, actor: str) -> None:
        """Change a rule's state; the ledger keeps what it was."""
        with self.store.writing():
            self.book.set_state(one.id, state, reason)
            Ledger(self.store).record(
                "mitigation",
                str(one.id),
                change=(one.state, state),
                cause=cause,
                actor=actor,
                details={"evidence": {"reason": reason, "rule": one.rule}},
            )

    def supersede(self, number: int, *, words: str, cause: str) -> list[Rule]:
        """A rule has come into force: what it contradicts in an overlapping scope is replaced.

        Args:
            number: the newer rule.
            words: what the user said; "from now on" lowers the bar to being about the same subject.
            cause: an id for the ledger.
        """
        newer = self.book.get(number)
        replaced = []
        for one in self.book.all(states=("admitted", "candidate")):
            if one.id == number or one.source == "pack" or not overlap(one.scope, newer.scope):
                continue
            same = len(subject_words(one.rule) & subject_words(newer.rule)) > 1 and supersedes(words)
            if same or contradicts(newer.rule, one.rule):
                self.set_state(one, "retired", f"replaced by rule {number}", cause=cause, actor="user")
                replaced.append(one)
        return replaced

    def withdraw(self, scope: MemoryScope, *, words: str, recalled: Sequence[int], cause: str) -> list[Rule]:
        """Take back the rule that the words speak of: of those that were shown, else of those in force there.

        Args:
            scope: the task's.
            words: what the user said.
            recalled: rules that the task was given.
            cause: an id for the ledger.
        """
        about = subject_words(words) - subject_words("forget drop ignore withdraw rule longer")
        known = [one for one in self.book.in_scope(scope, ("admitted", "candidate")) if one.source != "pack"]
        shown = [self.book.get(number) for number in recalled]
        shown = [one for one in shown if one.state == "admitted" and one.source != "pack"]
        known += [one for one in shown if one.id not in {other.id for other in known}]
        if about:
            best = max((len(about & subject_words(one.rule)) for one in known), default=0)
            chosen = [one for one in known if best and len(about & subject_words(one.rule)) == best]
            # Words that no rule has in common are about the one that was just seen at work.
            chosen = chosen or (shown if len(shown) == 1 else _of_subject(known, words))
        else:
            chosen = shown or sorted(known, key=lambda one: one.created)[-1:]
        for one in chosen[:1] if about and len(chosen) > 1 and not shown else chosen:
            self.set_state(one, "retired", "withdrawn by the user", cause=cause, actor="user")
        return chosen

    def concerned(self, recalled: Sequence[int], words: str) -> list[int]:
        """Which of the rules that a task was given a complaint is about; of several, "wrong" tells none."""
        if not subject_words(words):
            return list(recalled) if len(recalled) == 1 else []
        return [number for number in recalled if concerns(self.book.get(number).rule, words)]


def _of_subject(known: Sequence[Rule], words: str) -> list[Rule]:
    """The one rule that speaks of the same kind of value, in any language; none when there are several."""
    found = [one for one in known if value_subjects(one.rule) & value_subjects(words)]
    return found if len(found) == 1 else []


def overlap(first: MemoryScope, second: MemoryScope) -> bool:
    """Whether two rules could be shown to one task."""
    if first.workspace != second.workspace and ANY not in (first.workspace, second.workspace):
        return False
    if first.work and second.work and first.work != second.work:
        return False
    if first.place and second.place:
        return (
            EVERYWHERE in (first.place, second.place)
            or covers_place(first.place, [second.place.removesuffix("/**")])
            or covers_place(second.place, [first.place.removesuffix("/**")])
        )
    if first.place or second.place:
        return EVERYWHERE in (first.place, second.place)
    return first.module == second.module and (
        first.task_family == second.task_family or ANY in (first.task_family, second.task_family)
    )
