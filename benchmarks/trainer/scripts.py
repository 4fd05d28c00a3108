"""Scripted minds that a language model has to beat; named as `scripted:benchmarks.trainer.scripts:NAME`."""

import re
from typing import Any

from hal9.minds.protocol import Request

_LEVER = re.compile(r"^- (\w+) = .*slope ([+-][\d.]+)$", re.MULTILINE)
_TRIED = re.compile(r"tried (\w+) (increase|decrease) (\w+):.*taken back")


def steepest(request: Request) -> Any:
    """Moves the parameter with the steepest slope that was not tried in this way before: the evidence, read plainly."""
    text = request.messages[-1].content
    tried = {(name, way) for name, way, _ in _TRIED.findall(text)}
    found = sorted(
        ((float(slope), name) for name, slope in _LEVER.findall(text)), key=lambda one: -abs(one[0])
    )
    ways = [(name, "increase" if slope > 0 else "decrease") for slope, name in found]
    fresh = [one for one in ways if one not in tried] or ways
    name, way = fresh[(request.seed or 0) % min(3, len(fresh))]
    return {
        "strategy_capsule": f"follow the slope of {name}",
        "diagnosis": "the steepest slopes first",
        "proposed_changes": {name: [way, "medium", "steep"]},
        "confidence": 0.5,
    }
