"""The client for programs without an event loop: scripts, notebooks, the interactive prompt.

The same methods as the asynchronous client's, each of which waits for its result. They run in a thread that
belongs to the client, so that they also work where an event loop runs already, as in a notebook.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from hal9.cluster.client import Cluster, connect
from hal9.cluster.submission import SubmitOptions
from hal9.errors.cluster import ClientClosed, TaskFailed
from hal9.journal.tasks import TERMINAL, TaskRow, TaskState
from hal9.journal.turns import Question
from hal9.signals import StepRecord

__all__ = ["BlockingCluster", "connect_blocking"]

T = TypeVar("T")


def connect_blocking(home: Path | str | None = None) -> "BlockingCluster":
    """Open a cluster's home for code without `await`; use it with `with`, or call `close` in the end.

    >>> import hal9, tempfile
    >>> from hal9.cluster import init_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     home = init_home(folder + "/home")
    ...     with hal9.connect_blocking(home.root) as cluster:
    ...         task_id = cluster.submit("Say hello")
    ...         cluster.task(task_id).state  # nobody runs yet: it is kept, and begins when the cluster is up
    'queued'

    Raises:
        HomeMissing: there is no home at (or above) the given place.
    """
    return BlockingCluster(connect(home))


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)


class BlockingCluster:
    """One home, seen from code that waits. Its methods may be called from any thread.

    Args:
        cluster: the asynchronous client, not yet entered.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hal9 client", daemon=True)
        self._thread.start()
        try:
            self._run(cluster.__aenter__())
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the home; tasks go on. A second time does nothing."""
        if not self._loop.is_closed():
            try:
                self._run(self._cluster.__aexit__(None, None, None))
            finally:
                self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise ClientClosed
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: the waiting ends, the task goes on
            raise

    def submit(self, objective: str, **options: Unpack[SubmitOptions]) -> str:
        """Accept a task; returns its id (see `Cluster.submit`).

        Raises:
            TaskInvalid: nothing was accepted; says why.
        """
        return self._run(self._cluster.submit(objective, **options))

    def wait(self, task_id: str, *, timeout_seconds: float | None = None) -> TaskRow:
        """Wait for a task's result.

        Raises:
            TimeoutError: it is still going on; it goes on.
        """
        return self._run(self._cluster.wait(task_id, timeout_seconds=timeout_seconds))

    def ask(self, objective: str, **options: Unpack[SubmitOptions]) -> str:
        """Submit, wait, and return the answer's words.

        Raises:
            TaskInvalid: nothing was accepted.
            TaskFailed: it ended without an answer; says why.
        """
        task = self.wait(self.submit(objective, **options))
        if task.result is None or not task.result.ok:
            error = task.result.error if task.result else None
            raise TaskFailed(task_id=task.id, reason=error.message if error else task.state)
        return task.result.answer

    def task(self, task_id: str) -> TaskRow:
        """One task by its id, its beginning, its end, or "last".

        Raises:
            TaskUnknown: none, or several.
        """
        return self._run(self._cluster.task(task_id))

    def tasks(self, *, limit: int = 20, state: TaskState | None = None) -> list[TaskRow]:
        """Newest first."""
        return self._run(self._cluster.tasks(limit=limit, state=state))

    def steps(self, task_id: str) -> list[StepRecord]:
        """What neurons did for a task, in order."""
        return self._run(self._cluster.steps(task_id))

    def watch(self, task_id: str) -> Iterator[StepRecord | TaskRow]:
        """Steps of a task as they are recorded; last comes the finished task itself."""
        events = self._cluster.watch(task_id)
        while True:
            event = self._run(_next(events))
            yield event
            if isinstance(event, TaskRow) and event.state in TERMINAL:
                return

    def feedback(self, task_id: str, *, reject: str | None = None, note: str | None = None) -> str:
        """Judge an answer: accept it, or say why it is wrong. Returns what became of it.

        Args:
            task_id: of a finished task.
            reject: why it is wrong, in your words; None accepts it.
            note: a rule for next time.

        Raises:
            Hal9Error: it cannot be judged so.
        """
        body: dict[str, Any] = {"verdict": "accept" if reject is None else "reject"}
        body |= {"why": reject} if reject else {}
        body |= {"note": note} if note else {}
        number = self._run(self._cluster.request("feedback", body, task_id=task_id))
        return self._run(self._cluster.answer(number))

    def cancel(self, task_id: str) -> None:
        """End a task.

        Raises:
            TaskFinished: it has its result already.
        """
        self._run(self._cluster.cancel(task_id))

    def questions(self) -> list[Question]:
        """What running tasks wait for a person to say."""
        return self._run(self._cluster.questions())

    def answer(self, question: str, words: str) -> str:
        """Answer one; returns the task that goes on.

        Raises:
            QuestionUnknown, QuestionAnswered: there is no such open question.
        """
        return self._run(self._cluster.answer_question(question, words))

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself, and how many tasks are in which state."""
        return self._run(self._cluster.status())
