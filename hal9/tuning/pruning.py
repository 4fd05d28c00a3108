"""Taking rules out again that add nothing.

Where answers repeat exactly, the prompt is tried without one rule on the tasks that it gained, beginning with
those that led to the rule; the first task lost keeps the rule. In the end the tasks that passed all along are
done too. Under noise one loss says little, so the tasks that led to a rule are done with and without it
several times, and it stays when it gains more than the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hal9.errors.promptgram import EditError
from hal9.promptgram import Edit, Promptgram
from hal9.promptgram.items import plain
from hal9.tuning.candidates import Candidate, Rule, added_rules, causes, without_rules
from hal9.tuning.noise import Noise
from hal9.tuning.proposing import ProposedEdit

__all__ = ["Pruner"]


_LOOKED_AT = 2
_LEAST_DRAWS = 3
_LEAST_ERRORS = 0.25
"""A rule that gains less than this part of the error stays only by luck."""


class _Search(Protocol):
    noise: Noise
    pool: list[Candidate]

    @property
    def names(self) -> list[str]: ...

    def left(self, *, reserve: float = 0.0) -> int: ...

    async def measure(self, candidate: Candidate, names: Sequence[str], *, again: bool = False) -> bool: ...

    def _candidate(
        self,
        promptgram: Promptgram,
        parent: Candidate | None = None,
        edits: Sequence[ProposedEdit] = (),
    ) -> Candidate: ...


class Pruner:
    """Prunes one search's winner within what is left of its budget."""

    def __init__(self, search: _Search, base: Candidate) -> None:
        self._search = search
        self._base = base

    async def prune(self, winner: Candidate) -> tuple[Candidate, list[Rule]]:
        """The winner without the rules that add nothing, and those rules."""
        rules = added_rules(winner.promptgram, self._base.promptgram)
        if not rules:
            return winner, []
        if self._search.noise.noisy:
            return await self._prune_noisy(winner, rules)
        return await self._prune_exactly(winner, rules)

    async def _prune_exactly(self, winner: Candidate, rules: list[Rule]) -> tuple[Candidate, list[Rule]]:
        """Rules go whose absence loses none of the gained tasks, nor any that passed all along."""
        looked = [n for n in self._search.names if winner.estimate(n) > self._base.estimate(n) + 1e-9]
        others = [n for n in self._search.names if n not in looked and winner.estimate(n) > 0]
        present, removed = await self._without_idle(winner, rules, looked, kept_back=len(others))
        while removed:
            # A rule may only mend what another rule does to tasks that passed under the prompt as it was.
            if not await self._search.measure(present, others):
                return winner, []
            lost = [n for n in others if _lower(present, winner, n)]
            if not lost:
                break
            looked = [*lost, *looked]
            others = [name for name in others if name not in lost]
            present, removed = await self._without_idle(winner, removed, looked, kept_back=len(others))
        return present, removed

    async def _without_idle(
        self, winner: Candidate, rules: Sequence[Rule], looked: Sequence[str], *, kept_back: int
    ) -> tuple[Candidate, list[Rule]]:
        removed: list[Rule] = []
        present = winner
        for rule in reversed(rules):
            trial = self._without(present, [rule])
            if trial is None:
                continue
            lost, led = False, causes(rule, [*winner.lineage, *self._search.pool])
            for name in sorted(looked, key=lambda name: name not in led):
                if self._search.left() <= kept_back or not await self._search.measure(trial, [name]):
                    return present, removed
                if _lower(trial, winner, name):
                    lost = True
                    break
            if not lost:
                present = trial
                removed.append(rule)
        return present, removed

    async def _prune_noisy(self, winner: Candidate, rules: list[Rule]) -> tuple[Candidate, list[Rule]]:
        """Rules go when the tasks that led to them are answered, or judged, no worse without them."""
        useless: list[Rule] = []
        used: list[_Trial] = []
        for rule in rules:
            led = causes(rule, [*winner.lineage, *self._search.pool])
            tasks = [task for task in led if task in self._search.names][:_LOOKED_AT]
            trial = self._without(winner, [rule])
            if trial is None or not tasks:
                continue
            if not (await self._search.measure(trial, tasks) and await self._search.measure(winner, tasks)):
                break
            if trial.evidence.same(winner.evidence, tasks):
                useless.append(rule)
            else:
                used.append(_Trial(rule, trial, tasks))
        undecided: list[_Trial] = []
        for one in used:
            once = [task for task in one.tasks if winner.evidence.draws(task) < 2]
            if not await self._search.measure(winner, once, again=True):
                break
            apart = winner.told_apart(one.candidate, one.tasks)
            if apart is None:
                undecided.append(one)
            elif not apart and self._worth(winner, one) <= self._error(winner, one):
                useless.append(one.rule)
        useless += await self._by_scores(winner, undecided)
        if not useless:
            return winner, []
        pruned = self._without(winner, useless)
        return (winner, []) if pruned is None else (pruned, useless)

    async def _by_scores(self, winner: Candidate, undecided: Sequence["_Trial"]) -> list[Rule]:
        """Rules whose tasks go as well without them, over as many draws as the budget allows."""
        useless: list[Rule] = []
        for number, one in enumerate(undecided):
            draws = self._search.left() // (2 * (len(undecided) - number) * len(one.tasks))
            if draws < _LEAST_DRAWS:
                continue
            for _ in range(draws):
                await self._search.measure(one.candidate, one.tasks, again=True)
                await self._search.measure(winner, one.tasks, again=True)
            if self._worth(winner, one) <= _LEAST_ERRORS * self._error(winner, one):
                useless.append(one.rule)
        return useless

    def _worth(self, winner: Candidate, one: "_Trial") -> float:
        return winner.against(one.candidate, one.tasks).gain

    def _error(self, winner: Candidate, one: "_Trial") -> float:
        return self._search.noise.error_of_gain(winner.evidence, one.candidate.evidence, one.tasks)

    def _without(self, present: Candidate, gone: Sequence[Rule]) -> Candidate | None:
        try:
            promptgram = without_rules(present.promptgram, gone)
        except EditError:
            return None
        edits = [ProposedEdit(Edit(section, "delete", target=plain(item)), "") for section, item in gone]
        return self._search._candidate(promptgram, present, edits)  # noqa: SLF001 - the search numbers its prompts


def _lower(trial: Candidate, winner: Candidate, name: str) -> bool:
    return trial.evidence.mean(name) < winner.estimate(name) - 1e-9


@dataclass(frozen=True, slots=True)
class _Trial:
    """A prompt without one of its rules, and the tasks that led to the rule."""

    rule: Rule
    candidate: Candidate
    tasks: list[str]
