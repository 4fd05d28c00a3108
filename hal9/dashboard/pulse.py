"""What goes on right now, gathered once for all watchers: who is at work, tokens per second, any change."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from hal9.api.hub import EventHub, Progress
from hal9.clock import Clock
from hal9.journal.events import TaskEvent

__all__ = ["Pulse"]

T = TypeVar("T")
_WINDOW_SECONDS = 60.0
_FORGET_SECONDS = 30.0


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
        self._kept: dict[str, tuple[float, Any]] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self.version = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._run(), name="dashboard pulse")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._group.__aexit__(exc_type, exc, traceback)

    async def _run(self) -> None:
        after = self._hub.last
        while not self._hub.closed:
            async with self._hub.listen(after=after, progress=True) as items:
                async for item in items:
                    if isinstance(item, TaskEvent):
                        after = item.seq
                    if item is not None:
                        self._take(item)

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
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait until something has happened."""
        await self._changed.wait()

    def doing(self) -> dict[str, tuple[str, str]]:
        """Neuron: (task, what it is doing)."""
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
