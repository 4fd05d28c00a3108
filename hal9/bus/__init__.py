"""Signals over MQTT: the courier (durable messaging of a node), the bus it uses, the embedded broker.

Submodules load when their names are first used: a client of a cluster needs none of them.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.bus.broker.embedded import EmbeddedBroker
    from hal9.bus.broker.nats_config import StoreLimits
    from hal9.bus.broker.permissions import BrokerUser, neuron_user, node_user, viewer_user
    from hal9.bus.broker.server_process import stop_survivor
    from hal9.bus.contracts import (
        CourierSettings,
        Failure,
        FailureHandler,
        Handler,
        Outcome,
        RetryPolicy,
    )
    from hal9.bus.courier import Courier
    from hal9.bus.loopback import LoopbackBroker, LoopbackBus
    from hal9.bus.mqtt import MqttBus
    from hal9.bus.protocol import BrokerAddress, Bus, Incoming, LastWill

_HOMES = {
    "contracts": (
        "CourierSettings",
        "Failure",
        "FailureHandler",
        "Handler",
        "Outcome",
        "RetryPolicy",
    ),
    "courier": ("Courier",),
    "broker.embedded": ("EmbeddedBroker",),
    "loopback": ("LoopbackBroker", "LoopbackBus"),
    "mqtt": ("MqttBus",),
    "broker.nats_config": ("StoreLimits",),
    "broker.permissions": ("BrokerUser", "neuron_user", "node_user", "viewer_user"),
    "protocol": ("BrokerAddress", "Bus", "Incoming", "LastWill"),
    "broker.server_process": ("stop_survivor",),
}

__all__ = [
    "BrokerAddress",
    "BrokerUser",
    "Bus",
    "Courier",
    "CourierSettings",
    "EmbeddedBroker",
    "Failure",
    "FailureHandler",
    "Handler",
    "Incoming",
    "LastWill",
    "LoopbackBroker",
    "LoopbackBus",
    "MqttBus",
    "Outcome",
    "RetryPolicy",
    "StoreLimits",
    "neuron_user",
    "node_user",
    "stop_survivor",
    "viewer_user",
]

__getattr__ = lazy_names(__name__, _HOMES)
