"""Routing in the daemon: the learned router behind the neurons' protocol, learning from finished tasks."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.cluster.scheduler import SCHEDULER
from hal9.database import keep_private
from hal9.errors.base import Hal9Error
from hal9.errors.tuning import SpecialistRouterInvalid
from hal9.journal import Journal, tasks
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.learning.detection.outcomes import TaskOutcome
from hal9.learning.gate.rollback import BACK_TO
from hal9.learning.routing.credit import hand_overs
from hal9.learning.routing.relevance import RelevanceFilter
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.learning.state.key_value import KeyValueStore
from hal9.memory import MemoryStore
from hal9.settings import Settings
from hal9.signals import RoutingDecision, StepRecord
from hal9.tuning.router import HomeRouters, routers_folder

__all__ = ["LearnedRouter", "Routing"]

T = TypeVar("T")
_log = logging.getLogger("hal9.cluster.services.routing")

_MARK = "routing_mark"
_PROMPTS_SEEN = "routing_prompts_seen"
# Tasks that finish together are recorded in any order; what is looked at twice counts once all the same.
_OVERLAP_SECONDS = 5.0
_BATCH = 256
_AGAIN_SECONDS = 0.05
_GAP_SECONDS = 0.2
_RETRY_SECONDS = 2.0


class LearnedRouter:
    """A `Router` that draws from the connection weights of a home's memory file.

    Use it with `with`. `weights` chooses, `learned` counts, each on a connection of its own. Several
    processes may route from one file; each sees what another one learned.
    """

    def __init__(self, home: Home, *, settings: Callable[[], Settings], clock: Clock) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._stack = ExitStack()
        self._specialists = HomeRouters(routers_folder(home.state))
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Open the memory file.

        Raises:
            DatabaseError: the memory file cannot be used.
        """
        # Choices read beside whoever writes; with one connection they would wait for it in the event loop.
        reading, self.store = (
            self._stack.enter_context(MemoryStore(self._home.memory, clock=self._clock)) for _ in range(2)
        )
        keep_private(self._home.memory)
        narrow = RelevanceFilter(reading, k=lambda: self._settings().routing.relevance_edges)
        self.weights = WeightStore(reading, lambda: self._settings().routing, narrow=narrow)
        self.learned = WeightStore(self.store, lambda: self._settings().routing)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def choose(
        self, source: str, candidates: Sequence[str], *, task_class: str, task_id: str, text: str = ""
    ) -> RoutingDecision:
        # A specialist takes one kind of its neuron's tasks, so what is known of the neuron is known of it.
        among, members = self._asked(
            lambda: self._specialists.families(candidates, text), (tuple(candidates), dict[str, str]())
        )
        decision = self.weights.choose(source, among, task_class=task_class, task_id=task_id)
        if source == SCHEDULER and len(among) > 1:
            # Neurons record their choices as steps; where a task enters is recorded nowhere else.
            self.weights.decided(decision, source, task_class=task_class, task_id=task_id)
        odds = {members.get(name, name): share for name, share in decision.probabilities.items()}
        return replace(decision, target=members.get(decision.target, decision.target), probabilities=odds)

    def owners(self) -> dict[str, str]:
        """By specialist: the neuron whose tasks it takes, and whose edges its outcomes count for."""
        return self._asked(self._specialists.owners, {})

    def _asked(self, routers: Callable[[], T], otherwise: T) -> T:
        """What the specialists' routers say; one that nobody can read is told of, once, and left alone."""
        try:
            return routers()
        except SpecialistRouterInvalid as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                _log.error("%s", error)
            return otherwise


