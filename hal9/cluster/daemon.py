"""The daemon: one process that runs the broker, the neurons of this home, and the scheduler."""

import asyncio
import logging
import signal
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from hal9 import __version__
from hal9.bus import Failure, Outcome
from hal9.clock import Clock, SteadyClock
from hal9.cluster.broker_access import NODE, examine_broker, open_broker
from hal9.cluster.home import Home
from hal9.cluster.plan import NodePlan
from hal9.cluster.runtime import NodeRuntime, open_runtime
from hal9.cluster.scheduler import SCHEDULER, TaskScheduler
from hal9.cluster.services.learning import LearningService
from hal9.cluster.services.learning_requests import REQUESTS, ask_to_learn
from hal9.cluster.services.lending import WorkspaceLending
from hal9.cluster.services.routing import LearnedRouter, Routing
from hal9.cluster.services.thinking import MindPool, resolve_spec
from hal9.cluster.state.frames import DatabaseWire
from hal9.cluster.state.hosts import HostRegistry
from hal9.cluster.state_files import HomeLock
from hal9.cluster.status import STATUS_SECONDS, StatusReport
from hal9.cluster.supervision.journal_record import JournalRecord
from hal9.cluster.supervision.previous_end import previous_end
from hal9.cluster.supervision.watchdog import Watchdog
from hal9.cluster.workloads.workloads import WorkloadRunner
from hal9.database import PostgresPlace
from hal9.errors.base import ConfigError
from hal9.errors.journal import JournalUnwritable
from hal9.errors.memory import MemoryUnwritable
from hal9.hooks.server import serve_hooks
from hal9.journal import Journal, typed_error
from hal9.neurons import NeuronServices, load_neurons
from hal9.workbench.upkeep import empty_scratch

__all__ = ["Daemon"]

_log = logging.getLogger("hal9.cluster.daemon")

_LIVE = ("backward_propagation", "quality", "safety", "gate", "routing")
_RELOAD_SECONDS = 1.0
_CONNECT_SECONDS = 30.0
_UNWRITABLE_SECONDS = 1.0


