"""A neuron: takes task, result and cancel signals, gives back what is to be sent and recorded together."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from hal9.bus import Outcome
from hal9.database import Connection
from hal9.errors.neurons import TurnFailed
from hal9.journal import tasks, turns, work
from hal9.journal.failpoints import failpoint
from hal9.journal.work import Part, Work
from hal9.neurons.definitions.definition import NeuronDefinition, neuron_meta
from hal9.neurons.dividing.gathering import begin_part, gather
from hal9.neurons.dividing.parts import is_staged, parts_in_force, ready_parts
from hal9.neurons.dividing.splitting import failed_result, pass_on, plan_parts
from hal9.neurons.implementing.implementing import implement
from hal9.neurons.origin import answer_to, given_to, refused_result, refused_signal
from hal9.neurons.turn import NeuronServices, Progress, Turn
from hal9.neurons.workspaces import abandon_bench, without_earlier_parts
from hal9.signals import (
    CancelPayload,
    ErrorGradient,
    ResultPayload,
    Signal,
    StepRecord,
    TaskPayload,
)
from hal9.signals.labels import PART_SIGNAL

__all__ = ["WAITING_TURNS", "GradientHandler", "Neuron"]

GradientHandler = Callable[[Signal, ErrorGradient], Awaitable[Outcome]]
_REMEMBERED = 4096
WAITING_TURNS = 34
"""Signals a neuron holds beyond those it works on: turns that wait for a person, and cancels."""


class Neuron:
    """One neuron of this node.

    Args:
        definition: what its file says.
        services: what all neurons of the node share.
        emit: publishes progress for a task; may lose it.
        on_gradient: takes backward signals; None refuses to learn.
    """

    def __init__(
        self,
        definition: NeuronDefinition,
        services: NeuronServices,
        *,
        emit: Callable[[str, dict[str, Any]], None],
        on_gradient: GradientHandler | None = None,
    ) -> None:
        self.definition = definition
        self._services = services
        self._emit = emit
        self._on_gradient = on_gradient
        # More signals are taken than turns work at a time: those that wait for a person hold no place.
        self._turns = asyncio.Semaphore(services.settings().cluster.concurrent_turns)
        self._running: dict[str, set[asyncio.Task[Any]]] = {}
        self._cancelled: OrderedDict[str, str] = OrderedDict()
        self._open: OrderedDict[str, Work] = OrderedDict()  # by the id of the task signal that was split
        self._part_of: dict[str, str] = {}
        self._gathering: set[str] = set()

    @property
    def name(self) -> str:
        """Name, also of its inbox."""
        return self.definition.name

    async def handle(self, signal: Signal) -> Outcome:
        """Work on one signal; what comes back is recorded and sent as one."""
        payload = signal.payload
        if isinstance(payload, TaskPayload):
            turn = self._turn(signal, payload)
            return await self._guarded(turn, lambda: self._turn_outcome(turn))
        if isinstance(payload, ResultPayload):
            return await self._take_result(signal, payload)
        if isinstance(payload, CancelPayload):
            return self._cancel(signal, payload)
        if isinstance(payload, ErrorGradient) and self._on_gradient is not None:
            return await self._on_gradient(signal, payload)
        return Outcome()

    def at_once(self, signal: Signal) -> Outcome | None:
        """What follows from a signal without any thought: a small task is handed on, an only result goes up.

        None when it takes a turn, or had better fail in one.
        """
        payload = signal.payload
        if signal.task_id in self._cancelled:
            return None
        if isinstance(payload, TaskPayload) and self.definition.meta.layer != 2:
            turn = self._turn(signal, payload)
            if _is_late(turn):
                return None
            turn.progress = _untold  # it is over before anybody could look
            try:
                parts = pass_on(turn)
            except TurnFailed:
                return None
            return None if parts is None else self._divided(turn, parts)
        if isinstance(payload, ResultPayload):
            return self._only_result(signal, payload)
        return None

    def _only_result(self, signal: Signal, result: ResultPayload) -> Outcome | None:
        """The result of an only part goes up as it is; None when there are others, or none was asked for."""
        part_id = signal.cause_id or ""
        known = self._open.get(self._part_of.get(part_id, ""))
        if known is None or len(known.parts) != 1 or not given_to(known, signal):
            return None
        turn = self._turn(known.signal, _task_of(known.signal))
        if _is_late(turn):
            return None
        failpoint("part-recorded")
        own = [step for step in result.steps if step.task_id == signal.task_id]
        turn.steps.extend(own)
        return self._answer(turn, result.model_copy(update={"steps": []}), closes=True)

    # --- tasks ----------------------------------------------------------------------------

    async def _guarded(
        self, turn: Turn, work_on: Callable[[], Awaitable[Outcome]], *, closes: bool = False
    ) -> Outcome:
        """A turn under its deadline, stoppable by a cancel signal; `closes` when it ends a divided task."""
        task_id = turn.signal.task_id
        if task_id in self._cancelled:
            return self._stopped(turn, "cancelled", self._cancelled[task_id])
        current = asyncio.current_task()
        if current is None:
            raise RuntimeError("a turn runs in a task of the event loop")
        running = self._running.setdefault(task_id, set())
        running.add(current)
        try:
            async with self._turns:
                return await self._timed(turn, work_on)
        except TimeoutError:
            detail = f"no time left after {turn_seconds(turn):.0f} s"
            return await self._given_up(turn, "timeout", detail, closes=closes)
        except asyncio.CancelledError:
            if task_id not in self._cancelled:
                raise
            current.uncancel()
            return await self._given_up(turn, "cancelled", self._cancelled[task_id], closes=closes)
        except TurnFailed as error:
            return await self._given_up(turn, error.reason, error.detail, closes=closes)
        finally:
            running.discard(current)
            if not running:
                self._running.pop(task_id, None)

    async def _timed(self, turn: Turn, work_on: Callable[[], Awaitable[Outcome]]) -> Outcome:
        now = self._services.clock.now()
        task_id = turn.signal.task_id
        if turn.task.grant.deadline is not None:
            turn.waited = self._services.journal.read_now(
                lambda connection: turns.seconds_waited(connection, task_id, now=now)
            )
        left = turn.seconds_left
        async with asyncio.timeout(None if left is None else max(left, 0.0)) as limit:
            turn.time_limit = limit
            turn.place = self._turns
            return await work_on()

    async def _turn_outcome(self, turn: Turn) -> Outcome:
        turn.progress("turn", {"objective": turn.task.objective[:200]})
        if turn.meta.layer == 2:
            return self._answer(turn, await implement(turn))
        return self._divided(turn, await plan_parts(turn))

    def _divided(self, turn: Turn, parts: Sequence[Part]) -> Outcome:
        """Send the parts that can be, and remember them all."""
        opened = Work(signal=turn.signal, neuron=self.name, open=True, parts=tuple(parts))
        signals = {part.position: self._part_signal(turn.signal, part) for part in ready_parts(opened)}
        sent = [
            replace(part, signal_id=signals[part.position].id) if part.position in signals else part
            for part in opened.parts
        ]
        opened = replace(opened, parts=tuple(sent))
        self._remember(opened)
        now = self._services.clock.now()

        def write(connection: Connection) -> None:
            work.open_work(connection, opened.signal, self.name, opened.parts, now=now)
            self._keep_steps(connection, turn.steps)

        return Outcome(send=tuple(signals.values()), writes=(write,))

    def _part_signal(self, cause: Signal, part: Part) -> Signal:
        layers = self._services.directory.candidates((part.target,), exclude=self.name)
        signal = Signal.create(
            part.payload,
            task_id=cause.task_id,
            source=self.name,
            target=part.target,
            now=self._services.clock.now(),
            ttl_seconds=self._ttl(part.payload),
            cause=cause,
            layers=(self.definition.meta.layer, layers.get(part.target, 0)),
        )
        return signal.model_copy(update={"id": part.payload.labels.get(PART_SIGNAL, signal.id)})

    # --- results --------------------------------------------------------------------------

    async def _take_result(self, signal: Signal, result: ResultPayload) -> Outcome:
        part_id = signal.cause_id or ""
        own = [step for step in result.steps if step.task_id == signal.task_id]
        result = result.model_copy(update={"steps": own})
        waited = await self._find(part_id)
        if waited is None:
            return await self._late(signal, result)
        if not given_to(waited, signal):
            return refused_result(signal, now=self._services.clock.now())
        found = await self._record(part_id, result)
        if found is None:
            return await self._late(signal, result)
        failpoint("part-recorded")
        turn = self._turn(found.signal, _task_of(found.signal))
        turn.steps.extend(result.steps)
        ready = ready_parts(found)
        missing = any(part.signal_id is not None and part.result is None for part in parts_in_force(found))
        if not ready and (missing or found.signal.id in self._gathering):
            return Outcome(writes=(lambda connection: self._keep_steps(connection, result.steps),))
        if ready:
            return await self._guarded(turn, lambda: self._send_parts(turn, found, ready), closes=True)
        self._gathering.add(found.signal.id)
        try:
            return await self._guarded(turn, lambda: self._gathered(turn, found), closes=True)
        finally:
            self._gathering.discard(found.signal.id)

    async def _gathered(self, turn: Turn, found: Work) -> Outcome:
        """All parts are done: their result, or one further part."""
        combined = await gather(turn, found)
        if isinstance(combined, Part):
            return await self._send_parts(turn, found, [combined])
        if not combined.ok and len(found.parts) > 1 and not is_staged(found):
            combined = await without_earlier_parts(turn, combined)
        return self._answer(turn, combined, closes=True)

    async def _late(self, signal: Signal, result: ResultPayload) -> Outcome:
        """Nobody waits for it any more; what it cost is kept if this neuron asked for it."""
        if not result.steps:
            return Outcome()
        done = await self._services.journal.read(
            lambda connection: tasks.steps_of(connection, signal.task_id)
        )
        if not any(step.neuron == self.name and signal.source in _receivers(step) for step in done):
            return refused_result(signal, now=self._services.clock.now())
        return Outcome(writes=(lambda connection: self._keep_steps(connection, result.steps),))

    async def _find(self, part_id: str) -> Work | None:
        known = self._open.get(self._part_of.get(part_id, ""))
        if known is not None:
            return known
        return await self._services.journal.read(lambda connection: work.find_work(connection, part_id))

    async def _record(self, part_id: str, result: ResultPayload) -> Work | None:
        """The work this result belongs to, with the result in it; None when nobody waits for it."""
        known = self._open.get(self._part_of.get(part_id, ""))
        if known is not None and len(known.parts) == 1:
            # A single part needs no row of its own: its result is recorded by closing the work.
            return _with_result(known, part_id, result)

        def record(connection: Connection) -> Work | None:
            work.record_part(connection, part_id, result)
            return work.find_work(connection, part_id)

        return await self._services.journal.write(record)

    async def _send_parts(self, turn: Turn, found: Work, parts: Sequence[Part]) -> Outcome:
        begun = [await begin_part(turn, found, part) for part in parts]
        signals = [self._part_signal(found.signal, part) for part in begun]

        def write(connection: Connection) -> None:
            for part, signal in zip(begun, signals, strict=True):
                work.send_part(connection, found.signal.id, replace(part, signal_id=signal.id))
            self._keep_steps(connection, turn.steps)

        self._forget(found.signal.id)  # what is in memory does not know of these parts
        return Outcome(send=tuple(signals), writes=(write,))

    def _answer(self, turn: Turn, result: ResultPayload, *, closes: bool = False) -> Outcome:
        """Send a result to whoever asked."""
        asked = turn.signal
        if self._services.carry_steps:
            result = result.model_copy(update={"steps": turn.steps})
        answer = answer_to(asked, result, now=self._services.clock.now(), ttl_seconds=self.settings_ttl)

        def write(connection: Connection) -> None:
            if closes:
                work.close_work(connection, asked.id)
            self._keep_steps(connection, turn.steps)

        self._forget(asked.id)
        return Outcome(send=(answer,), writes=(write,))

    # --- cancelling -----------------------------------------------------------------------

    def _cancel(self, signal: Signal, payload: CancelPayload) -> Outcome:
        if signal.source != self._services.scheduler:
            detail = f"{signal.source!r} may not cancel tasks"
            return refused_signal(signal, detail, now=self._services.clock.now())
        self._cancelled[signal.task_id] = payload.reason or "cancelled"
        while len(self._cancelled) > _REMEMBERED:
            self._cancelled.popitem(last=False)
        for task in self._running.get(signal.task_id, set()):
            task.cancel()
        for opened in [opened for opened in self._open.values() if opened.signal.task_id == signal.task_id]:
            self._forget(opened.signal.id)
        return Outcome(writes=(lambda connection: work.cancel_work(connection, signal.task_id),))

    async def _given_up(self, turn: Turn, reason: str, detail: str, *, closes: bool) -> Outcome:
        """A turn that was stopped leaves no copy of its workspace; what it changed stays in the result."""
        done, changes = await abandon_bench(turn)
        if done is not None:
            return self._answer(turn, done, closes=closes)
        result = failed_result(reason, detail, neuron=self.name, tally=turn.tally())
        return self._answer(turn, result.model_copy(update={"changes": changes}), closes=closes)

    def _stopped(self, turn: Turn, reason: str, detail: str) -> Outcome:
        result = failed_result(reason, detail, neuron=self.name, tally=turn.tally())
        return self._answer(turn, result)

    # --- small things ---------------------------------------------------------------------

    @property
    def settings_ttl(self) -> float:
        """How long a signal may be on its way, seconds."""
        return self._services.settings().cluster.signal_ttl_seconds

    def _ttl(self, task: TaskPayload) -> float:
        if task.grant.deadline is None:
            return self.settings_ttl
        return min(self.settings_ttl, max(task.grant.deadline - self._services.clock.now(), 1.0))

    def _turn(self, signal: Signal, task: TaskPayload) -> Turn:
        promptgram = self._services.prompts.prompt_for(self.name, task_id=signal.task_id)
        meta = (
            self.definition.meta
            if promptgram is self.definition.promptgram
            else neuron_meta(promptgram, path=self.definition.path)
        )
        return Turn(
            services=self._services,
            definition=self.definition,
            meta=meta,
            signal=signal,
            task=task,
            promptgram=promptgram,
            progress=self._progress(signal.task_id),
        )

    def _progress(self, task_id: str) -> Progress:
        def progress(event: str, detail: dict[str, object]) -> None:
            self._emit(
                task_id, {"event": event, "neuron": self.name, "layer": self.definition.meta.layer, **detail}
            )

        return progress

    def _keep_steps(self, connection: Connection, steps: list[StepRecord]) -> None:
        if steps:
            tasks.insert_steps(connection, steps)

    def _remember(self, opened: Work) -> None:
        self._open[opened.signal.id] = opened
        self._part_of.update((part.signal_id, opened.signal.id) for part in opened.parts if part.signal_id)
        if len(self._open) > _REMEMBERED:
            self._forget(next(iter(self._open)))

    def _forget(self, work_id: str) -> None:
        opened = self._open.pop(work_id, None)
        for part in opened.parts if opened else ():
            self._part_of.pop(part.signal_id or "", None)


def _is_late(turn: Turn) -> bool:
    """Whether the deadline is over, unless the task has waited for persons."""
    left = turn.seconds_left
    return left is not None and left <= 0


def _untold(_event: str, _detail: dict[str, object]) -> None:
    return


def turn_seconds(turn: Turn) -> float:
    """How long a turn has been going on since its signal was made."""
    return turn.services.clock.now() - turn.signal.created_at


def _receivers(step: StepRecord) -> set[str]:
    """Who was given work in a step."""
    return {route.target for route in step.routes}


def _with_result(known: Work, part_id: str, result: ResultPayload) -> Work:
    parts = tuple(
        Part(
            position=part.position,
            target=part.target,
            payload=part.payload,
            signal_id=part.signal_id,
            result=result if part.signal_id == part_id else part.result,
        )
        for part in known.parts
    )
    return Work(signal=known.signal, neuron=known.neuron, open=known.open, parts=parts)


def _task_of(signal: Signal) -> TaskPayload:
    if not isinstance(signal.payload, TaskPayload):
        raise TypeError(f"signal {signal.id} is no task")
    return signal.payload
