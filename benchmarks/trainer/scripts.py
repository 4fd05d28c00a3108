"""Scripted minds that a language model has to beat; named as `scripted:benchmarks.trainer.scripts:NAME`."""

import re
from typing import Any

from hal9.minds.protocol import Request

_LEVER = re.compile(r"^- (\w+) = .*slope ([+-][\d.]+)$", re.MULTILINE)


def steepest(request: Request) -> Any:
    """Moves one parameter along its slope, the steepest of those on offer: the evidence, read plainly."""
    return _answer([max(_along(request))])


def together(request: Request) -> Any:
    """Moves the parameters on offer together, each along its slope, as long as that is not nearly flat."""
    steps = sorted(_along(request), reverse=True)
    best: dict[str, _Step] = {}
    for step in steps:
        best.setdefault(step[1], step)
    return _answer([step for step in best.values() if step[0] >= _FLAT] or steps[:1])


_Step = tuple[float, str, str, str]
_FLAT = 0.002


def _answer(steps: list[_Step]) -> Any:
    return {
        "strategy_capsule": f"follow the slopes of {', '.join(step[1] for step in steps)}",
        "diagnosis": "the steepest slopes first",
        "proposed_changes": {name: [way, length, "steep"] for _, name, way, length in steps},
        "confidence": 0.5,
    }


def _along(request: Request) -> list[_Step]:
    """Every step on offer that its slope speaks for: steepness, parameter, direction, length."""
    slopes = {name: float(slope) for name, slope in _LEVER.findall(request.messages[-1].content)}
    return [
        (abs(slopes.get(name, 0.0)), name, way, "medium" if "medium" in lengths else lengths[0])
        for name, ways in _offered(request).items()
        for way, lengths in ways.items()
        if way == ("increase" if slopes.get(name, 0.0) > 0 else "decrease") or len(ways) == 1
    ]


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
