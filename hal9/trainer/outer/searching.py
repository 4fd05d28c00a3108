"""The outer loop on the engine of `hal9 tune`: its population, its race, its merging and pruning.

A task of the search is a seed; its score is the final NDCG@10 of an inner run from the common start. L2 is
the proposer, and an edit stays when the runs under it end no lower on average. In the end rules are taken out
again without which the runs end as high.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hal9.errors.trainer import TrainerSettingInvalid
from hal9.minds.protocol import Usage
from hal9.promptgram import Edit, Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.trainer.outer.context import BudgetSpent, Measured, OuterContext, Proposal
from hal9.trainer.outer.promptgrams import Shelved
from hal9.trainer.outer.stack import (
    BestSoFar,
    OuterResult,
    OuterSettings,
    edit_effects,
    facts_of_child,
    metrics,
    note_edit,
    outcome_of,
    paired,
)
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.episodes import OuterStep
from hal9.trainer.record.run_log import RunLog
from hal9.tuning.attempts import Attempt
from hal9.tuning.candidates import Candidate
from hal9.tuning.engine import Search
from hal9.tuning.proposing import ProposalContext, ProposedEdit
from hal9.tuning.story import SearchStep, TuneSettings
from hal9.tuning.tasks import TaskSplit, TuningTask

__all__ = ["run_search", "runs_at_most"]

_PRUNING_ROUNDS = 2


def runs_at_most(steps: int, repeats: int) -> int:
    """Inner runs that a search may make: the first prompt's, one set a step, and those that prune."""
    return (1 + steps + _PRUNING_ROUNDS) * repeats


@dataclass(slots=True)
class _InnerRuns:
    """Inner runs as the measurements of a search; kept by themselves: a resumed run pays nothing."""

    workshop: OuterContext
    known: dict[str, Measured] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    calls: int = 0
    best: BestSoFar = field(init=False)

    def __post_init__(self) -> None:
        self.best = BestSoFar(self.workshop)

    def shelved(self, promptgram: Promptgram, *, parent: str = "", description: str = "") -> Shelved:
        """The promptgram on the shelf."""
        now = self.workshop.clock.now()
        return self.workshop.shelf.add(promptgram, parent=parent, created_at=now, description=description)

    async def run(self, promptgram: Promptgram, tasks: Sequence[TuningTask], draw: int) -> list[Attempt]:
        """One inner run for each seed.

        Raises:
            BudgetSpent: a budget, or the user, ended the run.
        """
        shelved = self.shelved(promptgram)
        names = [task.name for task in tasks]
        measured = await self.workshop.measure(shelved, Parameters(), names)
        self.calls += len(names)
        seen = self.seen.setdefault(shelved.name, set())
        seen.update(names)
        if seen == set(self.workshop.seeds):
            # All its runs are done by now, so that this reads them and runs nothing.
            self.known[shelved.name] = await self.workshop.measure(shelved, Parameters())
            self.best.see(self.known[shelved.name])
        return [Attempt(name, shelved.name, measured.finals[name], "final NDCG@10") for name in names]


@dataclass(slots=True)
class _Proposals:
    """L2 as the proposer of a search: its edits answer all the runs of a promptgram together."""

    runs: _InnerRuns
    limit: int
    asked: int = 0
    past: list[dict[str, Any]] = field(default_factory=list)
    latest: Proposal | None = None
    parent: str = ""

    async def propose(self, context: ProposalContext, *, number: int) -> Sequence[ProposedEdit]:
        """L2's edits for a promptgram; none once the steps are used up.

        Raises:
            BudgetSpent: the budget refused the call.
        """
        if self.asked >= self.limit:
            return []
        seed, self.asked = self.asked, self.asked + 1
        workshop, parent = self.runs.workshop, self.runs.shelved(context.promptgram)
        need = {failure.task.name: failure.attempt.score for failure in context.failures}
        made = await workshop.propose(
            parent, self.runs.known[parent.name], self._history(), seed=seed, need=need
        )
        self.latest, self.parent = made, parent.name
        child = None
        if made.child is not None:
            told = str(made.answer.get("hypothesis", ""))
            child = self.runs.shelved(made.child, parent=parent.name, description=told).name
        self.past.append(
            {"parent": parent.name, "child": child, "proposal": made.answer, "problem": made.problem}
        )
        return [] if child is None else [ProposedEdit(Edit.from_dict(e), "") for e in made.answer["edits"]]

    def _history(self) -> list[dict[str, Any]]:
        """What was proposed so far, with what each edit has turned out to be worth."""
        told: list[dict[str, Any]] = []
        for entry in self.past:
            known = self.runs.known
            if entry["child"] in known:
                gain, error = paired(known[entry["child"]], known[entry["parent"]])
                told.append({**entry, "delta": {"ndcg": gain, "error": error}})
            else:
                told.append({**entry, "problem": entry["problem"] or "not measured on all seeds"})
        return told


