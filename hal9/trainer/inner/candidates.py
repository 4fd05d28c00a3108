"""Measuring what was proposed: candidate after candidate against the best so far, kept or taken back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator, paired_gain
from hal9.trainer.record.changes import NOISE, verdict
from hal9.trainer.record.episodes import InnerEpisode, Trial
from hal9.trainer.search.space import (
    DIRECTIONS,
    MAGNITUDES,
    Applied,
    Change,
    Direction,
    Magnitude,
    Space,
    Ways,
    apply_changes,
)

__all__ = ["CandidateEvaluator", "Tried"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a proposal: a record per measured candidate, and whether it was measured before."""

    trials: list[Trial]
    repeated: bool = False

    @property
    def kept(self) -> bool:
        """Whether any candidate was kept."""
        return any(trial["kept"] for trial in self.trials)


@dataclass(slots=True)
class CandidateEvaluator:
    """The best evaluation so far, and the rule by which another takes its place.

    Attributes:
        evaluator: ranks.
        space: what may move.
        noise: see `verdict`.
        probes: further candidates per proposal.
        limit: evaluations in all, the start included; 0 is none.
        spent: evaluations so far.
    """

    evaluator: TrainingEvaluator
    space: Space
    noise: float = NOISE
    probes: int = 2
    limit: int = 0
    spent: int = 0
    _best: Evaluation | None = None
    _seen: set[Parameters] = field(default_factory=set)

    @property
    def best(self) -> Evaluation:
        """The best so far."""
        if self._best is None:
            raise RuntimeError("nothing was measured yet")
        return self._best

    @property
    def exhausted(self) -> bool:
        """Whether no evaluation is left."""
        return bool(self.limit) and self.spent >= self.limit

    async def begin(self, start: Parameters, entries: Sequence[InnerEpisode]) -> Evaluation:
        """Measure the start and take up where a record ends; returns the start."""
        first = self._best = await self._measure(start)
        self.spent = 1
        self._seen.add(start)
        for entry in entries:
            self.spent += len(entry["trials"])
            self._seen.update(Parameters(trial["params"]) for trial in entry["trials"])
        if entries:
            self._best = await self._measure(Parameters(entries[-1]["params"]))
        return first

    def open_steps(self) -> dict[str, Ways]:
        """Parameter to the single steps from the best that lead where nothing was measured yet."""
        found: dict[str, Ways] = {}
        for name in self.space.names:
            ways = {way: self._open(name, way) for way in DIRECTIONS}
            if any(ways.values()):
                found[name] = {way: lengths for way, lengths in ways.items() if lengths}
        return found

    def _open(self, name: str, way: Direction) -> list[Magnitude]:
        applied = {
            length: apply_changes(self.best.parameters, [Change(name, way, length)], self.space)
            for length in MAGNITUDES
        }
        return [length for length, one in applied.items() if one.moved and one.parameters not in self._seen]

    async def stand_on(self, parameters: Parameters) -> None:
        """Make these the best so far, whatever they score: somebody said so."""
        if parameters != self.best.parameters:
            self._best = await self._measure(parameters)

    async def attempt(self, changes: Sequence[Change], problems: list[str]) -> Tried:
        """Measure a proposal; then go on while it helps, or vary its steps.

        Args:
            changes: the proposal.
            problems: what could not be applied is added, one sentence each.
        """
        applied = apply_changes(self.best.parameters, changes, self.space)
        problems += applied.problems
        if not applied.moved:
            return Tried([])
        if applied.parameters in self._seen:
            problems.append("this candidate was measured before and taken back; propose another")
            return Tried([], repeated=True)
        trials = [await self._trial(applied)]
        moved = [change for change in changes if change.name in applied.moved]
        if trials[0]["kept"]:
            await self._probe([moved] * self.probes, trials)
        else:
            alone = [[change] for change in moved] if len(moved) > 1 else []
            await self._probe([*alone, *_other_lengths(moved)][: self.probes], trials)
        return Tried(trials)

    async def _measure(self, parameters: Parameters) -> Evaluation:
        return await asyncio.to_thread(self.evaluator.evaluate, parameters)

    async def _probe(self, sets: Sequence[Sequence[Change]], trials: list[Trial]) -> None:
        """Further candidates of a proposal; a kept one is gone on with until it no longer helps."""
        going_on = trials[0]["kept"]
        for changes in sets:
            applied = apply_changes(self.best.parameters, changes, self.space)
            if self.exhausted or (going_on and not trials[-1]["kept"]):
                return
            if applied.moved and applied.parameters not in self._seen:
                trials.append(await self._trial(applied))
            elif going_on:
                return

    async def _trial(self, applied: Applied) -> Trial:
        base = self.best
        made = await self._measure(applied.parameters)
        self.spent += 1
        self._seen.add(applied.parameters)
        gain = paired_gain(made, base)
        why = verdict(gain, noise=self.noise, tried=self.spent - 1)
        if not why:
            self._best = made
        return {
            "moved": {name: list(pair) for name, pair in applied.moved.items()},
            "params": applied.parameters.changes(),
            "ndcg": made.score,
            "gain": gain.mean,
            "error": gain.error,
            "won": gain.won,
            "lost": gain.lost,
            "kept": not why,
            "why": why,
            "seconds": round(made.seconds, 4),
        }


def _other_lengths(changes: Sequence[Change]) -> list[list[Change]]:
    """Each step in the other magnitudes: a mind says which way, the ranker measures how far."""
    return [
        [replace(change, magnitude=magnitude)]
        for change in changes
        for magnitude in MAGNITUDES
        if magnitude != change.magnitude
    ]
