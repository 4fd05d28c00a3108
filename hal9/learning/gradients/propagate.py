"""How an error travels: from where it happened, hop by hop against the path of the task, weaker each time.

Each gradient is a backward signal in the courier's hands, so it is journaled, delivered at least once and
recorded once. Its id follows from what caused it, so that work repeated after a crash sends the very same
signals.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hal9.errors.learning import GradientRefused
from hal9.learning.gradients.facts import GradientFacts
from hal9.learning.task_path import TaskPath
from hal9.settings import BackwardPropagationSettings
from hal9.signals import ErrorGradient, Signal

__all__ = ["Onward", "check_origin", "derive_id", "make_signal", "onward"]


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a gradient goes next, and how strong it still is."""

    target: str
    layer: int
    magnitude: float


def derive_id(cause: str, *parts: str) -> str:
    """An id in the form of a UUIDv7 that always follows from the same cause: its time, then a hash."""
    digest = hashlib.sha256("\x00".join((cause, *parts)).encode()).hexdigest()
    head = cause.replace("-", "")[:12]
    if len(head) < 12 or any(letter not in "0123456789abcdef" for letter in head):
        head = hashlib.sha256(cause.encode()).hexdigest()[:12]
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{head[:8]}-{head[8:12]}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


def onward(gradient: ErrorGradient, path: TaskPath, settings: BackwardPropagationSettings) -> list[Onward]:
    """The next hops of a gradient that has arrived: everyone who gave its target this work."""
    if gradient.depth + 1 >= settings.max_gradient_depth:
        return []
    hops = []
    for giver, share in path.upstream(gradient.target_neuron).items():
        strength = gradient.magnitude * settings.gradient_decay * share
        hop = path.hops.get(giver)
        if hop is not None and strength >= settings.min_magnitude:
            hops.append(Onward(giver, hop.layer, min(1.0, strength)))
    return hops


def check_origin(
    signal: Signal, gradient: ErrorGradient, *, recorded: TaskPath | None, entry: str, max_depth: int
) -> None:
    """Refuse what did not come down this task's own path.

    Args:
        signal: the envelope; the broker vouches for its source.
        gradient: its payload.
        recorded: the path in this node's journal; None when the task ran elsewhere.
        entry: who starts gradients.
        max_depth: hops that are allowed.

    Raises:
        GradientRefused: with reason "forged" or "too_deep".
    """

    def refuse(detail: str) -> GradientRefused:
        return GradientRefused(reason="forged", detail=detail)

    if (gradient.target_neuron, gradient.source_neuron) != (signal.target, signal.source):
        raise refuse(f"it claims {gradient.source_neuron} → {gradient.target_neuron}")
    if gradient.depth >= max_depth:
        raise GradientRefused(reason="too_deep", detail=f"depth {gradient.depth}, allowed are {max_depth}")
    carried = GradientFacts.of(gradient).path
    if recorded is not None and (not recorded.hops or carried.as_json() != recorded.as_json()):
        raise refuse("its path is not the one this task took")
    if gradient.target_neuron not in carried.hops:
        raise refuse(f"{gradient.target_neuron} took no part in the task")
    if signal.source == entry:
        if gradient.depth != 0:
            raise refuse("it starts in the middle")
    elif signal.source not in _receivers(carried, gradient.target_neuron):
        raise refuse(f"{gradient.target_neuron} gave {signal.source} no work in this task")
    hop = carried.hops[gradient.target_neuron]
    if (gradient.promptgram_version, gradient.promptgram_hash) != (hop.version, hop.content_hash):
        raise refuse("it is about another prompt than the one the task was done with")


def _receivers(path: TaskPath, neuron: str) -> set[str]:
    return {to for source, to in path.edges if source == neuron}


def make_signal(
    gradient: ErrorGradient,
    *,
    task_id: str,
    cause: str,
    now: float,
    layers: tuple[int, int],
    lifetime: Mapping[str, float | int],
) -> Signal:
    """The backward signal that carries a gradient; equal causes give equal ids.

    Args:
        gradient: the payload.
        task_id: of the task it is about.
        cause: id of what it follows from.
        now: seconds since the epoch.
        layers: from and to.
        lifetime: `ttl` in seconds, and `hops` so far.
    """
    return Signal(
        id=derive_id(cause, gradient.source_neuron, gradient.target_neuron),
        task_id=task_id,
        cause_id=cause,
        direction="backward",
        source=gradient.source_neuron,
        target=gradient.target_neuron,
        layer_from=layers[0],
        layer_to=layers[1],
        created_at=now,
        expires_at=now + float(lifetime["ttl"]),
        hops=int(lifetime["hops"]),
        payload=gradient,
    )
