"""From the outbox to the broker: publishing, resending, expiry, and forgetting what was confirmed."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hal9.bus import topics
from hal9.bus.contracts import CourierContext, Failure
from hal9.bus.transaction import Recorder
from hal9.bus.unconfirmed import Unconfirmed
from hal9.errors.bus import BrokerUnreachable
from hal9.errors.journal import JournalUnwritable
from hal9.journal import outbox
from hal9.journal.failpoints import failpoint
from hal9.signals import Signal, encode

__all__ = ["OutboxRelay"]

_log = logging.getLogger("hal9.bus.courier")

_ROUND = 256
_TICK_SECONDS = 0.25
_NOTICE_SECONDS = 0.02


class OutboxRelay:
    """Delivers the rows of one journal's outbox. Its loops run in the courier's task group."""

    def __init__(
        self, context: CourierContext, recorder: Recorder, unconfirmed: Unconfirmed, *, seed: int | None
    ) -> None:
        self._bus = context.bus
        self._journal = context.journal
        self._recorder = recorder
        self._unconfirmed = unconfirmed
        self._cluster = context.cluster
        self._settings = context.settings
        self._clock = context.clock
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._acked: list[tuple[str, str]] = []
        self._acked_event = asyncio.Event()

    def loops(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What has to run for as long as the courier is open."""
        return [
            ("publish", self._publish_loop),
            ("resend", self._resend_loop),
            ("sessions", self._session_loop),
            ("clear outbox", self._clear_loop),
        ]

    async def start(self) -> None:
        """Take over what earlier runs could not deliver."""
        self._unconfirmed.restore(await self._journal.read(outbox.due))

    # --- publishing -----------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        while True:
            entry = await self._unconfirmed.next_ready()
            topic = topics.inbox(self._cluster, entry.target, entry.kind, entry.source)
            try:
                await self._bus.publish(topic, entry.body, qos=1, confirm=False)
            except BrokerUnreachable:
                # The bus may not have noticed yet that its session is dead: never spin on it.
                await self._clock.sleep(_NOTICE_SECONDS)
                await self._bus.wait_session(0)
                continue
            failpoint("published")
            self._unconfirmed.sent(entry, again_at=self._clock.monotonic() + self._wait_after(entry.attempt))

    def _wait_after(self, attempt: int) -> float:
        wait = min(self._settings.resend_last, self._settings.resend_first * 2.0 ** min(attempt - 1, 30))
        return wait * self._random.uniform(0.75, 1.25)

    async def _session_loop(self) -> None:
        seen = 0
        while True:
            seen = await self._bus.wait_session(seen)
            self._unconfirmed.resend_all()

    async def _resend_loop(self) -> None:
        while True:
            await self._unconfirmed.wait_any()
            await self._clock.sleep(_TICK_SECONDS)
            try:
                await self._expire()
                if self._bus.connected:
                    await self._resend()
            except JournalUnwritable as error:
                _log.error("%s", error)
                await self._clock.sleep(1.0)

    async def _resend(self) -> None:
        due = self._unconfirmed.due(now=self._clock.monotonic(), limit=_ROUND)
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
        failpoint("resent")
        self._unconfirmed.publish([entry for entry in again if entry.id in self._unconfirmed])

    async def _expire(self) -> None:
        over = self._unconfirmed.expired(now=self._clock.now(), limit=_ROUND)
        if not over:
            return
        for entry in await self._journal.read(lambda connection: outbox.load(connection, over)):
            await self._give_up(entry)
        self._unconfirmed.forget(over)

    async def _give_up(self, entry: outbox.Entry) -> None:
        detail = (
            f"{entry.target!r} never confirmed it in {entry.attempt} attempts. "
            f"Is it running, and may {entry.source!r} publish to it?"
        )
        signal = Signal.model_validate_json(entry.body)
        # Not when it was confirmed at the last moment.
        await self._recorder.give_up(
            Failure(signal, "send", "undeliverable", detail, entry.attempt),
            when=lambda connection: outbox.remove(connection, entry.id),
        )

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
            failpoint("ack-received")
            try:
                removed = await self._journal.write(
                    lambda connection, acked=acked: outbox.clear(connection, acked)  # type: ignore[misc]
                )
            except JournalUnwritable as error:
                _log.error("%s", error)
                self._acked = acked + self._acked
                await self._clock.sleep(1.0)
                continue
            failpoint("outbox-cleared")
            self._unconfirmed.forget(removed)
