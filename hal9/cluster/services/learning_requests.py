"""Requests to learning: finished tasks to look at, feedback, what a person asks for; each answered once."""

import asyncio
import json
import logging
from collections.abc import Callable
from itertools import groupby
from typing import Any

from hal9.bus import Courier
from hal9.cluster.requests import LEARNING_REQUESTS
from hal9.cluster.services.gradient_intake import GradientIntake
from hal9.database import Connection
from hal9.errors.base import Hal9Error
from hal9.journal import Journal, tasks
from hal9.journal.tasks import RequestRow, TaskRow
from hal9.learning import LearningEngine, LearningOperations, derive_id, parse_feedback
from hal9.settings import Settings
from hal9.signals import Signal, StepRecord

__all__ = ["REQUESTS", "LearningRequests", "ask_to_learn"]

_log = logging.getLogger("hal9.cluster.services.learning_requests")
REQUESTS = ("learn", *LEARNING_REQUESTS)
_GAP_SECONDS = 0.2
_GRADIENT_PATIENCE = 10.0


def ask_to_learn(connection: Connection, task_id: str, now: float) -> None:
    """A task has finished: have it examined. Runs in the transaction that finishes it, so none is missed."""
    tasks.add_request(connection, "learn", {}, now=now, task_id=task_id)


class LearningRequests:
    """Answers the journal's requests that are learning's; `run()` it, and set `wake` when there are new ones.

    Args:
        engine: what learns.
        settings: in force now.
        journal: requests, tasks, steps.
        courier: carries the gradients that an answer starts.
        gradients: tells when these have arrived.
        changed: set whenever something happened that may matter to the gate.
        alert: tells people.
    """

    def __init__(
        self,
        engine: LearningEngine,
        *,
        settings: Callable[[], Settings],
        journal: Journal,
        courier: Courier,
        gradients: GradientIntake,
        changed: asyncio.Event,
        alert: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._operations = LearningOperations(engine, memory_settings=settings().memory)
        self._settings = settings
        self._journal = journal
        self._courier = courier
        self._gradients = gradients
        self._changed = changed
        self._alert = alert
        self._clock = engine.store.clock
        self.wake = asyncio.Event()
        self._judged: int | None = None  # tasks looked at, ever; read from the file when first needed

    async def run(self) -> None:
        """Answer the requests that are learning's; runs for ever."""
        # After a change of embedder, what was stored before gets its vectors anew.
        await asyncio.to_thread(self._engine.store.reembed)
        looked = -_GAP_SECONDS
        while True:
            await self.wake.wait()
            # One request alone is answered at once; of many quick tasks several are looked at together.
            if (left := looked + _GAP_SECONDS - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            self.wake.clear()
            looked = self._clock.monotonic()
            requests = await self._journal.read(lambda connection: tasks.open_requests(connection, REQUESTS))
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
        def look(connection: Connection) -> list[tuple[TaskRow | None, list[StepRecord]]]:
            return [tasks.task_with_steps(connection, request.task_id or "") for request in requests]

        found = [(task, steps) for task, steps in await self._journal.read(look) if task is not None]
        if len(found) < len(requests):
            return False
        try:
            signals = await self._engine.examine_all(found)
        except Exception as error:  # noqa: BLE001 - one by one each gets its own answer, and its own error
            _log.warning("%d tasks could not be looked at together: %s", len(requests), error)
            return False
        now = self._clock.now()

        def close(connection: Connection) -> None:
            for request in requests:
                tasks.close_request(connection, request.seq, outcome="{}", now=now)

        await self._courier.send(signals, writes=(close,))
        await self._consolidate_sometimes(len(requests))
        return True

    async def _consolidate_sometimes(self, looked: int) -> None:
        """Consolidate the memory after every so many judged tasks; `looked` have just been added."""
        if self._judged is None:
            self._judged = await asyncio.to_thread(self._engine.judged) - looked
        before, self._judged = self._judged, self._judged + looked
        every = self._settings().memory.sleep_every_tasks
        if before // every < self._judged // every:
            said = await asyncio.to_thread(self._operations.answer, "sleep", {})
            _log.info("slept: %s", "; ".join(said["said"]))

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
            with self._gradients.expecting(cause) as settled:
                await self._courier.send(signals)
                try:
                    async with asyncio.timeout(_GRADIENT_PATIENCE):
                        await settled.wait()
                except TimeoutError:
                    _log.info("feedback %d: its gradients are still on their way", request.seq)
            signals = []
        now = self._clock.now()

        def close(connection: Connection) -> None:
            tasks.close_request(connection, request.seq, outcome=outcome, now=now)

        await self._courier.send(signals, writes=(close,))

    async def _handle(self, request: RequestRow) -> tuple[list[Signal], str]:
        if request.kind not in ("learn", "feedback"):
            said = await asyncio.to_thread(self._operations.answer, request.kind, request.body)
            return [], json.dumps(said)
        task_id = request.task_id or ""
        task, steps = await self._journal.read(lambda connection: tasks.task_with_steps(connection, task_id))
        if task is None:
            return [], json.dumps({"error": f"task {task_id} is not in the journal any more"})
        if request.kind == "learn":
            return await self._engine.examine(task, steps), "{}"
        feedback = parse_feedback(request.body)
        report = await self._engine.take_feedback(feedback, task, steps, cause=_cause(request))
        answer: dict[str, Any] = {"said": list(report.said)}
        if report.learned is not None:
            answer["mitigation"] = report.learned.rule_id
            answer["mitigation_state"] = report.learned.state
        return list(report.signals), json.dumps(answer)


def _cause(request: RequestRow) -> str:
    """An id of this very request: the same after a crash, another one in every journal."""
    return derive_id(request.task_id or "", request.kind, str(request.seq), str(request.at))
