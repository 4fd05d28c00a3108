"""The sending half of a courier: outbox, publishing, resending, expiry, confirmations of receipt."""

import asyncio
import logging
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hal9.bus import topics
from hal9.bus.transaction import LocalDeliveries, OutgoingBatch
from hal9.bus.contracts import CourierSettings, Failure, FailureHandler, Outcome, Write
from hal9.bus.protocol import Bus
from hal9.clock import Clock
from hal9.errors.bus import BrokerUnreachable, OutboxFull
from hal9.errors.journal import JournalUnwritable
from hal9.journal import Journal, dead_letters, outbox
from hal9.journal.failpoints import hit
from hal9.signals import AckPayload, Signal, encode

if TYPE_CHECKING:
    from hal9.bus.hosting import InboxRunner

__all__ = ["Sender"]

_log = logging.getLogger("hal9.bus.courier")

T = TypeVar("T")

_ROUND = 256
_TICK_SECONDS = 0.25
_NOTICE_SECONDS = 0.02
_IDS_PER_ACK = 500


@dataclass(slots=True)
class _Waiting:
    """An unconfirmed signal: when to send it again (monotonic), when it expires (wall clock)."""

    next_at: float
    expires_at: float
    attempt: int
    queued: bool


class Sender:
    """Owns the outbox of one journal. Its loops run in the courier's task group."""

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        *,
        cluster: str,
        settings: CourierSettings,
        clock: Clock,
        hosted: Mapping[str, "InboxRunner"],
        on_failure: FailureHandler,
        seed: int | None,
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._hosted = hosted
        self._on_failure = on_failure
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._waiting: dict[str, _Waiting] = {}
        self._ready: deque[outbox.Entry] = deque()
        self._ready_event = asyncio.Event()
        self._room = asyncio.Event()
        self._acked: list[tuple[str, str]] = []
        self._acked_event = asyncio.Event()
        self._receipts: dict[tuple[str, str], list[str]] = {}
        self._receipts_event = asyncio.Event()

    @property
    def unconfirmed(self) -> int:
        """Signals in the outbox."""
        return len(self._waiting)

    def loops(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What has to run for as long as the courier is open."""
        return [
            ("publish", self._publish_loop),
            ("resend", self._resend_loop),
            ("sessions", self._session_loop),
            ("clear outbox", self._clear_loop),
            ("confirm", self._confirm_loop),
        ]

    async def start(self) -> None:
        """Take over what earlier runs could not deliver."""
        for signal_id, expires_at, attempt in await self._journal.read(outbox.due):
            self._waiting[signal_id] = _Waiting(0.0, expires_at, attempt, queued=False)

    # --- accepting ------------------------------------------------------------------------

    async def wait_room(self, number: int) -> None:
        """Hold a producer back while too much is unconfirmed.

        Raises:
            OutboxFull: there was no room for too long.
        """
        limit = self._settings.outbox_limit
        if len(self._waiting) + number <= limit:
            return
        try:
            async with asyncio.timeout(self._settings.producer_patience):
                while len(self._waiting) + number > limit:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise OutboxFull(waiting=len(self._waiting), limit=limit) from None

    async def record(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Write to the journal, however long it cannot be written: what is held is too dear to be lost."""
        while True:
            try:
                return await self._journal.write(fn)
            except JournalUnwritable as error:
                _log.error("%s", error)
                await self._clock.sleep(1.0)

    def arrivals(self) -> LocalDeliveries:
        """An empty collection for signals that enter inboxes of this node."""
        lease_until = self._clock.now() + self._settings.lease
        return LocalDeliveries(self._hosted, owner=self._journal.boot_id, lease_until=lease_until)

    def dispatch(self, signals: Sequence[Signal]) -> OutgoingBatch:
        """Encode signals and decide how each travels.

        Raises:
            SignalOversize: one is too large.
            TopicInvalid: a target's name cannot be part of a topic.
        """
        return OutgoingBatch(
            signals,
            self.arrivals(),
            is_local=self._is_local,
            now=self._clock.now(),
            publish=self.committed,
        )

    def _is_local(self, signal: Signal) -> bool:
        return self._settings.local and signal.target in self._hosted and signal.source in self._hosted

    async def send(self, signals: Sequence[Signal], writes: Sequence[Write]) -> None:
        """Make durable, then publish in the background."""
        await self.wait_room(len(signals))
        dispatch = self.dispatch(signals)

        def record(connection: sqlite3.Connection) -> None:
            dispatch.write(connection)
            for write in writes:
                write(connection)

        hit("outbox-before-commit")
        try:
            await self._journal.write(record)
        except BaseException:
            dispatch.abandoned()
            raise
        hit("outbox-committed")
        dispatch.committed()

    def committed(self, entries: Sequence[outbox.Entry]) -> None:
        """Publish what somebody has just written into the outbox."""
        for entry in entries:
            self._waiting[entry.id] = _Waiting(0.0, entry.expires_at, entry.attempt, queued=True)
            self._ready.append(entry)
        self._ready_event.set()

    # --- publishing -----------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        while True:
            while not self._ready:
                self._ready_event.clear()
                await self._ready_event.wait()
            entry = self._ready[0]
            waiting = self._waiting.get(entry.id)
            if waiting is None:  # confirmed or expired while it waited here
                self._ready.popleft()
                continue
            topic = topics.inbox(self._cluster, entry.target, entry.kind, entry.source)
            try:
                await self._bus.publish(topic, entry.body, qos=1, confirm=False)
            except BrokerUnreachable:
                # The bus may not have noticed yet that its session is dead: never spin on it.
                await self._clock.sleep(_NOTICE_SECONDS)
                await self._bus.wait_session(0)
                continue
            hit("published")
            self._ready.popleft()
            waiting.queued = False
            waiting.next_at = self._clock.monotonic() + self._wait_after(waiting.attempt)

    def _wait_after(self, attempt: int) -> float:
        wait = min(self._settings.resend_last, self._settings.resend_first * 2.0 ** min(attempt - 1, 30))
        return wait * self._random.uniform(0.75, 1.25)

    async def _session_loop(self) -> None:
        """A new session may mean a broker that lost its store: everything unconfirmed goes out again."""
        seen = 0
        while True:
            seen = await self._bus.wait_session(seen)
            for waiting in self._waiting.values():
                if not waiting.queued:
                    waiting.next_at = 0.0

    async def _resend_loop(self) -> None:
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            try:
                await self._expire()
                if self._bus.connected:
                    await self._resend()
            except JournalUnwritable as error:
                _log.error("%s", error)
                await self._clock.sleep(1.0)

    async def _resend(self) -> None:
        now = self._clock.monotonic()
        due = [
            signal_id
            for signal_id, waiting in self._waiting.items()
            if not waiting.queued and waiting.next_at <= now
        ][:_ROUND]
        if not due:
            return
        again: list[outbox.Entry] = []
        for entry in await self._journal.read(lambda connection: outbox.load(connection, due)):
            signal = Signal.model_validate_json(entry.body)
            attempt = entry.attempt + 1
            body = encode(signal.model_copy(update={"attempt": attempt}))
            again.append(entry._replace(body=body, attempt=attempt))
        await self._journal.write(
            lambda connection: outbox.set_attempts(
                connection, [(entry.id, entry.attempt, entry.body) for entry in again]
            )
        )
        hit("resent")
        self.committed([entry for entry in again if entry.id in self._waiting])

    async def _expire(self) -> None:
        now = self._clock.now()
        over = [key for key, waiting in self._waiting.items() if waiting.expires_at <= now][:_ROUND]
        if not over:
            return
        for entry in await self._journal.read(lambda connection: outbox.load(connection, over)):
            await self._give_up(entry)
        for signal_id in over:
            self._waiting.pop(signal_id, None)
        self._room.set()

    async def _give_up(self, entry: outbox.Entry) -> None:
        detail = (
            f"{entry.target!r} never confirmed it in {entry.attempt} attempts. "
            f"Is it running, and may {entry.source!r} publish to it?"
        )
        failure = Failure(
            Signal.model_validate_json(entry.body), "send", "undeliverable", detail, entry.attempt
        )
        outcome = await self.outcome_of(failure)
        follow_up = self.dispatch(outcome.send)
        letter = dead_letters.DeadLetter.of(
            entry.body,
            topic=topics.inbox(self._cluster, entry.target, entry.kind, entry.source),
            stage="send",
            reason=failure.reason,
            detail=detail,
            at=self._clock.now(),
            signal_id=entry.id,
        )

        def record(connection: sqlite3.Connection) -> bool:
            if not outbox.remove(connection, entry.id):
                return False  # confirmed at the last moment
            dead_letters.insert(connection, [letter])
            follow_up.write(connection)
            for write in outcome.writes:
                write(connection)
            return True

        recorded = False
        try:
            recorded = await self._journal.write(record)
        finally:
            if not recorded:
                follow_up.abandoned()
        if recorded:
            hit("dead-lettered")
            follow_up.committed()

    async def outcome_of(self, failure: Failure) -> Outcome:
        """Ask the owner what follows from a failure; should that fail too, the letter is kept anyway."""
        try:
            return await self._on_failure(failure)
        except Exception:  # noqa: BLE001 - the supervisor of failure handlers, logged with its traceback
            _log.exception("the failure handler failed on signal %s", failure.signal.id)
            return Outcome()

    # --- confirmations ----------------------------------------------------------------------

    def acknowledged(self, ids: Sequence[str], *, by: str) -> None:
        """A receiver says that these are in its journal."""
        self._acked.extend((signal_id, by) for signal_id in ids)
        self._acked_event.set()

    async def _clear_loop(self) -> None:
        while True:
            while not self._acked:
                self._acked_event.clear()
                await self._acked_event.wait()
            acked, self._acked = self._acked, []
            hit("ack-received")
            try:
                removed = await self._journal.write(
                    lambda connection, acked=acked: outbox.clear(connection, acked)  # type: ignore[misc]
                )
            except JournalUnwritable as error:
                _log.error("%s", error)
                self._acked = acked + self._acked
                await self._clock.sleep(1.0)
                continue
            hit("outbox-cleared")
            for signal_id in removed:
                self._waiting.pop(signal_id, None)
            self._room.set()

    def confirm(self, signal_id: str, *, source: str, target: str) -> None:
        """Tell `source` that its signal to `target` is in our journal."""
        self._receipts.setdefault((source, target), []).append(signal_id)
        if not self._receipts_event.is_set():
            self._receipts_event.set()

    async def _confirm_loop(self) -> None:
        while True:
            await self._receipts_event.wait()
            await self._clock.sleep(self._settings.ack_delay)
            await self.flush_receipts()

    async def flush_receipts(self) -> None:
        """Send gathered confirmations; one that cannot be sent is asked for again by the resend."""
        self._receipts_event.clear()
        receipts, self._receipts = self._receipts, {}
        now = self._clock.now()
        for (peer, own), ids in receipts.items():
            topic = topics.inbox(self._cluster, peer, "ack", own)
            for start in range(0, len(ids), _IDS_PER_ACK):
                payload = AckPayload(ids=ids[start : start + _IDS_PER_ACK])
                signal = Signal.create(payload, task_id="-", source=own, target=peer, now=now)
                try:
                    await self._bus.publish(topic, encode(signal), qos=1, confirm=False)
                except BrokerUnreachable:
                    return
                hit("e2e-acked")
