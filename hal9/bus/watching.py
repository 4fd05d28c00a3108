"""Progress and status: what a cluster shows of itself while it works. May be lost, never blocks."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from hal9.bus import topics
from hal9.bus.protocol import Bus, Incoming, LastWill
from hal9.clock import Clock
from hal9.errors.bus import BrokerUnreachable
from hal9.errors.signals import SignalRefused
from hal9.signals import ProgressPayload, Signal, StatusPayload, decode, encode

__all__ = ["BEAT_SECONDS", "ProgressWriter", "StatusBoard", "Watchers"]

_QUEUE_LIMIT = 1000
_FIRST_SECONDS = 0.05
_LOOK_SECONDS = 0.02
BEAT_SECONDS = 5.0
"""A node says its status anew this often: one that is cut off goes silent long before the broker notices."""
# Retained messages have no age of their own; whoever reads one looks at its created_at.
_RETAINED_SECONDS = 10 * 365 * 86_400.0


class ProgressWriter:
    """Publishes progress at QoS 0, at most so often per task and source; the latest event wins.

    The first one waits a moment too: of work that is over by then (`ended`) nobody needs a sign of life; what
    was done is told all the same.
    """

    def __init__(self, bus: Bus, *, cluster: str, clock: Clock, per_second: float) -> None:
        self._bus = bus
        self._cluster = cluster
        self._clock = clock
        self._gap = 1.0 / per_second
        self._latest: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._last_sent: dict[tuple[str, str], float] = {}
        self._wake = asyncio.Event()

    def emit(self, source: str, task_id: str, event: str, detail: dict[str, Any]) -> None:
        """Note an event; a newer one replaces it if it has not gone out yet."""
        key = source, topics.check_name(task_id)
        if key not in self._latest:
            due = self._clock.monotonic() + _FIRST_SECONDS
            self._due[key] = max(due, self._last_sent.get(key, 0.0) + self._gap)
        self._latest[key] = (event, detail)
        self._wake.set()

    def ended(self, source: str, task_id: str) -> None:
        """What the source did for the task is recorded; a sign of life that has not gone out yet need not."""
        told = self._latest.get((source, task_id))
        if told is not None and told[0] != "step":
            del self._latest[source, task_id]

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            while not self._latest:
                self._wake.clear()
                await self._wake.wait()
            # One look for all that falls due within this time: looking costs more than being a little late.
            await self._clock.sleep(_LOOK_SECONDS)
            now = self._clock.monotonic()
            for key in [key for key, due in self._due.items() if due <= now]:
                del self._due[key]
                told = self._latest.pop(key, None)
                if told is not None:
                    self._last_sent[key] = now
                    await self._publish(key, *told)
            self._last_sent = {key: at for key, at in self._last_sent.items() if at + self._gap > now}

    async def _publish(self, key: tuple[str, str], event: str, detail: dict[str, Any]) -> None:
        source, task_id = key
        payload = ProgressPayload(event=event, detail=detail)
        signal = Signal.create(
            payload, task_id=task_id, source=source, target="all", now=self._clock.now(), ttl_seconds=60.0
        )
        try:
            await self._bus.publish(topics.event(self._cluster, source, task_id), encode(signal))
        except (BrokerUnreachable, SignalRefused, ValueError):
            # Also what cannot be encoded: progress may be lost, what matters travels in the result.
            return


class StatusBoard:
    """A node's retained status, renewed with each session; the broker says `offline` when we cannot."""

    def __init__(
        self,
        bus: Bus,
        *,
        cluster: str,
        node: str,
        clock: Clock,
        boot_id: str,
        neurons: Callable[[], dict[str, int]],
    ) -> None:
        self._bus = bus
        self._node = node
        self._topic = topics.status(cluster, node)
        self._clock = clock
        self._boot_id = boot_id
        self._neurons = neurons
        self._state: Any = "starting"
        self._detail: dict[str, Any] = {}

    def last_will(self) -> LastWill:
        """What the broker will say if this session ends without a goodbye."""
        return LastWill(self._topic, self._encode("offline", {"reason": "connection lost"}))

    async def run(self) -> None:
        """Publish with each new session."""
        seen = 0
        while True:
            seen = await self._bus.wait_session(seen)
            await self.publish()

    async def beat(self) -> None:
        """Publish again and again."""
        while True:
            await self._clock.sleep(BEAT_SECONDS)
            if self._bus.connected:
                await self.publish()

    async def set(self, state: Any, detail: dict[str, Any] | None = None) -> None:
        """Change the state and publish it if there is a session (otherwise the next one does)."""
        self._state = state
        self._detail = {**(detail or {}), "beat": BEAT_SECONDS}
        await self.publish()

    async def publish(self) -> None:
        """Publish the state as it is."""
        try:
            await self._bus.publish(
                self._topic, self._encode(self._state, self._detail), qos=1, retain=True, confirm=False
            )
        except BrokerUnreachable:
            return  # run() publishes with the next session

    def _encode(self, state: Any, detail: dict[str, Any]) -> bytes:
        payload = StatusPayload(state=state, boot_id=self._boot_id, neurons=self._neurons(), detail=detail)
        return encode(
            Signal.create(
                payload,
                task_id="-",
                source=self._node,
                target="all",
                now=self._clock.now(),
                ttl_seconds=_RETAINED_SECONDS,
            )
        )


