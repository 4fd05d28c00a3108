"""Scripts for `scripted:tests.support.scripts:NAME`: each plays a mind for one purpose."""

import asyncio
import json

from hal9.minds.protocol import Request

FIXED = """Here it is.

`adder.py`
```python
def add(a, b):
    return a + b
```
"""
BROKEN = FIXED.replace("a + b", "a - b")


def adder(request: Request) -> str:
    """Splits into one part when asked to split, else writes the right file."""
    if request.schema is not None:
        return json.dumps(
            {"approach": "one file", "parts": [{"title": "all", "objective": "write adder.py"}]}
        )
    return FIXED


def learns_from_evidence(request: Request) -> str:
    """Wrong at first; right once the prompt shows how the earlier try failed."""
    return FIXED if "An earlier try failed" in request.messages[-1].content else BROKEN


def always_wrong(request: Request) -> str:
    """Never right, and never twice the same."""
    always_wrong.calls = getattr(always_wrong, "calls", 0) + 1  # type: ignore[attr-defined]
    return BROKEN + f"\nattempt {always_wrong.calls}"  # type: ignore[attr-defined]


def stubborn(request: Request) -> str:
    """Always the same wrong answer."""
    return BROKEN


async def slow(request: Request) -> str:
    """Takes its time."""
    await asyncio.sleep(30)
    return FIXED


def echo(request: Request) -> str:
    """Says the end of the last message."""
    return request.messages[-1].content[-200:]


def two_parts(request: Request) -> str:
    """Splits into two, answers each part, joins them."""
    if request.schema is not None:
        parts = [
            {"title": "first", "objective": "say one"},
            {"title": "second", "objective": "say two"},
        ]
        return json.dumps({"approach": "two halves", "parts": parts})
    text = request.messages[-1].content
    if "were answered like this" in text:
        return "one and two"
    return "one" if "say one" in text else "two"