class Routing:
    """Learns from tasks as they finish; `run()` it in the daemon, give it finished tasks with `finished`.

    Args:
        router: whose weights are learned.
        journal: where tasks and steps are.
        settings: in force now.
        clock: time.
        alert: tells the user what went wrong.
    """

    def __init__(
        self,
        router: LearnedRouter,
        journal: Journal,
        *,
        settings: Callable[[], Settings],
        clock: Clock,
        alert: Callable[[str], None],
    ) -> None:
        self._router = router
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._alert = alert
        self._finished: asyncio.Queue[tuple[str, bool | None]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._key_values = KeyValueStore(router.store)

    @property
    def learning(self) -> bool:
        """Whether weights may change now."""
        settings = self._settings()
        allowed = settings.backward_propagation.enabled and not settings.safety.paused
        return allowed and not self._key_values.paused

    def finished(self, task_id: str) -> None:
        """A task has its result; called in the daemon's event loop."""
        self._finished.put_nowait((task_id, None))

    def judged(self, outcome: TaskOutcome) -> None:
        """A check, a judge or the user has judged a task; counts more than the result. From any thread."""
        if outcome.passed is not None:
            self._loop.call_soon_threadsafe(self._finished.put_nowait, (outcome.task_id, outcome.passed))

    async def run(self) -> None:
        """Count finished tasks, also those that finished while nobody was looking; runs for ever."""
        for missed in await self._missed():
            self._finished.put_nowait(missed)
        counted = -_GAP_SECONDS
        while True:
            batch = [await self._finished.get()]
            # Tasks finish in swarms, and counting many costs little more than counting one.
            await self._clock.sleep(max(counted + _GAP_SECONDS - self._clock.monotonic(), 0.0))
            counted = self._clock.monotonic()
            while not self._finished.empty() and len(batch) < _BATCH:
                batch.append(self._finished.get_nowait())
            try:
                await self._count(batch)
            except Hal9Error as error:
                self._alert(f"connection weights not updated for {len(batch)} tasks, trying again: {error}")
                for one in batch:
                    self._finished.put_nowait(one)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _missed(self) -> list[tuple[str, bool | None]]:
        """What became known between the last count and the end of the process."""
        mark = await asyncio.to_thread(self._key_values.get, _MARK)
        if mark is None:
            return []
        since = float(mark) - _OVERLAP_SECONDS
        finished = await self._journal.read(
            lambda connection: [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM tasks WHERE finished_at >= ? ORDER BY finished_at", (since,)
                )
            ]
        )
        with self._router.store.reading() as connection:
            judged = connection.execute(
                "SELECT task_id, passed FROM outcomes WHERE at >= ? AND passed IS NOT NULL ORDER BY at",
                (since,),
            ).fetchall()
        return [(task_id, None) for task_id in finished] + [(row[0], bool(row[1])) for row in judged]

    async def _count(self, batch: Sequence[tuple[str, bool | None]]) -> None:
        now = self._clock.now()
        found = await self._journal.read(
            lambda connection: [
                (task, steps, verdict)
                for task_id, verdict in batch
                for task, steps in (tasks.task_with_steps(connection, task_id),)
                if task is not None
            ]
        )
        await asyncio.to_thread(self._write, found, now)
        for task, _, verdict in found:
            # The news of a result may overtake the commit of its transaction.
            if task.state not in TERMINAL:
                self._loop.call_later(_AGAIN_SECONDS, self._finished.put_nowait, (task.id, verdict))

    def _write(self, found: Sequence[tuple[TaskRow, list[StepRecord], bool | None]], now: float) -> None:
        with self._router.store.writing():
            self._heed_promotions()
            if self.learning:
                self._router.learned.observe_all(self._news(found))
            self._key_values.put(_MARK, now)

    def _news(
        self, found: Sequence[tuple[TaskRow, list[StepRecord], bool | None]]
    ) -> Iterator[tuple[str, list[HandOver], float]]:
        for task, steps, verdict in found:
            if task.state not in TERMINAL:
                continue
            if verdict is not None:
                yield self._judged(task, steps, success=verdict)
            elif not self._known(task.id):
                yield self._judged(task, steps, success=task.state == "done")

    def _heed_promotions(self) -> None:
        """Discount the edges of neurons whose prompt the ledger says was changed since the last look.

        A rollback to a moment has brought the weights of that moment back with the prompts: neither what it
        wrote nor what it undid counts.
        """
        seen = int(self._key_values.get(_PROMPTS_SEEN, 0))
        with self._router.store.reading() as connection:
            rows = connection.execute(
                "SELECT rowid, kind, target, time, cause FROM adjustments "
                "WHERE kind IN ('prompt_set', 'rollback') AND rowid > ? ORDER BY rowid",
                (seen,),
            ).fetchall()
        changed: list[tuple[float, str]] = []
        for row in rows:
            if row["kind"] == "rollback":
                moment = float(row["cause"].removeprefix(BACK_TO))
                changed = [one for one in changed if one[0] <= moment]
            elif not row["cause"].startswith(BACK_TO):
                changed.append((row["time"], row["target"]))
        for _, neuron in changed:
            self._router.learned.promoted(neuron)
        if rows:
            self._key_values.put(_PROMPTS_SEEN, rows[-1]["rowid"])

    def _known(self, task_id: str) -> bool:
        """Whether somebody has judged it already: a user's word is not taken back by the result itself."""
        with self._router.store.reading() as connection:
            row = connection.execute(
                "SELECT 1 FROM route_events WHERE task_id = ? AND kind = 'outcome'", (task_id,)
            ).fetchone()
        return row is not None

    def _judged(
        self, task: TaskRow, steps: Sequence[StepRecord], *, success: bool, usd: float | None = None
    ) -> tuple[str, list[HandOver], float]:
        """The task, what became of its hand-overs, and what it cost in US dollars."""
        error = task.result.error if task.result else None
        reason = "" if error is None else error.reason
        if task.state == "cancelled":
            reason = "cancelled"
        judged = hand_overs(steps, success=success, reason=reason, culprit=error.neuron if error else "")
        if success or judged:
            judged += self._entry(task.id, success=success)
        owners = self._router.owners()
        judged = [replace(one, target=owners.get(one.target, one.target)) for one in judged]
        frozen = self._key_values.frozen | frozenset(self._settings().safety.frozen_neurons)
        spent = task.result.tally.usd if usd is None and task.result else usd or 0.0
        return task.id, [one for one in judged if one.source not in frozen], spent

    def _entry(self, task_id: str, *, success: bool) -> list[HandOver]:
        """Where the task entered, when there was a choice."""
        return [
            HandOver(
                source=SCHEDULER,
                target=target,
                task_class=task_class,
                success=success,
                probability=probability,
                policy=policy,
            )
            for target, task_class, probability, policy in self._router.learned.decisions(task_id, SCHEDULER)
        ]

    async def observe(self, task_id: str, success: bool, cost: float | None = None) -> int:
        """Take a verdict on a finished task: the first one counts, another one later corrects it.

        Args:
            task_id: the task; one that is not in the journal any more, or not finished, changes nothing.
            success: the verdict.
            cost: US dollars; None for what the accounts say.

        Returns:
            How many edges were counted or corrected; 0 while learning is paused.
        """
        task, steps = await self._journal.read(lambda connection: tasks.task_with_steps(connection, task_id))
        if task is None or task.state not in TERMINAL or not self.learning:
            return 0
        return await asyncio.to_thread(
            lambda: self._router.learned.observe_all([self._judged(task, steps, success=success, usd=cost)])
        )
