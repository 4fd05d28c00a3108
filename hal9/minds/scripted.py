"""A mind that says what it was told to say, at once. It exists for tests and must be named explicitly."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self

from hal9.errors.minds import ScriptExhausted
from hal9.minds.prices import Quote, bound_request
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request, ToolCall, Usage
from hal9.minds.valid_replies import answer

__all__ = ["ScriptedMind"]

Scripted = str | dict[str, Any] | list[Any] | ToolCall | tuple[ToolCall, ...] | Reply | BaseException
_NATIVE = Capabilities(tools="native", parallel_tools=True)
Script = Callable[[Request], Scripted | Awaitable[Scripted]]


class ScriptedMind:
    """Replies from a list, in order, or from a function of the request.

    A dict or list is sent as JSON, a `ToolCall` or a tuple of them as calls, an exception is raised, a
    `Reply` is returned as it is. Requests with a schema or tools are validated and repaired like those of
    every other mind.

    Attributes:
        requests: every request as it reached the script, repairs included.
    """

    def __init__(
        self,
        replies: Iterable[Scripted] | Script,
        *,
        name: str = "scripted",
        usage: Usage | None = None,
        delay_seconds: float = 0.0,
        capabilities: Capabilities = _NATIVE,
    ) -> None:
        self._function: Script | None = replies if callable(replies) else None
        self._list: list[Scripted] = [] if callable(replies) else list(replies)
        self._name = name
        self._usage = usage if usage is not None else Usage(prompt_tokens=0, completion_tokens=0)
        self._delay = delay_seconds
        self._capabilities = capabilities
        self.requests: list[Request] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Give the next scripted reply.

        Raises:
            ScriptExhausted: the list is used up.
            MindReplyInvalid: the scripted replies do not fit the request's schema.
        """
        return await answer(self.sample, request, on_token, name=self._name)

    async def quote(self, request: Request) -> Quote:
        """One token a byte plus `max_tokens`, at the price of the scripted usage."""
        return Quote(tokens=bound_request(request), usd=self._usage.usd)

    def unvalidated(self) -> "UnvalidatedScript":
        """The same script without validation, for a stack that validates (see `open_mind`)."""
        return UnvalidatedScript(self)

    async def sample(self, request: Request, on_token: OnToken | None = None) -> Reply:
        """Give the next scripted reply without validating it.

        Raises:
            ScriptExhausted: the list is used up.
        """
        position = len(self.requests)
        self.requests.append(request)
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._function is not None:
            made = self._function(request)
            scripted = await made if isawaitable(made) else made
        elif position < len(self._list):
            scripted = self._list[position]
        else:
            raise ScriptExhausted(mind=self._name, replies=len(self._list))
        if isinstance(scripted, BaseException):
            raise scripted
        if isinstance(scripted, Reply):
            reply = scripted
        elif isinstance(scripted, (ToolCall, tuple)):
            calls = scripted if isinstance(scripted, tuple) else (scripted,)
            usage = replace(self._usage)
            reply = Reply("", self._name, usage, tool_calls=calls, stop_reason="tool_calls")
        else:
            text = scripted if isinstance(scripted, str) else json.dumps(scripted, ensure_ascii=False)
            reply = Reply(text=text, mind=self._name, usage=replace(self._usage))
        if on_token is not None:
            on_token(reply.text)
        return reply


class UnvalidatedScript:
    """A scripted mind whose replies are passed on as they are."""

    def __init__(self, mind: ScriptedMind) -> None:
        self._script = mind

    @property
    def name(self) -> str:
        return self._script.name

    @property
    def capabilities(self) -> Capabilities:
        return self._script.capabilities

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def quote(self, request: Request) -> Quote:
        """The script's quote."""
        return await self._script.quote(request)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        return await self._script.sample(request, on_token)
