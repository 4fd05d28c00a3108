"""Interface of messaging to brokers: what the courier needs of a bus, and how a broker is addressed."""

import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

from hal9.errors.bus import BrokerAddressInvalid, BrokerInsecure

__all__ = ["BrokerAddress", "Bus", "Incoming", "LastWill"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that arrived. Until `ack()` the broker keeps a QoS 1 message and delivers it again."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    ack: Callable[[], None] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LastWill:
    """What the broker publishes (QoS 1, retained) when the connection ends without a goodbye."""

    topic: str
    payload: bytes


class Bus(Protocol):
    """One client's connection to a broker, kept up for as long as the context is open.

    Losing the connection is normal: it is rebuilt for ever, subscriptions are renewed, and what the broker
    had not seen acknowledged comes again. `publish` raises meanwhile; durable senders retry.
    """

    @property
    def connected(self) -> bool:
        """Whether a session is up now."""
        ...

    @property
    def sessions(self) -> int:
        """How many sessions there have been; a change means that the connection was rebuilt."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def set_last_will(self, make: Callable[[], LastWill]) -> None:
        """Say, before entering, what makes the last will of each session that is about to begin."""
        ...

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - part of the protocol
        """Wait for a session.

        Raises:
            BrokerRefused: the broker does not want us.
            BrokerUnreachable: no session within `timeout` seconds.
        """
        ...

    async def wait_session(self, seen: int) -> int:
        """Wait for a session newer than number `seen`; return its number."""
        ...

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, confirm: bool = True
    ) -> None:
        """Publish.

        Args:
            topic: without wildcards.
            payload: the bytes.
            qos: 0 or 1.
            retain: the broker keeps it for later subscribers.
            confirm: with QoS 1, return only when the broker has it; otherwise when it is on its way. Either
                way at most a bounded number is in flight, and the call waits for room.

        Raises:
            BrokerUnreachable: no session, or it broke before the confirmation.
        """
        ...

    async def subscribe(self, topic_filter: str, *, qos: int = 1) -> None:
        """Subscribe, now and in every later session.

        Raises:
            BrokerRefused: the broker does not allow it.
        """
        ...

    async def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription."""
        ...

    async def receive(self, limit: int = 256) -> list[Incoming]:
        """Wait for messages; return what is there, at least one and at most `limit`."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Incoming:
        """Message by message, for ever."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is and how to log in.

    Attributes:
        host: name or address.
        port: TCP port.
        username: None for an anonymous login.
        password: never shown in a repr.
        tls: encrypt and check the server's certificate.
        ca_file: certificate authority to trust instead of the system's.
        allow_insecure: permit an unencrypted connection to another machine.
        fallbacks: other nodes of the same broker cluster, tried in turn when this one does not answer.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None
    allow_insecure: bool = False
    fallbacks: "tuple[BrokerAddress, ...]" = ()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        allow_insecure: bool = False,
    ) -> Self:
        """Read mqtt://user:password@host:port or mqtts://…; arguments win over parts of the URL.

        Raises:
            BrokerAddressInvalid: not such a URL.
        """
        parts = urlsplit(url)
        shown = url if "@" not in url else f"{parts.scheme}://…@{url.rpartition('@')[2]}"
        if parts.scheme not in ("mqtt", "mqtts"):
            raise BrokerAddressInvalid(url=shown, detail="does not begin with mqtt:// or mqtts://")
        if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise BrokerAddressInvalid(url=shown, detail="is not just a host and a port")
        try:
            port = parts.port
        except ValueError as error:
            raise BrokerAddressInvalid(url=shown, detail="has no valid port") from error
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=port or (8883 if tls else 1883),
            username=username or (unquote(parts.username) if parts.username else None),
            password=password or (unquote(parts.password) if parts.password else None),
            tls=tls,
            ca_file=ca_file,
            allow_insecure=allow_insecure,
        )

    @classmethod
    def from_urls(
        cls,
        urls: Sequence[str],
        *,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        allow_insecure: bool = False,
    ) -> Self:
        """The nodes of one broker cluster; any of them will do, the first is tried first.

        Raises:
            BrokerAddressInvalid: one is no such URL, or there is none.
        """
        if not urls:
            raise BrokerAddressInvalid(url="", detail="is missing: the list of addresses is empty")
        first, *others = (
            cls.from_url(
                url,
                username=username,
                password=password,
                ca_file=ca_file,
                allow_insecure=allow_insecure,
            )
            for url in urls
        )
        return replace(first, fallbacks=tuple(others))

    @property
    def nodes(self) -> "tuple[BrokerAddress, ...]":
        """This address and its fallbacks."""
        return (self, *self.fallbacks)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the broker is on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        """Refuse what would send passwords through a network in the clear.

        Raises:
            BrokerInsecure: another machine, no TLS, not allowed explicitly.
        """
        for node in self.nodes:
            if not node.tls and not node.is_loopback and not node.allow_insecure:
                raise BrokerInsecure(host=node.host)

    def tls_context(self) -> ssl.SSLContext | None:
        """What to encrypt with; None without TLS. Reads the CA file."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise BrokerAddressInvalid(
                url=str(self), detail=f"cannot use the CA file {self.ca_file}: {error}"
            ) from error
