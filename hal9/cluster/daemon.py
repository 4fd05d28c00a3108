"""The daemon: one process that runs the broker, the neurons of this home, and the task book."""

import asyncio
import fcntl
import json
import logging
import os
import signal
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hal9 import __version__
from hal9.bus import (
    BrokerAddress,
    Courier,
    CourierSettings,
    EmbeddedBroker,
    Failure,
    MqttBus,
    Outcome,
    StoreLimits,
    neuron_user,
    node_user,
    viewer_user,
)
from hal9.clock import Clock, SystemClock
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.home import Home
from hal9.cluster.learning import REQUESTS, LearningService, ask_to_learn
from hal9.cluster.mapping import RipmapCartographer
from hal9.cluster.routing import LearnedRouter, Routing
from hal9.cluster.scheduler import BOOK, TaskScheduler
from hal9.cluster.thinking import MindPool, budget_limits, resolve_spec
from hal9.cluster.workloads import WorkloadRunner
from hal9.errors.base import ConfigError
from hal9.errors.cluster import DaemonRunning
from hal9.journal import Journal
from hal9.limits import BudgetStore
from hal9.neurons import Neuron, NeuronDefinition, NeuronServices, load_neurons
from hal9.settings import BrokerSettings, Settings

__all__ = ["NODE", "Daemon", "broker_address", "courier_settings"]

_log = logging.getLogger("hal9.cluster.daemon")

NODE = "daemon"
VIEWER = "viewer"
_LIVE = ("backward_propagation", "quality", "safety", "gate", "routing")
_RELOAD_SECONDS = 1.0
_STATUS_SECONDS = 2.0


def broker_address(settings: BrokerSettings) -> BrokerAddress | None:
    """The external broker of the settings, or None for the embedded one.

    Raises:
        BusError: the URL is unusable, or it would send passwords in the clear.
    """
    if settings.url is None:
        return None
    address = BrokerAddress.from_url(
        settings.url,
        username=settings.username,
        password=settings.password,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        allow_insecure=settings.allow_plaintext,
    )
    address.check()
    return address


def courier_settings(settings: Settings) -> CourierSettings:
    """The courier's times as the settings want them."""
    max_age = settings.broker.store_max_age_hours * 3600.0
    return CourierSettings(
        lease=settings.cluster.lease_seconds,
        drain=settings.cluster.drain_seconds,
        broker_max_age=max_age,
        retention=max_age + 24 * 3600.0,
        local=not settings.broker.everything,
    )


