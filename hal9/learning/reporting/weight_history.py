"""How connection weights came about: the share of successes of an edge after each hand-over that counted."""

from typing import Any

from hal9.learning.reporting.metrics import wilson
from hal9.memory import MemoryStore

__all__ = ["weight_history"]

_POINTS = 120
_EVENTS = 4000


def weight_history(store: MemoryStore, *, edges: int) -> list[dict[str, Any]]:
    """The most used connections, each with points (n, share, low, high); intervals are 95% score intervals.

    Args:
        store: the open memory file.
        edges: how many.
    """
    with store.reading() as connection:
        used = connection.execute(
            "SELECT from_neuron, to_neuron, count(*) AS n FROM route_events WHERE success IS NOT NULL "
            "GROUP BY from_neuron, to_neuron ORDER BY n DESC, from_neuron, to_neuron LIMIT ?",
            (edges,),
        ).fetchall()
        found = []
        for source, target, count in used:
            rows = connection.execute(
                "SELECT success FROM route_events WHERE from_neuron = ? AND to_neuron = ? "
                "AND success IS NOT NULL ORDER BY id DESC LIMIT ?",
                (source, target, _EVENTS),
            ).fetchall()
            outcomes = [bool(row[0]) for row in rows][::-1]
            found.append({"source": source, "target": target, "events": count, "points": _points(outcomes)})
    return found


def _points(outcomes: list[bool]) -> list[tuple[int, float, float, float]]:
    step = max(1, len(outcomes) // _POINTS)
    points, won = [], 0
    for number, success in enumerate(outcomes, start=1):
        won += success
        if number % step == 0 or number == len(outcomes):
            low, high = wilson(won, number)
            points.append((number, round(won / number, 4), round(low, 4), round(high, 4)))
    return points
