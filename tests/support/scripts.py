"""Scripts for `scripted:tests.support.scripts:NAME`: each plays a mind for one purpose."""

import asyncio
import itertools
import json
import time
from typing import Any

from hal9.errors.minds import MindBroken
from hal9.minds.protocol import Capabilities, Request, ToolCall

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


def blocks(request: Request) -> str:
    """Blocks the event loop for ever, as code that forgets to wait would."""
    while True:
        time.sleep(0.2)


async def unhurried(request: Request) -> str:
    """Takes two seconds."""
    await asyncio.sleep(2)
    return FIXED


# --- minds that call tools ------------------------------------------------------------------


def _with_tools(function: Any) -> Any:
    function.capabilities = Capabilities(tools="native", parallel_tools=True)
    return function


def _call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(id=f"call-{next(_numbers)}", name=name, arguments=arguments)


_numbers = itertools.count()


def _turn(request: Request) -> int:
    """How many replies this turn had before."""
    return sum(1 for message in request.messages if message.role == "assistant")


@_with_tools
def repairs_with_tools(request: Request) -> Any:
    """Looks for the fault, repairs it, finishes."""
    return (
        _call("search", pattern="return a - b"),
        _call("edit", path="adder.py", old="a - b", new="a + b"),
        _call("finish", answer="add added the wrong way", verified="the check"),
    )[_turn(request)]


@_with_tools
def never_finishes(request: Request) -> Any:
    """Writes a note at every step, and never an end."""
    return _call("bash", command=f"echo {_turn(request)} >> notes.txt")


@_with_tools
def breaks_half_way(request: Request) -> Any:
    """Writes a file, then its provider is gone."""
    if _turn(request) == 0:
        return _call("write", path="notes.txt", content="half\n")
    return MindBroken(mind="script", status=500, detail="gone")


@_with_tools
def asks_first(request: Request) -> Any:
    """Asks for a name and writes a file of that name."""
    if _turn(request) == 0:
        return _call("ask", question="Which name?")
    name = request.messages[-1].content.rsplit(" ", 1)[-1]
    if _turn(request) == 1:
        return _call("write", path=f"{name}.txt", content="1\n")
    return _call("finish", answer="written")


@_with_tools
def finds_nothing_to_do(request: Request) -> Any:
    """Looks, and says so."""
    return (_call("bash", command="ls"), _call("finish", answer="All is well."))[_turn(request)]


@_with_tools
def removes_twice(request: Request) -> Any:
    """Removes two files, one after the other."""
    return (
        _call("bash", command="rm a.txt"),
        _call("bash", command="rm b.txt"),
        _call("finish", answer="tidy"),
    )[_turn(request)]
