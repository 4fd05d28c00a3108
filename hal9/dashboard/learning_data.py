"""Figures of learning as the dashboard shows them: rules by place, success over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hal9.cluster.home import Home
from hal9.dashboard.pictures import curve
from hal9.database import is_there, look_into
from hal9.learning.reporting.metrics import Judged, judged_tasks, measure, wilson
from hal9.memory import MemoryStore

__all__ = ["Place", "curves_of", "edge_curve", "rule_tree"]

_WINDOW = 20
_POINTS = 120
_EVERYWHERE = "everywhere"


@dataclass(slots=True)
class Place:
    """A workspace, or a folder or file inside one, with the rules that hold there."""

    name: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    inside: dict[str, "Place"] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Rules here and inside."""
        return len(self.rules) + sum(one.count for one in self.inside.values())


def rule_tree(rules: Sequence[dict[str, Any]]) -> Place:
    """Rules by workspace, then by the parts of the module's path."""
    root = Place("")
    for rule in rules:
        here = root.inside.setdefault(
            rule["workspace"] or _EVERYWHERE, Place(rule["workspace"] or _EVERYWHERE)
        )
        for part in PurePosixPath(rule["module"]).parts if rule["module"] else ():
            here = here.inside.setdefault(part, Place(part))
        here.rules.append(rule)
    return root


def curves_of(home: Home, store: MemoryStore) -> dict[str, Any]:
    """Success of judged tasks over time, and the figures of `hal9 learning report`."""
    judged = judged_tasks(store)
    if not is_there(home.journal):
        return {"judged": len(judged), "success": success_curve(judged), "figures": []}
    with look_into(home.journal) as journal:
        metrics = measure(store, journal=journal)
    names = {
        "error_reduction": "error reduction",
        "pattern_accuracy": "pattern recognition accuracy",
        "adjustment_success": "adjustment success rate",
        "improvement": "overall improvement",
    }
    figures = [{"name": shown, "figure": getattr(metrics, name)} for name, shown in names.items()]
    return {"judged": len(judged), "success": success_curve(judged), "figures": figures}


def success_curve(judged: Sequence[Judged]) -> Any:
    """Share of passed tasks among the last twenty, with its 95% interval."""
    points = []
    step = max(1, len(judged) // _POINTS)
    for end in range(1, len(judged) + 1, step):
        window = judged[max(0, end - _WINDOW) : end]
        passed = sum(one.passed for one in window)
        low, high = wilson(passed, len(window))
        points.append((float(end), passed / len(window), low, high))
    return curve(
        points, label=f"share of passed tasks among the last {_WINDOW}, over {len(judged)} judged tasks"
    )


def edge_curve(edge: dict[str, Any]) -> Any:
    """The share of successes over one connection, with its interval."""
    points = [(float(number), share, low, high) for number, share, low, high in edge["points"]]
    now = f"{edge['points'][-1][1]:.0%}" if points else "nothing"
    return curve(
        points, label=f"{edge['source']} to {edge['target']}: {now} after {edge['events']} hand-overs"
    )
