"""What a search measures, and with what: its tasks, its prompts, the noise, the budget that is left."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hal9.errors.tuning import TuningBudgetTooSmall
from hal9.promptgram import Promptgram
from hal9.tuning.attempts import AttemptSource
from hal9.tuning.candidates import Candidate
from hal9.tuning.measurements import AnswerScores, Measurements
from hal9.tuning.noise import Noise
from hal9.tuning.proposing import EditProposer, ProposedEdit
from hal9.tuning.story import Listener, SearchStep, StepKind, TuneSettings
from hal9.tuning.tasks import TaskSplit, TuningTask

__all__ = ["Measuring"]

_PROBES = 6


@dataclass(slots=True)
class Measuring:
    """Measures prompts on the tasks of one search within its budget.

    Attributes:
        attempts: where measurements come from.
        proposer: has the ideas.
        settings: budget and seed.
        listener: told of every step.
        tasks: of the search, by name; the first are those of `train`.
        pool: prompts that were kept, the prompt as it was first.
        noise: as it is known by now.
        shared: verdicts by answer, over all prompts.
        measured: what was measured of every prompt, by its number.
    """

    attempts: AttemptSource
    proposer: EditProposer
    settings: TuneSettings
    listener: Listener | None = None
    tasks: dict[str, TuningTask] = field(default_factory=dict)
    train: list[str] = field(default_factory=list)
    pool: list[Candidate] = field(default_factory=list)
    steps: list[SearchStep] = field(default_factory=list)
    noise: Noise = field(default_factory=Noise)
    shared: AnswerScores = field(default_factory=AnswerScores)
    measured: dict[int, Measurements] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _kept_back: int = 0
    _made: int = 0

    @property
    def names(self) -> list[str]:
        """The tasks of the search, in order."""
        return list(self.tasks)

    def left(self, *, reserve: float = 0.0) -> int:
        """Task calls still free, a share of the budget kept back."""
        return self.settings.budget - self.attempts.calls - math.ceil(reserve * self.settings.budget)

    def _choose_tasks(self, split: TaskSplit) -> None:
        """As many tasks as take a third of the budget once, train and selection in proportion."""
        train, selection = list(split.train), list(split.selection)
        most = max(5, round(self.settings.budget * 0.3))
        if len(train) + len(selection) > most:
            share = most / (len(train) + len(selection))
            train = train[: max(3, round(len(train) * share))]
            selection = selection[: max(2, most - len(train))]
        probes = 0 if self.settings.repeatable else _PROBES
        needed = len(train) + len(selection) + probes + self.settings.batch
        if self.settings.budget < needed:
            raise TuningBudgetTooSmall(budget=self.settings.budget, needed=needed)
        self.tasks = {task.name: task for task in (*train, *selection)}
        self.train = [task.name for task in train]

    def _candidate(
        self,
        promptgram: Promptgram,
        parent: Candidate | None = None,
        edits: Sequence[ProposedEdit] = (),
    ) -> Candidate:
        made = Candidate(self._made, promptgram, parent, tuple(edits), Measurements(self.shared))
        self._made += 1
        self._seen.add(promptgram.render())
        return made

    async def measure(self, candidate: Candidate, names: Sequence[str], *, again: bool = False) -> bool:
        """Do tasks under a prompt; known ones only when `again`. False when the budget does not allow it."""
        names = list(dict.fromkeys(names if again else [n for n in names if not candidate.measured(n)]))
        if len(names) > self.left() - self._kept_back:
            return False
        draws: dict[int, list[str]] = {}
        for name in names:
            draws.setdefault(candidate.evidence.draws(name), []).append(name)
        for draw, group in sorted(draws.items()):
            made = await self.attempts.run(candidate.promptgram, [self.tasks[name] for name in group], draw)
            candidate.evidence.add(made)
            candidate.attempts.update({one.task: one for one in made})
        self._learn_noise(candidate)
        return True

    def _learn_noise(self, candidate: Candidate) -> None:
        """Every repetition tells more of the noise; where it shows late, leads are estimated anew."""
        self.measured[candidate.number] = candidate.evidence
        known, self.noise = self.noise, Noise.of(self.shared, self.measured.values())
        if self.noise.noisy and not known.noisy:
            for one in self.pool:
                one.lead = one.average(self.names) - self.pool[0].average(self.names)

    async def _probe_noise(self, base: Candidate) -> None:
        """Do a few tasks once more: how far the same prompt scores apart says what a gain is worth."""
        if self.settings.repeatable:
            return
        order = sorted(base.evidence.answers, key=base.estimate)
        count = min(len(order), max(_PROBES, min(2 * _PROBES, self.settings.budget // 25)))
        probes = list(dict.fromkeys(order[: count // 2] + order[-(count // 2) :]))
        await self.measure(base, probes, again=True)

    def _best(self) -> Candidate:
        def worth(one: Candidate) -> tuple[float, int, int]:
            value = one.lead if self.noise.noisy else one.average(self.names) + one.lead
            return (value, -one.promptgram.token_count, -one.number)

        return max(self.pool, key=worth)

    def _tell(self, kind: StepKind, text: str, candidate: Candidate | None = None) -> None:
        best = self._best().average(self.names)
        own = None if candidate is None else candidate.average(self.names)
        step = SearchStep(kind, self.attempts.calls, best, text, candidate, own)
        self.steps.append(step)
        if self.listener is not None:
            self.listener(step)
