"""Which broker a home uses, and how its processes log in."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from hal9.bus import (
    BrokerAddress,
    EmbeddedBroker,
    MqttBus,
    StoreLimits,
    neuron_user,
    node_user,
    viewer_user,
)
from hal9.bus.broker.probe import probe_broker
from hal9.bus.topics import status
from hal9.bus.watching import BEAT_SECONDS
from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.cluster.state_files import write_state
from hal9.errors.base import SignalError
from hal9.errors.cluster import ClusterNameTaken, DaemonNotRunning
from hal9.settings import BrokerSettings, Settings
from hal9.signals import StatusPayload, decode

__all__ = ["NODE", "VIEWER", "broker_address", "examine_broker", "local_access", "open_broker"]

NODE = "daemon"
VIEWER = "viewer"
_RETAINED_SECONDS = 1.0
_LOOK_SECONDS = 3 * BEAT_SECONDS


def broker_address(settings: BrokerSettings) -> BrokerAddress | None:
    """The external broker of the settings, or None for the embedded one.

    Raises:
        BusError: the URL is unusable, or it would send passwords in the clear.
    """
    if settings.url is None:
        return None
    address = BrokerAddress.from_urls(
        [settings.url] if isinstance(settings.url, str) else settings.url,
        username=settings.username,
        password=settings.password,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        allow_insecure=settings.allow_plaintext,
    )
    address.check()
    return address


@asynccontextmanager
async def open_broker(
    home: Home, settings: Settings, *, clock: Clock
) -> AsyncGenerator[tuple[BrokerAddress, EmbeddedBroker | None], None]:
    """The address of the home's broker; the embedded one is started first and ended afterwards.

    Raises:
        BusError: it cannot be used, or does not start.
    """
    external = broker_address(settings.broker)
    if external is not None:
        yield external, None
        return
    name = settings.cluster.name
    # Also for neurons that are not enabled here: they may run as processes of their own.
    neurons = sorted(path.stem for path in home.neurons.glob("*.md") if path.stem != "README")
    users = [node_user(name, NODE), viewer_user(name, VIEWER)]
    users += [neuron_user(name, neuron) for neuron in neurons]
    server = settings.broker.server_path
    async with EmbeddedBroker(
        home.broker,
        users=users,
        server=Path(server) if server else None,
        limits=StoreLimits(
            max_bytes=settings.broker.store_max_mb * 1024 * 1024,
            max_age_seconds=int(settings.broker.store_max_age_hours * 3600),
        ),
        clock=clock,
    ) as broker:
        entries = {}
        for user in (VIEWER, *neurons):
            address = broker.address(user)
            entries[user] = {"host": address.host, "port": address.port, "password": address.password}
        write_state(home.access, {"cluster": name, "users": entries})
        yield broker.address(NODE), broker


def local_access(home: Home, user: str) -> BrokerAddress:
    """How a local client logs in to the cluster's broker.

    Raises:
        DaemonNotRunning: the embedded broker's access file is not there.
        KeyError: the broker knows no such user.
    """
    external = broker_address(home.settings().broker)
    if external is not None:
        return external
    try:
        access = json.loads(home.access.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DaemonNotRunning(home=str(home.root)) from None
    entry = access["users"][user]
    return BrokerAddress(host=entry["host"], port=entry["port"], username=user, password=entry["password"])


async def examine_broker(address: BrokerAddress, *, cluster: str, home_id: str, node: str = NODE) -> None:
    """Look, before the cluster begins, whether an external broker will do and the name is free on it.

    Raises:
        BusError: typed by what is wrong.
        ClusterNameTaken: another home's daemon lives there under the same name.
    """
    await probe_broker(address, cluster=cluster, node=node)
    client = f"{cluster}-{node}-look-{home_id}"
    async with MqttBus(address, client_id=client, clean=True) as bus:
        await bus.wait_connected(_LOOK_SECONDS)
        await bus.subscribe(status(cluster, node))
        # What is retained may be of a daemon that died with the broker: only a living one says it again.
        retained = await _namesake(bus, home_id, seconds=_RETAINED_SECONDS, retained=True)
        if retained is not None and await _namesake(bus, home_id, seconds=_LOOK_SECONDS, retained=False):
            raise ClusterNameTaken(cluster=cluster, broker=str(address), other=retained)


async def _namesake(bus: MqttBus, home_id: str, *, seconds: float, retained: bool) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                for message in await bus.receive():
                    message.ack()
                    other = _home_in(message.payload)
                    if message.retain == retained and other not in (None, home_id):
                        return other
    except TimeoutError:
        return None


def _home_in(body: bytes) -> str | None:
    """Which home a daemon's status is of; None when it is offline, or no such status."""
    try:
        payload = decode(body, now=0.0).payload
    except SignalError:
        return None
    if not isinstance(payload, StatusPayload) or payload.state == "offline":
        return None
    home = payload.detail.get("home")
    return home if isinstance(home, str) else None
