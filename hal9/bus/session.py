"""One MQTT session: from CONNECT to whatever ends it.

aiomqtt gives the connection a place in the event loop. What it lacks is reached through its inner paho
client: acknowledging only after our commit, and messages and confirmations without a task for each. All use
of private names is in this file.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

from hal9.bus.connect_errors import connect_error, refusal, speaks_tls
from hal9.bus.protocol import BrokerAddress, Incoming, LastWill
from hal9.errors.base import BusError
from hal9.errors.bus import BrokerUnreachable

__all__ = ["Session"]

# paho tells a 3.1.1 broker's return codes in the words of MQTT 5.
_RETURN_CODES = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}
_FAILED = 0x80  # SUBACK return code (MQTT 3.1.1, section 3.9.3)


class Session:
    """Opened once, closed once. `closed` resolves with the reason when the connection has ended."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        clean: bool,
        will: LastWill | None,
        keepalive: int,
        in_flight: int,
        answer_timeout: float,
        deliver: Callable[[Incoming], None],
    ) -> None:
        import aiomqtt  # noqa: PLC0415 - 60 ms that a process without a bus need not pay

        self._address = address
        self._deliver = deliver
        self._limit = in_flight
        self._answer_timeout = answer_timeout
        self._tls_sockets: list[ssl.SSLSocket] = []
        self._pending: dict[int, tuple[float, asyncio.Future[None] | None]] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._alive = False
        self._client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=client_id,
            clean_session=clean,
            keepalive=keepalive,
            timeout=answer_timeout,
            tls_context=self._remembering(address.tls_context()),
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True) if will else None,
            max_inflight_messages=0,  # we keep the window; paho's looks at every message at every answer
            # Without it Nagle's algorithm and delayed ACKs add 40 ms to a round trip.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._client.pending_calls_threshold = 10_000
        self._paho = self._client._client  # noqa: SLF001
        self._paho.disable_logger()  # two log calls for each packet, whatever the level
        self._paho.manual_ack_set(True)
        self._paho.connect_timeout = min(answer_timeout, 5.0)
        self._paho.on_message = self._on_message
        # Past paho's per-filter callbacks, which cost more than decoding the message.
        self._paho._handle_on_message = self._take  # type: ignore[method-assign]  # noqa: SLF001
        self._paho.on_publish = self._on_publish
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._writing: int | None = None
        self._paho.on_socket_register_write = self._on_wants_write
        self._paho.on_socket_unregister_write = self._on_wrote_all

    def _remembering(self, context: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Note each socket that is wrapped: paho forgets to close the one whose handshake failed."""
        if context is None:
            return None
        wrap = context.wrap_socket

        def remember(*args: Any, **options: Any) -> ssl.SSLSocket:
            wrapped = wrap(*args, **options)
            self._tls_sockets.append(wrapped)
            return wrapped

        context.wrap_socket = remember  # type: ignore[method-assign]
        return context

    async def open(self, filters: Mapping[str, int]) -> list[str]:
        """Connect and subscribe.

        Returns:
            The filters that the broker refused.

        Raises:
            BrokerRefused, BrokerUnreachable.
        """
        import aiomqtt  # noqa: PLC0415

        entering = asyncio.ensure_future(self._client.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The connecting thread cannot be stopped; a socket that it opens later would be nobody's.
            await asyncio.wait({entering})
            if not entering.cancelled():
                entering.exception()  # nobody else will ask
            raise
        except aiomqtt.exceptions.MqttConnectError as error:
            code = int(getattr(error.rc, "value", None) or 0)
            raise refusal(self._address, _RETURN_CODES.get(code, code), str(error)) from error
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise await self._why_not(error) from error
        self._alive = True
        return await self.subscribe(filters) if filters else []

    async def _why_not(self, error: Exception) -> BusError:
        found = connect_error(self._address, error)
        if not self._address.tls and isinstance(error.__context__, TimeoutError | NoneType):
            # Connected, and then silence or a hang-up: perhaps the port wants TLS.
            return await asyncio.to_thread(speaks_tls, self._address) or found
        return found

    async def subscribe(self, filters: Mapping[str, int]) -> list[str]:
        """Subscribe in one packet; return the filters that were refused."""
        codes = await self._call(self._client.subscribe(list(filters.items())))
        return [
            name
            for name, code in zip(filters, codes, strict=True)
            if int(getattr(code, "value", code)) >= _FAILED
        ]

    async def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription."""
        await self._call(self._client.unsubscribe(topic_filter))

    async def _call(self, call: Any) -> Any:
        import aiomqtt  # noqa: PLC0415

        try:
            answer = await call
        except aiomqtt.MqttError as error:
            raise BrokerUnreachable(address=str(self._address), detail=str(error)) from error

        # `asyncio.wait_for`, which aiomqtt uses, swallows a cancellation that meets the answer (Python 3.11).
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return answer

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, confirm: bool) -> None:
        """See `Bus.publish`."""
        while len(self._pending) >= self._limit and self._alive:
            self._room.clear()
            await self._room.wait()
        if not self._alive:
            raise BrokerUnreachable(address=str(self._address), detail="the connection was lost")
        info = self._paho.publish(topic, payload, qos, retain)
        if info.rc != 0:
            raise BrokerUnreachable(address=str(self._address), detail=f"not sent, code {int(info.rc)}")
        if qos == 0:
            return
        future = asyncio.get_running_loop().create_future() if confirm else None
        self._pending[info.mid] = (time.monotonic(), future)
        if future is not None:
            await future

    async def ended(self) -> str:
        """Wait until the session is over; say why."""
        closed: asyncio.Future[None] = self._client._disconnected  # noqa: SLF001
        while True:
            done, _ = await asyncio.wait((closed,), timeout=min(1.0, self._answer_timeout))
            if done:
                error = closed.exception()
                return str(error) if error else "closed"
            for since, _future in self._pending.values():
                if time.monotonic() - since > self._answer_timeout:
                    return f"no answer for {self._answer_timeout:g} s"
                break

    async def goodbye(self) -> None:
        """Leave so that the broker does not publish the last will."""
        import aiomqtt  # noqa: PLC0415

        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)

    def dispose(self) -> None:
        """Let go of everything, whatever state it is in; waiting publishers get BrokerUnreachable."""
        self._alive = False
        self._on_wrote_all()
        self._paho._sock_close()  # noqa: SLF001 - aiomqtt leaves the socket open when CONNACK stays away
        for wrapped in self._tls_sockets:
            wrapped.close()
        misc = self._client._misc_task  # noqa: SLF001
        if misc is not None:
            misc.cancel()
        lost = BrokerUnreachable(address=str(self._address), detail="the connection was lost")
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if future is not None and not future.done():
                future.set_exception(lost)
        self._room.set()

    # --- called by paho, in the event loop (while connecting: in its thread) ----------------

    def _on_wants_write(self, *_details: Any) -> None:
        # What is queued in one turn of the loop goes out together, mostly without asking the selector. And a
        # selector is never told about a socket that was closed meanwhile: its number may be somebody else's.
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._write)
        else:
            self._loop.call_soon_threadsafe(self._write)

    def _on_wrote_all(self, *_details: Any) -> None:
        if self._writing is not None:
            self._loop.remove_writer(self._writing)
            self._writing = None

    def _write(self) -> None:
        try:
            self._paho.loop_write()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session
            closed = self._client._disconnected  # noqa: SLF001
            if not closed.done():
                closed.set_exception(error)
            return
        raw = self._paho.socket()
        if raw is not None and self._paho.want_write() and self._writing is None:
            self._writing = raw.fileno()
            self._loop.add_writer(self._writing, self._write)

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        self._take(message)

    def _take(self, message: Any) -> None:
        mid, qos = message.mid, message.qos

        def ack() -> None:
            # A session that is gone cannot be told; the broker will deliver again, the inbox knows the id.
            if self._alive and qos:
                self._paho.ack(mid, qos)

        topic = message._topic.decode(errors="replace")  # noqa: SLF001 - the public property raises on bad UTF-8
        self._deliver(Incoming(topic, message.payload, qos, message.retain, ack))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, *_details: Any) -> None:
        entry = self._pending.pop(mid, None)
        if entry is None:
            return
        future = entry[1]
        if future is not None and not future.done():
            future.set_result(None)
        if not self._room.is_set():
            self._room.set()