class Daemon:
    """A running cluster; use it with `async with`, then `serve()` until told to stop.

    Raises:
        DaemonRunning: another daemon has this home.
        ConfigError, BusError, DatabaseError: on entering; nothing is left running.
    """

    def __init__(self, home: Home, *, clock: Clock | None = None, accept_loss: bool = False) -> None:
        self.home = home
        self._accept_loss = accept_loss
        self.settings = home.settings()
        self._clock = clock or SteadyClock()
        self._stack = AsyncExitStack()
        self._open_for_work = False
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._shared_loops: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = ()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(HomeLock(self.home))
            self.status = StatusReport(
                self.home, clock=self._clock, mind=lambda: resolve_spec("default", self.settings.minds)
            )
            stack.callback(self.status.write, "stopped")
            self.status.write("starting")
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.scheduler.stop_accepting()
        self.runtime.services.stopping.set()
        self.status.write("stopping")
        for task in self._tasks:
            task.cancel()
        await self._stack.__aexit__(exc_type, exc, traceback)

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

    # --- what others look at ------------------------------------------------------------------

    @property
    def learner(self) -> LearningService:
        """What it learns with."""
        return self.runtime.learner

    @property
    def router(self) -> LearnedRouter:
        """What chooses among neurons."""
        return self.runtime.router

    @property
    def minds(self) -> MindPool:
        """The open minds."""
        return self.runtime.minds

    def alert(self, text: str) -> None:
        """Show a warning in the log and in `hal9 status`."""
        self.status.alert(text)

    # --- opening, in the order of need --------------------------------------------------------

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(Watchdog(self.home.state, self.status.write_stuck))
        self.definitions = load_neurons(self.home.neurons, enabled=self.settings.neurons.enabled)
        await asyncio.to_thread(empty_scratch, self.home.scratch)
        journal = Journal(self.home.journal, previous_end=previous_end(self.home))
        self.journal = await stack.enter_async_context(journal)
        self.record = JournalRecord(self.home, self.journal, alert=self.alert)
        await self.record.check(accept_loss=self._accept_loss)
        stack.push_async_callback(self.record.write)
        self.hosts = HostRegistry(
            self.journal,
            name=self.settings.state.host or socket.gethostname(),
            home=self.status.home_id,
            clock=self._clock,
            running=lambda: self.courier.running if self._open_for_work else 0,
            on_death=self._take_over,
        )
        await self.hosts.join()
        stack.push_async_callback(self.hosts.leave)
        broker = open_broker(self.home, self.settings, clock=self._clock)
        address, self.broker = await stack.enter_async_context(broker)
        if self.broker is None:
            await examine_broker(
                address, cluster=self.settings.cluster.name, home_id=self.status.home_id, node=self._node()
            )
        runtime = open_runtime(self._plan(), self.journal, address)
        self.runtime: NodeRuntime = await stack.enter_async_context(runtime)
        self.status.attach(self.runtime, embedded=self.broker is not None)
        self.courier, self.directory = self.runtime.courier, self.runtime.directory
        self._hire()
        await self._lend_workspaces()
        self.runtime.host_neurons(self.neuron_services(self.runtime.services))
        await stack.enter_async_context(self.courier)
        await self.courier.set_status("starting", self._about())
        await self.courier.wait_connected(_CONNECT_SECONDS)
        self._open_for_work = True
        learner = self.learner
        await stack.enter_async_context(
            serve_hooks(
                self.home.state, learner.store, learner.advisor, learning=lambda: learner.engine.learning
            )
        )
        await self._start_loops(stack)
        await self.courier.set_status("ready", self._about())
        self.status.write("ready")
        _log.info("ready: %d neurons, broker %s", len(self.definitions), address)

    def _about(self) -> dict[str, str]:
        return {"version": __version__, "home": self.status.home_id}

    def _node(self) -> str:
        """Hosts that share a cluster need names of their own."""
        if self.journal.shared:
            return self.home.shared_node()
        return NODE

    async def _take_over(self) -> None:
        """Take up what a host that died has left."""
        if self._open_for_work:
            await self.courier.take_over()

    def _plan(self) -> NodePlan:
        return NodePlan(
            home=self.home,
            node=self._node(),
            definitions=self.definitions,
            settings=lambda: self.settings,
            clock=self._clock,
            snapshots=self.home.snapshots,
            whole_tasks=True,
            alert=self.alert,
            on_failure=self._give_up,
        )

    def neuron_services(self, services: NeuronServices) -> NeuronServices:
        """What the neurons work with; a benchmark's daemon may put something else in."""
        return services

    def _hire(self) -> None:
        """The scheduler, the counting of routes and the runner of workloads, and who hears of whom."""
        runtime = self.runtime
        self.routing = Routing(
            runtime.router,
            self.journal,
            settings=lambda: self.settings,
            clock=self._clock,
            alert=self.alert,
        )
        self.scheduler = TaskScheduler(
            runtime.courier,
            self.journal,
            directory=runtime.directory,
            router=runtime.router,
            settings=lambda: self.settings,
            clock=self._clock,
            hosts=self.hosts,
        )
        self.scheduler.finish_writes.append(ask_to_learn)
        self.scheduler.delegated.update(dict.fromkeys(REQUESTS, runtime.learner.requests.wake))
        self.scheduler.on_finished += [
            self.routing.finished,
            lambda _task: runtime.learner.requests.wake.set(),
        ]
        runtime.learner.engine.on_outcome.append(self.routing.judged)
        runtime.courier.host(SCHEDULER, self.scheduler.handle, concurrency=16, at_once=self.scheduler.at_once)
        self.workloads = WorkloadRunner(
            self.home, self.journal, runtime.courier, clock=self._clock, finish=self.scheduler.end
        )

    async def _lend_workspaces(self) -> None:
        """Nodes on other machines get the workspaces that are here, and give their changes back."""
        directory = self.runtime.directory
        lending = WorkspaceLending(
            self.home.travelling,
            self.home.changes,
            self.journal,
            settings=lambda: self.settings,
            known=lambda node: node in directory.nodes or node in self.hosts.nodes,
            clock=self._clock,
        )
        await asyncio.to_thread(lending.clear)
        self.courier.exchange.answer = lending.answer
        self.scheduler.on_finished.append(lending.forget)
        if isinstance(self.home.journal, PostgresPlace):
            wire = DatabaseWire(
                self.home.journal, node=self._node(), exchange=self.courier.exchange, clock=self._clock
            )
            self.courier.exchange.other_wire = lambda node: wire.send if self._beyond_broker(node) else None
            self._shared_loops = (("frames", wire.run), ("travelling", lending.keep_tidy))

    def _beyond_broker(self, node: str) -> bool:
        """Whether another host is to be reached through the database alone."""
        seen = self.directory.remote().get(node)
        return node in self.hosts.nodes and (seen is None or seen.state != "ready")

    async def _give_up(self, failure: Failure) -> Outcome:
        return await self.scheduler.give_up(failure)

    # --- loops --------------------------------------------------------------------------------

    async def _start_loops(self, stack: AsyncExitStack) -> None:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        alone = self.hosts.while_leading
        for name, run in (
            ("hosts", self.hosts.run),
            ("intake", self.scheduler.intake),
            ("deadlines", lambda: alone(self.scheduler.watch_deadlines)),
            ("retention", lambda: alone(self.scheduler.forget_old)),
            ("reload", self._reload_loop),
            ("routing", self.routing.run),
            ("status", self._status_loop),
            ("nodes", self.runtime.watch_nodes),
            ("learning", lambda: alone(self.learner.requests.run)),
            ("gate", lambda: alone(self.learner.loops.move_changes)),
            ("workloads", lambda: alone(self.workloads.run)),
            ("vectors", lambda: alone(self._keep_index)),
            *([("stops", self.scheduler.stop_ended), *self._shared_loops] if self.journal.shared else []),
        ):
            self._tasks.append(group.create_task(self._keep_running(name, run), name=f"daemon {name}"))

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop; a database that is away (a full disk, a restart) does not end the daemon."""
        told = ""
        while True:
            try:
                return await run()
            except (JournalUnwritable, MemoryUnwritable, sqlite3.OperationalError) as error:
                text = str(typed_error(error, self.home.journal))
                if text != told:
                    self.alert(f"{name} waits: {text}")
                told = text
                await self._clock.sleep(_UNWRITABLE_SECONDS)

    async def _keep_index(self) -> None:
        above = lambda: self.settings.memory.index_above  # noqa: E731 - it may change while the loop runs
        await self.learner.loops.keep_index(self.learner.store, above)

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
            self.status.write("ready")
            await self.record.write()
            await self._clock.sleep(STATUS_SECONDS)


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
