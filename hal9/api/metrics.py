"""Figures for Prometheus, in its text format: counts of tasks, spend, learning, streams."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from hal9 import __version__
from hal9.api.services import Services
from hal9.api.views import VIEWS, NoQuery
from hal9.budgets import BudgetStore
from hal9.cluster.services.thinking import budget_limits
from hal9.database import is_there

__all__ = ["metrics_text"]

_STATES = ("queued", "running", "done", "failed", "cancelled")
Sample = tuple[Mapping[str, str], float]


async def metrics_text(services: Services) -> str:
    """All figures as they are now."""
    status = await services.status()
    learning = await VIEWS["learning"][0](services.cluster, NoQuery())
    budgets = await asyncio.to_thread(_budgets, services)
    tasks = status["tasks"]
    parts = [
        _metric("hal9_info", "gauge", "Version of HAL9.", [({"version": __version__}, 1)]),
        _metric(
            "hal9_up", "gauge", "1 while the cluster is ready.", [({}, float(status["state"] == "ready"))]
        ),
        _metric(
            "hal9_tasks",
            "gauge",
            "Tasks in the journal.",
            _by("state", {s: tasks.get(s, 0) for s in _STATES}),
        ),
        _metric("hal9_neurons", "gauge", "Neurons of the daemon.", [({}, len(status.get("neurons", {})))]),
        _metric(
            "hal9_events_total", "counter", "State changes and steps recorded.", [({}, services.hub.last)]
        ),
        _metric("hal9_event_streams", "gauge", "Open event streams.", [({}, services.hub.listeners)]),
        _metric("hal9_alerts", "gauge", "Alerts the cluster shows.", [({}, len(status.get("alerts") or []))]),
        _metric("hal9_learning", "gauge", "1 while the cluster learns.", [({}, float(learning["learning"]))]),
        _metric("hal9_patterns", "gauge", "Recurring errors.", [({}, learning["patterns"])]),
        _metric("hal9_rules", "gauge", "Rules.", _by("state", learning["mitigations"])),
        _metric("hal9_gradients", "gauge", "Error gradients.", _by("state", learning["gradients"])),
        _metric("hal9_changes", "gauge", "Changes of prompts.", _by("state", learning["changes"])),
        _metric("hal9_waiting", "gauge", "Changes that wait for a person.", [({}, _waiting(learning))]),
        *budgets,
    ]
    return "".join(parts)


def _waiting(learning: Mapping[str, Any]) -> float:
    return float(sum(one["state"] == "waiting" for one in learning["being_tried"]))


def _budgets(services: Services) -> list[str]:
    if not is_there(services.home.budgets):
        return []
    limits = budget_limits(services.cluster.current_settings())
    with BudgetStore(services.home.budgets, limits, clock=services.clock) as book:
        total, standings = book.totals(), book.standings()
    used = [
        ({"scope": one.limit.scope, "kind": one.limit.kind}, one.spent + one.reserved) for one in standings
    ]
    caps = [({"scope": one.limit.scope, "kind": one.limit.kind}, one.limit.value) for one in standings]
    return [
        _metric("hal9_tokens_total", "counter", "Tokens of settled model calls.", [({}, total.tokens)]),
        _metric(
            "hal9_cost_usd_total", "counter", "Dollars of settled model calls.", [({}, total.usd or 0.0)]
        ),
        _metric("hal9_budget_used", "gauge", "Spent and reserved within a budget's window.", used),
        _metric("hal9_budget_limit", "gauge", "A budget's cap.", caps),
    ]


def _by(label: str, counts: Mapping[str, float]) -> list[Sample]:
    return [({label: name}, float(count)) for name, count in counts.items()]


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(value_)}"' for key, value_ in labels.items())
        shown = f"{name}{{{inside}}}" if inside else name
        lines.append(f"{shown} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
