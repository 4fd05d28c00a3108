"""A bus without a broker process: in memory, in one event loop, with the same promises as the real ones.

`LoopbackBroker` is the broker; each `LoopbackBus` is one client. Persistent sessions, QoS 1 redelivery,
retained messages, last wills and client-id takeover behave as MQTT 3.1.1 says. Tests can make it fail on
purpose.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from hal9.bus.crew import BackgroundTasks
from hal9.bus.protocol import Incoming, LastWill
from hal9.bus.topics import matches
from hal9.errors.bus import BrokerRefused, BrokerUnreachable

__all__ = ["LoopbackBroker", "LoopbackBus"]

_ADDRESS = "loopback"
_QOS0_LIMIT = 10_000


@dataclass(slots=True)
class _Stored:
    """What the broker keeps for one client: subscriptions and messages without acknowledgement."""

    filters: dict[str, int] = field(default_factory=dict)
    unacknowledged: dict[int, tuple[str, bytes, bool]] = field(default_factory=dict)


class LoopbackBroker:
    """Holds sessions and retained messages. `down` refuses connections; `deny` swallows publishes."""

    def __init__(self) -> None:
        self.down = False
        self.deny: Callable[[str, str], bool] = lambda _client_id, _topic: False
        self._stored: dict[str, _Stored] = {}
        self._retained: dict[str, bytes] = {}
        self._clients: dict[str, LoopbackBus] = {}
        self._number = 0

    def client(self, client_id: str, *, clean: bool = False) -> "LoopbackBus":
        """A bus for this client id."""
        return LoopbackBus(self, client_id, clean=clean)

    # --- failing on purpose -----------------------------------------------------------------

    def stop(self) -> None:
        """Every connection breaks, none is possible; sessions and retained messages are kept."""
        self.down = True
        self.break_connections()

    def start(self) -> None:
        """Connections are possible again."""
        self.down = False

    def break_connections(self) -> None:
        """Every connection breaks without a goodbye."""
        for bus in list(self._clients.values()):
            self._leave(bus, polite=False)

    # --- called by clients ------------------------------------------------------------------

    def _join(self, bus: "LoopbackBus", filters: Iterable[tuple[str, int]]) -> None:
        previous = self._clients.get(bus.client_id)
        if previous is not None:
            self._leave(previous, polite=False)
        self._clients[bus.client_id] = bus
        stored = self._stored.setdefault(bus.client_id, _Stored())
        bus._attached()  # noqa: SLF001 - two halves of one thing
        waiting, stored.unacknowledged = stored.unacknowledged, {}
        for topic, payload, retain in waiting.values():
            self._deliver(bus.client_id, topic, payload, 1, retain=retain)
        for topic_filter, qos in filters:
            self._subscribe(bus.client_id, topic_filter, qos)

    def _leave(self, bus: "LoopbackBus", *, polite: bool) -> None:
        if self._clients.get(bus.client_id) is not bus:
            return
        del self._clients[bus.client_id]
        bus._detached()  # noqa: SLF001 - two halves of one thing
        if bus.clean:
            self._stored.pop(bus.client_id, None)
        if not polite and bus.current_will is not None:
            self._publish("", bus.current_will.topic, bus.current_will.payload, 1, retain=True)

    def _subscribe(self, client_id: str, topic_filter: str, qos: int) -> None:
        self._stored[client_id].filters[topic_filter] = qos
        for topic, payload in self._retained.items():
            if matches(topic_filter, topic):
                self._deliver(client_id, topic, payload, qos, retain=True)

    def _unsubscribe(self, client_id: str, topic_filter: str) -> None:
        self._stored[client_id].filters.pop(topic_filter, None)

    def _publish(self, client_id: str, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        if self.deny(client_id, topic):
            return  # real brokers confirm and drop as well
        if retain:
            if payload:
                self._retained[topic] = payload
            else:
                self._retained.pop(topic, None)
        for receiver, stored in list(self._stored.items()):
            granted = [wanted for name, wanted in stored.filters.items() if matches(name, topic)]
            if granted:
                self._deliver(receiver, topic, payload, min(qos, max(granted)), retain=False)

    def _deliver(self, client_id: str, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        bus = self._clients.get(client_id)
        if qos == 0:
            if bus is not None:
                bus._arrive(Incoming(topic, payload, 0, retain, lambda: None))  # noqa: SLF001
            return
        self._number += 1
        number = self._number
        stored = self._stored[client_id]
        stored.unacknowledged[number] = (topic, payload, retain)
        if bus is not None:
            session = bus.sessions

            def ack() -> None:
                if bus.connected and bus.sessions == session:
                    stored.unacknowledged.pop(number, None)

            bus._arrive(Incoming(topic, payload, 1, retain, ack))  # noqa: SLF001


class LoopbackBus:
    """One client of a `LoopbackBroker`; satisfies `Bus`."""

    def __init__(self, broker: LoopbackBroker, client_id: str, *, clean: bool = False) -> None:
        self.client_id = client_id
        self.clean = clean
        self.current_will: LastWill | None = None
        self._broker = broker
        self._filters: dict[str, int] = {}
        self._make_will: Callable[[], LastWill] | None = None
        self._incoming: deque[Incoming] = deque()
        self._arrived = asyncio.Event()
        self._changed = asyncio.Condition()
        self._connected = False
        self._sessions = 0
        self._crew = BackgroundTasks()
        self._lost = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def sessions(self) -> int:
        return self._sessions

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        self._crew.start(self._keep_connected(), name=f"loopback {self.client_id}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._broker._leave(self, polite=True)  # noqa: SLF001 - two halves of one thing
        await self._crew.__aexit__(exc_type, exc, traceback)

    def set_last_will(self, make: Callable[[], LastWill]) -> None:
        self._make_will = make

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                await self.wait_session(0 if self._connected else self._sessions)
        except TimeoutError:
            raise BrokerUnreachable(address=_ADDRESS, detail=f"no session within {timeout} s") from None

    async def wait_session(self, seen: int) -> int:
        async with self._changed:
            await self._changed.wait_for(lambda: self._connected and self._sessions > seen)
            return self._sessions

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, confirm: bool = True
    ) -> None:
        del confirm  # delivery is immediate here
        if not self._connected:
            raise BrokerUnreachable(address=_ADDRESS, detail="not connected")
        self._broker._publish(self.client_id, topic, payload, qos, retain=retain)  # noqa: SLF001
        await asyncio.sleep(0)

    async def subscribe(self, topic_filter: str, *, qos: int = 1) -> None:
        if self._broker.deny(self.client_id, topic_filter):
            raise BrokerRefused(address=_ADDRESS, detail=f"subscription to {topic_filter}")
        self._filters[topic_filter] = qos
        if self._connected:
            self._broker._subscribe(self.client_id, topic_filter, qos)  # noqa: SLF001

    async def unsubscribe(self, topic_filter: str) -> None:
        self._filters.pop(topic_filter, None)
        if self._connected:
            self._broker._unsubscribe(self.client_id, topic_filter)  # noqa: SLF001

    async def receive(self, limit: int = 256) -> list[Incoming]:
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        return [self._incoming.popleft() for _ in range(min(limit, len(self._incoming)))]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        return (await self.receive(1))[0]

    # --- called by the broker -----------------------------------------------------------------

    def _attached(self) -> None:
        self._connected = True
        self._sessions += 1
        self._lost.clear()

    def _detached(self) -> None:
        self._connected = False
        self._lost.set()

    def _arrive(self, message: Incoming) -> None:
        if message.qos == 0 and len(self._incoming) >= _QOS0_LIMIT:
            return
        self._incoming.append(message)
        self._arrived.set()

    async def _keep_connected(self) -> None:
        while True:
            if self._broker.down:
                await asyncio.sleep(0.01)
                continue
            self.current_will = self._make_will() if self._make_will else None
            self._broker._join(self, list(self._filters.items()))  # noqa: SLF001
            async with self._changed:
                self._changed.notify_all()
            await self._lost.wait()
            await asyncio.sleep(0.005)
