"""One neuron as a process of its own, on this machine or another one."""

import asyncio
import contextlib
import logging
import signal
import time
from contextlib import aclosing

from hal9.bus import BrokerAddress, Courier, Failure, Outcome
from hal9.bus.crew import BackgroundTasks
from hal9.clock import Clock, SteadyClock
from hal9.cluster.directory import NeuronDirectory
from hal9.cluster.home import Home
from hal9.cluster.plan import NodePlan
from hal9.cluster.runtime import NodeRuntime, open_runtime
from hal9.cluster.supervision.process import clock_offset
from hal9.errors.cluster import NeuronHostedElsewhere
from hal9.journal import Journal
from hal9.neurons import answer_to, failed_result, load_neurons
from hal9.signals import Tally, TaskPayload

__all__ = ["run_neuron"]

_log = logging.getLogger("hal9.cluster.node")
_LISTEN_SECONDS = 1.0
_ANSWER_SECONDS = 3600.0


async def run_neuron(home: Home, name: str, address: BrokerAddress, *, clock: Clock | None = None) -> None:
    """Serve one neuron until SIGTERM or SIGINT.

    It has a journal of its own and sends its steps along with its results.

    Raises:
        NeuronMissing: the home has no such neuron.
        NeuronHostedElsewhere: another process announces it already.
        BusError: the broker does not let us in.
    """
    settings = home.settings()
    folder = home.state / "nodes" / name
    snapshots = folder / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True, mode=0o700)
    plan = NodePlan(
        home=home,
        node=name,
        definitions=load_neurons(home.neurons, enabled=[name]),
        settings=lambda: settings,
        clock=clock or SteadyClock(offset=clock_offset(home)),
        snapshots=snapshots,
        whole_tasks=False,
        alert=_log.warning,
        on_failure=_answer_failed,
    )
    async with (
        Journal(folder / "journal.db") as journal,
        open_runtime(plan, journal, address) as runtime,
    ):
        runtime.host_neurons()
        async with runtime.courier as courier:
            await courier.wait_connected(30.0)
            await _refuse_twice(courier, runtime.directory, name)
            await courier.set_status("ready")
            _log.info("neuron %s serves %s", name, address)
            await _serve(runtime)
            runtime.services.stopping.set()
            await courier.set_status("draining")


async def _answer_failed(failure: Failure) -> Outcome:
    """A task that could not be handled is answered as failed, so that nobody waits for it."""
    signal = failure.signal
    _log.warning("signal %s (%s) given up: %s", signal.id, signal.kind, failure.detail)
    if failure.stage == "send" or not isinstance(signal.payload, TaskPayload):
        return Outcome()
    result = failed_result("internal_error", failure.detail, neuron=signal.target, tally=Tally())
    answer = answer_to(signal, result, now=time.time(), ttl_seconds=_ANSWER_SECONDS)
    return Outcome(send=(answer,))


async def _refuse_twice(courier: Courier, directory: NeuronDirectory, name: str) -> None:
    """Two processes on one inbox would both do its work; listen who is there before starting."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LISTEN_SECONDS), aclosing(courier.watch(progress=False)) as events:
            async for event in events:
                directory.observe(event)
    for node, state in directory.remote().items():
        if state.state == "ready" and name in state.neurons:
            raise NeuronHostedElsewhere(name=name, node=node)


async def _serve(runtime: NodeRuntime) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with BackgroundTasks() as crew:
        crew.start(runtime.watch_nodes(), name="node statuses")
        crew.start(runtime.learner.loops.refresh(), name="learned prompts")
        crew.start(runtime.learner.loops.move_changes(), name="gate")
        await stopping.wait()
