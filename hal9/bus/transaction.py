"""One transaction: what it records, what it sends, what it delivers into inboxes of this node.

A signal for another node needs an outbox row, the broker, and a confirmation. One for a neuron of this very
process would take the same way only to come back into the same file; with `CourierSettings.local` it goes
there in the transaction that records why it was sent: one commit in place of four, and nothing in between
that could be lost. What its receiver can answer at once (a task that is handed on as it is, the result of
an only part) is not delivered at all: what follows from it is recorded in the same transaction, down to the
first signal that somebody has to work on. Of a signal from another node its id is kept too, as of every one.

The invariant, kept in `Recorder.commit` and nowhere else: nothing is published, acknowledged or begun before
the commit that recorded it; and what was prepared for a transaction that did not happen is given back.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from hal9.bus import topics
from hal9.bus.contracts import CourierContext, Failure, FailureHandler, LocalInbox, Outcome, Write
from hal9.bus.unconfirmed import Unconfirmed
from hal9.database import Connection
from hal9.errors.bus import TopicInvalid
from hal9.errors.journal import JournalUnwritable
from hal9.errors.signals import SignalRefused
from hal9.journal import dead_letters, inbox, outbox
from hal9.journal.failpoints import failpoint
from hal9.signals import MAX_HOPS, Signal, encode

__all__ = ["LocalDeliveries", "OutgoingBatch", "Recorder", "outbox_entries"]

_log = logging.getLogger("hal9.bus.courier")
_AGAIN_SECONDS = 1.0


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

    def __init__(self, hosted: Mapping[str, LocalInbox], *, owner: str, lease_until: float) -> None:
        self._hosted = hosted
        self._owner = owner
        self._lease_until = lease_until
        self._signals: dict[str, Signal] = {}
        self._done: list[inbox.Arrival] = []
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

    def add_done(self, signal: Signal, *, now: float) -> None:
        """Take in a signal that is new, and whose outcome the same transaction records."""
        self._done.append(
            inbox.Arrival(signal.id, signal.source, signal.target, signal.kind, signal.task_id, b"", now)
        )

    def write(self, connection: Connection) -> None:
        """In the transaction."""
        inbox.insert_done(connection, self._done)
        self._fresh = inbox.insert(connection, self._waiting)
        self._fresh |= inbox.insert(
            connection, self._leased, owner=self._owner, lease_until=self._lease_until
        )

    def committed(self) -> None:
        """After the commit: handlers begin, or the signals wait for one."""
        leased, self._leased = self._leased, []
        if leased:
            failpoint("handler-claimed")
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

    def write(self, connection: Connection) -> None:
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


def _nothing() -> None:
    return


class Recorder:
    """The one way in which a courier's parts make something durable.

    Args:
        context: what the courier's parts share.
        unconfirmed: where committed outbox rows go out from.
        inboxes: of this node, by name; may grow.
        on_failure: asked what follows from a signal that is given up.
    """

    def __init__(
        self,
        context: CourierContext,
        unconfirmed: Unconfirmed,
        inboxes: Mapping[str, LocalInbox],
        *,
        on_failure: FailureHandler,
    ) -> None:
        self._journal = context.journal
        self._unconfirmed = unconfirmed
        self._inboxes = inboxes
        self._cluster = context.cluster
        self._settings = context.settings
        self._clock = context.clock
        self._on_failure = on_failure

    async def send(self, signals: Sequence[Signal], writes: Sequence[Write]) -> None:
        """Accept a producer's signals, once there is room for them.

        Raises:
            OutboxFull, SignalOversize, TopicInvalid, JournalUnwritable: nothing was recorded.
        """
        await self._unconfirmed.wait_room(len(signals))
        failpoint("outbox-before-commit")
        await self.commit(signals, writes, then=lambda: failpoint("outbox-committed"))

    async def commit(
        self,
        signals: Sequence[Signal] = (),
        writes: Sequence[Write] = (),
        *,
        received: Sequence[tuple[Signal, bytes]] = (),
        letters: Sequence[dead_letters.DeadLetter] = (),
        when: Callable[[Connection], bool] | None = None,
        then: Callable[[], None] = _nothing,
        patient: bool = False,
    ) -> bool:
        """Record all of it in one transaction; only then publish, and begin what was delivered here.

        Args:
            signals: to go out, each by outbox or straight into an inbox of this node.
            writes: further changes to the journal.
            received: signals with their bytes that came for inboxes of this node.
            letters: dead letters.
            when: runs first in the transaction; False leaves everything as it was.
            then: called right after the commit, before anything is published or begun.
            patient: try for as long as the journal cannot be written, for what is too dear to be lost.

        Returns:
            False when `when` said no.

        Raises:
            SignalOversize, TopicInvalid, JournalUnwritable: nothing was recorded.
        """
        batch, all_writes = self._prepared(signals, writes, received)

        def record(connection: Connection) -> bool:
            if when is not None and not when(connection):
                return False
            batch.write(connection)
            for write in all_writes:
                write(connection)
            if letters:
                dead_letters.insert(connection, letters)
            return True

        recorded = False
        try:
            recorded = await (self._insist(record) if patient else self._journal.write(record))
        finally:
            if not recorded:
                batch.abandoned()
        if recorded:
            then()
            batch.committed()
        return recorded

    async def give_up(
        self, failure: Failure, *, when: Callable[[Connection], bool], patient: bool = False
    ) -> bool:
        """Record that a signal will not be tried any further, and what its owner wants to follow."""
        signal = failure.signal
        outcome = await self._outcome_of(failure)
        letter = dead_letters.DeadLetter.of(
            signal.model_dump_json().encode(),
            topic=topics.inbox(self._cluster, signal.target, signal.kind, signal.source),
            stage=failure.stage,
            reason=failure.reason,
            detail=failure.detail,
            at=self._clock.now(),
            signal_id=signal.id,
        )
        return await self.commit(
            outcome.send,
            outcome.writes,
            letters=[letter],
            when=when,
            then=lambda: failpoint("dead-lettered"),
            patient=patient,
        )

    async def _outcome_of(self, failure: Failure) -> Outcome:
        """What the owner wants; should asking fail too, the letter is kept anyway."""
        try:
            return await self._on_failure(failure)
        except Exception:  # noqa: BLE001 - the supervisor of failure handlers, logged with its traceback
            _log.exception("the failure handler failed on signal %s", failure.signal.id)
            return Outcome()

    async def _insist(self, record: Callable[[Connection], bool]) -> bool:
        while True:
            try:
                return await self._journal.write(record)
            except JournalUnwritable as error:
                _log.error("%s", error)
                await self._clock.sleep(_AGAIN_SECONDS)

    def _prepared(
        self, signals: Sequence[Signal], writes: Sequence[Write], received: Sequence[tuple[Signal, bytes]]
    ) -> tuple["OutgoingBatch", Sequence[Write]]:
        """What is left to send and deliver once all is answered that can be at once, and all writes."""
        new = self._arrived_first(received)
        if new or any(map(self._is_local, signals)):
            try:
                return self._followed(signals, writes, received, new)
            except (SignalRefused, TopicInvalid):
                pass  # what follows cannot be sent: its handler is asked, and that ends as a dead letter
        return self._outgoing(signals, received), writes

    def _arrived_first(self, received: Sequence[tuple[Signal, bytes]]) -> set[str]:
        """Which of the received signals nobody has seen before; on a shared journal nobody can say so yet."""
        if not received or self._journal.shared:
            return set()
        ids = [signal.id for signal, _ in received]
        return set(ids) - self._journal.read_now(lambda connection: inbox.seen(connection, ids))

    def _followed(
        self,
        signals: Sequence[Signal],
        writes: Sequence[Write],
        received: Sequence[tuple[Signal, bytes]],
        new: Collection[str],
    ) -> tuple["OutgoingBatch", Sequence[Write]]:
        left, following = list[Signal](), list(writes)
        done, undone = list[Signal](), list[tuple[Signal, bytes]]()
        waiting = deque(signals)
        for signal, body in received:
            outcome = self._inboxes[signal.target].at_once(signal) if signal.id in new else None
            if outcome is None:
                undone.append((signal, body))
                continue
            done.append(signal)
            following.extend(outcome.writes)
            waiting.extend(outcome.send)
        while waiting:
            signal = waiting.popleft()
            outcome = None
            if self._is_local(signal) and signal.hops <= MAX_HOPS:
                outcome = self._inboxes[signal.target].at_once(signal)
            if outcome is None:
                left.append(signal)
                continue
            following.extend(outcome.writes)
            waiting.extend(outcome.send)
        return self._outgoing(left, undone, done), following

    def _outgoing(
        self,
        signals: Sequence[Signal],
        received: Sequence[tuple[Signal, bytes]],
        done: Sequence[Signal] = (),
    ) -> "OutgoingBatch":
        now = self._clock.now()
        deliveries = LocalDeliveries(
            self._inboxes, owner=self._journal.boot_id, lease_until=now + self._settings.lease
        )
        batch = OutgoingBatch(
            signals, deliveries, is_local=self._is_local, now=now, publish=self._unconfirmed.publish
        )
        for signal in done:
            deliveries.add_done(signal, now=now)
        for signal, body in received:
            deliveries.add(signal, body, now=now)
        return batch

    def _is_local(self, signal: Signal) -> bool:
        return self._settings.local and signal.target in self._inboxes and signal.source in self._inboxes
