"""Which hand-overs of a finished task succeeded, and which are to blame when it did not."""

from collections.abc import Sequence
from typing import Any

from hal9.learning.routing.weights import HandOver
from hal9.signals import StepRecord

__all__ = ["NOBODYS_FAULT", "hand_overs", "routes_of"]

NOBODYS_FAULT = frozenset({"cancelled", "expired", "no_route", "budget_exhausted", "workspace_unreachable"})
"""Reasons of failure that say nothing about the neurons that were chosen."""


def routes_of(steps: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """The hand-overs that steps record, parts included, in order."""
    return [
        dict(route)
        for step in steps
        for route in step.route.get("parts", [step.route])
        if "from" in route and "to" in route
    ]


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
    targets = {str(route["to"]) for route in routes}
    if culprit in targets:
        guilty.add(culprit)
    if reason in ("timeout", "undeliverable"):
        guilty |= targets - seen
    if not guilty & targets:
        return [_judged(route, success=False) for route in routes if route["to"] in seen]
    blamed = _upstream(guilty, routes)
    return [_judged(route, success=False) for route in routes if route["to"] in blamed]


def _upstream(guilty: set[str], routes: Sequence[dict[str, Any]]) -> set[str]:
    """The guilty, and everybody whose work went through them."""
    found = set(guilty)
    while True:
        more = {str(route["from"]) for route in routes if route["to"] in found} - found
        if not more:
            return found
        found |= more


def _judged(route: dict[str, Any], *, success: bool) -> HandOver:
    target = str(route["to"])
    odds = route.get("odds", {}).get(target)
    return HandOver(
        source=str(route["from"]),
        target=target,
        task_class=str(route.get("task_class", "general")),
        success=success,
        odds=None if odds is None else float(odds),
        policy=str(route.get("policy", "")),
    )
