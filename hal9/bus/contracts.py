"""What the courier and those who use it hand each other, and what its parts expect of one another."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hal9.bus.protocol import Bus
from hal9.clock import Clock
from hal9.database import Connection
from hal9.errors.bus import RetentionTooShort
from hal9.journal import Journal
from hal9.signals import Signal

__all__ = [
    "CourierContext",
    "CourierSettings",
    "Failure",
    "FailureHandler",
    "Handler",
    "ImmediateHandler",
    "LocalInbox",
    "Outcome",
    "RetryPolicy",
    "Write",
]

Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a signal, recorded in one transaction together with the signal being done.

    Attributes:
        send: signals to go out; they are in the outbox once the outcome is recorded.
        writes: further changes to the journal; each runs in the writer thread on the open transaction.
    """

    send: tuple[Signal, ...] = ()
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A signal that will not be tried any further.

    Attributes:
        signal: it.
        stage: `send` when no receiver ever confirmed it, `handle` when its handler failed for good.
        reason: `undeliverable`, `expired`, `crashed` (the process died in it too often), or the error's type.
        detail: a sentence.
        attempts: how often it was tried.
        error: what the handler raised.
    """

    signal: Signal
    stage: Literal["send", "handle"]
    reason: str
    detail: str
    attempts: int
    error: Exception | None = None


Handler = Callable[[Signal], Awaitable[Outcome]]
ImmediateHandler = Callable[[Signal], Outcome | None]
"""What follows from a signal when that takes no time and costs nothing, so that it may be found out again;
None when the signal needs its handler."""
FailureHandler = Callable[[Failure], Awaitable[Outcome]]


class LocalInbox(Protocol):
    """An inbox of this node, as a transaction that delivers into it sees it.

    A handler that was reserved is either begun with its signal or given back, exactly once.
    """

    def at_once(self, signal: Signal) -> Outcome | None:
        """What follows from a signal that needs no handler; None when it needs one."""
        ...

    def reserve(self) -> bool:
        """Promise a handler to a signal that is about to be leased; False when it has to wait its turn."""
        ...

    def unreserve(self) -> None:
        """Give a promised handler back."""
        ...

    def begin(self, signal: Signal) -> None:
        """Handle a signal that holds a promised handler and whose lease is committed."""
        ...

    def offer(self, signals: Sequence[Signal]) -> None:
        """New signals that wait in the journal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a signal is handled.

    Attributes:
        attempts: handlers that raise are called so often altogether.
        first_delay: seconds before the second call; doubles each time.
        last_delay: upper limit of the delay.
        crashes: a signal in whose handling the process died so often is set aside, not tried again.
    """

    attempts: int = 3
    first_delay: float = 0.5
    last_delay: float = 30.0
    crashes: int = 2

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the given attempt failed."""
        return float(min(self.last_delay, self.first_delay * 2.0 ** min(attempt - 1, 30)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierSettings:
    """Times and limits of a courier, in seconds unless named otherwise.

    Attributes:
        outbox_limit: signals that may await confirmation before producers have to wait.
        producer_patience: how long `send` waits for room before it raises OutboxFull.
        resend_first: an unconfirmed signal is sent again after this; the wait doubles each time.
        resend_last: upper limit of that wait.
        ack_delay: confirmations to one peer are gathered for this long.
        lease: of work in progress; renewed at a third of it.
        broker_max_age: how long the broker may keep a message.
        retention: how long ids of finished signals are remembered; longer than `broker_max_age`.
        progress_per_second: events per task and source; the latest wins.
        drain: how long leaving the context waits for running handlers.
        local: signals between inboxes of this node go from one to the other in the journal, in the
            transaction that makes them; False sends these too over the broker.
    """

    outbox_limit: int = 10_000
    producer_patience: float = 30.0
    resend_first: float = 5.0
    resend_last: float = 300.0
    ack_delay: float = 0.05
    lease: float = 60.0
    broker_max_age: float = 24 * 3600.0
    retention: float = 72 * 3600.0
    progress_per_second: float = 10.0
    drain: float = 10.0
    local: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if self.retention <= self.broker_max_age:
            # A copy that the broker still holds would be taken for a new signal.
            raise RetentionTooShort(retention=self.retention, broker_max_age=self.broker_max_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierContext:
    """What all parts of one courier share."""

    bus: Bus
    journal: Journal
    cluster: str
    settings: CourierSettings
    clock: Clock