@dataclass(slots=True)
class _Scribe:
    """Writes what the search tells as steps of the run's record; known ones are passed over."""

    runs: _InnerRuns
    proposals: _Proposals
    pad: RunLog
    listener: Callable[[Mapping[str, Any]], None] | None
    written: int = field(init=False)
    told: int = 0

    def __post_init__(self) -> None:
        self.written = len(self.pad.entries)

    def hear(self, step: SearchStep) -> None:
        """One line of the search's story."""
        if step.kind == "no idea":
            if self.proposals.latest is not None:
                self._refused(self.proposals.latest)
        elif step.candidate is not None and step.candidate.parent is not None:
            self._measured(step.candidate, step)
        self.proposals.latest = None

    def _refused(self, made: Proposal) -> None:
        problem = made.problem or "this promptgram was measured before"
        base = self.runs.known[self.proposals.parent]
        self._write(self._entry(self.proposals.parent, base, made, mode="search", problem=problem))

    def _measured(self, candidate: Candidate, step: SearchStep) -> None:
        known, shelf = self.runs.known, self.runs.workshop.shelf
        # Prompts on the way to one with several rules less may not have been measured on all seeds.
        names = [found.name for one in candidate.lineage if (found := shelf.find(one.promptgram))]
        if names[0] not in known:
            return  # a limit came in between: it was not measured on all seeds
        parent = next(name for name in names[1:] if name in known)
        made = self.proposals.latest or _without_proposal(candidate, step)
        mode = "search" if self.proposals.latest is not None else step.kind
        entry = self._entry(parent, known[parent], made, mode=mode, problem="")
        self._write(entry | facts_of_child(known[names[0]], known[parent], known))

    def _entry(self, parent: str, base: Measured, made: Proposal, *, mode: str, problem: str) -> OuterStep:
        workshop = self.runs.workshop
        return {
            "outer_step": self.told,
            "timestamp": workshop.clock.now(),
            "selection_mode": mode,
            "parent": parent,
            "prompt_id": parent,
            "proposal": made.answer,
            "problem": problem,
            "warm_started_from": None,
            "baseline": metrics(base),
            "mind": workshop.outer_mind.name,
            "usage": asdict(made.usage),
            "detections": [],
        }

    def _write(self, entry: OuterStep) -> None:
        position, self.told = self.told, self.told + 1
        if position < self.written:
            written = self.pad.entries[position]
        else:
            written = self.pad.append(entry)
            if self.listener is not None:
                self.listener(written)
        if not written["problem"]:
            note_edit(self.runs.workshop, written)


def _without_proposal(candidate: Candidate, step: SearchStep) -> Proposal:
    """Merging and pruning in the shape of a proposal; nobody was asked."""
    edits = [one.edit.to_dict() for one in candidate.edits]
    return Proposal({"hypothesis": step.text, "edits": edits}, candidate.promptgram, "", Usage(calls=0))


async def run_search(
    workshop: OuterContext,
    pad: RunLog,
    settings: OuterSettings,
    *,
    listener: Callable[[Mapping[str, Any]], None] | None = None,
) -> OuterResult:
    """Run, or finish, the search; a run that was killed is replayed from its inner runs, which cost nothing.

    Raises:
        TrainerSettingInvalid: a warm start, under which seeds would be measured from different starts.
    """
    if settings.warm_start:
        told = "goes with the topology stack only: a search compares all promptgrams from one start"
        raise TrainerSettingInvalid(name="--warm-start", detail=told)
    runs = _InnerRuns(workshop)
    proposals = _Proposals(runs, settings.steps)
    scribe = _Scribe(runs, proposals, pad, listener)
    budget = runs_at_most(settings.steps, workshop.repeats)
    seeds = tuple(
        TuningTask(id=seed, input=f"an inner run from the common start, {seed}", judge="final NDCG@10")
        for seed in workshop.seeds
    )
    search = Search(
        runs,
        proposals,
        TuneSettings(
            budget=budget,
            batch=workshop.repeats,
            # One run less than the rounds that prune: as many proposals are measured as were asked for.
            prune_share=(_PRUNING_ROUNDS * workshop.repeats - workshop.repeats) / budget,
            greedy=1.0 - settings.explore,
            repeatable=True,
            specialists=False,
            seed=settings.seed,
        ),
        scribe.hear,
    )
    best, reason, detail = "", "steps", ""
    first = runs.shelved(shipped_promptgram("l1-ranker-tuner"), description="as shipped")
    try:
        found = await search.run(first.promptgram, TaskSplit(seeds, (), ()))
        best = runs.shelved(found.winner.promptgram).name
        if proposals.asked < settings.steps and found.reason != "budget":
            reason = found.reason
    except BudgetSpent as stop:
        reason, detail = stop.reason, stop.detail
    made = outcome_of(runs.known, runs.best, proposals.asked, reason)
    if best in runs.known:
        # Of equals the search chose the shorter one.
        made = replace(made, best=best, mean=runs.known[best].mean, interval=runs.known[best].interval())
    return replace(made, detail=detail, edits=edit_effects(pad))
