"""One way in which a server can behave, and what HAL9 makes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.base import MindError
from hal9.minds import Reply
from tests.minds.fake_openai.server import Behaviour, FakeOpenAI

Holds = Callable[[Reply, FakeOpenAI], bool]
Expected = Holds | type[MindError] | tuple[type[MindError], ...]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode of the fake server.

    Attributes:
        name: short, unique.
        server: what the server does, for the table in the documentation.
        hal9: what HAL9 does, for the same table.
        behaviours: what the server answers to the first request, the second, and so on.
        expect: what must hold of the reply, or the error that must come.
        litellm: the same through litellm where it differs.
        ask: changes to the request.
        ways: "stream", "whole", or both.
        shown: whether a stream's pieces are the reply's text.
    """

    name: str
    server: str
    hal9: str
    behaviours: tuple[Behaviour, ...]
    expect: Expected
    litellm: Expected | None = None
    ask: dict[str, Any] = field(default_factory=dict)
    ways: tuple[str, ...] = ("whole", "stream")
    shown: bool = True


def text(wanted: str, stop: str = "stop") -> Holds:
    """The reply is this text, ended for this reason."""
    return lambda reply, _: (reply.text, reply.stop_reason) == (wanted, stop)


def both(*holds: Holds) -> Holds:
    """All of them hold."""
    return lambda reply, server: all(one(reply, server) for one in holds)


def noted(words: str) -> Holds:
    """One of the reply's notes has these words."""
    return lambda reply, _: any(words in note for note in reply.notes)


def estimated(reply: Reply, _: FakeOpenAI) -> bool:
    """The counts are our own bounds: more than the server said, never less than the prompt."""
    return reply.usage.estimated and reply.usage.prompt_tokens >= 20 and reply.usage.completion_tokens > 0


def requests(count: int) -> Holds:
    """So many requests reached the server."""
    return lambda _, server: len(server.seen) == count


def last_without(*fields: str) -> Holds:
    """The last request had none of these fields."""
    return lambda _, server: not any(name in server.seen[-1].body for name in fields)
