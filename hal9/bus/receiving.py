"""The receiving half of a courier: validate, record, and only then acknowledge."""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from hal9.bus import topics
from hal9.bus.transaction import LocalDeliveries
from hal9.bus.hosting import InboxRunner
from hal9.bus.protocol import Bus, Incoming
from hal9.bus.outbox_relay import Sender
from hal9.clock import Clock
from hal9.errors.bus import TopicInvalid
from hal9.errors.signals import SignalRefused
from hal9.journal import Journal, dead_letters
from hal9.journal.failpoints import hit
from hal9.signals import AckPayload, Signal, decode

__all__ = ["Receiver"]

_log = logging.getLogger("hal9.bus.courier")


class _Batch:
    """What one round of receiving will record."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.signals: dict[str, tuple[Signal, bytes]] = {}
        self.letters: list[dead_letters.DeadLetter] = []


class Receiver:
    """Takes messages off the bus. A message is acknowledged after the commit that recorded it."""

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        sender: Sender,
        *,
        cluster: str,
        clock: Clock,
        hosted: Mapping[str, InboxRunner],
        observe: Callable[[Incoming], None],
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._sender = sender
        self._clock = clock
        self._hosted = hosted
        self._observe = observe
        self._inbox_prefix = f"hal9/{cluster}/in/"

    async def run(self) -> None:
        """Receive for ever."""
        while True:
            messages = await self._bus.receive()
            hit("received")
            batch = self._sort(messages)
            if not batch.messages:
                continue
            arrivals = await self._record(batch)
            hit("inbox-committed")
            for message in batch.messages:
                message.ack()
            hit("mqtt-acked")
            for signal, _ in batch.signals.values():
                self._sender.confirm(signal.id, source=signal.source, target=signal.target)
            arrivals.committed()

    def _sort(self, messages: Sequence[Incoming]) -> _Batch:
        batch = _Batch()
        now = self._clock.now()
        for message in messages:
            if not message.topic.startswith(self._inbox_prefix):
                self._observe(message)
                message.ack()
                continue
            try:
                place = topics.parse_inbox(message.topic)
                signal = decode(
                    message.payload, now=now, source=place.source, target=place.target, kind=place.kind
                )
                self._check_hosted(signal)
            except (SignalRefused, TopicInvalid) as error:
                batch.messages.append(message)
                batch.letters.append(self._letter(message, error, now))
                continue
            if isinstance(signal.payload, AckPayload):
                self._sender.acknowledged(signal.payload.ids, by=signal.source)
                message.ack()
                continue
            batch.messages.append(message)
            batch.signals[signal.id] = signal, message.payload
        return batch

    def _check_hosted(self, signal: Signal) -> None:
        if signal.target not in self._hosted:
            raise SignalRefused(signal_id=signal.id, reason="not_hosted")

    @staticmethod
    def _letter(
        message: Incoming, error: SignalRefused | TopicInvalid, now: float
    ) -> dead_letters.DeadLetter:
        if isinstance(error, SignalRefused):
            reason, signal_id = error.reason, error.signal_id
        else:
            reason, signal_id = "bad_topic", None
        _log.warning("dead letter on %s: %s", message.topic, error)
        return dead_letters.DeadLetter.of(
            message.payload,
            topic=message.topic,
            stage="receive",
            reason=reason,
            detail=str(error),
            at=now,
            signal_id=signal_id,
        )

    async def _record(self, batch: _Batch) -> LocalDeliveries:
        arrivals = self._sender.arrivals()
        now = self._clock.now()
        for signal, body in batch.signals.values():
            arrivals.add(signal, body, now=now)

        def record(connection: sqlite3.Connection) -> None:
            if batch.letters:
                dead_letters.insert(connection, batch.letters)
            arrivals.write(connection)

        try:
            # Unacknowledged, so the broker keeps them; and no further ones are taken meanwhile.
            await self._sender.record(record)
        except BaseException:
            arrivals.abandoned()
            raise
        return arrivals
