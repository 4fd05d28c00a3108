"""Whether a broker can carry a cluster: logs in, and tries what HAL9 needs of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from hal9.bus import topics
from hal9.bus.mqtt import MqttBus
from hal9.bus.protocol import BrokerAddress
from hal9.errors.bus import BrokerRefused, BrokerUnfit, BrokerUnreachable
from hal9.signals import MAX_SIGNAL_BYTES, new_id

__all__ = ["probe_broker"]

_ANSWER_SECONDS = 5.0
_TRIES = 3
_PROBE = "probe"


async def probe_broker(
    address: BrokerAddress, *, cluster: str, node: str, seconds: float = _ANSWER_SECONDS
) -> None:
    """Try a login, QoS 1, a message of full size and a retained one; nothing is left at the broker.

    Args:
        address: where, with the login that will be used.
        cluster: whose topics.
        node: in whose name; the login must be allowed to publish in it.
        seconds: how long each step may take.

    Raises:
        BusError: typed by what is wrong.
    """
    address.check()
    client = f"{cluster}-{node}-probe-{os.getpid()}-{new_id()[-6:]}"
    steps: tuple[tuple[str, Callable[[MqttBus], Awaitable[None]]], ...] = (
        ("it did not deliver a QoS 1 message", lambda bus: _echo(bus, cluster, node, b"probe")),
        (
            f"it did not deliver a message of {MAX_SIGNAL_BYTES // 1024} KiB",
            lambda bus: _echo(bus, cluster, node, b"x" * MAX_SIGNAL_BYTES),
        ),
        ("it did not keep a retained message", lambda bus: _retained(bus, cluster, node)),
    )
    async with MqttBus(address, client_id=client, clean=True, answer_timeout=seconds) as bus:
        await bus.wait_connected(2 * seconds)
        for what, step in steps:
            try:
                await _tried(step, bus, times=_TRIES if len(address.nodes) > 1 else 1, seconds=seconds)
            except BrokerRefused:
                raise
            except (TimeoutError, BrokerUnreachable) as error:
                raise BrokerUnfit(address=str(address), detail=what) from error


async def _tried(
    step: Callable[[MqttBus], Awaitable[None]], bus: MqttBus, *, times: int, seconds: float
) -> None:
    """Take a step; a cluster of brokers that just elects a leader is silent for some seconds."""
    for left in reversed(range(times)):
        try:
            async with asyncio.timeout(seconds):
                await step(bus)
        except BrokerRefused:
            raise
        except (TimeoutError, BrokerUnreachable):
            if not left:
                raise
        else:
            return


async def _echo(bus: MqttBus, cluster: str, node: str, payload: bytes) -> None:
    topic = topics.inbox(cluster, node, _PROBE, node)
    await bus.subscribe(topic)
    await bus.publish(topic, payload, qos=1)
    while True:
        for message in await bus.receive():
            message.ack()
            if message.topic == topic and message.payload == payload:
                if message.qos == 0:
                    raise BrokerUnfit(address=str(bus.address), detail="it delivers with QoS 0 only")
                await bus.unsubscribe(topic)
                return


async def _retained(bus: MqttBus, cluster: str, node: str) -> None:
    # In the node's own inbox, where it may publish and listen anyway; nothing is left there.
    topic = topics.inbox(cluster, node, f"{_PROBE}-retained", node)
    await bus.publish(topic, b"probe", qos=1, retain=True)
    try:
        await bus.subscribe(topic)
        while True:
            for message in await bus.receive():
                message.ack()
                if message.topic == topic and message.retain:
                    return
    finally:
        await bus.publish(topic, b"", qos=1, retain=True)
