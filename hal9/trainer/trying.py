"""Measuring what was proposed: candidate after candidate against the best so far, kept or taken back."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hal9.ripmap.parameters import Parameters
from hal9.trainer.changes import NOISE
from hal9.trainer.evaluator import Evaluation, TrainingEvaluator
from hal9.trainer.space import (
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
from hal9.trainer.walking import PATIENCE, Walk

__all__ = ["Tried", "Trier"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a proposal: a record per measured candidate, and whether it was measured before."""

    trials: list[dict[str, Any]]
    repeated: bool = False

    @property
    def kept(self) -> bool:
        """Whether any candidate was kept."""
        return any(trial["kept"] for trial in self.trials)


@dataclass(frozen=True, slots=True)
class _Leaning:
    """A candidate that may be gone on from, with its record."""

    made: Evaluation
    trial: dict[str, Any]


@dataclass(slots=True)
class Trier:
    """Measures steps from the working point of a walk; see `Walk` for the rule by which they are kept.

    Attributes:
        evaluator: ranks; space: what may move.
        noise: see `verdict`.
        probes: further candidates per proposal.
        patience: see `Walk`.
        limit: evaluations in all, the start included; 0 is none.
        spent: evaluations so far.
    """

    evaluator: TrainingEvaluator
    space: Space
    noise: float = NOISE
    probes: int = 2
    limit: int = 0
    patience: int = PATIENCE
    spent: int = 0
    _walk: Walk | None = None
    _seen: set[Parameters] = field(default_factory=set)

    @property
    def walk(self) -> Walk:
        """Where the run stands."""
        if self._walk is None:
            raise RuntimeError("nothing was measured yet")
        return self._walk

    @property
    def best(self) -> Evaluation:
        """The best so far: what is kept."""
        return self.walk.best

    @property
    def point(self) -> Evaluation:
        """What the next step begins from: the best, or some tentative steps ahead of it."""
        return self.walk.point

    @property
    def exhausted(self) -> bool:
        """Whether no evaluation is left."""
        return bool(self.limit) and self.spent >= self.limit

    async def begin(self, start: Parameters, entries: Sequence[Mapping[str, Any]]) -> Evaluation:
        """Measure the start and take up where a record ends; returns the start."""
        first = await self._measure(start)
        self._walk = Walk(first, self.noise, self.patience)
        self.spent = 1
        self._seen.add(start)
        for entry in entries:
            self.spent += len(entry["trials"])
            self._seen.update(Parameters(trial["params"]) for trial in entry["trials"])
        if entries:
            self._walk.stand_on(await self._measure(Parameters(entries[-1]["params"])))
            if record := entries[-1].get("working"):
                self._walk.take_up(await self._measure(Parameters(record["params"])), record)
        return first

    def open_steps(self) -> dict[str, Ways]:
        """Parameter to the single steps from the working point that lead where nothing was measured yet."""
        found: dict[str, Ways] = {}
        for name in self.space.names:
            ways = {way: self._open(name, way) for way in DIRECTIONS}
            if any(ways.values()):
                found[name] = {way: lengths for way, lengths in ways.items() if lengths}
        return found

    def _open(self, name: str, way: Direction) -> list[Magnitude]:
        applied = {
            length: apply_changes(self.point.parameters, [Change(name, way, length)], self.space)
            for length in MAGNITUDES
        }
        return [length for length, one in applied.items() if one.moved and one.parameters not in self._seen]

    async def stand_on(self, parameters: Parameters) -> None:
        """Make these the best so far, whatever they score: somebody said so."""
        if parameters != self.best.parameters:
            self.walk.stand_on(await self._measure(parameters))

    async def attempt(self, changes: Sequence[Change], problems: list[str]) -> Tried:
        """Measure a proposal; then go on while it helps, or vary its steps.

        Args:
            changes: the proposal.
            problems: what could not be applied is added, one sentence each.
        """
        applied = apply_changes(self.point.parameters, changes, self.space)
        problems += applied.problems
        if not applied.moved:
            return Tried([])
        if applied.parameters in self._seen:
            problems.append("this candidate was measured before and taken back; propose another")
            return Tried([], repeated=True)
        leaning: list[_Leaning] = []
        trials = [await self._trial(applied, leaning)]
        moved = [change for change in changes if change.name in applied.moved]
        if trials[0]["kept"]:
            await self._probe([moved] * self.probes, trials, leaning)
        else:
            alone = [[change] for change in moved] if len(moved) > 1 else []
            await self._probe([*alone, *_other_lengths(moved)][: self.probes], trials, leaning)
        self._go_on(trials, leaning)
        return Tried(trials)

    def _go_on(self, trials: Sequence[dict[str, Any]], leaning: Sequence["_Leaning"]) -> None:
        """After a proposal of which nothing was kept: go on from the best that leans, or give the walk up."""
        if any(trial["kept"] for trial in trials):
            return
        if leaning:
            best = max(leaning, key=lambda one: one.made.score)
            self.walk.advance(best.made)
            best.trial.update(tentative=True, why=f"tentative, {best.trial['why']}")
        elif self.walk.give_up():
            trials[-1]["returned"] = True

    async def _measure(self, parameters: Parameters) -> Evaluation:
        return await asyncio.to_thread(self.evaluator.evaluate, parameters)

    async def _probe(
        self, sets: Sequence[Sequence[Change]], trials: list[dict[str, Any]], leaning: list["_Leaning"]
    ) -> None:
        """Further candidates of a proposal; a kept one is gone on with until it no longer helps."""
        going_on = trials[0]["kept"]
        for changes in sets:
            applied = apply_changes(self.point.parameters, changes, self.space)
            if self.exhausted or (going_on and not trials[-1]["kept"]):
                return
            if applied.moved and applied.parameters not in self._seen:
                trials.append(await self._trial(applied, leaning))
            elif going_on:
                return

    async def _trial(self, applied: Applied, leaning: list["_Leaning"]) -> dict[str, Any]:
        before = self.best.parameters
        made = await self._measure(applied.parameters)
        self.spent += 1
        self._seen.add(applied.parameters)
        judged = self.walk.judge(made, tried=self.spent - 1)
        # What is kept is the whole walk since the last kept point, so that is what a record calls moved.
        moved = _between(before, made.parameters) if judged.kept else applied.moved
        trial = {
            "moved": {name: list(pair) for name, pair in moved.items()},
            "params": applied.parameters.changes(),
            "ndcg": made.score,
            **judged.to_json(),
            "seconds": round(made.seconds, 4),
        }
        if judged.leans:
            leaning.append(_Leaning(made, trial))
        return trial


def _between(before: Parameters, after: Parameters) -> dict[str, tuple[float, float]]:
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _other_lengths(changes: Sequence[Change]) -> list[list[Change]]:
    """Each step in the other magnitudes: a mind says which way, the ranker measures how far."""
    return [
        [replace(change, magnitude=magnitude)]
        for change in changes
        for magnitude in MAGNITUDES
        if magnitude != change.magnitude
    ]
