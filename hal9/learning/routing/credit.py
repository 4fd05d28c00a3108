"""Which hand-overs of a finished task succeeded, and which are to blame when it did not."""

from collections.abc import Sequence

from hal9.learning.routing.weights import HandOver
from hal9.signals import Route, StepRecord

__all__ = ["NOBODYS_FAULT", "hand_overs", "routes_of"]

NOBODYS_FAULT = frozenset({"cancelled", "expired", "no_route", "budget_exhausted", "workspace_unreachable"})
"""Reasons of failure that say nothing about the neurons that were chosen."""


def routes_of(steps: Sequence[StepRecord]) -> list[Route]:
    """The hand-overs that steps record, parts included, in order."""
    return [route for step in steps for route in step.routes]


def hand_overs(
    steps: Sequence[StepRecord], *, success: bool, reason: str = "", culprit: str = ""
) -> list[HandOver]:
    """What became of each hand-over.

    When the task succeeded, all did. When it failed, those to a neuron that failed, and those that led
    there; a part that went well is then left uncounted. When no neuron is known to have failed (somebody
    rejected the result), those that were carried out share the failure. A neuron that left no trace is to
    blame for a timeout or a signal that could not be delivered, and for nothing else: it may never have been
    asked.

    Args:
        steps: of the whole task.
        success: the verdict.
        reason: the task's stop reason.
        culprit: the neuron that the result names, if any.
    """
    routes = routes_of(steps)
    if success:
        return [_judged(route, success=True) for route in routes]
    if reason in NOBODYS_FAULT:
        return []
    seen = {step.neuron for step in steps}
    last = {step.neuron: step.outcome for step in steps}
    guilty = {name for name, outcome in last.items() if outcome == "failed"}
    targets = {route.target for route in routes}
    if culprit in targets:
        guilty.add(culprit)
    if reason in ("timeout", "undeliverable"):
        guilty |= targets - seen
    if not guilty & targets:
        return [_judged(route, success=False) for route in routes if route.target in seen]
    blamed = _upstream(guilty, routes)
    return [_judged(route, success=False) for route in routes if route.target in blamed]


def _upstream(guilty: set[str], routes: Sequence[Route]) -> set[str]:
    """The guilty, and everybody whose work went through them."""
    found = set(guilty)
    while True:
        more = {route.source for route in routes if route.target in found} - found
        if not more:
            return found
        found |= more


def _judged(route: Route, *, success: bool) -> HandOver:
    return HandOver(
        source=route.source,
        target=route.target,
        task_class=route.task_class,
        success=success,
        probability=route.probability,
        policy=route.policy,
    )
