"""Scripts for `scripted:tests.support.scripts:NAME`: each plays a mind for one purpose."""

import asyncio
import itertools
import json
import re
import time
from typing import Any

from hal9.errors.minds import MindBroken
from hal9.minds.protocol import Capabilities, Reply, Request, ToolCall, Usage

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


def heeds_a_rule(request: Request) -> str:
    """Right when a rule about the plus stands in the prompt."""
    return FIXED if any("plus" in message.content for message in request.messages) else BROKEN


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


def words(request: Request) -> str:
    """Solves the sample task of scripts/run."""
    return (
        "Here it is.\n\n`words.py`\n```python\ndef count_words(text):\n"
        "    found = text.lower().split()\n    return {word: found.count(word) for word in found}\n```\n"
    )


def blocks(request: Request) -> str:
    """Blocks the event loop for ever, as code that forgets to wait would."""
    while True:
        time.sleep(0.2)


def asks_for_a_file(request: Request) -> str:
    """Wants to see a file before it says anything about it."""
    if "RATE = 3" not in request.messages[-1].content:
        return "That depends on rates.py, which I was not shown. Please add rates.py."
    return "rates.py\n<<<<<<< SEARCH\nRATE = 3\n=======\nRATE = 2\n>>>>>>> REPLACE\n"


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
def writes_then_asks(request: Request) -> Any:
    """Writes a file, asks for a name, and writes a file of that name."""
    if _turn(request) == 0:
        return _call("write", path="first.txt", content="1\n")
    if _turn(request) == 1:
        return _call("ask", question="Which name?")
    name = request.messages[-1].content.rsplit(" ", 1)[-1]
    if _turn(request) == 2:
        return _call("write", path=f"{name}.txt", content="2\n")
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


@_with_tools
def writes_in_a_folder(request: Request) -> Any:
    """Writes two files in a folder that the task did not name."""
    return (
        _call("write", path="shop/a.txt", content="1\n"),
        _call("write", path="shop/b.txt", content="2\n"),
        _call("finish", answer="written"),
    )[_turn(request)]


# --- minds that look and divide -------------------------------------------------------------


def _plan(*parts: dict[str, Any]) -> ToolCall:
    return _call("plan", approach="each file on its own", parts=list(parts))


def _part(name: str, *files: str, **more: Any) -> dict[str, Any]:
    return {"title": name, "objective": f"Write part {name}.", "files": list(files), **more}


def _writes(request: Request, **commands: str) -> ToolCall:
    """What an implementer does that was given `Write part NAME.`"""
    name = next(one for one in commands if f"Write part {one}." in request.messages[1].content.split("\n")[0])
    # A command that a crash interrupted was not carried out, and is called again.
    if _turn(request) == 0 or request.messages[-1].content.startswith("Interrupted"):
        return _call("bash", command=commands[name])
    return _call("finish", answer=f"{name} is written")


def _planning(request: Request) -> bool:
    return any(tool.name == "plan" for tool in request.tools)


def _merging_words(request: Request) -> str | None:
    """What is said without tools: the last answer, and how to bring together what is apart."""
    if request.schema is not None:
        return json.dumps(
            {"approach": "both", "parts": [{"title": "together", "objective": "Write part together."}]}
        )
    return None if request.tools else "everything is written"


@_with_tools
def divides(request: Request) -> Any:
    """Looks at one file, then plans two parts side by side and one that builds on both."""
    if (words := _merging_words(request)) is not None:
        return words
    if _planning(request):
        if _turn(request) == 0:
            return _call("read", path="check.py")
        return _plan(
            _part("one", "one.txt", check="test -f one.txt && ! test -f two.txt"),
            _part("two", "./two.txt"),
            _part("three", "three.txt", after=[1, 2]),
        )
    return _writes(
        request,
        one="echo 1 > one.txt",
        two="echo 2 > two.txt; mkdir -p sub; echo 2 > sub/two.txt",
        three="cat one.txt two.txt > three.txt",
    )


@_with_tools
def divides_badly(request: Request) -> Any:
    """Two parts that change one line in different ways, and break what the check wants."""
    if (words := _merging_words(request)) is not None:
        return words
    if _planning(request):
        return _plan(_part("one", "one.txt"), _part("two", "two.txt"))
    return _writes(
        request,
        one="echo 1 > one.txt; echo ours > shared.txt",
        two="echo 2 > two.txt; echo theirs > shared.txt",
        together="cat one.txt two.txt > three.txt; echo ours and theirs > shared.txt",
    )


@_with_tools
def plans_what_is_refused(request: Request) -> Any:
    """Plans that are not taken, one after the other, until one is."""
    if (words := _merging_words(request)) is not None:
        return words
    if not _planning(request):
        return _writes(request, one="echo 1 > one.txt", two="echo 2 > two.txt; cat ?.txt two.txt > three.txt")
    return (
        _plan(_part("one", "a.txt"), _part("two", "./a.txt")),
        _plan(_part("one", "../a.txt")),
        _plan(_part("one", after=[1])),
        _plan(*(_part(str(number)) for number in range(4))),
        _plan(_part("one", check="git push origin main")),
        _call("bash", command="echo mine > one.txt"),
        _plan(_part("one", "one.txt"), _part("two", "two.txt")),
    )[_turn(request)]


@_with_tools
def counts(request: Request) -> Any:
    """Counts words with the tool it was given."""
    if _turn(request) == 0:
        return _call("count", text="one two three")
    number = request.messages[-1].content.split()[0]
    return _call("finish", answer=f"{number} words")


@_with_tools
def answers_from_the_cache(request: Request) -> Any:
    """Two replies, of whose prompts three quarters were in the provider's cache."""
    usage = Usage(prompt_tokens=100, completion_tokens=5, cached_tokens=75)
    call = (_call("bash", command="ls"), _call("finish", answer="said"))[_turn(request)]
    return Reply("", "script", usage, tool_calls=(call,))


def answers_with_commands(request: Request) -> str:
    """Two commands, the second of which fails."""
    return "```run\ntrue one\nexit 3\n```\n"


@_with_tools
def asks_the_database(request: Request) -> Any:
    """Looks at the schema, tries a query, answers with what it found."""
    if _turn(request) == 0:
        return _call("schema")
    if _turn(request) == 1:
        return _call(
            "query", sql="SELECT customer, sum(cents) AS s FROM orders GROUP BY customer ORDER BY s DESC"
        )
    found = re.search(r'"(\w+)", (\d+)', request.messages[-1].content)
    name, cents = found.groups() if found else ("nobody", "nothing")
    return _call("finish", answer=f"{name} spent {cents}")
