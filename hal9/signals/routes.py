"""Hand-overs of work: the decision, and the form in which a step records it (one builder, one reader).

A step that passes a task on records one hand-over; a step that divides it records one per part. Rows written
by earlier versions may lack what came later; the reader gives those fields their defaults and leaves out what
is no hand-over at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Route", "RoutingDecision", "read_routes", "record_parts", "record_route"]


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Who was chosen.

    Attributes:
        target: the neuron chosen.
        probabilities: by candidate, how likely its choice was; they sum to 1.
        policy: name of the routing policy that chose.
    """

    target: str
    probabilities: Mapping[str, float]
    policy: str


@dataclass(frozen=True, slots=True)
class Route:
    """One hand-over from a neuron to the one that was chosen.

    Attributes:
        source: who handed on.
        target: who was given the work.
        task_class: kind of task, for which connections have weights of their own.
        policy: name of the routing policy; empty when unknown.
        probabilities: by candidate, how likely its choice was; empty when unknown.
    """

    source: str
    target: str
    task_class: str = "general"
    policy: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)

    @property
    def probability(self) -> float | None:
        """How likely the choice of the target was, as far as is known."""
        return self.probabilities.get(self.target)

    @classmethod
    def chosen(cls, source: str, decision: RoutingDecision, *, task_class: str) -> "Route":
        """The hand-over that a decision led to."""
        return cls(source, decision.target, task_class, decision.policy, dict(decision.probabilities))

    def as_json(self) -> dict[str, Any]:
        """The recorded form; `odds` is the recorded name of the probabilities."""
        return {
            "from": self.source,
            "to": self.target,
            "odds": dict(self.probabilities),
            "policy": self.policy,
            "task_class": self.task_class,
        }


def record_route(route: Route) -> dict[str, Any]:
    """What a step records that passed its task on whole."""
    return route.as_json()


def record_parts(routes: Sequence[Route]) -> dict[str, Any]:
    """What a step records that divided its task."""
    return {"parts": [route.as_json() for route in routes]}


def read_routes(recorded: Mapping[str, Any]) -> tuple[Route, ...]:
    """The hand-overs of a recorded step, in order, whichever version wrote it; none where the work stayed."""
    parts = recorded.get("parts", [recorded])
    found = [_read(part) for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return tuple(route for route in found if route is not None)


def _read(part: Mapping[str, Any]) -> Route | None:
    source, target = part.get("from"), part.get("to")
    if not isinstance(source, str) or not isinstance(target, str):
        return None
    known = part.get("odds")
    return Route(
        source=source,
        target=target,
        task_class=str(part.get("task_class", "general")),
        policy=str(part.get("policy", "")),
        probabilities={
            str(name): float(share)
            for name, share in (known.items() if isinstance(known, Mapping) else ())
            if isinstance(share, int | float)
        },
    )
