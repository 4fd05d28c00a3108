"""What runs neurons in a process: journal, budgets, minds, memory, routes and the connection to the broker.

The daemon and a neuron's own process are built on the same runtime; they differ in what they put around it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hal9.budgets import BudgetStore
from hal9.bus import BrokerAddress, Courier, CourierSettings, MqttBus
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.plan import NodePlan
from hal9.cluster.services.borrowing import WorkspaceBorrowing
from hal9.cluster.services.learning import LearningService, open_learning
from hal9.cluster.services.mapping import RipmapMapper
from hal9.cluster.services.routing import LearnedRouter
from hal9.cluster.services.thinking import MindPool, budget_limits
from hal9.journal import Journal
from hal9.neurons import WAITING_TURNS, Neuron, NeuronDefinition, NeuronServices, known_purposes
from hal9.settings import Settings
from hal9.signals import Signal, StatusPayload
from hal9.tools.mcp_client import McpServers
from hal9.workbench.upkeep import tidy

__all__ = ["NodeRuntime", "courier_settings", "open_runtime"]

_log = logging.getLogger("hal9.cluster.runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """The opened services of a process. Its courier is entered by whoever has hosted all inboxes."""

    plan: NodePlan
    journal: Journal
    minds: MindPool
    directory: NeuronDirectory
    router: LearnedRouter
    bus: MqttBus
    courier: Courier
    learner: LearningService
    services: NeuronServices

    def host_neurons(self, services: NeuronServices | None = None) -> None:
        """Serve the inboxes of all neurons of the plan, from the courier's entering on."""
        for definition in self.plan.definitions.values():
            self._host(definition, services or self.services)

    def _host(self, definition: NeuronDefinition, services: NeuronServices) -> None:
        name, layer = definition.name, definition.meta.layer

        def emit(task_id: str, detail: dict[str, Any]) -> None:
            event = str(detail.get("event", "progress"))
            self.courier.emit_progress(task_id, detail, event=event, source=name)

        neuron = Neuron(definition, services, emit=emit, on_gradient=self.learner.gradients.on_gradient)
        self.directory.local[name] = layer
        # Cancel signals must get through while turns are busy, others while some wait for a person.
        concurrency = self.plan.settings().cluster.concurrent_turns + WAITING_TURNS
        self.courier.host(name, neuron.handle, concurrency=concurrency, layer=layer, at_once=neuron.at_once)

    async def watch_nodes(self) -> None:
        """Keep the directory up to date with what other nodes say of themselves; runs for ever."""
        async with aclosing(self.courier.watch(progress=False)) as events:
            async for event in events:
                self.directory.observe(event)
                self._notice_namesake(event)

    def _notice_namesake(self, event: Signal) -> None:
        """Say so when another home runs a cluster of this name on this broker."""
        payload = event.payload
        if not isinstance(payload, StatusPayload) or event.source != self.plan.node:
            return
        other = payload.detail.get("home")
        if payload.boot_id != self.journal.boot_id and other not in (None, self.plan.home.identity()):
            self.plan.alert(
                f"another home ({other}) runs a cluster of the name {self.courier.cluster!r} on this broker: "
                "both would do each other's tasks. Give one another cluster.name and restart it."
            )


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


@asynccontextmanager
async def open_runtime(
    plan: NodePlan, journal: Journal, address: BrokerAddress
) -> AsyncGenerator[NodeRuntime, None]:
    """Open everything in the order of need; close it in reverse.

    Args:
        plan: what the process is to be.
        journal: of this process alone, open.
        address: the broker, with this node's login.
    """
    settings, clock = plan.settings(), plan.clock
    kept_since = clock.now() - settings.cluster.retention_days * 86400.0
    await asyncio.to_thread(tidy, plan.snapshots, plan.home.changes, before=kept_since)
    async with AsyncExitStack() as stack:
        accounts = stack.enter_context(BudgetStore(plan.home.budgets, budget_limits(settings), clock=clock))
        minds = await stack.enter_async_context(MindPool(plan.settings, accounts))
        directory = NeuronDirectory(clock=clock, node=plan.node)
        router = stack.enter_context(LearnedRouter(plan.home, settings=plan.settings, clock=clock))
        bus = _bus(plan, address)
        courier = _courier(plan, bus, journal)
        learning = open_learning(plan, minds=minds, journal=journal, courier=courier)
        learner = await stack.enter_async_context(learning)
        tools = await stack.enter_async_context(McpServers(settings.tools.servers))
        services = NeuronServices(
            settings=plan.settings,
            models=minds,
            router=router,
            memory=learner.retrieval,
            gate=learner.gate,
            mapper=RipmapMapper(settings.repository_map),
            prompts=learner.prompts,
            clock=clock,
            directory=directory,
            journal=journal,
            node=plan.node,
            snapshots=plan.snapshots,
            changes=plan.home.changes,
            hidden=(plan.home.state,),
            workspaces=WorkspaceBorrowing(courier.exchange, node=plan.node, settings=plan.settings),
            carry_steps=not plan.whole_tasks,
            tools=tools,
            purposes=await asyncio.to_thread(known_purposes, plan.home.neurons),
        )
        yield NodeRuntime(
            plan=plan,
            journal=journal,
            minds=minds,
            directory=directory,
            router=router,
            bus=bus,
            courier=courier,
            learner=learner,
            services=services,
        )


def _courier(plan: NodePlan, bus: MqttBus, journal: Journal) -> Courier:
    settings = plan.settings()
    return Courier(
        bus,
        journal,
        cluster=settings.cluster.name,
        node=plan.node,
        settings=courier_settings(settings),
        clock=plan.clock,
        on_failure=plan.on_failure,
    )


def _bus(plan: NodePlan, address: BrokerAddress) -> MqttBus:
    # Two homes that call their clusters alike must not throw each other out.
    name = plan.settings().cluster.name
    return MqttBus(address, client_id=f"{name}-{plan.node}-{plan.home.identity()}")
