"""Scripted replies for runs of the command line in a process of its own."""

import re
import time
from typing import Any

from hal9.minds import Request

EDGES = {("smoke", "lung"), ("smoke", "bronc"), ("lung", "xray"), ("lung", "dysp"), ("bronc", "dysp")}


def reply(request: Request) -> dict[str, Any]:
    """What a mind that knows the clinic would say."""
    text = request.messages[-1].content
    first, second = (
        found.group(1)
        for place in ("First", "Second")
        if (found := re.search(rf"{place} variable: (\w+)", text))
    )
    assert request.schema is not None
    properties = request.schema["properties"]
    verdicts = properties["verdict"]["enum"]
    answer: dict[str, Any] = {"confidence": 0.8}
    if "no_direct_effect" in verdicts:
        forward, backward = (first, second) in EDGES, (second, first) in EDGES
        answer["verdict"] = (
            "first_causes_second" if forward else "second_causes_first" if backward else "no_direct_effect"
        )
    elif "direct" in verdicts:
        answer["verdict"] = "direct" if {(first, second), (second, first)} & EDGES else "no_effect"
    else:
        answer["verdict"] = "no_hidden_common_cause"
    if "effect" in properties:
        answer["effect"] = "raises"
    if "names" in properties:
        answer["names"] = []
    return answer


def slow_reply(request: Request) -> dict[str, Any]:
    """The same, slowly enough to be killed half way."""
    time.sleep(0.1)
    return reply(request)
