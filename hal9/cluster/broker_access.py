"""Which broker a home uses, and how its processes log in."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from hal9.bus import (
    BrokerAddress,
    EmbeddedBroker,
    StoreLimits,
    neuron_user,
    node_user,
    viewer_user,
)
from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.cluster.state_files import write_state
from hal9.errors.cluster import DaemonNotRunning
from hal9.settings import BrokerSettings, Settings

__all__ = ["NODE", "VIEWER", "broker_address", "local_access", "open_broker"]

NODE = "daemon"
VIEWER = "viewer"


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
