"""Is everything there that a cluster needs: settings, neurons, minds, broker; says only what it looked at."""

import fnmatch
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hal9.bus.broker.nats_config import find_server
from hal9.bus.broker.probe import probe_broker
from hal9.cluster.broker_access import NODE, broker_address
from hal9.cluster.home import Home
from hal9.cluster.services.thinking import open_settings, resolve_spec
from hal9.errors.base import Hal9Error
from hal9.errors.neurons import NeuronUnknownTarget
from hal9.minds import Message, Request, open_mind
from hal9.neurons import NeuronDefinition, load_file, load_neurons, neuron_files
from hal9.settings import Settings

__all__ = [
    "Finding",
    "look_at_broker",
    "look_at_minds",
    "look_at_neuron_files",
    "look_at_neurons",
    "look_at_settings",
    "readiness",
]

_ONLINE_SECONDS = 60.0
_LAYERS = {"L4": 4, "L3": 3, "L2": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: it.
        state: `ok` was looked at and is well; `unseen` was not looked at; `note` works, but should be known;
            `problem` keeps the cluster from working.
        text: what was found.
        error: the typed error of a problem.
    """

    what: str
    state: Literal["ok", "unseen", "note", "problem"]
    text: str
    error: Hal9Error | None = None

    @classmethod
    def of(cls, what: str, error: Hal9Error) -> "Finding":
        """A problem."""
        return cls(what, "problem", str(error), error)


async def readiness(home: Home, *, online: bool = False) -> AsyncIterator[Finding]:
    """Everything that can be looked at without a running cluster and, unless `online`, without spending."""
    settings: Settings | None = None
    for finding in look_at_settings(home):
        yield finding
        if finding.state == "ok":
            settings = home.settings()
    every: dict[str, NeuronDefinition] = {}
    for finding in look_at_neuron_files(home, every):
        yield finding
    if settings is None:
        return
    definitions: dict[str, NeuronDefinition] = {}
    for finding in look_at_neurons(home, settings, every):
        yield finding
        if finding.what == "neurons" and finding.state == "ok":
            definitions = load_neurons(home.neurons, enabled=settings.neurons.enabled)
    async for finding in look_at_minds(settings, definitions, online=online):
        yield finding
    try:
        broker_address(settings.broker)
    except Hal9Error as error:
        yield Finding.of("broker", error)


def look_at_settings(home: Home) -> Iterator[Finding]:
    """Whether `hal9.yaml` can be read."""
    try:
        home.settings()
    except Hal9Error as error:
        yield Finding.of("settings", error)
    else:
        yield Finding("settings", "ok", str(home.settings_file))


def look_at_neuron_files(home: Home, every: dict[str, NeuronDefinition]) -> Iterator[Finding]:
    """Every neuron's file, also of those that are not enabled; what can be read goes into `every`."""
    for path in neuron_files(home.neurons):
        try:
            every.update(load_file(path))
        except Hal9Error as error:
            yield Finding.of("neuron file", error)


def look_at_neurons(
    home: Home, settings: Settings, every: Mapping[str, NeuronDefinition]
) -> Iterator[Finding]:
    """Which neurons run here, and whether each can pass its work on."""
    try:
        enabled = load_neurons(home.neurons, enabled=settings.neurons.enabled)
    except Hal9Error as error:
        yield Finding.of("neurons", error)
        return
    layers = sorted({one.meta.layer for one in enabled.values()}, reverse=True)
    yield Finding("neurons", "ok", f"{len(enabled)} in layers {', '.join(f'L{n}' for n in layers)}")
    for name, one in enabled.items():
        for target in one.meta.next:
            if not _has(every, target):
                unknown = NeuronUnknownTarget(name=name, target=target, path=one.path)
                yield Finding.of(f"neuron {name}", unknown)
            elif not _has(enabled, target):
                text = f"passes work to {target}, which runs elsewhere: its tasks wait until it is there"
                yield Finding(f"neuron {name}", "note", text)


def _has(neurons: Mapping[str, NeuronDefinition], target: str) -> bool:
    if target in _LAYERS:
        return any(one.meta.layer == _LAYERS[target] for one in neurons.values())
    return bool(fnmatch.filter(neurons, target))


async def look_at_minds(
    settings: Settings, definitions: Mapping[str, NeuronDefinition], *, online: bool
) -> AsyncIterator[Finding]:
    """Open every mind that will be used; with `online` also ask each for one token."""
    wanted = {one.meta.model for one in definitions.values()} or {"default"}
    wanted |= {spec for spec in (settings.minds.critic, settings.minds.judge) if spec != "none"}
    for spec in sorted({resolve_spec(one, settings.minds) for one in wanted}):
        try:
            async with open_mind(spec, settings=open_settings(settings.minds)) as mind:
                if online:
                    request = Request(
                        messages=(Message("user", "Say ok."),),
                        max_tokens=1,
                        timeout_seconds=_ONLINE_SECONDS,
                    )
                    await mind.think(request)
        except Hal9Error as error:
            yield Finding.of("mind", error)
            continue
        if online:
            yield Finding("mind", "ok", f"{spec} answered")
        elif spec.startswith(("local", "agent:", "replay:", "scripted:")):
            yield Finding("mind", "ok", f"{spec} is installed")
        else:
            yield Finding(
                "mind", "unseen", f"{spec} was not asked; `hal9 doctor --online` asks for one token"
            )


async def look_at_broker(settings: Settings, *, running: bool) -> AsyncIterator[Finding]:
    """Try what is needed of an external broker; find the program of the embedded one."""
    try:
        address = broker_address(settings.broker)
        if address is not None:
            await probe_broker(address, cluster=settings.cluster.name, node=NODE)
            yield Finding("broker", "ok", f"{address} lets us in and carries what is needed")
        elif not running:
            path = find_server(Path(settings.broker.server_path) if settings.broker.server_path else None)
            yield Finding("broker", "ok", f"embedded, program {path}; it starts with the cluster")
    except Hal9Error as error:
        yield Finding.of("broker", error)
