"""The receiving half of a courier: validate, record, and only then acknowledge."""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

from hal9.bus import topics
from hal9.bus.contracts import CourierContext
from hal9.bus.outbox_relay import OutboxRelay
from hal9.bus.protocol import Incoming
from hal9.bus.receipts import Receipts
from hal9.bus.transaction import Recorder
from hal9.errors.bus import TopicInvalid
from hal9.errors.signals import SignalRefused
from hal9.journal import dead_letters
from hal9.journal.failpoints import failpoint
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
        context: CourierContext,
        recorder: Recorder,
        relay: OutboxRelay,
        receipts: Receipts,
        *,
        hosted: Collection[str],
        observe: Callable[[Incoming], None],
        exchanged: Callable[[str, bytes], None],
    ) -> None:
        self._bus = context.bus
        self._recorder = recorder
        self._relay = relay
        self._receipts = receipts
        self._clock = context.clock
        self._hosted = hosted
        self._observe = observe
        self._exchanged = exchanged
        self._inbox_prefix = f"hal9/{context.cluster}/in/"

    async def run(self) -> None:
        """Receive for ever."""
        while True:
            messages = await self._bus.receive()
            failpoint("received")
            batch = self._sort(messages)
            if not batch.messages:
                continue
            # What is not recorded stays unacknowledged, so the broker keeps it; no more is taken meanwhile.
            await self._recorder.commit(
                received=[*batch.signals.values()],
                letters=batch.letters,
                then=partial(self._acknowledge, batch),
                patient=True,
            )

    def _acknowledge(self, batch: _Batch) -> None:
        """Tell the broker and the senders that a batch is recorded."""
        failpoint("inbox-committed")
        for message in batch.messages:
            message.ack()
        failpoint("mqtt-acked")
        for signal, _ in batch.signals.values():
            self._receipts.confirm(signal.id, source=signal.source, target=signal.target)

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
                if place.kind == topics.EXCHANGE:
                    self._exchanged(place.source, message.payload)
                    message.ack()
                    continue
                signal = decode(
                    message.payload, now=now, source=place.source, target=place.target, kind=place.kind
                )
                self._check_hosted(signal)
            except (SignalRefused, TopicInvalid) as error:
                batch.messages.append(message)
                batch.letters.append(self._letter(message, error, now))
                continue
            if isinstance(signal.payload, AckPayload):
                self._relay.acknowledged(signal.payload.ids, by=signal.source)
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
