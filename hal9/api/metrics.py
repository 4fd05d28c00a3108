"""The cluster's figures, gathered once for whoever shows them: `/metrics` (Prometheus' text) and OTLP.

The names are the same everywhere. Labels are few and of a known set, so that no series grows with the tasks.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hal9 import __version__
from hal9.api.services import Services
from hal9.api.spend import Spending, read_spending
from hal9.api.views import VIEWS, NoQuery
from hal9.learning.reporting.counts import LearningCounts, count_learning

__all__ = ["Metric", "gather_metrics", "metrics_text"]

_STATES = ("queued", "running", "done", "failed", "cancelled")
Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure with its samples; `unit` is UCUM's, as OpenTelemetry wants it."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    unit: str
    samples: tuple[Sample, ...]


async def gather_metrics(services: Services) -> list[Metric]:
    """All figures as they are now."""
    status = await services.status()
    learning = await VIEWS["learning"][0](services.cluster, NoQuery())
    counts = await asyncio.to_thread(count_learning, services.memory)
    spending = await read_spending(services.cluster, clock=services.clock)
    return [*_cluster(services, status), *_learning(learning, counts), *_budgets(spending)]


async def metrics_text(services: Services) -> str:
    """All figures in Prometheus' text format."""
    return "".join(_as_text(one) for one in await gather_metrics(services))


def _cluster(services: Services, status: Mapping[str, Any]) -> list[Metric]:
    tasks, hub = status["tasks"], services.hub
    return [
        _gauge("hal9_info", "Version of HAL9.", "1", ({"version": __version__}, 1)),
        _gauge("hal9_up", "1 while the cluster is ready.", "1", ({}, status["state"] == "ready")),
        _gauge("hal9_tasks", "Tasks in the journal.", "{task}", *_by("state", _STATES, tasks)),
        _gauge("hal9_neurons", "Neurons of the daemon.", "{neuron}", ({}, len(status.get("neurons", {})))),
        _counter("hal9_events_total", "State changes and steps recorded.", "{event}", ({}, hub.last)),
        _gauge("hal9_event_streams", "Open event streams.", "{stream}", ({}, hub.listeners)),
        _gauge("hal9_alerts", "Alerts the cluster shows.", "{alert}", ({}, len(status.get("alerts") or []))),
    ]


def _learning(learning: Mapping[str, Any], counts: LearningCounts) -> list[Metric]:
    waiting = sum(one["state"] == "waiting" for one in learning["being_tried"])
    judged = [
        ({"passed": _word(passed), "recalled": _word(recalled)}, float(number))
        for (passed, recalled), number in counts.judged.items()
    ]
    return [
        _gauge("hal9_learning", "1 while the cluster learns.", "1", ({}, learning["learning"])),
        _gauge("hal9_patterns", "Recurring errors.", "{pattern}", ({}, learning["patterns"])),
        _gauge("hal9_rules", "Rules.", "{rule}", *_by("state", (), learning["mitigations"])),
        _gauge("hal9_gradients", "Error gradients.", "{gradient}", *_by("state", (), learning["gradients"])),
        _gauge("hal9_changes", "Changes of prompts.", "{change}", *_by("state", (), learning["changes"])),
        _gauge("hal9_waiting", "Changes that wait for a person.", "{change}", ({}, waiting)),
        # A judgement can be taken back or changed, so this is no counter.
        _gauge(
            "hal9_judged_tasks",
            "Judged tasks by whether they passed, and whether a rule was recalled.",
            "{task}",
            *judged,
        ),
        _gauge(
            "hal9_rule_uses",
            "Recalls of rules by what became of them.",
            "{recall}",
            *_by("outcome", (), counts.rule_uses),
        ),
        _gauge("hal9_guards", "Guards.", "{guard}", *_by("state", (), counts.guards)),
        _gauge(
            "hal9_guard_firings",
            "Firings of guards: all, and what became of them.",
            "{firing}",
            *_by("outcome", (), counts.guard_firings),
        ),
    ]


def _budgets(spending: Spending | None) -> list[Metric]:
    if spending is None:
        return []
    total, standings = spending.total, spending.caps
    used = [
        ({"scope": one.limit.scope, "kind": one.limit.kind}, one.spent + one.reserved) for one in standings
    ]
    caps = [({"scope": one.limit.scope, "kind": one.limit.kind}, one.limit.value) for one in standings]
    return [
        _counter("hal9_tokens_total", "Tokens of settled model calls.", "{token}", ({}, total.tokens)),
        _counter("hal9_cost_usd_total", "Dollars of settled model calls.", "{USD}", ({}, total.usd or 0.0)),
        _gauge("hal9_budget_used", "Spent and reserved within a budget's window.", "1", *used),
        _gauge("hal9_budget_limit", "A budget's cap.", "1", *caps),
    ]


def _gauge(name: str, text: str, unit: str, *samples: Sample) -> Metric:
    # Plain numbers: OTLP's encoder takes no truth values.
    numbers = tuple((labels, float(value)) for labels, value in samples)
    return Metric(name=name, kind="gauge", help=text, unit=unit, samples=numbers)


def _counter(name: str, text: str, unit: str, *samples: Sample) -> Metric:
    numbers = tuple((labels, float(value)) for labels, value in samples)
    return Metric(name=name, kind="counter", help=text, unit=unit, samples=numbers)


def _by(label: str, always: tuple[str, ...], counts: Mapping[str, float]) -> list[Sample]:
    """A sample for each name counted, and a zero for those that are always shown."""
    names = always or tuple(counts)
    return [({label: name}, float(counts.get(name, 0))) for name in names]


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _as_text(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    for labels, value in metric.samples:
        inside = ",".join(f'{key}="{_escaped(value_)}"' for key, value_ in labels.items())
        shown = f"{metric.name}{{{inside}}}" if inside else metric.name
        lines.append(f"{shown} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
