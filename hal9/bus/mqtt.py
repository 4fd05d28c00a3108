"""The bus over any MQTT 3.1.1 broker, with a reconnect loop of our own.

Any failure of a session throws its client away and builds a new one: client libraries that try to revive a
broken connection have states in which they give up silently.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from hal9.bus.crew import BackgroundTasks
from hal9.bus.protocol import BrokerAddress, Incoming, LastWill
from hal9.bus.session import Session
from hal9.clock import Clock, SystemClock
from hal9.errors.base import BusError
from hal9.errors.bus import BrokerRefused, BrokerUnreachable

__all__ = ["MqttBus"]

_log = logging.getLogger("hal9.bus")

FIRST_DELAY = 0.2
LAST_DELAY = 10.0
# A session shorter than this says nothing about the broker being well (two clients with one id, for example).
STABLE_SECONDS = 5.0
_UNACKED_LIMIT = 10_000
_FAILOVER_SECONDS = 4.0


class MqttBus:
    """A `Bus` over TCP or TLS.

    Args:
        address: where, and as its fallbacks the other nodes of a broker cluster; refused when it is another
            machine without TLS (see `BrokerAddress.check`).
        client_id: names the broker-side session; one owner at a time.
        clean: forget the session at the broker when the connection ends (viewers).
        keepalive: seconds between signs of life.
        in_flight: how many QoS 1 messages may await the broker's confirmation.
        answer_timeout: seconds after which a broker that does not answer counts as gone.
        clock: what the delays between attempts wait on.
        seed: of the jitter of these delays; None takes one from the system.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        clean: bool = False,
        keepalive: int = 30,
        in_flight: int = 256,
        answer_timeout: float = 10.0,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self._addresses = address.nodes
        self._at = 0
        self._failed_in_a_row = 0
        self._client_id = client_id
        self._clean = clean
        self._will: Callable[[], LastWill] | None = None
        self._keepalive = keepalive
        self._in_flight = in_flight
        # With several nodes a silent one is left sooner: another is there.
        self._answer_timeout = min(answer_timeout, _FAILOVER_SECONDS) if address.fallbacks else answer_timeout
        self._clock = clock or SystemClock()
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._filters: dict[str, int] = {}
        self._incoming: deque[Incoming] = deque()
        self._arrived = asyncio.Event()
        self._changed = asyncio.Condition()
        self._session: Session | None = None
        self._sessions = 0
        self._last_error: BusError | None = None
        self._since = self._clock.monotonic()
        self._crew = BackgroundTasks()
        self.dropped = 0

    @property
    def connected(self) -> bool:
        return self._session is not None

    @property
    def sessions(self) -> int:
        return self._sessions

    @property
    def address(self) -> BrokerAddress:
        """The broker's node that is used, or tried, now."""
        return self._addresses[self._at]

    @property
    def _address(self) -> BrokerAddress:
        return self._addresses[self._at]

    def _hopeless(self) -> bool:
        """Whether every node has said what no further try will change."""
        permanent = getattr(self._last_error, "permanent", False)
        return permanent and self._failed_in_a_row >= len(self._addresses)

    def health(self) -> dict[str, Any]:
        """What this connection sees: {connected, seconds, sessions, error}; `seconds` it has been so."""
        error = "" if self._session is not None or self._last_error is None else str(self._last_error)
        return {
            "connected": self._session is not None,
            "seconds": round(self._clock.monotonic() - self._since, 1),
            "sessions": self._sessions,
            "error": error,
        }

    async def __aenter__(self) -> Self:
        self._addresses[0].check()
        for node in self._addresses:
            await asyncio.to_thread(node.tls_context)  # a bad CA file is said now, not retried for ever
        await self._crew.__aenter__()
        self._crew.start(self._keep_connected(), name=f"bus {self._client_id}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session = self._session
        if session is not None:
            await session.goodbye()
        await self._crew.__aexit__(exc_type, exc, traceback)

    def set_last_will(self, make: Callable[[], LastWill]) -> None:
        self._will = make

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self._session is not None or self._hopeless())
        except TimeoutError:
            raise self._last_error or BrokerUnreachable(
                address=str(self._address), detail=f"no session within {timeout:g} s"
            ) from None
        if self._session is None and self._last_error is not None:
            raise self._last_error

    async def wait_session(self, seen: int) -> int:
        async with self._changed:
            await self._changed.wait_for(lambda: self._session is not None and self._sessions > seen)
            return self._sessions

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, confirm: bool = True
    ) -> None:
        session = self._session
        if session is None:
            raise self._last_error or BrokerUnreachable(
                address=str(self._address), detail="not connected yet"
            )
        await session.publish(topic, payload, qos=qos, retain=retain, confirm=confirm)

    async def subscribe(self, topic_filter: str, *, qos: int = 1) -> None:
        self._filters[topic_filter] = qos
        session = self._session
        if session is None:
            return
        if await session.subscribe({topic_filter: qos}):
            del self._filters[topic_filter]
            raise BrokerRefused(address=str(self._address), detail=f"subscription to {topic_filter}")

    async def unsubscribe(self, topic_filter: str) -> None:
        self._filters.pop(topic_filter, None)
        if self._session is not None:
            await self._session.unsubscribe(topic_filter)

    async def receive(self, limit: int = 256) -> list[Incoming]:
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        queue = self._incoming
        return [queue.popleft() for _ in range(min(limit, len(queue)))]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        return (await self.receive(1))[0]

    def _deliver(self, message: Incoming) -> None:
        # What is not acknowledged is bounded by the broker; progress events are bounded here.
        if message.qos == 0 and len(self._incoming) >= _UNACKED_LIMIT:
            self.dropped += 1
            return
        self._incoming.append(message)
        if not self._arrived.is_set():
            self._arrived.set()

    # --- the reconnect loop ----------------------------------------------------------------

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                reason = await self._one_session()
            except BusError as error:
                if type(error) is not type(self._last_error):
                    _log.warning("%s", error)
                self._last_error = error
                self._failed_in_a_row += 1
            else:
                self._last_error = BrokerUnreachable(address=str(self._address), detail=reason)
                _log.info("session %d with %s ended: %s", self._sessions, self._address, reason)
            async with self._changed:
                self._changed.notify_all()
            self._at = (self._at + 1) % len(self._addresses)
            failures = 0 if self._clock.monotonic() - began > STABLE_SECONDS else failures + 1
            # A whole round over the nodes counts as one failure; each client begins its waits elsewhere.
            rounds = failures // len(self._addresses)
            delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(rounds, 10))
            await self._clock.sleep(delay * self._random.uniform(0.5, 1.0))

    async def _one_session(self) -> str:
        session = Session(
            self._address,
            client_id=self._client_id,
            clean=self._clean,
            will=self._will() if self._will else None,
            keepalive=self._keepalive,
            in_flight=self._in_flight,
            answer_timeout=self._answer_timeout,
            deliver=self._deliver,
        )
        try:
            asked = dict(self._filters)
            refused = await session.open(asked)
            meanwhile = {name: qos for name, qos in self._filters.items() if name not in asked}
            if meanwhile:
                refused += await session.subscribe(meanwhile)
            for topic_filter in refused:
                _log.error("the broker %s refused the subscription to %s", self._address, topic_filter)
            self._sessions += 1
            self._session = session
            self._since = self._clock.monotonic()
            self._last_error = None
            self._failed_in_a_row = 0
            async with self._changed:
                self._changed.notify_all()
            return await session.ended()
        finally:
            if self._session is not None:
                self._since = self._clock.monotonic()
            self._session = None
            session.dispose()
