"""Signals on their way out of one transaction: by outbox and broker, or straight into an inbox of this node.

A signal for another node needs an outbox row, the broker, and a confirmation. One for a neuron of this very
process would take the same way only to come back into the same file; with `CourierSettings.local` it goes
there in the transaction that records why it was sent: one commit in place of four, and nothing in between
that could be lost.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hal9.bus import topics
from hal9.journal import inbox, outbox
from hal9.journal.failpoints import hit
from hal9.signals import MAX_HOPS, Signal, encode

if TYPE_CHECKING:
    from hal9.bus.hosting import InboxRunner

__all__ = ["LocalDeliveries", "OutgoingBatch", "outbox_entries"]


def outbox_entries(signals: Sequence[Signal]) -> list[outbox.Entry]:
    """Encode signals into outbox rows.

    Raises:
        SignalOversize: one is too large.
        TopicInvalid: a target's name cannot be part of a topic.
    """
    return [
        outbox.Entry(
            signal.id,
            signal.source,
            topics.check_name(signal.target),
            signal.kind,
            signal.task_id,
            encode(signal),
            signal.created_at,
            signal.expires_at,
            signal.attempt,
        )
        for signal in signals
    ]


class LocalDeliveries:
    """Signals that one transaction writes into inboxes of this node.

    Where a handler is free the signal is leased to it in the same statement: that saves the claim's commit.
    """

    def __init__(self, hosted: Mapping[str, "InboxRunner"], *, owner: str, lease_until: float) -> None:
        self._hosted = hosted
        self._owner = owner
        self._lease_until = lease_until
        self._signals: dict[str, Signal] = {}
        self._waiting: list[inbox.Arrival] = []
        self._leased: list[inbox.Arrival] = []
        self._fresh: set[str] = set()

    def __len__(self) -> int:
        return len(self._signals)

    def add(self, signal: Signal, body: bytes, *, now: float) -> None:
        """Take a signal in; a second one with the same id is left out."""
        if signal.id in self._signals:
            return
        self._signals[signal.id] = signal
        arrival = inbox.Arrival(
            signal.id, signal.source, signal.target, signal.kind, signal.task_id, body, now
        )
        free = self._hosted[signal.target].reserve()
        (self._leased if free else self._waiting).append(arrival)

    def write(self, connection: sqlite3.Connection) -> None:
        """In the transaction."""
        self._fresh = inbox.insert(connection, self._waiting)
        self._fresh |= inbox.insert(
            connection, self._leased, owner=self._owner, lease_until=self._lease_until
        )

    def committed(self) -> None:
        """After the commit: handlers begin, or the signals wait for one."""
        leased, self._leased = self._leased, []
        if leased:
            hit("handler-claimed")
        for arrival in leased:
            hosted = self._hosted[arrival.target]
            if arrival.id in self._fresh:
                hosted.begin(self._signals[arrival.id])
            else:
                hosted.unreserve()
        offered: dict[str, list[Signal]] = {}
        for arrival in self._waiting:
            if arrival.id in self._fresh:
                offered.setdefault(arrival.target, []).append(self._signals[arrival.id])
        for name, signals in offered.items():
            self._hosted[name].offer(signals)

    def abandoned(self) -> None:
        """Nothing was written: give reserved handlers back."""
        leased, self._leased = self._leased, []
        for arrival in leased:
            self._hosted[arrival.target].unreserve()


class OutgoingBatch:
    """What one transaction sends; make it, `write` it inside, then say `committed` or `abandoned`."""

    def __init__(
        self,
        signals: Sequence[Signal],
        arrivals: LocalDeliveries,
        *,
        is_local: Callable[[Signal], bool],
        now: float,
        publish: Callable[[Sequence[outbox.Entry]], None],
    ) -> None:
        # All are encoded before the first handler is reserved: one that is too large refuses the whole.
        local = [signal for signal in signals if is_local(signal) and signal.hops <= MAX_HOPS]
        here = {signal.id for signal in local}
        self.entries = outbox_entries([signal for signal in signals if signal.id not in here])
        bodies = [encode(signal) for signal in local]
        self._arrivals = arrivals
        self._publish = publish
        for signal, body in zip(local, bodies, strict=True):
            arrivals.add(signal, body, now=now)

    def write(self, connection: sqlite3.Connection) -> None:
        """In the transaction."""
        outbox.insert(connection, self.entries)
        self._arrivals.write(connection)

    def committed(self) -> None:
        """After the commit."""
        if self.entries:
            self._publish(self.entries)
        self._arrivals.committed()

    def abandoned(self) -> None:
        """The transaction did not happen, or nobody knows whether it did."""
        self._arrivals.abandoned()
