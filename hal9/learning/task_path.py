"""The path that a task took, from its recorded steps, and who on it answers for an error.

An edge is one hand-over of work between two neurons. Blame begins where the error happened and is shared
along the edges by how much work went over each, so what arrives at a layer adds up to what left the one
below.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hal9.signals import StepRecord

__all__ = ["Hop", "TaskPath"]


@dataclass(frozen=True, slots=True)
class Hop:
    """A neuron that took part, with the promptgram it had."""

    layer: int
    version: int
    content_hash: str


@dataclass(frozen=True, slots=True)
class TaskPath:
    """Neurons by name, and how often work went from one to another."""

    hops: Mapping[str, Hop]
    edges: Mapping[tuple[str, str], int]
    failed: tuple[str, ...] = ()

    @classmethod
    def recorded(cls, steps: Sequence[StepRecord]) -> Self:
        """The path that these steps tell of."""
        hops: dict[str, Hop] = {}
        edges: Counter[tuple[str, str]] = Counter()
        last: dict[str, str] = {}
        for step in steps:
            hops[step.neuron] = Hop(step.layer, step.promptgram_version, step.promptgram_hash)
            last[step.neuron] = step.outcome
            for route in step.routes:
                edges[step.neuron, route.target] += 1
        known = {edge: count for edge, count in edges.items() if edge[1] in hops}
        failed = tuple(sorted(name for name, outcome in last.items() if outcome == "failed"))
        return cls(hops, known, failed)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Neurons that handed nothing on."""
        handed_on = {source for source, _ in self.edges}
        return tuple(sorted(name for name in self.hops if name not in handed_on))

    def origins(self, culprit: str = "") -> dict[str, float]:
        """Where the error enters, with shares that add up to 1.

        That is the neuron the result names, else the leaves that failed, else all leaves by their work.
        """
        if culprit in self.hops:
            return {culprit: 1.0}
        leaves = self.leaves
        guilty = [name for name in leaves if name in self.failed] or list(leaves)
        work = {name: sum(n for (_, to), n in self.edges.items() if to == name) or 1 for name in guilty}
        total = sum(work.values())
        return {name: count / total for name, count in work.items()}

    def upstream(self, neuron: str) -> dict[str, float]:
        """Who gave a neuron its work, with shares that add up to 1; empty at the top."""
        givers = {source: count for (source, to), count in self.edges.items() if to == neuron}
        total = sum(givers.values())
        return {source: count / total for source, count in sorted(givers.items())}

    def as_json(self) -> dict[str, Any]:
        """Plain values, to travel inside a gradient."""
        return {
            "hops": {name: [hop.layer, hop.version, hop.content_hash] for name, hop in self.hops.items()},
            "edges": [[source, to, count] for (source, to), count in sorted(self.edges.items())],
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read back what `as_json` gave.

        Raises:
            ValueError, TypeError, KeyError: it is nothing of the kind.
        """
        hops = {str(name): Hop(int(one[0]), int(one[1]), str(one[2])) for name, one in value["hops"].items()}
        edges = {(str(source), str(to)): int(count) for source, to, count in value["edges"]}
        return cls(hops, edges)
