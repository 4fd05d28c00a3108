"""Progress of tasks as neurons emit it: read from the broker by a viewer that may publish nothing."""

import json
import os
from collections.abc import AsyncGenerator

from hal9.bus import BrokerAddress, MqttBus
from hal9.bus.topics import every_event
from hal9.cluster.daemon import VIEWER, broker_address
from hal9.cluster.home import Home
from hal9.errors.base import SignalError
from hal9.errors.cluster import DaemonNotRunning
from hal9.signals import Signal, decode, new_id

__all__ = ["live_events", "local_access"]


def local_access(home: Home, user: str) -> BrokerAddress:
    """How a local client logs in to the cluster's broker.

    Raises:
        DaemonNotRunning: the embedded broker's access file is not there.
        KeyError: the broker knows no such user.
    """
    settings = home.settings()
    external = broker_address(settings.broker)
    if external is not None:
        return external
    try:
        access = json.loads(home.access.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DaemonNotRunning(home=str(home.root)) from None
    entry = access["users"][user]
    return BrokerAddress(host=entry["host"], port=entry["port"], username=user, password=entry["password"])


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
