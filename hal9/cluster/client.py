"""The Python face of a cluster: submit, wait, read, cancel, from any process that can read the home.

Accepting a task means: it is committed in the home's journal. No running daemon is needed for that; what
was accepted while the cluster was down begins when it comes up.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from hal9.clock import Clock, SystemClock
from hal9.cluster.addressee import check_addressee
from hal9.cluster.following import follow_up, retried
from hal9.cluster.home import Home, find_home
from hal9.cluster.requests import check_request, request_as_json
from hal9.cluster.submission import Submission, SubmitOptions, new_task, task_of
from hal9.cluster.supervision.journal_record import require_complete
from hal9.cluster.supervision.process import clock_offset, read_status
from hal9.database import Connection, PostgresPlace, atomic, keep_private, on_postgres, open_database
from hal9.errors.cluster import HomeUnwritable, HostUnknown, TaskFinished, TaskUnknown
from hal9.errors.tools import QuestionAnswered, QuestionUnknown
from hal9.journal import MIGRATIONS, counts, hosts, tasks, turns, typed_error
from hal9.journal.tasks import TERMINAL, RequestRow, TaskRow, TaskState
from hal9.journal.turns import Question, TurnEntry
from hal9.settings import Settings
from hal9.signals import StepRecord, TaskPayload
from hal9.signals.labels import WORKSPACE_AT
from hal9.text import storable

if TYPE_CHECKING:
    from hal9.memory import MemoryStore

__all__ = ["Cluster", "connect", "task_as_json"]

T = TypeVar("T")
_POLL_SECONDS = 0.05
_ID_CHARS = 36


def connect(home: Path | str | None = None, *, clock: Clock | None = None) -> "Cluster":
    """Open a cluster's home; use it with `async with`.

    Raises:
        HomeMissing: there is no home at (or above) the given place.
    """
    return Cluster(find_home(Path(home) if home is not None else None), clock=clock)


class Cluster:
    """One home, seen from a client."""

    def __init__(self, home: Home, *, clock: Clock | None = None) -> None:
        self.home = home
        self._clock = clock or SystemClock()
        self.memory: MemoryStore | None = None
        """The memory file, while a server keeps it open for all requests."""
        self._connection: Connection | None = None
        self._ahead: float | None = None  # of this machine's clock, where several hosts count by the server's
        self._lock = asyncio.Lock()
        self._read_settings: tuple[tuple[int, int], Settings] | None = None

    async def __aenter__(self) -> Self:
        self.settings: Settings = self.home.settings()
        self._connection = await asyncio.to_thread(self._opened)
        return self

    def _opened(self) -> Connection:
        path = self.home.journal
        try:
            self.home.make_state()
            connection = open_database(path, MIGRATIONS, check_same_thread=False)
            keep_private(path)
        except OSError as error:
            raise HomeUnwritable(home=str(self.home.root), detail=str(error)) from error
        except sqlite3.OperationalError as error:
            raise typed_error(error, path) from error
        try:
            require_complete(self.home, connection)
            if on_postgres(connection):
                self._ahead = self._clock.now() - connection.server_time()
        except BaseException:
            connection.close()
            raise
        return connection

    def current_settings(self) -> Settings:
        """The home's settings; read again when the file was changed.

        Raises:
            ConfigMissing, ConfigInvalid: the file cannot be read now.
        """
        try:
            found = self.home.settings_file.stat()
        except OSError:
            return self.home.settings()  # which says what is wrong
        version = (found.st_mtime_ns, found.st_size)
        if self._read_settings is None or self._read_settings[0] != version:
            self._read_settings = (version, self.home.settings())
        return self._read_settings[1]

    def now(self) -> float:
        """The time as the daemons count it, epoch seconds; setting the machine's clock does not change it."""
        return self._clock.now() - (clock_offset(self.home) if self._ahead is None else self._ahead)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- tasks --------------------------------------------------------------------------------

    async def submit(
        self, objective: str, *, task_id: str | None = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Accept a task; returns its id once it cannot be lost any more.

        Args:
            objective: what is to be done.
            task_id: the id it is to have; a task that is there already under it is left as it is.
            options: see `SubmitOptions`.

        Raises:
            TaskInvalid: nothing was accepted; says why.
        """
        return (await self.accept(objective, task_id=task_id, **options)).id

    async def accept(
        self, objective: str, *, task_id: str | None = None, **options: Unpack[SubmitOptions]
    ) -> TaskRow:
        """`submit`, for who wants to see the task as it was written down.

        Raises:
            TaskInvalid: nothing was accepted; says why.
        """
        submission = Submission.of(options)
        if submission.to is not None:
            await asyncio.to_thread(check_addressee, self.home, submission.to)
        make = partial(task_of, objective, submission, settings=self.settings, now=self.now())
        # Without a workspace or files it looks at no disk.
        made = make() if submission.bare else await asyncio.to_thread(make)
        task = made if task_id is None else replace(made, id=task_id)
        if task.payload.workspace is not None and isinstance(self.home.journal, PostgresPlace):
            # Of several hosts this home's has the workspace.
            labels = {**task.payload.labels, WORKSPACE_AT: self.home.shared_node()}
            task = replace(task, payload=task.payload.model_copy(update={"labels": labels}))

        def accept_once(connection: Connection) -> tuple[TaskRow, counts.Counts]:
            there = None if task_id is None else tasks.get_task(connection, task_id)
            if there is None:
                tasks.insert_task(connection, task)
            return there or task, counts.read_counts(connection)

        row, accepted = await self.write(accept_once)
        # It is accepted, whatever comes of the record: the daemon writes it too.
        with contextlib.suppress(OSError):
            counts.write_record(self.home.journal, accepted)
        return row

    async def wait(self, task_id: str, *, timeout_seconds: float | None = None) -> TaskRow:
        """Wait for a task's result.

        Raises:
            TimeoutError: it is still going on; it goes on.
        """
        full = await self.resolve(task_id)
        async with asyncio.timeout(timeout_seconds):
            while True:
                task = await self.task(full)
                if task.state in TERMINAL:
                    return task
                await self._clock.sleep(_POLL_SECONDS)

    async def cancel(self, task_id: str, *, reason: str = "cancelled by the user") -> None:
        """End a task.

        Raises:
            TaskFinished: it has its result already.
        """
        task = await self.task(task_id)
        if task.state in TERMINAL:
            raise TaskFinished(task_id=task.id, state=task.state)
        now = self.now()
        await self.write(
            lambda connection: tasks.add_request(
                connection, "cancel", {"reason": reason}, now=now, task_id=task.id
            )
        )

    async def request(self, kind: str, body: dict[str, Any], *, task_id: str | None = None) -> int:
        """Ask something of the daemon; it is answered once, also after a restart.

        Raises:
            RequestInvalid: the daemon could only refuse it; nothing was written down.
            Hal9Error: what it is about does not exist, or contradicts itself.
        """
        body = storable(body)
        task = await self.task(task_id) if task_id is not None else None
        await asyncio.to_thread(check_request, self.home, kind, body, task)
        now = self.now()
        return await self.write(
            lambda connection: tasks.add_request(
                connection, kind, body, now=now, task_id=task.id if task else None
            )
        )

    async def requests(self, *, limit: int = 20) -> list[RequestRow]:
        """What was asked of the daemon, newest first, with the answers; those of the last day are kept."""
        return await self.read(
            lambda connection: tasks.list_requests(connection, limit=limit, besides=("learn",))
        )

    async def answer(self, request: int, *, timeout_seconds: float | None = None) -> str:
        """Wait for the answer to a request.

        Raises:
            TimeoutError: nobody has answered yet (is the cluster up?); the request stays.
        """
        async with asyncio.timeout(timeout_seconds):
            while True:
                outcome = await self.read(lambda connection: tasks.request_outcome(connection, request))
                if outcome is not None:
                    return outcome
                await self._clock.sleep(_POLL_SECONDS)

    # --- persons --------------------------------------------------------------------------------

    async def questions(self, *, state: str | None = "open") -> list[Question]:
        """Questions and approvals that wait for a person (or in another state; None: all), oldest first."""
        return await self.read(lambda connection: turns.list_questions(connection, state=state))

    async def answer_question(self, given: str, answer: str) -> str:
        """Answer one; returns the task that goes on.

        Args:
            given: its id, or the beginning or end of it.
            answer: in words; of an approval it begins with yes or no.

        Raises:
            QuestionUnknown: none, or several.
            QuestionAnswered: somebody was quicker.
        """
        question = await self.question(given)
        now = self.now()
        first = await self.write(
            lambda connection: turns.answer_question(connection, question.id, answer, now=now)
        )
        if not first:
            question = await self.question(question.id)
            raise QuestionAnswered(question=question.id, answer=question.answer or "nobody answered in time")
        return question.task_id

    async def question(self, given: str) -> Question:
        """One question, open or not, by its id, or the beginning or end of it.

        Raises:
            QuestionUnknown: none, or several.
        """
        known = await self.questions(state=None)
        matches = [one for one in known if one.id == given]
        matches = matches or [one for one in known if one.id.startswith(given) or one.id.endswith(given)]
        if len(matches) != 1:
            raise QuestionUnknown(given=given, open=tuple(one.id for one in known if one.state == "open"))
        return matches[0]

    async def turn_entries(self, task_id: str) -> list[TurnEntry]:
        """The logs of a task's turns that went step by step."""
        full = await self.resolve(task_id)
        return await self.read(lambda connection: turns.entries_of_task(connection, full))

    async def reply(self, task_id: str, words: str, *, new_id: str | None = None) -> str:
        """Go on with a task that is over; returns the new task's id (`new_id`, when it is given).

        Raises:
            TaskInvalid, TaskUnfinished, TaskUnknown.
        """
        task = await self.task(task_id)
        return await self._again(task, follow_up(task, words, await self.turn_entries(task.id)), new_id)

    async def retry(self, task_id: str, reason: str = "", *, new_id: str | None = None) -> str:
        """Do a task again; a reason is learned from like any rejection. Returns the new task's id.

        Raises:
            TaskUnfinished, TaskUnknown.
        """
        task = await self.task(task_id)
        payload = retried(task, reason, await self.turn_entries(task.id))
        if reason.strip():
            await self.request("feedback", {"note": "", "verdict": "reject", "why": reason}, task_id=task.id)
        return await self._again(task, payload, new_id)

    async def _again(self, task: TaskRow, payload: TaskPayload, new_id: str | None) -> str:
        seconds = max(task.deadline - task.created_at, 1.0)
        row = new_task(payload, now=self.now(), timeout_seconds=seconds, workload=task.workload)
        row = row if new_id is None else replace(row, id=new_id)
        await self.write(lambda connection: tasks.insert_task(connection, row))
        return row.id

    async def task(self, task_id: str) -> TaskRow:
        """One task.

        Raises:
            TaskUnknown: no such id, or not unique.
        """

        def find(connection: Connection) -> tuple[TaskRow | None, list[str]]:
            matches = tasks.resolve_task_id(connection, task_id)
            return tasks.get_task(connection, matches[0]) if len(matches) == 1 else None, matches

        task, matches = await (self._look(find) if len(task_id) == _ID_CHARS else self.read(find))
        if task is None:
            raise TaskUnknown(given=task_id, matches=tuple(matches))
        return task

    async def tasks(self, *, limit: int = 20, state: TaskState | None = None) -> list[TaskRow]:
        """Newest first."""
        return await self.read(lambda connection: tasks.list_tasks(connection, limit=limit, state=state))

    async def steps(self, task_id: str) -> list[StepRecord]:
        """What neurons did for a task, in order."""
        full = await self.resolve(task_id)
        return await self.read(lambda connection: tasks.steps_of(connection, full))

    async def watch(self, task_id: str) -> AsyncIterator[StepRecord | TaskRow]:
        """Steps of a task as they are recorded; last comes the finished task itself."""
        full = await self.resolve(task_id)
        seen = 0
        while True:
            task = await self.task(full)
            steps = await self.steps(full)
            for step in steps[seen:]:
                yield step
            seen = len(steps)
            if task.state in TERMINAL:
                yield task
                return
            await self._clock.sleep(_POLL_SECONDS)

    async def resolve(self, given: str) -> str:
        """The full id for an id, its beginning, its end, or "last".

        Raises:
            TaskUnknown: none, or several.
        """
        look = self._look if len(given) == _ID_CHARS else self.read
        matches = await look(lambda connection: tasks.resolve_task_id(connection, given))
        if len(matches) != 1:
            raise TaskUnknown(given=given, matches=tuple(matches))
        return matches[0]

    # --- the cluster itself -----------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """What the daemon says of itself, and how many tasks are in which state."""
        states = await self.read(tasks.task_counts)
        said = read_status(self.home)
        started = said.get("started_at") or 0.0
        # Nobody was there to answer these at once; who asked hears of it here.
        late = [
            request_as_json(one)
            for one in await self.requests()
            if not one.done_at or one.at < started <= one.done_at
        ]
        now = self.now()
        listed = await self.read(hosts.list_hosts)
        found = [{**asdict(one), "silent_for": max(0.0, now - one.seen_at)} for one in listed]
        return {**said, "home": str(self.home.root), "tasks": states, "requests": late, "hosts": found}

    async def drain(self, host: str, *, drain: bool = True) -> None:
        """Ask a host to take up nothing new, or to work again; what it has begun it ends.

        Raises:
            HostUnknown: no host of this cluster has that name.
        """
        if not await self.write(lambda connection: hosts.ask_to_drain(connection, host, drain=drain)):
            known = {one.name for one in await self.read(hosts.list_hosts)}
            raise HostUnknown(name=host, known=tuple(sorted(known)))

    # --- small things -----------------------------------------------------------------------------

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run a reading function on the journal, in a worker thread."""
        async with self._lock:
            return await asyncio.to_thread(fn, self._open())

    async def _look(self, fn: Callable[[Connection], T]) -> T:
        """`read`, for what an index finds at once: a thread would cost more than the answer of a file."""
        if isinstance(self.home.journal, PostgresPlace):
            return await self.read(fn)
        async with self._lock:
            return fn(self._open())

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run a writing function on the journal, in one transaction and a worker thread."""

        def run() -> T:
            try:
                with atomic(self._open()) as connection:
                    return fn(connection)
            except sqlite3.OperationalError as error:
                raise typed_error(error, self.home.journal) from error

        async with self._lock:
            return await asyncio.to_thread(run)

    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("use the cluster inside `async with`")
        return self._connection


def task_as_json(task: TaskRow) -> dict[str, Any]:
    """A task for `--json` and scripts."""
    return {
        "id": task.id,
        "state": task.state,
        "workload": task.workload,
        "objective": task.payload.objective,
        "workspace": task.payload.workspace,
        "check": task.payload.check,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "deadline": task.deadline,
        "stop_reason": task.stop_reason,
        "result": json.loads(task.result.model_dump_json()) if task.result else None,
    }
