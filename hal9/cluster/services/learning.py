"""Learning in the daemon: opens the memory file, answers requests, serves the neurons."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from hal9.bus import Courier, Outcome
from hal9.cluster.plan import NodePlan
from hal9.cluster.requests import LEARNING_REQUESTS
from hal9.cluster.scheduler import SCHEDULER
from hal9.cluster.services.replayer import TaskReplayer
from hal9.cluster.services.thinking import MindPool, resolve_spec
from hal9.errors.base import Hal9Error
from hal9.errors.memory import EmbedderUnavailable
from hal9.journal import Journal, tasks
from hal9.journal.tasks import RequestRow, TaskRow
from hal9.learning import (
    ActionAdvisor,
    ChecksFirst,
    Critic,
    EngineDependencies,
    LearnedGate,
    LearningEngine,
    LearningOperations,
    PromptStore,
    RuleLearner,
    TaskPath,
    derive_id,
    parse_feedback,
)
from hal9.learning.gradients.facts import GradientFacts
from hal9.memory import (
    Embedder,
    MemoryScope,
    MemoryStore,
    Recall,
    RecallPolicy,
    RulePolicy,
    RuleStore,
    not_followed_by,
    open_embedder,
    recall_many,
    scope_of,
    together,
)
from hal9.minds.protocol import Reply, Request
from hal9.neurons import CallContext
from hal9.settings import Settings
from hal9.signals import ErrorGradient, Signal, StepRecord, TaskScope

__all__ = ["REQUESTS", "LearningService", "ask_to_learn", "choose_embedder"]

_log = logging.getLogger("hal9.cluster.services.learning")
SettingsNow = Callable[[], Settings]
Alert = Callable[[str], None]
REQUESTS = ("learn", *LEARNING_REQUESTS)
_GRADIENT_PATIENCE = 10.0
_REFRESH_SECONDS = 1.0


def ask_to_learn(connection: sqlite3.Connection, task_id: str, now: float) -> None:
    """A task has finished: have it examined. Runs in the transaction that finishes it, so none is missed."""
    tasks.add_request(connection, "learn", {}, now=now, task_id=task_id)


def choose_embedder(spec: str) -> tuple[Embedder | None, str]:
    """The embedder that a home's settings want, and a notice when "auto" had to take the lesser one.

    Raises:
        EmbedderUnknown, EmbedderUnavailable, WeightsMismatch: a named one cannot be used.
    """
    if spec != "auto":
        return open_embedder(spec), ""
    try:
        return open_embedder("onnx-minilm"), ""
    except EmbedderUnavailable as error:
        notice = f"memory.embedder auto uses word hashing, which finds much less: {error}"
        return open_embedder("hashing"), notice


class LearningService:
    """What the daemon knows of learning; use it with `async with`, then `run()`.

    Args:
        plan: the process it learns in.
        minds: for critic, judge and replays.
        journal: tasks, steps, requests.
        courier: carries the gradients; not entered yet.
    """

    def __init__(self, plan: NodePlan, *, minds: MindPool, journal: Journal, courier: Courier) -> None:
        self._home = plan.home
        self._settings = plan.settings
        self._definitions = plan.definitions
        self._minds = minds
        self._journal = journal
        self._courier = courier
        self._clock = plan.clock
        self._alert = plan.alert
        # A neuron's own process has only its part of a task's path.
        self._whole_tasks = plan.whole_tasks
        self._stack = AsyncExitStack()
        self._settled: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self.wake = asyncio.Event()
        self._judged: int | None = None  # tasks looked at, ever; read from the file when first needed

    async def __aenter__(self) -> Self:
        memory = self._settings().memory
        embedder, notice = await asyncio.to_thread(choose_embedder, memory.embedder)
        if notice:
            self._alert(notice)
        self.store = await self._open_memory(embedder)
        # Of their own, so that no neuron waits for sleep or for a swarm of finished tasks being recorded.
        self._recalling = await self._open_memory(embedder)
        self._scopes = RuleStore(await self._open_memory(None))
        self._home.memory.chmod(0o600)
        files = {name: one.promptgram for name, one in self._definitions.items()}
        self.prompts = PromptStore(self.store, files)
        for text in self.prompts.notices:
            self._alert(text)
        self.rehearsal = TaskReplayer(
            home=self._home,
            settings=self._settings,
            definitions=self._definitions,
            prompts=self.prompts,
            minds=self._minds,
            journal=self._journal,
            clock=self._clock,
        )
        rule_learner = RuleLearner(
            self.store,
            verify=self.rehearsal.verify,
            rehearse=self.rehearsal.rehearse,
            cases=lambda: min(2, self._settings().gate.replay_tasks),
        )
        rule_learner.book = RuleStore(
            self.store, RulePolicy(trusted_minds=tuple(self._settings().minds.trusted_rule_writers))
        )
        critic = Critic(self.ask, spec=lambda: self._settings().minds.critic)
        rule_learner.writer = lambda gradient: critic.rule(
            gradient, self._settings().minds.trusted_rule_writers
        )
        self.engine = LearningEngine(
            EngineDependencies(
                store=self.store,
                prompts=self.prompts,
                rule_learner=rule_learner,
                critic=critic,
                scorer=ChecksFirst(self.ask, judge=lambda: self._settings().minds.judge),
                entry=SCHEDULER,
                settings=self._settings,
                perform=self.rehearsal.perform,
                alert=self._alert,
            )
        )
        advisor = ActionAdvisor(await self._open_memory(None), effect=memory.guards)
        self.gate = LearnedGate(advisor, learning=lambda: self.engine.learning)
        self._desk = LearningOperations(self.engine, memory_settings=memory)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def _open_memory(self, embedder: Embedder | None) -> MemoryStore:
        store = MemoryStore(self._home.memory, embedder=embedder, clock=self._clock)
        # In a thread: the file may have to be migrated.
        self._stack.push(await asyncio.to_thread(store.__enter__))
        return store

    async def ask(self, spec: str, request: Request, purpose: str) -> Reply:
        """Ask a mind for learning's own purposes; it goes on the accounts under that purpose."""
        call = CallContext(task_id=purpose, call_id=purpose, neuron="learning")
        return await self._minds.think(spec, request, call=call)

    # --- what neurons use ---------------------------------------------------------------------------

    async def recall(self, objective: str, *, scope: TaskScope, neuron: str, layer: int) -> Recall | None:
        """One memory or none; layers above implementation get the rule without the solved example."""
        memory = self._settings().memory
        if memory.recall_limit == 0:
            return None
        wanted = await asyncio.to_thread(
            scope_of,
            objective,
            workspace=scope.workspace,
            module=scope.module or None,
            family=scope.task_family or None,
            paths=scope.paths,
        )
        if memory.scope_gate and not self._scopes.in_scope(wanted.cleaned(), ("admitted",)):
            return None  # the common case, and not worth another thread
        found = await asyncio.to_thread(self._recall, objective, wanted, neuron)
        if found is not None and layer != 2:
            return replace(found, example=None)
        return found

    def _recall(self, objective: str, wanted: MemoryScope, neuron: str) -> Recall | None:
        memory = self._settings().memory
        definition = self._definitions.get(neuron)
        mind = resolve_spec(definition.meta.model, self._settings().minds) if definition else ""
        policy = RecallPolicy(
            limit=memory.recall_limit,
            min_similarity=memory.min_similarity,
            scope_gate=memory.scope_gate,
            without=not_followed_by(self._recalling, mind) if mind else frozenset(),
        )
        return together(recall_many(self._recalling, objective, wanted, policy))

    async def on_gradient(self, signal: Signal, gradient: ErrorGradient) -> Outcome:
        """A backward signal for a neuron of this process."""
        steps = await self._journal.read(lambda connection: tasks.steps_of(connection, signal.task_id))
        recorded = TaskPath.recorded(steps) if self._whole_tasks else None
        signals = await self.engine.on_gradient(signal, gradient, recorded=recorded)
        self._changed.set()

        def settled(_connection: sqlite3.Connection) -> None:
            if not signals:
                root = GradientFacts.of(gradient).root
                loop.call_soon_threadsafe(self._arrived, root)

        loop = asyncio.get_running_loop()
        return Outcome(send=tuple(signals), writes=(settled,))

    def _arrived(self, root: str) -> None:
        event = self._settled.get(root)
        if event is not None:
            event.set()

    # --- requests -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the requests that are learning's; runs for ever."""
        # After a change of embedder, what was stored before gets its vectors anew.
        await asyncio.to_thread(self.store.reembed)
        while True:
            await self.wake.wait()
            self.wake.clear()
            requests = [one for one in await self._journal.read(tasks.open_requests) if one.kind in REQUESTS]
            for is_learn, group in groupby(requests, key=lambda one: one.kind == "learn"):
                if is_learn:
                    await self._learn([*group])
                else:
                    for request in group:
                        await self._answer(request)
                self._changed.set()

    async def _learn(self, requests: list[RequestRow]) -> None:
        """Look at finished tasks together; should that fail, at one after the other."""
        if len(requests) > 1 and await self._learn_together(requests):
            return
        for request in requests:
            await self._answer(request)
            await self._consolidate_sometimes(1)

    async def _learn_together(self, requests: list[RequestRow]) -> bool:
        def look(connection: sqlite3.Connection) -> list[tuple[TaskRow | None, list[StepRecord]]]:
            return [tasks.task_with_steps(connection, request.task_id or "") for request in requests]

        found = [(task, steps) for task, steps in await self._journal.read(look) if task is not None]
        if len(found) < len(requests):
            return False
        try:
            signals = await self.engine.examine_all(found)
        except Exception as error:  # noqa: BLE001 - one by one each gets its own answer, and its own error
            _log.warning("%d tasks could not be looked at together: %s", len(requests), error)
            return False
        now = self._clock.now()

        def close(connection: sqlite3.Connection) -> None:
            for request in requests:
                tasks.close_request(connection, request.seq, outcome="{}", now=now)

        await self._courier.send(signals, writes=(close,))
        await self._consolidate_sometimes(len(requests))
        return True

    async def _consolidate_sometimes(self, looked: int) -> None:
        """Consolidate the memory after every so many judged tasks; `looked` have just been added."""
        if self._judged is None:
            self._judged = await asyncio.to_thread(self.engine.judged) - looked
        before, self._judged = self._judged, self._judged + looked
        every = self._settings().memory.sleep_every_tasks
        if before // every < self._judged // every:
            said = await asyncio.to_thread(self._desk.answer, "sleep", {})
            _log.info("slept: %s", "; ".join(said["said"]))

    async def run_refresh(self) -> None:
        """Notice what another process of this home has written, prompts above all; runs for ever."""
        while True:
            await self._clock.sleep(_REFRESH_SECONDS)
            if await asyncio.to_thread(self.prompts.reload_if_changed):
                self._changed.set()

    async def run_gate(self) -> None:
        """Move changes along whenever something has happened that may matter to them; runs for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while await self.engine.gate.step():
                    continue
            except Exception as error:  # noqa: BLE001 - a change that cannot be moved must not end the daemon
                _log.exception("gate")
                self._alert(f"the gate stopped short: {type(error).__name__}: {error}")

    async def _answer(self, request: RequestRow) -> None:
        """One request; the signals it starts are recorded together with its being answered."""
        waiting: list[Signal] = []
        try:
            signals, outcome = await self._handle(request)
            waiting = [*signals] if request.kind == "feedback" else []
        except Hal9Error as error:
            _log.warning("%s request %d: %s", request.kind, request.seq, error)
            signals, outcome = [], json.dumps({"error": str(error)})
        except Exception as error:  # noqa: BLE001 - one bad request must neither stop the others nor come back for ever
            _log.exception("%s request %d", request.kind, request.seq)
            self._alert(f"a {request.kind} request failed: {type(error).__name__}: {error}")
            signals, outcome = [], json.dumps({"error": f"{type(error).__name__}: {error}"})
        cause = _cause(request)
        if waiting:
            self._settled[cause] = asyncio.Event()
            await self._courier.send(signals)
            try:
                async with asyncio.timeout(_GRADIENT_PATIENCE):
                    await self._settled[cause].wait()
            except TimeoutError:
                _log.info("feedback %d: its gradients are still on their way", request.seq)
            finally:
                del self._settled[cause]
            signals = []
        now = self._clock.now()

        def close(connection: sqlite3.Connection) -> None:
            tasks.close_request(connection, request.seq, outcome=outcome, now=now)

        await self._courier.send(signals, writes=(close,))

    async def _handle(self, request: RequestRow) -> tuple[list[Signal], str]:
        if request.kind not in ("learn", "feedback"):
            said = await asyncio.to_thread(self._desk.answer, request.kind, request.body)
            return [], json.dumps(said)
        task_id = request.task_id or ""
        task, steps = await self._journal.read(lambda connection: tasks.task_with_steps(connection, task_id))
        if task is None:
            return [], json.dumps({"error": f"task {task_id} is not in the journal any more"})
        if request.kind == "learn":
            return await self.engine.examine(task, steps), "{}"
        feedback = parse_feedback(request.body)
        report = await self.engine.take_feedback(feedback, task, steps, cause=_cause(request))
        answer: dict[str, Any] = {"said": list(report.said)}
        if report.learned is not None:
            answer["mitigation"] = report.learned.rule_id
            answer["mitigation_state"] = report.learned.state
        return list(report.signals), json.dumps(answer)


def _cause(request: RequestRow) -> str:
    """An id of this very request: the same after a crash, another one in every journal."""
    return derive_id(request.task_id or "", request.kind, str(request.seq), str(request.at))
