"""Progress of tasks as neurons emit it: read from the broker by a viewer that may publish nothing."""

import os
from collections.abc import AsyncGenerator

from hal9.bus import MqttBus
from hal9.bus.topics import every_event
from hal9.cluster.broker_access import VIEWER, local_access
from hal9.cluster.home import Home
from hal9.errors.base import SignalError
from hal9.signals import Signal, decode, new_id

__all__ = ["live_events"]


async def live_events(home: Home, *, task_id: str | None = None) -> AsyncGenerator[Signal, None]:
    """Progress of one task, or of all; what happened before is not told."""
    cluster = home.settings().cluster.name
    address = local_access(home, VIEWER)
    client = f"{cluster}-viewer-{os.getpid()}-{new_id()[-6:]}"
    async with MqttBus(address, client_id=client, clean=True) as bus:
        await bus.wait_connected(10.0)
        await bus.subscribe(every_event(cluster), qos=0)
        while True:
            for message in await bus.receive():
                message.ack()
                try:
                    signal = decode(message.payload, now=0.0)
                except SignalError:
                    continue  # whoever sends nonsense here is not worth interrupting the view
                if task_id is None or signal.task_id == task_id:
                    yield signal
