"""Scripts that `scripted:tests.minds.scripts:NAME` opens."""

from hal9.minds import Request, ScriptedMind

MIND = ScriptedMind(["nothing", {"a": 1}], name="by-hand")
REPLIES = ["first", "second"]
NUMBER = 42


def echo(request: Request) -> str:
    return request.messages[-1].content.upper()
