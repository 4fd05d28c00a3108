"""Which neurons can be reached: those of this process, and those other processes announce."""

import asyncio
import contextlib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hal9.clock import Clock
from hal9.signals import Signal, StatusPayload

__all__ = ["DAEMON_NODE", "NeuronDirectory", "NodeState"]

DAEMON_NODE = "daemon"
"""Names of nodes that host many neurons begin with it."""
_SILENT_BEATS = 3.5
_LONGEST_BEAT = 3600.0


@dataclass(slots=True)
class NodeState:
    """What a node last said of itself."""

    state: str
    boot_id: str
    neurons: dict[str, int]
    seen: float
    beat: float | None = None


@dataclass(slots=True)
class NeuronDirectory:
    """Local neurons by name with their layers, and remote nodes as their retained status tells."""

    clock: Clock
    node: str
    local: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, NodeState] = field(default_factory=dict)
    _waiting: dict[int, dict[str, Any]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, signal: Signal) -> None:
        """Take in a node's status."""
        payload = signal.payload
        if not isinstance(payload, StatusPayload) or signal.source == self.node:
            return
        self.nodes[signal.source] = NodeState(
            state=payload.state,
            boot_id=payload.boot_id,
            neurons={
                name: layer for name, layer in payload.neurons.items() if _may_host(signal.source, name)
            },
            seen=self.clock.monotonic(),
            beat=_beat(payload.detail.get("beat")),
        )
        self._changed.set()
        self._changed = asyncio.Event()

    def reachable(self) -> dict[str, int]:
        """All reachable neurons with their layers; a local neuron wins over a remote one of its name."""
        found: dict[str, int] = {}
        for node in self.remote().values():
            if node.state == "ready":
                found.update({name: layer for name, layer in node.neurons.items() if layer > 0})
        found.update(self.local)
        return found

    def candidates(self, names: Sequence[str], *, exclude: str) -> dict[str, int]:
        """Reachable neurons for names, patterns or layers ("L3"); never `exclude` itself."""
        reachable = self.reachable()
        reachable.pop(exclude, None)
        found: dict[str, int] = {}
        for wanted in names:
            if len(wanted) == 2 and wanted[0] == "L" and wanted[1].isdigit():
                layer = int(wanted[1])
                found.update({name: at for name, at in reachable.items() if at == layer})
            else:
                found.update({name: reachable[name] for name in fnmatch.filter(reachable, wanted)})
        return found

    async def wait_candidates(self, names: Sequence[str], *, exclude: str, task_id: str) -> dict[str, int]:
        """`candidates`, as soon as there is one; a neuron that restarts is waited for.

        The caller bounds the wait (by the task's deadline). While it lasts, `waits` tells of it.
        """
        found = self.candidates(names, exclude=exclude)
        if found:
            return found
        with self._wait_noted(task_id, names, by=exclude):
            while not found:
                await self._changed.wait()
                found = self.candidates(names, exclude=exclude)
        return found

    @contextlib.contextmanager
    def _wait_noted(self, task_id: str, names: Sequence[str], *, by: str) -> Iterator[None]:
        key = id(noted := {"task": task_id, "by": by, "for": list(names), "since": self.clock.now()})
        self._waiting[key] = noted
        try:
            yield
        finally:
            del self._waiting[key]

    def waits(self) -> list[dict[str, Any]]:
        """Which tasks wait for an absent neuron: {task, by, for, since}."""
        return list(self._waiting.values())

    def top_layer(self) -> dict[str, int]:
        """Neurons of the highest layer there is: where tasks enter."""
        reachable = self.reachable()
        highest = max(reachable.values(), default=0)
        return {name: layer for name, layer in reachable.items() if layer == highest}

    def remote(self) -> Mapping[str, NodeState]:
        """Other nodes by name; one that has not said anything for several beats is `silent`."""
        now = self.clock.monotonic()
        return {
            name: replace(node, state="silent")
            if node.state == "ready" and node.beat and now - node.seen > _SILENT_BEATS * node.beat
            else node
            for name, node in self.nodes.items()
        }


def _may_host(node: str, neuron: str) -> bool:
    """A neuron's own process speaks for that neuron alone; only daemons host many."""
    return neuron == node or node.startswith(DAEMON_NODE)


def _beat(said: Any) -> float | None:
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if 0 < said < _LONGEST_BEAT else None
