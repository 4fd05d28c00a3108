"""Durable messaging of one node: at-least-once delivery, exactly-once recording.

What was accepted is in the journal before anything is said about it to anybody:

    send      outbox row committed → published → … → receiver's confirmation → row deleted
    receive   inbox row committed → broker told → sender told → handler runs
    outcome   inbox row done + new outbox rows + the handler's own writes, one transaction

A copy of a signal that is already in the inbox is confirmed again and otherwise ignored. Handlers may run
more than once (the process may die in the middle of one); what they return is recorded once.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self

from hal9.bus import topics
from hal9.bus.contracts import (
    CourierContext,
    CourierSettings,
    Failure,
    FailureHandler,
    Handler,
    ImmediateHandler,
    Outcome,
    Write,
)
from hal9.bus.crew import BackgroundTasks
from hal9.bus.exchange import Exchange
from hal9.bus.hosting import InboxRunner
from hal9.bus.outbox_relay import OutboxRelay
from hal9.bus.protocol import Bus
from hal9.bus.receipts import Receipts
from hal9.bus.receiving import Receiver
from hal9.bus.transaction import Recorder
from hal9.bus.unconfirmed import Unconfirmed
from hal9.bus.watching import ProgressWriter, StatusBoard, Watchers
from hal9.clock import Clock, SystemClock
from hal9.errors.bus import CourierClosed, NotHosted
from hal9.errors.journal import JournalUnwritable
from hal9.journal import Journal, hosts, inbox
from hal9.signals import Signal

__all__ = ["Courier"]

_log = logging.getLogger("hal9.bus.courier")

_HOUSEKEEPING_SECONDS = 60.0


async def _ignore(_failure: Failure) -> Outcome:
    return Outcome()


class Courier:
    """One node's messaging: one connection to the broker, one journal, any number of hosted inboxes.

    Args:
        bus: not yet entered; the courier opens and closes it.
        journal: open, and of this node alone.
        cluster: a name that topics can carry.
        node: this node's name; status is published under it.
        settings: times and limits.
        clock: time.
        on_failure: asked when a signal is given up (never confirmed, or not to be handled); what it returns
            is recorded in the transaction that makes the dead letter.
        seed: of the jitter between resends.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        *,
        cluster: str,
        node: str,
        settings: CourierSettings | None = None,
        clock: Clock | None = None,
        on_failure: FailureHandler = _ignore,
        seed: int | None = None,
    ) -> None:
        self.cluster = topics.check_name(cluster)
        self.node = topics.check_name(node)
        self.settings = settings or CourierSettings()
        self._bus = bus
        self._journal = journal
        self._clock = clock or SystemClock()
        self._hosted: dict[str, InboxRunner] = {}
        self._layers: dict[str, int] = {}
        self._context = context = CourierContext(
            bus=bus, journal=journal, cluster=cluster, settings=self.settings, clock=self._clock
        )
        self._unconfirmed = Unconfirmed(
            limit=self.settings.outbox_limit, patience=self.settings.producer_patience
        )
        self._recorder = Recorder(context, self._unconfirmed, self._hosted, on_failure=on_failure)
        self._relay = OutboxRelay(context, self._recorder, self._unconfirmed, seed=seed)
        self._receipts = Receipts(context)
        self.exchange = Exchange(self._publish_frame, clock=self._clock)
        self._watchers = Watchers(bus, cluster=cluster, clock=self._clock)
        self._receiver = Receiver(
            context,
            self._recorder,
            self._relay,
            self._receipts,
            hosted=self._hosted,
            observe=self._watchers.observe,
            exchanged=self.exchange.arrived,
        )
        self._progress = ProgressWriter(
            bus, cluster=cluster, clock=self._clock, per_second=self.settings.progress_per_second
        )
        self._status = StatusBoard(
            bus,
            cluster=cluster,
            node=node,
            clock=self._clock,
            boot_id=journal.boot_id,
            neurons=lambda: dict(self._layers),
        )
        self._stack = AsyncExitStack()
        self._crew: BackgroundTasks | None = None
        self._inbox_tasks: dict[str, asyncio.Task[None]] = {}

    # --- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        owner, end = self._journal.boot_id, self._journal.previous_end
        await self._journal.write(
            lambda connection: inbox.recover(
                connection, owner=owner, end=end, others=hosts.living(connection)
            )
        )
        await self._relay.start()
        self._bus.set_last_will(self._status.last_will)
        async with AsyncExitStack() as stack:
            for name in {*self._hosted, self.node}:
                # Before the connection: a persistent session delivers at once what it kept for us.
                await self._bus.subscribe(topics.inbox_filter(self.cluster, name))
            await stack.enter_async_context(self._bus)
            self._crew = crew = await stack.enter_async_context(BackgroundTasks())
            self.exchange.open(crew)
            stack.callback(self.exchange.close)
            loops = [
                *self._relay.loops(),
                ("confirm", self._receipts.run),
                ("receive", self._receiver.run),
                ("progress", self._progress.run),
                ("status", self._status.run),
                ("status beat", self._status.beat),
                ("leases", self._lease_loop),
                ("retention", self._retention_loop),
            ]
            for name, run in loops:
                crew.start(run(), name=f"courier {name}")
            for hosted in self._hosted.values():
                self._start_inbox(hosted)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                await self.drain(self.settings.drain)
            await self._stop_inboxes()
            await self._receipts.flush()
            await self._status.set("offline", {"reason": "stopped"})
        finally:
            self._crew = None
            await self._stack.__aexit__(exc_type, exc, traceback)

    async def drain(self, seconds: float) -> bool:
        """Begin nothing new; wait for what runs. True if everything ended in time."""
        for hosted in self._hosted.values():
            hosted.accepting = False
        try:
            async with asyncio.timeout(seconds):
                for hosted in self._hosted.values():
                    await hosted.wait_idle()
        except TimeoutError:
            return False
        return True

    async def _stop_inboxes(self) -> None:
        tasks, self._inbox_tasks = list(self._inbox_tasks.values()), {}
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait for a session with the broker (see `Bus.wait_connected`)."""
        await self._bus.wait_connected(timeout)

    # --- hosting ------------------------------------------------------------------------------

    def host(
        self,
        name: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        layer: int = 0,
        at_once: ImmediateHandler | None = None,
    ) -> None:
        """Serve an inbox on this node, from entering on; use `add` for one that joins later.

        Args:
            name: the neuron's (or scheduler's) name.
            handler: called with each signal; may be called again for the same one after a crash.
            concurrency: how many signals are handled at once.
            layer: shown in the node's status.
            at_once: asked first about signals from this node, before the transaction that would deliver one:
                what it returns is recorded in that transaction, and there is nothing to deliver any more.
        """
        self._hosted[topics.check_name(name)] = InboxRunner(
            name,
            handler,
            self._context,
            self._recorder,
            concurrency=concurrency,
            at_once=at_once,
            ended=self._progress.ended,
        )
        self._layers[name] = layer

    async def add(self, name: str, handler: Handler, *, concurrency: int = 1, layer: int = 0) -> None:
        """Serve a further inbox while the courier is open.

        Raises:
            BrokerRefused: the broker does not let this node hear that inbox.
        """
        self._require_open()
        self.host(name, handler, concurrency=concurrency, layer=layer)
        self._start_inbox(self._hosted[name])
        await self._bus.subscribe(topics.inbox_filter(self.cluster, name))
        await self._status.publish()

    def _start_inbox(self, hosted: InboxRunner) -> None:
        crew = self._require_open()
        self._inbox_tasks[hosted.name] = crew.start(hosted.run(), name=f"inbox {hosted.name}")

    def _require_open(self) -> BackgroundTasks:
        if self._crew is None:
            raise CourierClosed(node=self.node)
        return self._crew

    # --- sending ------------------------------------------------------------------------------

    async def send(self, signals: Sequence[Signal], writes: Sequence[Write] = ()) -> None:
        """Accept signals: once this returns they are durable and will be delivered or reported as failed.

        Args:
            signals: their sources must be hosted here, since confirmations go to the source's inbox.
            writes: further changes to the journal in the same transaction.

        Raises:
            OutboxFull: too much is unconfirmed and stayed so.
            NotHosted, SignalOversize, TopicInvalid: nothing was recorded.
            JournalUnwritable: nothing was recorded.
        """
        self._require_open()
        for signal in signals:
            if signal.source not in self._hosted:
                raise NotHosted(name=signal.source, node=self.node)
        await self._recorder.send(signals, writes)

    @property
    def unconfirmed(self) -> int:
        """Signals that no receiver has confirmed yet."""
        return len(self._unconfirmed)

    # --- progress and status --------------------------------------------------------------------

    def emit_progress(
        self, task_id: str, detail: dict[str, Any], *, event: str = "progress", source: str | None = None
    ) -> None:
        """Show a sign of life; may be lost, and is thinned out to a few per second."""
        self._progress.emit(source or self.node, task_id, event, detail)

    async def set_status(
        self,
        state: Literal["starting", "ready", "draining", "offline"],
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Publish this node's retained status."""
        await self._status.set(state, detail)

    def watch(
        self, *, task_id: str | None = None, progress: bool = True, status: bool = True
    ) -> AsyncGenerator[Signal, None]:
        """Progress (of one task or all) and status of all nodes, as they happen. Use with `aclosing`."""
        return self._watchers.watch(task_id=task_id, progress=progress, status=status)

    async def _publish_frame(self, node: str, frame: bytes) -> None:
        topic = topics.inbox(self.cluster, topics.check_name(node), topics.EXCHANGE, self.node)
        await self._bus.publish(topic, frame)

    # --- housekeeping -----------------------------------------------------------------------------

    async def _lease_loop(self) -> None:
        owner, lease = self._journal.boot_id, self.settings.lease
        while True:
            await self._clock.sleep(lease / 3)
            running = [signal_id for hosted in self._hosted.values() for signal_id in hosted.running]
            now = self._clock.now()

            def renew(connection: Any, running: list[str] = running, now: float = now) -> int:
                inbox.renew(connection, running, owner=owner, lease_until=now + lease)
                # Other hosts' clocks differ: on a shared journal the hosts' own beats tell who is gone.
                return 0 if self._journal.shared else inbox.lapsed(connection, now=now)

            try:
                lapsed = await self._journal.write(renew)
            except JournalUnwritable as error:
                _log.error("%s", error)
                continue
            if lapsed:
                self._look_again()

    def _look_again(self) -> None:
        for hosted in self._hosted.values():
            hosted.look_again()

    async def take_over(self) -> None:
        """Another host that shared this journal is gone: what it left is there to be taken up and sent."""
        await self._relay.start()
        self._look_again()

    @property
    def running(self) -> int:
        """How many signals are being handled."""
        return sum(len(hosted.running) for hosted in self._hosted.values())

    async def _retention_loop(self) -> None:
        while True:
            before = self._clock.now() - self.settings.retention
            try:
                while await self._journal.write(lambda connection: inbox.purge(connection, before=before)):  # noqa: B023
                    await self._clock.sleep(0.05)
            except JournalUnwritable as error:
                _log.error("%s", error)
            await self._clock.sleep(_HOUSEKEEPING_SECONDS)
