"""The loop: fail, reflect, edit, screen, race, merge, prune; the winner is then judged on tasks nobody used.

Every edit comes from failures under a prompt that is best somewhere (the Pareto set over tasks). A changed
prompt is measured first on the very failures that led to it, then on the parent's other failures and on some
tasks that passed, and is dropped as soon as it does not pay. What is not measured is taken to be as under the
parent. In the end rules that add nothing are removed again: rules are paid for in every later call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hal9.belief import Paired, PromptgramSpace
from hal9.errors.base import LimitError
from hal9.errors.belief import BeliefMergeConflict
from hal9.errors.promptgram import EditError
from hal9.promptgram import Edit, Promptgram
from hal9.tuning.candidates import (
    Candidate,
    Rule,
    added_rules,
    causes,
    pareto_weights,
    shared_ancestor,
    without_rules,
)
from hal9.tuning.measurements import complaint
from hal9.tuning.measuring import Measuring
from hal9.tuning.niches import Niches, Specialists, find_specialists
from hal9.tuning.proposing import Failure, ProposalContext, ProposedEdit, TriedEdit
from hal9.tuning.pruning import Pruner
from hal9.tuning.story import SearchResult
from hal9.tuning.tasks import TaskSplit

__all__ = ["Search"]

_FIRST_SELECTION = 6
_MOST_SILENT = 10
_MOST_DRAWS = 5
_SURE = 0.85
_HARM = 1.5
_RACED = 25
"""Under noise one task more is raced for so many calls of the budget."""
_PROGRESS = 1e-3
"""What it counts that a task fails in another way now; it only decides between equals."""
_PRIOR_GAIN, _PRIOR_SPREAD = 0.03, 0.1
"""What an edit that passed its screening is worth per task, before it is measured elsewhere."""


@dataclass(slots=True)
class Search(Measuring):
    """One search for a better prompt."""

    tried: list[TriedEdit] = field(default_factory=list)
    _shown: dict[tuple[int, str], int] = field(default_factory=dict)
    _merged: set[tuple[int, int]] = field(default_factory=set)
    _asked: int = 0

    async def run(self, promptgram: Promptgram, split: TaskSplit) -> SearchResult:
        """Search until the budget is used, everything passes, or there are no more ideas.

        Raises:
            TuningBudgetTooSmall: not even one changed prompt could be measured.
            MindError, WorkbenchError: what was bought so far is kept.
        """
        self._choose_tasks(split)
        base = self._candidate(promptgram)
        await self.measure(base, [*self.train, *self.names[len(self.train) :][:_FIRST_SELECTION]])
        self.pool.append(base)
        reason, specialists = "budget", None
        try:
            await self._probe_noise(base)
            self._tell(
                "measured",
                f"the prompt as it is, on {len(base.evidence.answers)} tasks ({self.noise.told()})",
            )
            reason = await self._improve()
            self._kept_back = 0
            winner, removed, specialists = await self._finish(base)
        except LimitError as stopped:
            reason = str(stopped)
            winner, removed = self._best(), []
        return SearchResult(
            base,
            winner,
            tuple(self.pool),
            tuple(removed),
            tuple(self.tried),
            tuple(self.steps),
            self.noise,
            reason,
            specialists,
        )

    # --- improving --------------------------------------------------------------------------------

    async def _improve(self) -> str:
        silent = 0
        while self._free() > self.settings.batch:
            if not self.noise.noisy and all(self._best().estimate(name) >= 1.0 for name in self.names):
                return "everything passes"
            if silent >= _MOST_SILENT:
                return "no ideas"
            if await self._merge():
                continue
            silent = 0 if await self._step() else silent + 1
        return "budget"

    def _free(self) -> int:
        """Calls that improving may still use; pruning under noise takes about two a rule."""
        free = self.left(reserve=self.settings.prune_share)
        if self.noise.noisy:
            rules = added_rules(self._best().promptgram, self.pool[0].promptgram)
            self._kept_back = min(self.left() - free, 2 * len(rules))
            free = self.left() - self._kept_back
        return free

    async def _step(self) -> bool:
        """One proposal; whether a new prompt was kept."""
        number, self._asked = self._asked, self._asked + 1
        parent = self._parent(number)
        batch = await self._batch(parent, number)
        if not batch:
            return False
        failures = [Failure(self.tasks[name], parent.attempts[name]) for name in batch]
        context = ProposalContext(promptgram=parent.promptgram, failures=failures, tried=self.tried)
        edits = await self.proposer.propose(context, number=number)
        child = self._edited(parent, edits)
        if child is None:
            self._tell("no idea", "the proposal said nothing new")
            return False
        if not await self.measure(child, batch):
            return False
        child = await self._without_idle_edits(child, parent, batch)
        return child is not None and await self._race(child, parent, batch)

    def _edited(self, parent: Candidate, edits: Sequence[ProposedEdit]) -> Candidate | None:
        promptgram, applied = parent.promptgram, []
        for one in edits:
            try:
                promptgram = promptgram.apply(one.edit)
            except EditError:
                continue  # an earlier edit of the same proposal took its place; the rest is still worth a try
            applied.append(one)
        if not applied or promptgram.render() in self._seen:
            return None
        return self._candidate(promptgram, parent, applied)

    async def _without_idle_edits(
        self, child: Candidate, parent: Candidate, batch: Sequence[str]
    ) -> Candidate | None:
        """The child without edits whose own failure neither scored better nor failed in another way."""
        moved = _moved(child, parent, batch)
        if self.noise.noisy and moved and await self.measure(child, sorted(moved), again=True):
            moved &= _moved(child, parent, batch)
        idle = [one for one in child.edits if not (one.task in moved if one.task else moved)]
        if not idle:
            return child
        if len(idle) == len(child.edits):
            self._dropped(child, 0.0, "no gain on the failures it was made for")
            return None
        self.tried += [TriedEdit(one.edit, 0.0, kept=False) for one in idle]
        kept = self._undone(child, parent, idle)
        if kept is not None:
            # The edits that are gone changed nothing on these tasks.
            kept.evidence, kept.attempts = child.evidence.copy(), dict(child.attempts)
        return kept

    def _undone(self, child: Candidate, parent: Candidate, gone: Sequence[ProposedEdit]) -> Candidate | None:
        """The child without some of its edits; items they appended are taken out of it one by one."""
        left = [one for one in child.edits if one not in gone]
        if any(one.edit.edit_type != "append" for one in gone):
            return self._edited(parent, left)
        rules = [(one.edit.section, one.edit.content) for one in gone]
        try:
            promptgram = without_rules(child.promptgram, rules)
        except EditError:
            return self._edited(parent, left)  # another edit took its place
        return None if promptgram.render() in self._seen else self._candidate(promptgram, parent, left)

    def _parent(self, number: int) -> Candidate:
        """Mostly the best prompt, otherwise one that is best somewhere."""
        rng = np.random.default_rng((self.settings.seed, number, 1))
        if len(self.pool) == 1 or rng.random() < self.settings.greedy:
            return self._best()
        weights = np.array(pareto_weights(self.pool, self.names))
        return self.pool[int(rng.choice(len(self.pool), p=weights / weights.sum()))]

    async def _batch(self, parent: Candidate, number: int) -> list[str]:
        """Failures to show: those shown least first, one of each kind of complaint before a second of any."""
        rng = np.random.default_rng((self.settings.seed, number, 2))
        # What fails here but was never done under this prompt is done first: its own answer is the evidence.
        failing = [name for name in self.train if parent.estimate(name) < 1.0]
        if not failing:
            # Nothing is left to learn from train; what is held out stays unseen.
            failing = [name for name in self.names if parent.estimate(name) < 1.0]
        rng.shuffle(failing)
        failing.sort(key=lambda name: self._shown.get((parent.number, name), 0))
        if any(one.trades for one in self.pool):
            # Tasks want different things of one prompt: each prompt learns from those that are nearest to it.
            niche = Niches(self.tasks, self.pool)
            failing.sort(key=lambda name: niche.distance(parent, name))
        chosen: list[str] = []
        complaints: set[str] = set()
        later: list[str] = []
        for name in failing:
            if len(chosen) == self.settings.batch:
                break
            if not await self.measure(parent, [name]):
                return []
            if parent.evidence.mean(name) >= 1.0:
                continue
            if self.noise.noisy and not await self._fails_again(parent, name):
                continue
            said = complaint(parent.attempts[name].feedback)
            (later if said in complaints else chosen).append(name)
            complaints.add(said)
        chosen += later[: self.settings.batch - len(chosen)]
        for name in chosen:
            self._shown[parent.number, name] = self._shown.get((parent.number, name), 0) + 1
        return chosen

    async def _fails_again(self, parent: Candidate, name: str) -> bool:
        """Under noise a failure may be an accident, and an accident teaches a rule that adds nothing."""
        share = self.noise.failing_share(parent.average(self.names))
        for _ in range(_MOST_DRAWS):
            chance = self.noise.failing_chance(parent.evidence, name, prior=share)
            if chance >= _SURE or chance < share / 2:
                break
            if not await self.measure(parent, [name], again=True):
                return False
        return chance >= _SURE and not parent.attempts[name].passed

    async def _race(self, child: Candidate, parent: Candidate, batch: Sequence[str]) -> bool:
        """Whether the child is kept: it must pay on what led to it, and do no harm elsewhere."""
        failing = [n for n in self.names if n not in batch and parent.estimate(n) < 1.0]
        passing = [n for n in self.names if n not in batch and parent.estimate(n) >= 1.0]
        np.random.default_rng((self.settings.seed, child.number, 3)).shuffle(passing)
        guards = max(self.settings.guards, len(passing) // 4)
        # Where answers repeat, a failure mended is proof of use and only harm is left to look for.
        others = 2
        if self.noise.noisy:
            # A small budget buys more with further ideas than with surer figures for each.
            raced = max(2, self.settings.budget // _RACED)
            others = max(1, min(2 * self.settings.batch, raced * 2 // 3))
            guards = max(1, min(guards, raced // 3))
        rest = failing[:others] + passing[:guards]
        known = [name for name in rest if any(one.measured(name) for one in parent.lineage)]
        if not await self.measure(parent, known if self.noise.noisy else []):
            return self._dropped(child, 0.0, "the budget ended before it was judged")
        if not await self.measure(child, known):
            return self._dropped(child, 0.0, "the budget ended before it was judged")
        paired = self._paired(child, parent, [*batch, *known])
        error = self.noise.error_of_gain(child.evidence, parent.evidence, paired.differences)
        won, lost = paired.wins()
        # No gain yet is no harm: what led to it fails in another way now, so one of two causes is gone.
        child.trades = not self.noise.noisy and won >= 2 and lost >= 2
        harmful = paired.gain < (-_HARM * error if self.noise.noisy else 0)
        if harmful and not child.trades:
            return self._dropped(child, paired.gain, "harm on other tasks outweighed it")
        if child.trades:
            # What it loses elsewhere is looked at, as what is not measured counts as under the parent.
            await self.measure(child, passing[: max(0, self.left(reserve=0.5))])
        # Under noise the measured gain is drawn towards what an edit is worth that passed its screening.
        trust = _PRIOR_SPREAD**2 / (_PRIOR_SPREAD**2 + error**2)
        child.lead = parent.lead + (
            trust * paired.gain + (1 - trust) * _PRIOR_GAIN if self.noise.noisy else _PROGRESS * (won == 0)
        )
        self._note(child, paired.gain, kept=True)
        self.pool.append(child)
        told = f"{_describe(child)} ({paired.gain:+.3f} a task on {len(paired.differences)})"
        self._tell("kept", told, child)
        return True

    def _paired(self, child: Candidate, parent: Candidate, names: Sequence[str]) -> Paired:
        """Differences; where answers repeat, what the parent did not do is as under its own parent."""
        if self.noise.noisy:
            return child.against(parent, names)
        return Paired({name: child.evidence.mean(name) - parent.estimate(name) for name in names})

    def _dropped(self, child: Candidate, gain: float, why: str) -> bool:
        self._note(child, gain, kept=False)
        self._tell("dropped", f"{_describe(child)}: {why}", child)
        return False

    def _note(self, child: Candidate, gain: float, *, kept: bool) -> None:
        self.tried += [TriedEdit(one.edit, gain, kept) for one in child.edits]

    async def _merge(self) -> bool:
        """Join the best prompt with one that is better somewhere, once each."""
        best = self._best()
        for other in self.pool:
            pair = (min(best.number, other.number), max(best.number, other.number))
            shared = shared_ancestor(best, other)
            if pair in self._merged or shared is None or shared in (best, other):
                continue
            better = [
                n for n in self.names if other.measured(n) and other.estimate(n) > best.estimate(n) + 1e-9
            ]
            if not better:
                continue
            self._merged.add(pair)
            try:
                joined = PromptgramSpace().merge(shared.promptgram, best.promptgram, other.promptgram)
            except BeliefMergeConflict:
                continue
            if joined.render() in self._seen:
                continue
            rules = added_rules(joined, best.promptgram)
            edits = [
                ProposedEdit(Edit(section, "append", content=item), task)
                for section, item in rules
                for task in causes((section, item), other.lineage)[:1] or better[:1]
            ]
            child = self._candidate(joined, best, edits)
            shown = better[: 2 * self.settings.batch]
            if not (await self.measure(best, shown) and await self.measure(child, shown)):
                return False
            if await self._race(child, best, shown):
                self._tell("merged", f"prompts {best.number} and {other.number}", child)
            return True
        return False

    # --- the end ----------------------------------------------------------------------------------

    async def _finish(self, base: Candidate) -> tuple[Candidate, list[Rule], Specialists | None]:
        """The best prompt by what was really measured, and specialists; without rules that add nothing."""
        order = sorted(self.pool, key=lambda one: one.average(self.names), reverse=True)
        # Under noise leads decide, and what is left is for pruning.
        for contender in [] if self.noise.noisy else [base, *order[:2]]:
            await self.measure(contender, self.names)
        winner = self._best()
        if winner is not base and not self.noise.noisy and all(map(winner.measured, self.names)):
            self._tell("measured", f"the best prompt, on all {len(self.names)} tasks of the search", winner)
        specialists = await find_specialists(self, winner) if self.settings.specialists else None
        if specialists is None:
            pruned, removed = await self._pruned(winner, base)
            return pruned, removed, None
        self._tell("specialists", specialists.told())
        kept = [await self._pruned(one, base) for one in specialists.candidates]
        specialists = replace(specialists, candidates=tuple(one for one, _ in kept))
        alone = next((one for one, _ in kept if winner in one.lineage), winner)
        return alone, [rule for _, rules in kept for rule in rules], specialists

    async def _pruned(self, winner: Candidate, base: Candidate) -> tuple[Candidate, list[Rule]]:
        if winner is base:
            return winner, []
        pruned, removed = await Pruner(self, base).prune(winner)
        if pruned is not winner:
            self.pool.append(pruned)
            rules = "; ".join(item.lstrip("- ")[:60] for _, item in removed)
            self._tell("pruned", f"{len(removed)} added nothing: {rules}", pruned)
        return pruned, removed


def _describe(child: Candidate) -> str:
    return "; ".join(
        f"{one.edit.edit_type} {one.edit.section}: {(one.edit.content or one.edit.target)[:70]}"
        for one in child.edits
    )


def _moved(child: Candidate, parent: Candidate, tasks: Sequence[str]) -> set[str]:
    """Tasks answered differently than under the parent that scored better or failed in another way."""
    return {
        name
        for name in tasks
        if child.attempts[name].answer != parent.attempts[name].answer
        and (
            child.evidence.mean(name) > parent.evidence.mean(name) + 1e-9
            or complaint(child.attempts[name].feedback) != complaint(parent.attempts[name].feedback)
        )
    }
