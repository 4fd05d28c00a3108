"""Trying things out on copies of workspaces: an answer against a task's check, a task on the real minds.

A task is done again by the very functions that neurons use (`plan_parts`, `implement`, `gather`), from the
layer where it enters down to the implementers, but called one after the other in this process: no signal is
sent, no step is recorded, and each implementer has one attempt.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hal9.clock import Clock
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.home import Home
from hal9.cluster.services.thinking import MindPool
from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.journal import Journal
from hal9.journal.work import Part, Work
from hal9.learning import PromptStore, ReplayCase
from hal9.memory import Recall, Rule
from hal9.memory.rules.roles import ROLES, roles_of
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request
from hal9.neurons import NeuronDefinition, NeuronServices, NoMap
from hal9.neurons.definitions.definition import neuron_meta
from hal9.neurons.dividing.gathering import gather
from hal9.neurons.dividing.splitting import plan_parts
from hal9.neurons.implementing.implementing import implement
from hal9.neurons.interfaces import CallContext, ModelClient
from hal9.neurons.messages.prompting import infer_targets
from hal9.neurons.turn import Turn
from hal9.neurons.workspaces import place_of
from hal9.promptgram import Promptgram
from hal9.settings import Settings
from hal9.signals import Grant, ResultPayload, RoutingDecision, Signal, TaskPayload, TaskScope, new_id
from hal9.signals.labels import SEEN_AS
from hal9.workbench import FileEdit, Snapshot, Workbench

__all__ = ["TaskReplayer"]

_MOST_MB = 64
_IMPLEMENTS = 2


class _HereAlone(NeuronDirectory):
    """The neurons of this process: who is not here now will not come while a task is tried."""

    async def wait_candidates(self, names: Sequence[str], *, exclude: str, task_id: str) -> dict[str, int]:
        found = self.candidates(names, exclude=exclude)
        if not found:
            raise TimeoutError
        return found


class _NotConcerned(Exception):
    """The task was handed down as it is, so the prompt on trial plays no part in it."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """One task done again with one promptgram in the place of what a neuron has now."""

    neuron: str
    promptgram: Promptgram
    pair: str
    recalled: Recall | None

    def choose(
        self, source: str, candidates: Sequence[str], *, task_class: str, task_id: str, text: str = ""
    ) -> RoutingDecision:
        """The neuron on trial where it may be chosen, else the first: both sides of a pair go one way."""
        target = self.neuron if self.neuron in candidates else candidates[0]
        return RoutingDecision(target=target, probabilities={target: 1.0}, policy="static")


@dataclass(frozen=True, slots=True)
class _Given:
    """Recalls what it was given; a rule for one role only to whoever has it."""

    recalled: Recall | None

    async def recall(
        self, objective: str, *, scope: TaskScope, neuron: str, layer: int, part: bool = False
    ) -> Recall | None:
        work = self.recalled.scope.work if self.recalled is not None else ""
        return self.recalled if work not in ROLES or work in roles_of(layer, part=part) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReplayer:
    """Runs checks and tasks on throw-away copies; the user's workspaces are only read."""

    home: Home
    settings: Callable[[], Settings]
    definitions: Mapping[str, NeuronDefinition]
    prompts: PromptStore
    minds: MindPool
    journal: Journal
    clock: Clock

    async def verify(self, payload: TaskPayload, expected: str) -> bool | None:
        """Whether an answer passes the task's check; None without check, workspace or single target."""
        targets = infer_targets(payload)
        if not payload.check or payload.workspace is None or len(targets) != 1:
            return None
        async with self._scratch(payload, ()) as scratch:
            if scratch is None:
                return None
            try:
                bench = Workbench(scratch, layer="L2", settings=self.settings().workbench)
                await bench.apply([FileEdit(path=targets[0], content=expected)])
                return (await bench.check(payload.check)).passed
            except WorkbenchError:
                return None

    async def rehearse(self, case: ReplayCase, rule: Rule | None) -> bool | None:
        """Whether the task passes in one attempt, with or without a rule.

        The first implementer does it alone, or, where the case says so, all layers do.
        """
        if case.whole:
            return await self._rehearse_whole(case, rule)
        neuron = next((one for one in self.definitions.values() if one.meta.layer == 2), None)
        if neuron is None:
            return None
        recalled = None if rule is None else _as_recall(rule)
        trial = _Trial(neuron.name, self.prompts.current(neuron.name), new_id(now=self.clock.now()), recalled)
        return await self._passes(case, neuron.name, trial)

    async def _rehearse_whole(self, case: ReplayCase, rule: Rule | None) -> bool | None:
        divides = next((one.name for one in self.definitions.values() if one.meta.layer > _IMPLEMENTS), None)
        if divides is None:
            return None
        entry = self._entry(divides)
        recalled = None if rule is None else _as_recall(rule)
        trial = _Trial(entry, self.prompts.current(entry), new_id(now=self.clock.now()), recalled)
        return await self._passes(case, entry, trial)

    async def perform(self, case: ReplayCase, neuron: str, promptgram: Promptgram, pair: str) -> bool | None:
        """Whether the task passes in one attempt when this neuron has this promptgram.

        An implementer does the task itself. For a neuron above, the task enters where tasks enter and goes
        down to implementers with the prompts that are in force now.

        Args:
            case: the task.
            neuron: whose promptgram is on trial.
            promptgram: it.
            pair: the same for both promptgrams of a pair, so that both get the same random seeds.

        Returns:
            None when it cannot be tried: the workspace is gone, the layers below are not in this process, a
            budget forbids the calls, or the task does not need this neuron's prompt.
        """
        layer = self.definitions[neuron].meta.layer
        entry = neuron if layer == 2 else self._entry(neuron)
        return await self._passes(case, entry, _Trial(neuron, promptgram, pair, None))

    def _entry(self, neuron: str) -> str:
        """Where tasks enter: the neuron itself if it is of the highest layer, else the first there."""
        highest = max(one.meta.layer for one in self.definitions.values())
        if self.definitions[neuron].meta.layer == highest:
            return neuron
        return min(name for name, one in self.definitions.items() if one.meta.layer == highest)

    async def _passes(self, case: ReplayCase, entry: str, trial: _Trial) -> bool | None:
        payload = case.payload
        if not payload.check or payload.workspace is None:
            return None
        async with self._scratch(payload, case.remove) as scratch:
            if scratch is None:
                return None
            labels = {**payload.labels, SEEN_AS: str(scratch.seen_at)}
            update = {"workspace": str(scratch.root), "grant": Grant(), "labels": labels}
            task = payload.model_copy(update=update)
            signal = Signal.create(
                task,
                task_id=f"rehearsal-{trial.pair}",
                source="learning",
                target=entry,
                now=self.clock.now(),
            )
            try:
                result = await self._work(signal, task, self._services(trial), trial)
            except (TurnFailed, _NotConcerned):
                return None
        return result.ok and result.check is not None and result.check.passed

    async def _work(
        self, signal: Signal, task: TaskPayload, services: NeuronServices, trial: _Trial
    ) -> ResultPayload:
        """One neuron's turn, and those below it."""
        definition = self.definitions[signal.target]
        tested = signal.target == trial.neuron
        promptgram = trial.promptgram if tested else self.prompts.current(signal.target)
        turn = Turn(
            services=services,
            definition=definition,
            meta=neuron_meta(promptgram, path=definition.path),
            signal=signal,
            task=task,
            promptgram=promptgram,
            progress=lambda _event, _detail: None,
        )
        if turn.meta.layer == 2:
            return await implement(turn)
        parts = await plan_parts(turn)
        if tested and not any(step.kind == "split" for step in turn.steps):
            raise _NotConcerned
        done: list[Part] = []
        for part in parts:
            if any(one.result is not None and not one.result.ok for one in done):
                done.append(part)
                continue
            below = Signal.create(
                part.payload,
                task_id=signal.task_id,
                source=signal.target,
                target=part.target,
                now=self.clock.now(),
                cause=signal,
            )
            result = await self._work(below, part.payload, services, trial)
            done.append(replace(part, signal_id=below.id, result=result))
        work = Work(signal=signal, neuron=signal.target, open=False, parts=tuple(done))
        combined = await gather(turn, work)
        if isinstance(combined, Part):
            raise TypeError("a rehearsal keeps no changes, so that its parts need no merging")
        return combined

    def _services(self, trial: _Trial) -> NeuronServices:
        settings = self.settings()
        implementer = settings.neurons.implementer.model_copy(update={"attempts": 1})
        once = settings.model_copy(
            update={"neurons": settings.neurons.model_copy(update={"implementer": implementer})}
        )
        layers: dict[str, int] = {name: one.meta.layer for name, one in self.definitions.items()}
        return NeuronServices(
            settings=lambda: once,
            models=_Uncached(self.minds),
            router=trial,
            memory=_Given(trial.recalled),
            mapper=NoMap(),
            prompts=self.prompts,
            clock=self.clock,
            directory=_HereAlone(clock=self.clock, node="rehearsal", local=layers),
            journal=self.journal,
            hidden=(self.home.state,),
            scratch=self.home.scratch,
        )

    @asynccontextmanager
    async def _scratch(self, payload: TaskPayload, remove: Sequence[str]) -> AsyncIterator[Snapshot | None]:
        """A copy of a workspace without the named files; None when it is gone or cannot be copied."""
        settings = self.settings().workbench
        small = settings.model_copy(update={"snapshot_mb": min(settings.snapshot_mb, _MOST_MB)})
        with tempfile.TemporaryDirectory(prefix="rehearsal-", dir=self.home.scratch) as folder:
            try:
                place = place_of(payload, Path(folder) / "copy", changes=None, hidden=(self.home.state,))
                snapshot = await Snapshot(replace(place, remove=tuple(remove)), small).__aenter__()
            except WorkbenchError:
                yield None
                return
            try:
                yield snapshot
            finally:
                await snapshot.__aexit__(None, None, None)


def _as_recall(rule: Rule) -> Recall:
    return Recall(
        rule=rule.rule,
        example=rule.example,
        rule_id=rule.id,
        pattern_id=rule.pattern_id,
        scope=rule.scope,
        source=rule.source,
        score=0.0,
        similarity=None,
        lower_bound=0.0,
        why="on trial",
    )


@dataclass(frozen=True, slots=True)
class _Uncached:
    """The minds without their prompt caches: with a warm one the same seed gives another text.

    Both runs of a pair are then drawn alike, whatever was asked before them.
    """

    minds: ModelClient

    async def think(
        self, model: str, request: Request, *, call: CallContext, on_token: OnToken | None = None
    ) -> Reply:
        return await self.minds.think(
            model, replace(request, reuse_prompt=False), call=call, on_token=on_token
        )

    async def capabilities(self, model: str) -> Capabilities:
        return await self.minds.capabilities(model)

    def window(self, model: str) -> int:
        return self.minds.window(model)
