"""One hosted inbox: takes waiting signals in order, leases them, runs the handler, records the outcome."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from hal9.bus.contracts import CourierContext, Failure, Handler, ImmediateHandler, Outcome
from hal9.bus.transaction import Recorder
from hal9.database import Connection
from hal9.errors.base import Hal9Error, is_disk_full
from hal9.errors.journal import JournalUnwritable
from hal9.journal import inbox
from hal9.journal.failpoints import failpoint
from hal9.signals import Signal

__all__ = ["InboxRunner"]

_NO_ROOM_SECONDS = 2.0
_log = logging.getLogger("hal9.bus.courier")

# More than this waits in the journal, not in memory.
_IN_MEMORY = 1024


class InboxRunner:
    """Runs at most `concurrency` handlers of one name at a time; `ended` is told name and task of each."""

    def __init__(
        self,
        name: str,
        handler: Handler,
        context: CourierContext,
        recorder: Recorder,
        *,
        concurrency: int,
        at_once: ImmediateHandler | None = None,
        ended: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self._handler = handler
        self._at_once = at_once
        self._ended = ended
        self._concurrency = concurrency
        self._journal = context.journal
        self._recorder = recorder
        self._settings = context.settings
        self._clock = context.clock
        self._pending: deque[Signal] = deque()
        self._known: set[str] = set()
        self._after = 0
        self._more_in_journal = True
        self._reading = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._group: asyncio.TaskGroup | None = None
        self._reserved = 0  # handlers promised to signals whose lease is being written
        self.running: dict[str, asyncio.Task[None]] = {}
        self.accepting = True

    def at_once(self, signal: Signal) -> Outcome | None:
        """What follows from a signal that needs no handler; None when it needs one.

        What cannot be told because of an error is the handler's: it is retried, and ends as a dead letter.
        """
        if self._at_once is None or signal.expires_at <= self._clock.now():
            return None
        try:
            return self._at_once(signal)
        except Exception:  # noqa: BLE001 - the supervisor of immediate handlers, logged with its traceback
            _log.exception("%s could not tell at once what follows from signal %s", self.name, signal.id)
            return None

    def offer(self, signals: Sequence[Signal]) -> None:
        """New signals that are already in the journal."""
        if self._reading or self._more_in_journal or len(self._pending) + len(signals) > _IN_MEMORY:
            self._more_in_journal = True  # order is kept by reading them back
        else:
            self._pending.extend(signals)
            self._known.update(signal.id for signal in signals)
        self._wake.set()

    def reserve(self) -> bool:
        """Promise a handler to a signal that is about to be leased; False when it has to wait its turn."""
        if self._group is None or not self.accepting:
            return False
        if self._pending or self._reading or self._more_in_journal:
            return False  # others were there first
        if self._concurrency - len(self.running) - self._reserved <= 0:
            return False
        self._reserved += 1
        return True

    def unreserve(self) -> None:
        """Take back a promise."""
        self._reserved -= 1
        if self._pending or self._more_in_journal:
            self._wake.set()

    def begin(self, signal: Signal) -> None:
        """Handle a signal that holds a reserved handler and whose lease is committed."""
        self._reserved -= 1
        self._start(signal, inbox.Claim(attempts=1, deaths=0, blame=""))

    def _start(self, signal: Signal, claim: inbox.Claim) -> None:
        if self._group is None:
            return  # the node is closing; the next run takes the lease back
        self._known.add(signal.id)
        self._idle.clear()
        self.running[signal.id] = self._group.create_task(
            self._work(signal, claim), name=f"{self.name} {signal.id}"
        )

    def look_again(self) -> None:
        """Signals may have become available in the journal."""
        self._after = 0
        self._more_in_journal = True
        self._wake.set()

    async def wait_idle(self) -> None:
        """Until no handler runs."""
        await self._idle.wait()

    async def run(self) -> None:
        """Dispatch for ever; handlers are tasks of this inbox's own group."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._dispatch(group)
                except JournalUnwritable as error:
                    _log.error("%s", error)
                    await self._clock.sleep(1.0)
                    self.look_again()

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while self.accepting and (free := self._concurrency - len(self.running) - self._reserved) > 0:
            if not self._pending and self._more_in_journal:
                await self._refill(group)
            if not self._pending:
                return
            batch = [self._pending.popleft() for _ in range(min(free, len(self._pending)))]
            lease_until = self._clock.now() + self._settings.lease
            ids = [signal.id for signal in batch]
            self._reserved += len(batch)
            try:
                claimed = await self._journal.write(
                    lambda connection, ids=ids, lease_until=lease_until: inbox.claim(  # type: ignore[misc]
                        connection, ids, owner=self._journal.boot_id, lease_until=lease_until
                    )
                )
            except JournalUnwritable:
                self._known.difference_update(ids)
                raise
            finally:
                self._reserved -= len(batch)
            failpoint("handler-claimed")
            for signal in batch:
                claim = claimed.get(signal.id)
                if claim is None:
                    self._known.discard(signal.id)
                    continue
                self._start(signal, claim)

    async def _refill(self, group: asyncio.TaskGroup) -> None:
        after = self._after
        self._more_in_journal = False  # what arrives while we read sets it again
        self._reading = True
        try:
            rows, end = await self._journal.read(
                lambda connection: inbox.take(connection, self.name, after=after)
            )
        finally:
            self._reading = False
        self._after = end
        if rows:
            self._more_in_journal = True
        else:
            self._after = 0
        now = self._clock.now()
        for row in rows:
            if row.id in self._known:
                continue
            self._known.add(row.id)
            signal = Signal.model_validate_json(row.body)
            if row.not_before > now:
                group.create_task(self._later(signal, row.not_before - now), name=f"retry {row.id}")
            else:
                self._pending.append(signal)

    async def _later(self, signal: Signal, delay: float) -> None:
        await self._clock.sleep(delay)
        self._pending.append(signal)
        self._wake.set()

    # --- one signal ---------------------------------------------------------------------------

    async def _work(self, signal: Signal, claim: inbox.Claim) -> None:
        again: float | None = None
        try:
            again = await self._handle(signal, claim)
        except asyncio.CancelledError:
            await self._release(signal, delay=0.0, refund=True)
            raise
        finally:
            del self.running[signal.id]
            if again is None:
                self._known.discard(signal.id)
            if not self.running:
                self._idle.set()
            if self._pending or self._more_in_journal:
                self._wake.set()
        if again is not None and self._group is not None:
            self._group.create_task(self._later(signal, again), name=f"retry {signal.id}")

    async def _handle(self, signal: Signal, claim: inbox.Claim) -> float | None:
        """Returns seconds after which to try again; None when this signal is finished."""
        attempts = claim.attempts
        if claim.deaths >= self._settings.retry.crashes:
            detail = f"set aside: the process ended {claim.deaths} times while handling it"
            if claim.blame:
                detail += f" ({claim.blame})"
            await self._fail(Failure(signal, "handle", "crashed", detail, attempts))
            return None
        if signal.expires_at <= self._clock.now():
            await self._fail(
                Failure(signal, "handle", "expired", "it waited too long to be handled", attempts)
            )
            return None
        failpoint("handler-started")
        try:
            outcome = await self._handler(signal)
            failpoint("handler-finished")
            await self._record(signal, outcome)
        except JournalUnwritable:
            raise
        except Exception as error:  # noqa: BLE001 - the supervisor of handlers: retried, then a dead letter
            return await self._failed(signal, attempts, error)
        return None

    async def _failed(self, signal: Signal, attempts: int, error: Exception) -> float | None:
        if is_disk_full(error):  # nobody's fault, and trying counts for nothing until there is room
            _log.warning("%s waits with signal %s: %s", self.name, signal.id, error)
            await self._release(signal, delay=_NO_ROOM_SECONDS, refund=True)
            return _NO_ROOM_SECONDS
        if isinstance(error, Hal9Error):
            _log.warning("%s could not handle signal %s: %s", self.name, signal.id, error)
        else:
            _log.error("%s crashed on signal %s", self.name, signal.id, exc_info=error)
        policy = self._settings.retry
        if attempts < policy.attempts:
            delay = policy.delay(attempts)
            await self._release(signal, delay=delay, refund=False)
            return delay
        reason = type(error).__name__
        await self._fail(Failure(signal, "handle", reason, str(error), attempts, error))
        return None

    async def _release(self, signal: Signal, *, delay: float, refund: bool) -> None:
        not_before = self._clock.now() + delay if delay else 0.0
        await self._journal.write(
            lambda connection: inbox.release(
                connection, signal.id, owner=self._journal.boot_id, not_before=not_before, refund=refund
            )
        )

    async def _fail(self, failure: Failure) -> None:
        signal = failure.signal
        if not await self._recorder.give_up(failure, when=self._finishing(signal), patient=True):
            self._lost_lease(signal)

    async def _record(self, signal: Signal, outcome: Outcome) -> None:
        recorded = await self._recorder.commit(
            outcome.send,
            (*outcome.writes, lambda _connection: failpoint("outcome-before-commit")),
            when=self._finishing(signal),
            then=lambda: failpoint("outcome-committed"),
            patient=True,  # the work is done and paid for
        )
        if not recorded:
            self._lost_lease(signal)
        elif self._ended is not None:
            self._ended(self.name, signal.task_id)

    def _finishing(self, signal: Signal) -> Callable[[Connection], bool]:
        """Mark the signal as done; nothing of it is recorded when its lease was lost."""
        owner, now = self._journal.boot_id, self._clock.now()
        return lambda connection: inbox.finish(connection, signal.id, owner=owner, now=now)

    def _lost_lease(self, signal: Signal) -> None:
        _log.warning("%s lost its lease on signal %s; its outcome is discarded", self.name, signal.id)
