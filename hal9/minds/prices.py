"""What a call may cost at most, before it is made, and what it did cost."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from hal9.minds.protocol import Message, Request, ToolSpec

__all__ = ["Price", "Quote", "Quoting", "bound_request", "bound_tokens"]

_TOKENS_PER_TURN = 8
"""Role markers that chat templates put around each turn, generously."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    prompt_usd: float
    completion_usd: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars for so many tokens; cached prompt tokens count in full."""
        return (prompt_tokens * self.prompt_usd + completion_tokens * self.completion_usd) / 1e6


@dataclass(frozen=True, slots=True)
class Quote:
    """The most that one call can cost. `usd` is None when the price is unknown."""

    tokens: int
    usd: float | None


@runtime_checkable
class Quoting(Protocol):
    """A mind that can tell the most a request will cost before it is sent."""

    async def quote(self, request: Request) -> Quote:
        """The upper bound for one attempt at the request."""
        ...


def bound_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """An upper bound of a prompt's tokens: a token of a byte-level tokenizer is at least one byte."""
    return (
        sum(_bytes_of(message) + _TOKENS_PER_TURN for message in messages)
        + sum(len(json.dumps(asdict(tool)).encode()) + _TOKENS_PER_TURN for tool in tools)
        + _TOKENS_PER_TURN
    )


def bound_request(request: Request) -> int:
    """The most tokens one attempt at a request can take: prompt, tools, and an answer of `max_tokens`."""
    return bound_tokens(request.messages, request.tools) + request.max_tokens


def _bytes_of(message: Message) -> int:
    found = len(message.content.encode("utf-8", "replace"))
    for call in message.tool_calls:
        arguments = call.raw or json.dumps(call.arguments, ensure_ascii=False)
        found += len(f"{call.id}{call.name}{arguments}".encode("utf-8", "replace")) + _TOKENS_PER_TURN
    if message.echo is not None:
        found += len(json.dumps(message.echo))
    return found
