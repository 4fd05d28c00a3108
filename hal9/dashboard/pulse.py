"""What goes on right now, gathered once for all watchers: who is at work, tokens per second, any change."""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from hal9.api.hub import EventHub, Progress
from hal9.clock import Clock
from hal9.errors.api import StreamsExhausted
from hal9.journal.events import TaskEvent

__all__ = ["Pulse", "change_lines"]

T = TypeVar("T")
_Made = asyncio.Task[tuple[Any, Exception | None]]
_WINDOW_SECONDS = 60.0
_KEPT_SECONDS = 3600.0
_FORGET_SECONDS = 30.0
_REMEMBERED_TASKS = 5000
_SHARED_PAGES = 64
_FEWEST_SECONDS_BETWEEN = 1.5
_SECONDS_PER_WATCHER = 0.025
_IDLE_SECONDS = 20.0


class Pulse:
    """Listens to the hub; use it with `async with`.

    Args:
        hub: where events come from.
        clock: time.
    """

    def __init__(self, hub: EventHub, *, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._doing: dict[str, tuple[str, str, float]] = {}
        self._spent: deque[tuple[float, int]] = deque()
        self._changed = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None
        self._signs: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._kept: dict[str, tuple[float, Any]] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._run_id = secrets.token_hex(4)
        self._version = 0
        self._of_task: OrderedDict[str, int] = OrderedDict()
        self.watchers = 0
        self._ticked = asyncio.Event()
        self._told_version, self._told_at = 0, 0.0
        self._ticks: asyncio.Task[None] | None = None
        self._shared: OrderedDict[Hashable, tuple[float, asyncio.Task[tuple[Any, Exception | None]]]] = (
            OrderedDict()
        )

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._ticks = self._group.create_task(self._tell(), name="dashboard ticks")
        self._task = self._group.create_task(self._run(), name="dashboard pulse")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in (self._task, self._signs, self._ticks, *(task for _, task in self._shared.values())):
            if task is not None:
                task.cancel()
        await self._group.__aexit__(exc_type, exc, traceback)

    async def _run(self) -> None:
        after = self._hub.last
        while not self._hub.closed:
            async with self._hub.listen(after=after) as items:
                async for item in items:
                    if isinstance(item, TaskEvent):
                        after = item.seq
                        self._take(item)

    def look(self) -> None:
        """Somebody looks: for a while, signs of life are listened to as well."""
        self._looked_at = self._clock.now()
        if self._signs is None and not self._hub.closed:
            self._signs = self._group.create_task(self._follow_signs(), name="dashboard signs of life")

    async def _follow_signs(self) -> None:
        try:
            async with self._hub.listen(after=self._hub.last, progress=True) as items:
                async for item in items:
                    if isinstance(item, Progress):
                        self._take(item)
                    if not self.watchers and self._clock.now() - self._looked_at > _KEPT_SECONDS:
                        break
        except StreamsExhausted:
            pass  # the next look tries again
        finally:
            self._signs = None

    def _take(self, item: TaskEvent | Progress) -> None:
        now = self._clock.now()
        if isinstance(item, Progress):
            if item.event in ("thinking", "tokens"):
                what = "thinking" if item.event == "thinking" else f"{item.detail.get('count', '')} tokens"
                self._doing[item.source] = (item.task_id, what, now)
            else:
                self._doing.pop(item.source, None)
        elif item.step is not None:
            self._doing.pop(item.step.neuron, None)
            tally = item.step.tally
            self._spent.append((now, tally.prompt_tokens + tally.completion_tokens))
        self._version += 1
        self._of_task[item.task_id] = self._version
        self._of_task.move_to_end(item.task_id)
        if len(self._of_task) > _REMEMBERED_TASKS:
            self._of_task.popitem(last=False)
        self._changed.set()
        self._changed = asyncio.Event()

    def mark(self) -> str:
        """A name for all that has happened so far."""
        return f"{self._run_id}-{self._version}"

    def changed_since(self, mark: str, task_id: str | None = None) -> bool:
        """Whether anything happened after a mark (to one task); after one of another server, always."""
        seen = self._version_of(mark)
        if seen is None:
            return True
        newest = self._version
        if task_id is not None:
            full = len(self._of_task) >= _REMEMBERED_TASKS
            forgotten = next(iter(self._of_task.values())) if full else 0
            newest = self._of_task.get(task_id, forgotten)
        return newest > seen

    @property
    def told(self) -> str:
        """The mark of what watchers were told of last."""
        return f"{self._run_id}-{self._told_version}"

    def told_since(self, mark: str) -> bool:
        """Whether watchers were told of anything after a mark; after one of another server, always."""
        seen = self._version_of(mark)
        return seen is None or self._told_version > seen

    def _version_of(self, mark: str) -> int | None:
        """The number in a mark; None for one of another server."""
        run_id, _, number = mark.partition("-")
        return int(number) if run_id == self._run_id and number.isdigit() else None

    async def _tell(self) -> None:
        """After a change, tell all watchers at once; then not again for a while."""
        while not self._hub.closed:
            if self._version == self._told_version:
                await self._changed.wait()
            self._told_version, self._told_at = self._version, self._clock.monotonic()
            self._ticked.set()
            self._ticked = asyncio.Event()
            await self._clock.sleep(max(_FEWEST_SECONDS_BETWEEN, self.watchers * _SECONDS_PER_WATCHER))

    async def tick(self) -> None:
        """Wait until watchers are told of changes."""
        await self._ticked.wait()

    async def shared(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What all who were told of the same change ask for, made once for all of them.

        What was begun before the last telling is made anew, so that nobody is left with an older state.
        """
        begun, task = self._shared.pop(key, (-1.0, None))
        if task is None or begun < self._told_at:
            begun, task = self._clock.monotonic(), self._group.create_task(_outcome(make), name="shared page")
        self._shared[key] = (begun, task)
        if len(self._shared) > _SHARED_PAGES:
            self._shared.popitem(last=False)
        value, error = await asyncio.shield(task)
        if error is not None:
            raise error
        return cast("T", value)

    def doing(self) -> dict[str, tuple[str, str]]:
        """Neuron: (task, what it is doing), as far as it was heard since somebody began to look."""
        self.look()
        oldest = self._clock.now() - _FORGET_SECONDS
        return {name: (task, what) for name, (task, what, at) in self._doing.items() if at >= oldest}

    async def kept(self, name: str, seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """What many watchers ask for, worked out at most once in so many seconds."""
        at, value = self._kept.get(name, (0.0, None))
        if self._clock.now() - at >= seconds:
            async with self._making.setdefault(name, asyncio.Lock()):
                at, value = self._kept.get(name, (0.0, None))
                if self._clock.now() - at >= seconds:
                    value = await make()
                    self._kept[name] = (self._clock.now(), value)
        return cast("T", value)

    def tokens_per_second(self) -> float:
        """Over the last minute."""
        oldest = self._clock.now() - _WINDOW_SECONDS
        while self._spent and self._spent[0][0] < oldest:
            self._spent.popleft()
        return sum(tokens for _, tokens in self._spent) / _WINDOW_SECONDS


async def _outcome(make: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T | None, Exception | None]:
    try:
        return await make(), None
    except Exception as error:  # noqa: BLE001 - raised again for everybody who waits for it
        return None, error


async def change_lines(
    hub: EventHub, pulse: Pulse, *, seen: str, task_id: str | None = None
) -> AsyncGenerator[str, None]:
    """A line whenever something has changed after a mark (to one task), as server-sent events.

    All watchers are told together, at most once every so often, and more seldom the more are watching, so
    that a crowd of watchers costs the cluster little. Ends with the server.
    """
    pulse.watchers += 1
    pulse.look()
    try:
        yield "retry: 1500\n\n"
        while not hub.closed:
            # A page drawn after the last telling: its watcher waits for the next one with the others.
            if pulse.told_since(seen) and pulse.changed_since(seen, task_id):
                seen = pulse.told
                yield f"id: {seen}\nevent: changed\ndata: {seen}\n\n"
                continue  # others may have been told of more while this was sent
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await pulse.tick()
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        pulse.watchers -= 1
