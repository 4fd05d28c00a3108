"""The scheduler: sends tasks on their way, receives their results, watches deadlines, answers requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from hal9.bus import Courier, Failure, Outcome
from hal9.clock import Clock
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.state.hosts import HostRegistry
from hal9.database import CommitWatch, Connection
from hal9.errors.cluster import TaskNotQueued
from hal9.journal import Journal, tasks, work
from hal9.journal.tasks import RequestRow, TaskRow, TaskState
from hal9.neurons import Router, answer_to, failed_result, given_to, refused_result, task_class
from hal9.settings import Settings
from hal9.signals import (
    CancelPayload,
    ResultPayload,
    Signal,
    Tally,
    TaskPayload,
)
from hal9.signals.labels import TO, WORKSPACE_AT, WORKSPACE_IS
from hal9.workbench.travelling import identity_of

__all__ = ["SCHEDULER", "RequestHandler", "TaskScheduler"]

_log = logging.getLogger("hal9.cluster.scheduler")

SCHEDULER = "book"
RequestHandler = Callable[[RequestRow], Awaitable[str]]
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 5.0
_DEADLINE_SECONDS = 0.5
_STOP_SECONDS = 1.0
_FOLDER_SECONDS = 10.0
_RETENTION_SECONDS = 3600.0


class TaskScheduler:
    """The inbox "book" of the daemon.

    Args:
        courier: carries its signals.
        journal: where tasks are.
        directory: knows where tasks can enter.
        router: chooses among entry neurons.
        settings: in force now.
        clock: time.
        hosts: this host's place among those that share the journal; None when it is alone.
    """

    def __init__(
        self,
        courier: Courier,
        journal: Journal,
        *,
        directory: NeuronDirectory,
        router: Router,
        settings: Callable[[], Settings],
        clock: Clock,
        hosts: HostRegistry | None = None,
    ) -> None:
        self._courier = courier
        self._journal = journal
        self._directory = directory
        self._router = router
        self._settings = settings
        self._clock = clock
        self._waiters: dict[str, asyncio.Event] = {}
        self._handlers: dict[str, RequestHandler] = {"cancel": self._cancel_request}
        self.on_finished: list[Callable[[str], None]] = []
        self.finish_writes: list[Callable[[Connection, str, float], None]] = []
        self.delegated: dict[str, asyncio.Event] = {}
        self._hosts = hosts
        self._accepting = True

    # --- tasks in -------------------------------------------------------------------------

    async def submit(self, task: TaskRow) -> TaskRow:
        """Accept a task and send it on its way in one transaction."""
        signal = self._root_signal(await self._placed(task))
        if signal is None:
            await self._journal.write(lambda connection: tasks.insert_task(connection, task))
            return task
        begun = replace(task, state="running", started_at=self._clock.now(), root_signal=signal.id)
        await self._courier.send(
            (signal,),
            writes=(lambda connection: tasks.insert_task(connection, begun, root_target=signal.target),),
        )
        return task

    async def wait(self, task_id: str) -> TaskRow:
        """Wait until a task has its result."""
        event = self._waiters.setdefault(task_id, asyncio.Event())
        try:
            while True:
                if self._journal.read_now(lambda connection: tasks.has_ended(connection, task_id)):
                    task = self._journal.read_now(lambda connection: tasks.get_task(connection, task_id))
                    if task is not None:
                        return task
                await event.wait()
                event.clear()
        finally:
            self._waiters.pop(task_id, None)

    def stop_accepting(self) -> None:
        """Start no further tasks: they wait in the journal for the next process."""
        self._accepting = False

    async def intake(self) -> None:
        """Take up tasks and requests that other processes put into the journal; runs for ever."""
        waits, looked = True, 0.0
        async with CommitWatch(self._journal.path, pause=_POLL_SECONDS) as watch:
            while True:
                now = self._clock.monotonic()
                # What this process commits itself it knows of (`on_finished`).
                changed = self._journal.changed_elsewhere()
                if changed or waits or now - looked >= _LOOK_SECONDS:
                    looked = now
                    waits = await self._take_up()
                await watch.wait(_POLL_SECONDS if waits else _LOOK_SECONDS)

    async def _take_up(self) -> bool:
        """Look once; returns whether something waits for more than a commit."""
        waits = False
        if self._accepting and not (self._hosts and self._hosts.draining):
            for task in await self._journal.read(tasks.queued_tasks):
                if not await self._for_here(task) or not await self._start(await self._placed(task)):
                    waits = True
        if self._hosts is None or self._hosts.leads:
            waits = await self._look_at_requests() or waits
        return waits

    async def _for_here(self, task: TaskRow) -> bool:
        """Whether this host is to take a task up: one that changes a folder is for a host that has it.

        When its host takes up nothing new, or no host took it for a while, the one that leads does: the
        folder travels, or the task ends and says why not.
        """
        folder = task.payload.workspace
        if folder is None or self._hosts is None or not self._hosts.shared:
            return True
        if await asyncio.to_thread(Path(folder).is_dir):
            return True
        drains = self._hosts.nodes.get(task.payload.labels.get(WORKSPACE_AT, ""), False)
        return self._hosts.leads and (drains or self._clock.now() - task.created_at > _FOLDER_SECONDS)

    async def _placed(self, task: TaskRow) -> TaskRow:
        """The task, with the node that has its workspace; of several that may, this one when it does."""
        folder = task.payload.workspace
        if folder is None:
            return task
        labels = {WORKSPACE_AT: self._courier.node, **task.payload.labels}
        if self._hosts is not None and self._hosts.shared:
            here = await asyncio.to_thread(identity_of, Path(folder))
            labels |= {WORKSPACE_AT: self._courier.node, WORKSPACE_IS: here} if here else {}
        return replace(task, payload=task.payload.model_copy(update={"labels": labels}))

    async def _look_at_requests(self) -> bool:
        waiting = await self._journal.read(tasks.open_request_kinds)
        for kind in waiting & self.delegated.keys():
            self.delegated[kind].set()
        if waiting - self.delegated.keys():
            await self._answer_own(waiting - self.delegated.keys())
        return bool(waiting - self.delegated.keys())

    async def _answer_own(self, kinds: Collection[str]) -> None:
        for request in await self._journal.read(lambda connection: tasks.open_requests(connection, kinds)):
            await self._answer(request)

    async def _start(self, task: TaskRow) -> bool:
        """Send a task on its way; False when no neuron is reachable yet (the deadline ends the wait)."""
        signal = self._root_signal(task)
        if signal is None:
            return False
        now = self._clock.now()

        def write(connection: Connection) -> None:
            if not tasks.start_task(
                connection, task.id, root_signal=signal.id, root_target=signal.target, now=now
            ):
                raise TaskNotQueued(task_id=task.id)

        try:
            await self._courier.send((signal,), writes=(write,))
        except TaskNotQueued:
            _log.info("task %s was cancelled before it began", task.id)
        return True

    def _root_signal(self, task: TaskRow) -> Signal | None:
        wanted = task.payload.labels.get(TO)
        entries = (
            self._directory.candidates([wanted], exclude=SCHEDULER) if wanted else self._directory.top_layer()
        )
        if not entries:
            return None
        choice = self._router.choose(
            SCHEDULER,
            tuple(sorted(entries)),
            task_class=task_class(task.payload),
            task_id=task.id,
            text=task.payload.objective,
        )
        now = self._clock.now()
        return Signal.create(
            task.payload,
            task_id=task.id,
            source=SCHEDULER,
            target=choice.target,
            now=now,
            ttl_seconds=max(min(self._settings().cluster.signal_ttl_seconds, task.deadline - now), 1.0),
            layers=(0, entries[choice.target]),
        )

    # --- results back -----------------------------------------------------------------------

    async def handle(self, signal: Signal) -> Outcome:
        """Take a result; the first one ends the task, later ones change nothing."""
        return self.at_once(signal)

    def at_once(self, signal: Signal) -> Outcome:
        """`handle`, which waits for nothing.

        Only from the neuron the task was given to: whoever else may publish here cannot end it.
        """
        result = signal.payload
        if not isinstance(result, ResultPayload):
            return Outcome()
        if not self._journal.read_now(
            lambda connection: tasks.was_given_to(
                connection, signal.task_id, root_signal=signal.cause_id, neuron=signal.source
            )
        ):
            return refused_result(signal, now=self._clock.now())
        state: TaskState = "done" if result.ok else "failed"
        if result.error is not None and result.error.reason == "cancelled":
            state = "cancelled"
        own = [step for step in result.steps if step.task_id == signal.task_id]
        return Outcome(
            writes=(self._finish(signal.task_id, state, result.model_copy(update={"steps": own})),)
        )

    async def give_up(self, failure: Failure) -> Outcome:
        """A signal was never confirmed, or its handler failed for good: its task must not hang.

        What this node sent itself ends its task. What was received is answered to whoever asked, in the name
        of whoever could not take it: nobody can end another's task with a signal that cannot be handled.
        """
        signal, payload = failure.signal, failure.signal.payload
        _log.warning("signal %s (%s) given up: %s", signal.id, signal.kind, failure.detail)
        if not isinstance(payload, TaskPayload | ResultPayload):
            return Outcome()
        reason = "undeliverable" if failure.stage == "send" else "internal_error"
        result = failed_result(reason, failure.detail, neuron=signal.target, tally=Tally())
        if failure.stage == "send":
            return Outcome(writes=(self._finish(signal.task_id, "failed", result),))
        if isinstance(payload, TaskPayload):
            return Outcome(send=(self._reply(signal, result),))
        return await self._cannot_take(signal, result)

    async def _cannot_take(self, signal: Signal, result: ResultPayload) -> Outcome:
        """The result of a part could not be handled: whoever waited for it answers that it failed."""
        if signal.target == SCHEDULER:
            return await self.handle(signal.model_copy(update={"payload": result}))
        found = await self._journal.read(lambda connection: work.find_work(connection, signal.cause_id or ""))
        if found is None or not given_to(found, signal):
            return Outcome()
        return Outcome(
            send=(self._reply(found.signal, result),),
            writes=(lambda connection: work.close_work(connection, found.signal.id),),
        )

    def _reply(self, asked: Signal, result: ResultPayload) -> Signal:
        ttl = self._settings().cluster.signal_ttl_seconds
        return answer_to(asked, result, now=self._clock.now(), ttl_seconds=ttl)

    def _finish(self, task_id: str, state: TaskState, result: ResultPayload) -> Callable[[Connection], None]:
        now = self._clock.now()

        def write(connection: Connection) -> None:
            if result.steps:
                tasks.insert_steps(connection, result.steps)
            # The recorded steps are the account: each is there once, whatever was sent twice.
            total = Tally()
            for step in tasks.steps_of(connection, task_id):
                total = total.plus(step.tally)
            final = result.model_copy(update={"steps": [], "tally": total})
            first = tasks.finish_task(connection, task_id, state=state, result=final, now=now)
            if first:
                for also in self.finish_writes:
                    also(connection, task_id, now)
                # Not before the commit: who is woken reads the journal at once.
                self._journal.after_commit(lambda: self._announce(task_id))

        return write

    def _announce(self, task_id: str) -> None:
        """Wake who waits for this task (in this process)."""
        event = self._waiters.get(task_id)
        if event is not None:
            event.set()
        for listener in self.on_finished:
            listener(task_id)

    async def end(self, task_id: str, result: ResultPayload) -> None:
        """Record the terminal result of a task that no neuron worked on."""
        state: TaskState = "done" if result.ok else "failed"
        await self._journal.write(self._finish(task_id, state, result))

    # --- deadlines and requests -----------------------------------------------------------------

    async def watch_deadlines(self) -> None:
        """Fail tasks whose time is up and stop the neurons that work on them; runs for ever."""
        async with CommitWatch(self._journal.path, pause=_DEADLINE_SECONDS) as watch:
            while True:
                look = partial(tasks.past_deadline, now=self._clock.now())
                late, still_open = await self._journal.read(look)
                for task_id in late:
                    result = failed_result(
                        "timeout", "the task's deadline passed", neuron=SCHEDULER, tally=Tally()
                    )
                    await self._stop(task_id, "failed", result)
                if still_open:
                    await self._clock.sleep(_DEADLINE_SECONDS)
                else:
                    await watch.wait(_LOOK_SECONDS)

    async def forget_old(self) -> None:
        """Remove what is older than cluster.retention_days; runs for ever."""
        while True:
            now = self._clock.now()
            before = now - self._settings().cluster.retention_days * 86400.0
            forget = partial(tasks.purge, tasks_before=before, requests_before=now - 86400.0)
            while await self._journal.write(forget):
                await self._clock.sleep(0.05)
            await self._clock.sleep(_RETENTION_SECONDS)

    async def cancel(self, task_id: str, reason: str) -> None:
        """End a task now; what neurons still do for it is stopped and its results ignored."""
        result = failed_result("cancelled", reason or "cancelled", neuron=SCHEDULER, tally=Tally())
        await self._stop(task_id, "cancelled", result)

    async def _stop(self, task_id: str, state: TaskState, result: ResultPayload) -> None:
        reason = result.error.message if result.error else ""
        signals = self._cancels(task_id, reason)
        await self._courier.send(signals, writes=(self._finish(task_id, state, result),))

    async def stop_ended(self) -> None:
        """Stop turns of tasks that another host has ended; runs for ever."""
        owner = self._journal.boot_id
        while True:
            for task_id in await self._journal.read(
                lambda connection: tasks.ended_but_worked_on(connection, owner)
            ):
                await self._courier.send(self._cancels(task_id, "the task has ended"))
            await self._clock.sleep(_STOP_SECONDS)

    def _cancels(self, task_id: str, reason: str) -> list[Signal]:
        now = self._clock.now()
        return [
            Signal.create(
                CancelPayload(reason=reason),
                task_id=task_id,
                source=SCHEDULER,
                target=name,
                now=now,
                ttl_seconds=300.0,
                layers=(0, layer),
            )
            for name, layer in self._directory.reachable().items()
        ]

    async def _cancel_request(self, request: RequestRow) -> str:
        await self.cancel(request.task_id or "", str(request.body.get("reason", "")))
        return "cancelled"

    async def _answer(self, request: RequestRow) -> None:
        handler = self._handlers.get(request.kind)
        outcome = f"unknown request {request.kind!r}" if handler is None else await handler(request)
        now = self._clock.now()
        await self._journal.write(
            lambda connection: tasks.close_request(connection, request.seq, outcome=outcome, now=now)
        )
