"""One neuron as a process of its own, on this machine or another one."""

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal9.bus import BrokerAddress, Courier, MqttBus
from hal9.clock import Clock, SystemClock
from hal9.cluster.daemon import courier_settings
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.home import Home
from hal9.cluster.learning import LearningService
from hal9.cluster.mapping import RipmapCartographer
from hal9.cluster.routing import LearnedRouter
from hal9.cluster.thinking import MindPool, budget_limits
from hal9.errors.cluster import NeuronHostedElsewhere
from hal9.journal import Journal
from hal9.limits import BudgetStore
from hal9.neurons import Neuron, NeuronServices, load_neurons
from hal9.settings import Settings

__all__ = ["run_neuron"]

_log = logging.getLogger("hal9.cluster.node")
_LISTEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _World:
    """What belongs to one neuron's process."""

    home: Home
    settings: Settings
    minds: MindPool
    router: LearnedRouter
    learner: LearningService
    directory: NeuronDirectory
    journal: Journal
    snapshots: Path
    clock: Clock


async def run_neuron(home: Home, name: str, address: BrokerAddress, *, clock: Clock | None = None) -> None:
    """Serve one neuron until SIGTERM or SIGINT.

    It has a journal of its own and sends its steps along with its results.

    Raises:
        NeuronMissing: the home has no such neuron.
        NeuronHostedElsewhere: another process announces it already.
        BusError: the broker does not let us in.
    """
    time = clock or SystemClock()
    settings = home.settings()
    definition = load_neurons(home.neurons, enabled=[name])[name]
    folder = home.state / "nodes" / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    snapshots = folder / "snapshots"
    snapshots.mkdir(exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(Journal(folder / "journal.db"))
        book = stack.enter_context(BudgetStore(home.budgets, budget_limits(settings), clock=time))
        minds = await stack.enter_async_context(MindPool(lambda: settings, book))
        directory = NeuronDirectory(clock=time, node=name, local={name: definition.meta.layer})
        router = stack.enter_context(LearnedRouter(home, settings=lambda: settings, clock=time))
        learner = LearningService(
            home,
            settings=lambda: settings,
            definitions={name: definition},
            minds=minds,
            journal=journal,
            clock=time,
            alert=_log.warning,
        )
        learner.own_tasks = False
        await stack.enter_async_context(learner)
        world = _World(home, settings, minds, router, learner, directory, journal, snapshots, time)
        courier = Courier(
            MqttBus(address, client_id=f"{settings.cluster.name}-{name}"),
            journal,
            cluster=settings.cluster.name,
            node=name,
            settings=courier_settings(settings),
            clock=time,
        )

        def emit(task_id: str, detail: dict[str, Any]) -> None:
            courier.emit_progress(task_id, detail, event=str(detail.get("event", "progress")))

        neuron = Neuron(definition, _furnish(world), emit=emit, on_gradient=learner.on_gradient)
        concurrency = settings.cluster.concurrent_turns + 2
        courier.host(name, neuron.handle, concurrency=concurrency, layer=definition.meta.layer)
        await stack.enter_async_context(courier)
        await courier.wait_connected(30.0)
        await _refuse_twice(courier, directory, name)
        await courier.set_status("ready")
        _log.info("neuron %s serves %s", name, address)
        await _serve(courier, directory, learner)
        await courier.set_status("draining")


def _furnish(world: "_World") -> NeuronServices:
    """What the neuron works with."""
    return NeuronServices(
        settings=lambda: world.settings,
        thinker=world.minds,
        router=world.router,
        recaller=world.learner,
        cartographer=RipmapCartographer(min_files=world.settings.repository_map.min_files),
        prompts=world.learner.prompts,
        clock=world.clock,
        directory=world.directory,
        journal=world.journal,
        snapshots=world.snapshots,
        changes=world.home.changes,
        hidden=(world.home.state,),
        carry_steps=True,
    )


async def _refuse_twice(courier: Courier, directory: NeuronDirectory, name: str) -> None:
    """Two processes on one inbox would both do its work; listen who is there before starting."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LISTEN_SECONDS), aclosing(courier.watch(progress=False)) as events:
            async for event in events:
                directory.observe(event)
    for node, state in directory.remote().items():
        if state.state == "ready" and name in state.neurons:
            raise NeuronHostedElsewhere(name=name, node=node)


async def _serve(courier: Courier, directory: NeuronDirectory, learner: LearningService) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    async def listen() -> None:
        async with aclosing(courier.watch(progress=False)) as events:
            async for event in events:
                directory.observe(event)

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen(), name="node statuses")
        refresher = group.create_task(learner.run_refresh(), name="learned prompts")
        gate = group.create_task(learner.run_gate(), name="gate")
        await stopping.wait()
        for task in (listener, refresher, gate):
            task.cancel()
