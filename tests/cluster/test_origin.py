"""Who may end, cancel or slow down a task: not whoever has a login at the broker."""

import time
from contextlib import AsyncExitStack
from pathlib import Path

from hal9.bus import MqttBus, topics
from hal9.cluster import Home
from hal9.cluster.broker_access import local_access
from hal9.journal import dead_letters, tasks
from hal9.signals import CancelPayload, Payload, ResultPayload, Signal, encode
from tests.cluster.test_nodes import neuron_process
from tests.conftest import Script, edit_settings, running_cluster
from tests.support.waiting import eventually

INTRUDER = "l2-craftsman"


def forged(target: str, payload: Payload, *, task_id: str, cause: str | None) -> tuple[str, bytes]:
    """A signal from the intruder, who knows every id."""
    signal = Signal.create(payload, task_id=task_id, source=INTRUDER, target=target, now=time.time())
    signal = signal.model_copy(update={"cause_id": cause})
    return topics.inbox("hal9", target, payload.kind, INTRUDER), encode(signal)


async def test_another_neurons_login_can_neither_end_nor_cancel_a_task(home: Home, script: Script) -> None:
    script("slow")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*", "l2-implementer"]')
    async with AsyncExitStack() as stack:
        daemon, cluster = await stack.enter_async_context(running_cluster(home))
        bus = MqttBus(local_access(home, INTRUDER), client_id="intruder", clean=True)
        await stack.enter_async_context(bus)
        await bus.wait_connected(20)
        task_id = await cluster.submit("take your time")

        async def parts() -> list[tuple[str, str]]:
            return await daemon.journal.read(
                lambda c: [tuple(row) for row in c.execute("SELECT work_id, signal_id FROM parts")]
            )

        await eventually(lambda: _all_sent(parts), "both upper layers have passed the task on")
        root = (await daemon.journal.read(lambda c: tasks.get_task(c, task_id))).root_signal  # type: ignore[union-attr]
        wrong = ResultPayload(ok=True, answer="mine")
        for target, payload, causes in (
            ("book", wrong, [root, None, task_id]),
            ("l4-strategist", wrong, [part for _, part in await parts()]),
            ("l3-designer", wrong, [part for _, part in await parts()]),
            ("l2-implementer", CancelPayload(reason="mine"), [root]),
            ("l3-designer", CancelPayload(reason="mine"), [root]),
        ):
            for cause in causes:
                topic, body = forged(target, payload, task_id=task_id, cause=cause)
                await bus.publish(topic, body, qos=1)

        async def refused() -> bool:
            letters = await daemon.journal.read(dead_letters.latest)
            # The result for a part that nobody waits for is no news; all others are refused by name.
            return len([one for one in letters if one.reason == "forged"]) >= 7

        await eventually(refused, "every forged signal is a dead letter")
        assert (await cluster.task(task_id)).state == "running"
        await cluster.cancel(task_id)
        assert (await cluster.wait(task_id, timeout_seconds=180)).stop_reason == "cancelled"


async def _all_sent(parts: object) -> bool:
    found = await parts()  # type: ignore[operator]
    return len(found) == 2 and all(signal_id for _, signal_id in found)


async def test_a_neuron_that_is_away_is_waited_for_and_status_says_so(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (daemon, cluster):
        ids = [await cluster.submit(f"Say something {number}") for number in range(10)]

        async def told() -> bool:
            daemon.status.write()
            waiting = (await cluster.status())["waiting"]
            return {one["task"] for one in waiting} >= set(ids[:4]) and waiting[0]["for"] == ["L2"]

        await eventually(told, "status says whom tasks wait for")
        async with neuron_process(home, "l2-implementer"):
            states = [(await cluster.wait(task_id, timeout_seconds=180)).state for task_id in ids]
        daemon.status.write()
        assert (await cluster.status())["waiting"] == []
    assert states == ["done"] * 10


async def test_who_waits_for_nobody_is_told_so_at_the_deadline(home: Home, script: Script) -> None:
    script("adder")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Say something", timeout_seconds=3.0)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert (task.state, task.stop_reason) == ("failed", "no_route")
    assert task.result is not None
    assert task.result.error is not None
    assert "L2" in task.result.error.message