class Daemon:
    """A running cluster; use it with `async with`, then `serve()` until told to stop.

    Raises:
        DaemonRunning: another daemon has this home.
        ConfigError, BusError, DatabaseError: on entering; nothing is left running.
    """

    def __init__(self, home: Home, *, clock: Clock | None = None) -> None:
        self.home = home
        self.settings = home.settings()
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._lock: IO[str] | None = None
        self._started_at = self._clock.now()
        self._alerts: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.broker: EmbeddedBroker | None = None

    async def __aenter__(self) -> Self:
        self._take_lock()
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                self._stack = stack.pop_all()
        except BaseException:
            self._release_lock()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.book.accepting = False
        self._write_status("stopping")
        for task in self._tasks:
            task.cancel()
        try:
            await self._stack.__aexit__(exc_type, exc, traceback)
        finally:
            self._write_status("stopped")
            self._release_lock()

    async def serve(self) -> None:
        """Run until `stop()`, SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self._stopping.wait()

    def stop(self) -> None:
        """Ask `serve` to end; a second time ends the drain too."""
        if self._stopping.is_set():
            _log.warning("told to stop twice: not waiting for running turns")
            for task in asyncio.all_tasks():
                task.cancel()
        self._stopping.set()

    # --- opening, in the order of need --------------------------------------------------------

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        self.definitions = load_neurons(self.home.neurons, enabled=settings.neurons.enabled)
        self.journal = await stack.enter_async_context(Journal(self.home.journal))
        book = stack.enter_context(BudgetStore(self.home.budgets, budget_limits(settings), clock=self._clock))
        self.minds = await stack.enter_async_context(MindPool(lambda: self.settings, book))
        self.address = await self._open_broker(stack)
        self.directory = NeuronDirectory(clock=self._clock, node=NODE)
        await self._open_learning(stack)
        self.house = self._furnish()
        self._connect()
        for definition in self.definitions.values():
            self._host(definition)
        await stack.enter_async_context(self.courier)
        await self.courier.wait_connected(30.0)
        await self._start_loops(stack)
        await self.courier.set_status("ready", {"version": __version__})
        self._write_status("ready")
        _log.info("ready: %d neurons, broker %s", len(self.definitions), self.address)

    async def _open_learning(self, stack: AsyncExitStack) -> None:
        """What is learned: routes, memories, prompts."""
        self.router = stack.enter_context(
            LearnedRouter(self.home, settings=lambda: self.settings, clock=self._clock)
        )
        self.learner = await stack.enter_async_context(
            LearningService(
                self.home,
                settings=lambda: self.settings,
                definitions=self.definitions,
                minds=self.minds,
                journal=self.journal,
                clock=self._clock,
                alert=self.alert,
            )
        )
        self.routing = Routing(
            self.router, self.journal, settings=lambda: self.settings, clock=self._clock, alert=self.alert
        )

    def _connect(self) -> None:
        """Courier and task book, and who hears of finished tasks."""
        settings = self.settings
        self.courier = Courier(
            MqttBus(self.address, client_id=f"{settings.cluster.name}-{NODE}"),
            self.journal,
            cluster=settings.cluster.name,
            node=NODE,
            settings=courier_settings(settings),
            clock=self._clock,
            on_failure=self._give_up,
        )
        self.book = TaskScheduler(
            self.courier,
            self.journal,
            directory=self.directory,
            router=self.house.router,
            settings=lambda: self.settings,
            clock=self._clock,
        )
        self.book.finish_writes.append(ask_to_learn)
        self.book.elsewhere.update(dict.fromkeys(REQUESTS, self.learner.wake))
        self.learner.courier = self.courier
        self.book.on_finished.append(self.routing.finished)
        self.learner.engine.on_outcome.append(self.routing.judged)
        self.courier.host(BOOK, self.book.handle, concurrency=16)
        self.workloads = WorkloadRunner(
            self.home, self.journal, self.courier, clock=self._clock, finish=self.book.end
        )

    async def _start_loops(self, stack: AsyncExitStack) -> None:
        self._group = await stack.enter_async_context(asyncio.TaskGroup())
        for name, run in (
            ("intake", self.book.intake),
            ("deadlines", self.book.watch_deadlines),
            ("retention", self.book.forget_old),
            ("reload", self._reload_loop),
            ("routing", self.routing.run),
            ("status", self._status_loop),
            ("nodes", self._watch_nodes),
            ("learning", self.learner.run),
            ("gate", self.learner.run_gate),
            ("workloads", self.workloads.run),
        ):
            self._tasks.append(self._group.create_task(run(), name=f"daemon {name}"))

    async def _open_broker(self, stack: AsyncExitStack) -> BrokerAddress:
        external = broker_address(self.settings.broker)
        if external is not None:
            return external
        name = self.settings.cluster.name
        broker = self.settings.broker
        users = [node_user(name, NODE), viewer_user(name, VIEWER)]
        # Also for neurons that are not enabled here: they may run as processes of their own.
        neurons = sorted(path.stem for path in self.home.neurons.glob("*.md") if path.stem != "README")
        users += [neuron_user(name, neuron) for neuron in neurons]
        self.broker = await stack.enter_async_context(
            EmbeddedBroker(
                self.home.broker,
                users=users,
                server=Path(broker.server_path) if broker.server_path else None,
                limits=StoreLimits(
                    max_bytes=broker.store_max_mb * 1024 * 1024,
                    max_age_seconds=int(broker.store_max_age_hours * 3600),
                ),
                clock=self._clock,
            )
        )
        self._write_access([VIEWER, *neurons])
        return self.broker.address(NODE)

    async def _give_up(self, failure: Failure) -> Outcome:
        return await self.book.give_up(failure)

    def _furnish(self) -> NeuronServices:
        return NeuronServices(
            settings=lambda: self.settings,
            thinker=self.minds,
            router=self.router,
            recaller=self.learner,
            cartographer=RipmapCartographer(min_files=self.settings.repository_map.min_files),
            prompts=self.learner.prompts,
            clock=self._clock,
            directory=self.directory,
            journal=self.journal,
            snapshots=self.home.snapshots,
            changes=self.home.changes,
            hidden=(self.home.state,),
        )

    def _host(self, definition: NeuronDefinition) -> None:
        name = definition.name

        def emit(task_id: str, detail: dict[str, Any]) -> None:
            self.courier.emit_progress(
                task_id, detail, event=str(detail.get("event", "progress")), source=name
            )

        neuron = Neuron(definition, self.house, emit=emit, on_gradient=self.learner.on_gradient)
        self.directory.local[name] = definition.meta.layer
        # Cancel signals must get through while all turns are busy.
        concurrency = self.settings.cluster.concurrent_turns + 2
        self.courier.host(name, neuron.handle, concurrency=concurrency, layer=definition.meta.layer)

    # --- loops --------------------------------------------------------------------------------

    async def _watch_nodes(self) -> None:
        async with aclosing(self.courier.watch(progress=False)) as events:
            async for event in events:
                self.directory.observe(event)

    async def _reload_loop(self) -> None:
        """Take over changes of the live sections; a file with mistakes changes nothing."""
        path = self.home.settings_file
        seen = _modified(path)
        while True:
            await self._clock.sleep(_RELOAD_SECONDS)
            now = _modified(path)
            if now == seen:
                continue
            seen = now
            try:
                fresh = self.home.settings()
            except ConfigError as error:
                self.alert(f"hal9.yaml not reloaded: {error}")
                continue
            live = {name: getattr(fresh, name) for name in _LIVE}
            rest = [name for name in type(fresh).model_fields if name not in _LIVE]
            changed = [name for name in rest if getattr(fresh, name) != getattr(self.settings, name)]
            self.settings = self.settings.model_copy(update=live)
            _log.info("settings reloaded: %s", ", ".join(_LIVE))
            if changed:
                self.alert(f"changes of {', '.join(changed)} take effect at the next start")

    async def _status_loop(self) -> None:
        while True:
            self._write_status("ready")
            await self._clock.sleep(_STATUS_SECONDS)

    def alert(self, text: str) -> None:
        """Show a warning in the log and in `hal9 status`."""
        _log.warning("%s", text)
        self._alerts = [*self._alerts[-9:], text]

    # --- files --------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        self.home.make_state()
        lock = self.home.lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            text = lock.read().strip()
            lock.close()
            raise DaemonRunning(home=str(self.home.root), pid=int(text) if text.isdigit() else None) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.close()
            self._lock = None

    def _write_access(self, users: list[str]) -> None:
        if self.broker is None:
            return
        entries = {}
        for user in users:
            address = self.broker.address(user)
            entries[user] = {"host": address.host, "port": address.port, "password": address.password}
        _write_private(self.home.access, {"cluster": self.settings.cluster.name, "users": entries})

    def _write_status(self, state: str) -> None:
        courier = getattr(self, "courier", None)
        _write_private(
            self.home.status,
            {
                "state": state,
                "pid": os.getpid(),
                "version": __version__,
                "started_at": self._started_at,
                "written_at": self._clock.now(),
                "boot_id": self.journal.boot_id if hasattr(self, "journal") else None,
                "broker": str(self.address) if hasattr(self, "address") else None,
                "embedded": self.broker is not None,
                "mind": resolve_spec("default", self.settings.minds),
                "neurons": {name: one.meta.layer for name, one in getattr(self, "definitions", {}).items()},
                "nodes": {
                    name: {"state": node.state, "neurons": node.neurons}
                    for name, node in (self.directory.remote().items() if hasattr(self, "directory") else ())
                },
                "unconfirmed": courier.unconfirmed if courier is not None else 0,
                "alerts": self._alerts,
            },
        )


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _write_private(path: Path, value: Any) -> None:
    """Replace a file of ours in one step; only its owner may read it."""
    part = path.with_name(path.name + ".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:  # noqa: PTH123
        json.dump(value, stream)
    part.replace(path)
