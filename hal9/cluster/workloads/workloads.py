"""Long workloads as tasks: each runs in a child process, shows progress, and goes on after a crash.

A workload is an async function (options, progress, cancelled) -> result, such as `hal9.trainer.run_workload`.
A workload's task carries its options as YAML in the task's text. The child ends with the daemon; what it had
done is on disk, and the next daemon starts it again with the same options, so that it goes on.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import yaml

from hal9.bus import Courier
from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.cluster.scheduler import SCHEDULER
from hal9.cluster.workloads.contract import NEURONS
from hal9.cluster.workloads.lines import LINE_BYTES, WorkloadLine, read_line
from hal9.database import CommitWatch, Connection
from hal9.errors.cluster import TaskInvalid, WorkloadUnreadable
from hal9.errors.journal import JournalUnwritable
from hal9.journal import Journal, tasks
from hal9.journal.tasks import TaskRow
from hal9.neurons import failed_result
from hal9.processes import close_pipes
from hal9.signals import ResultPayload, StepRecord, StopReason, Tally, TaskPayload, new_id
from hal9.text import split_lines

__all__ = ["REFUSED", "WorkloadRunner", "read_payload"]

_log = logging.getLogger("hal9.cluster.workloads.workloads")

REFUSED = 2
"""Exit code of a workload that tells what is wrong, in place of crashing."""
_POLL_SECONDS = 0.2
_LOOK_SECONDS = 5.0
_END_SECONDS = 20.0
_ERROR_CHARACTERS = 2000


class WorkloadRunner:
    """Starts, watches and ends the child processes of a daemon.

    Args:
        home: whose tasks these are.
        journal: where tasks are.
        courier: shows progress.
        clock: time.
        finish: records a terminal result (see `TaskScheduler.end`).
    """

    def __init__(
        self,
        home: Home,
        journal: Journal,
        courier: Courier,
        *,
        clock: Clock,
        finish: Callable[[str, ResultPayload], Any],
    ) -> None:
        self._home = home
        self._journal = journal
        self._courier = courier
        self._clock = clock
        self._finish = finish
        self._children: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()

    async def run(self) -> None:
        """Take up workload tasks, those of an earlier daemon too; runs until cancelled."""
        try:
            async with (
                CommitWatch(self._journal.path, pause=_POLL_SECONDS) as watch,
                asyncio.TaskGroup() as group,
            ):
                while True:
                    # Those that run go on while the journal is away.
                    with contextlib.suppress(JournalUnwritable):
                        await self._take_up(group)
                    await watch.wait(_POLL_SECONDS if self._children else _LOOK_SECONDS)
        finally:
            self._children.clear()
            self._ending.clear()

    async def _take_up(self, group: asyncio.TaskGroup) -> None:
        rows = await self._journal.read(lambda connection: tasks.open_workloads(connection, besides=NEURONS))
        open_ids = {task.id for task in rows}
        for task_id, child in list(self._children.items()):
            if child.done():
                del self._children[task_id]
                self._ending.discard(task_id)
            elif task_id not in open_ids and task_id not in self._ending:
                # Cancelled, or past its deadline. Once: a second time would cut its orderly end short.
                self._ending.add(task_id)
                child.cancel()
        for task in rows:
            if task.id not in self._children:
                name = f"workload {task.id[-12:]}"
                self._children[task.id] = group.create_task(self._guarded(task), name=name)

    async def _guarded(self, task: TaskRow) -> None:
        """Run one child; whatever it does or says can end its own task and nothing else."""
        try:
            result, code, errors = await self._child(task)
        except JournalUnwritable:
            raise  # the child is taken up again when there is room
        except Exception as error:  # noqa: BLE001 - the border: a child may say anything
            cause = _first(error)
            known = isinstance(cause, WorkloadUnreadable)
            text = str(cause) if known else f"{type(cause).__name__}: {cause}"
            _log.warning("workload %s ended: %s", task.id, text, exc_info=None if known else error)
            failed = failed_result("tool_failed", text, neuron=task.workload, tally=Tally())
            await self._finish(task.id, failed)
            return
        await self._conclude(task, result, code, errors)

    async def _child(self, task: TaskRow) -> tuple[dict[str, Any] | None, int | None, str]:
        """Run the child to its end; being cancelled ends it. Returns its result, exit code and errors."""
        now = self._clock.now()
        await self._journal.write(
            lambda connection: tasks.start_task(
                connection, task.id, root_signal=f"workload/{task.id}", now=now
            )
        )
        command = [sys.executable, "-m", "hal9.cluster.workloads.child", str(self._home.root), task.id]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            env={**os.environ, "HAL9_WORKLOAD_PARENT": str(os.getpid())},
        )
        errors = bytearray()
        result: dict[str, Any] | None = None
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(_collect(process.stderr, errors), name="workload errors")
                if process.stdout is not None:
                    async for line in process.stdout:
                        said = read_line(line)
                        result = result if said.result is None else said.result
                        if said.progress is not None:
                            await self._progress(task, said, said.progress)
            await process.wait()
        finally:
            await _end(process)
        return result, process.returncode, errors.decode("utf-8", "replace")

    async def _progress(self, task: TaskRow, said: WorkloadLine, detail: dict[str, Any]) -> None:
        now = self._clock.now()
        step = StepRecord(
            id=new_id(now=now),
            task_id=task.id,
            signal_id=f"workload/{task.id}",
            neuron=task.workload,
            layer=0,
            kind="workload",
            started_at=now,
            ended_at=now,
            evidence=said.text,
            tally=said.tally,
        )
        self._courier.emit_progress(
            task.id, {"neuron": task.workload, **detail}, event="workload", source=SCHEDULER
        )
        await self._journal.write(lambda connection: tasks.insert_steps(connection, [step]))

    async def _conclude(
        self, task: TaskRow, result: dict[str, Any] | None, code: int | None, errors: str
    ) -> None:
        if code == 0 and result is not None:
            answer = yaml.safe_dump(result, sort_keys=False, allow_unicode=True)
            await self._finish(task.id, ResultPayload(ok=True, answer=answer[:64_000]))
            return
        said = split_lines(errors.strip())[-1] if errors.strip() else f"ended with code {code}"
        _log.warning("workload %s failed: %s", task.id, said)
        # A workload that says itself what is wrong (its options, a missing model) has not crashed.
        reason: StopReason = "tool_failed" if code == REFUSED else "internal_error"
        failed = failed_result(
            reason, said, neuron=task.workload, tally=Tally(), evidence=errors[-_ERROR_CHARACTERS:]
        )
        await self._finish(task.id, failed)


def _first(error: BaseException) -> BaseException:
    """What a group of errors is about."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _collect(stream: asyncio.StreamReader | None, into: bytearray) -> None:
    while stream is not None and (data := await stream.read(65536)):
        into += data
        del into[:-65536]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the child finish what it is at, then insist; being cancelled meanwhile leaves nothing open."""
    try:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                try:
                    async with asyncio.timeout(_END_SECONDS):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
    finally:
        await close_pipes(process)


def read_payload(connection: Connection, task_id: str) -> tuple[str, TaskPayload]:
    """Workload and payload of a task.

    Raises:
        TaskInvalid: there is no such task.
    """
    task = tasks.get_task(connection, task_id)
    if task is None:
        raise TaskInvalid(problem=f"there is no task {task_id}")
    return task.workload, task.payload