class Watchers:
    """Hands progress and status to whoever iterates; a slow watcher loses the oldest events."""

    def __init__(self, bus: Bus, *, cluster: str, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._cluster = cluster
        self._queues: dict[asyncio.Queue[Signal], tuple[frozenset[str], str | None]] = {}
        self._uses: dict[str, int] = {}
        self._status: dict[str, Signal] = {}

    async def watch(
        self, *, task_id: str | None, progress: bool, status: bool
    ) -> AsyncGenerator[Signal, None]:
        """Iterate over events; the retained status of every node comes first."""
        kinds = frozenset(kind for kind, wanted in (("progress", progress), ("status", status)) if wanted)
        queue: asyncio.Queue[Signal] = asyncio.Queue(_QUEUE_LIMIT)
        filters = [topics.every_event(self._cluster)] if progress else []
        filters += [topics.every_status(self._cluster)] if status else []
        if status:
            for signal in self._status.values():
                queue.put_nowait(signal)
        self._queues[queue] = (kinds, task_id)
        try:
            for topic_filter in filters:
                self._uses[topic_filter] = self._uses.get(topic_filter, 0) + 1
                if self._uses[topic_filter] == 1:
                    await self._bus.subscribe(topic_filter, qos=0)
            while True:
                yield await queue.get()
        finally:
            del self._queues[queue]
            for topic_filter in filters:
                await self._drop(topic_filter)

    async def _drop(self, topic_filter: str) -> None:
        left = self._uses.get(topic_filter, 0) - 1
        if left > 0:
            self._uses[topic_filter] = left
            return
        self._uses.pop(topic_filter, None)
        if topic_filter == topics.every_status(self._cluster):
            self._status.clear()
        try:
            await self._bus.unsubscribe(topic_filter)
        except BrokerUnreachable:
            return  # it ended with the session

    def observe(self, message: Incoming) -> None:
        """A message on a status or progress topic."""
        if not message.payload:
            return
        source = message.topic.split("/")[3] if message.topic.count("/") >= 3 else ""
        try:
            signal = decode(message.payload, now=self._clock.now(), source=source)
        except SignalRefused:
            return
        if isinstance(signal.payload, StatusPayload):
            self._status[signal.source] = signal
        for queue, (kinds, task_id) in self._queues.items():
            if signal.kind not in kinds or (
                task_id is not None and signal.kind == "progress" and signal.task_id != task_id
            ):
                continue
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(signal)
