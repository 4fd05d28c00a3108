"""Scripted minds that a language model has to beat; named as `scripted:benchmarks.trainer.scripts:NAME`."""

import re
from typing import Any

from hal9.minds.protocol import Request

_LEVER = re.compile(r"^- (\w+) = .*slope ([+-][\d.]+)$", re.MULTILINE)


def steepest(request: Request) -> Any:
    """Moves one parameter along its slope, the steepest of those on offer: the evidence, read plainly."""
    text, offered = request.messages[-1].content, _offered(request)
    slopes = {name: float(slope) for name, slope in _LEVER.findall(text)}
    steps = [
        (abs(slopes.get(name, 0.0)), name, way, "medium" if "medium" in lengths else lengths[0])
        for name, ways in offered.items()
        for way, lengths in ways.items()
        if way == ("increase" if slopes.get(name, 0.0) > 0 else "decrease") or len(ways) == 1
    ]
    _, name, way, length = max(steps)
    return {
        "strategy_capsule": f"follow the slope of {name}",
        "diagnosis": "the steepest slope first",
        "proposed_changes": {name: [way, length, "steep"]},
        "confidence": 0.5,
    }


def _offered(request: Request) -> dict[str, dict[str, list[str]]]:
    """Parameter to directions to magnitudes, as the schema leaves them open."""
    shapes = (request.schema or {})["properties"]["proposed_changes"]["properties"]
    return {
        name: {
            way: list(one["prefixItems"][1]["enum"])
            for one in shape.get("anyOf", [shape])
            for way in one["prefixItems"][0]["enum"]
        }
        for name, shape in shapes.items()
    }
