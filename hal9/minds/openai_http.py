"""Any server that speaks the OpenAI chat protocol, over httpx and nothing else.

`ChatClient` is the wire: one request, one reply, typed failures. `OpenAIMind` is the mind on top; the local
model's mind uses the same wire.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from hal9.errors.base import MindError
from hal9.errors.minds import (
    GrammarUnsupported,
    MindBroken,
    MindClosed,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
    ToolsUnsupported,
)
from hal9.minds.prices import Price, Quote, bound_tokens
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request, Usage
from hal9.minds.retries import retry_after_seconds
from hal9.minds.tool_wire import CallDeltas, read_calls, wire_messages, wire_tools

if TYPE_CHECKING:
    import httpx

__all__ = ["ChatClient", "Endpoint", "OpenAIMind"]

_CONNECT_SECONDS = 10.0
_ECHOED = ("reasoning_content", "reasoning", "reasoning_details")
"""Fields of an assistant's turn that some servers want back with its tool calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to send chat requests and how.

    Attributes:
        mind: the name used in replies and errors.
        base_url: address up to and including ``/v1``.
        model: the model's name at that server.
        key: bearer token, or None.
        key_variable: the environment variable the user sets the key in (for error texts).
        price: what tokens cost; None when unknown.
        adapt_schema: applied to a schema before it is sent.
        extra: further fields of the request body.
        grammars: whether the server takes a GBNF grammar.
    """

    mind: str
    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_variable: str = "OPENAI_API_KEY"
    price: Price | None = None
    adapt_schema: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    grammars: bool = False


class ChatClient:
    """One connection pool to one endpoint. Open it with `async with`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx  # noqa: PLC0415 - heavy, and a start-up without a call does not need it

        key = self.endpoint.key
        self._http = httpx.AsyncClient(
            base_url=self.endpoint.base_url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=64),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def ask(self, request: Request, on_token: OnToken | None = None) -> Reply:
        """Send one chat request; streams when `on_token` is given.

        Raises:
            MindError: a typed subclass; `MindReplyInvalid` when the server's answer makes no sense.
        """
        import httpx  # noqa: PLC0415

        if self._http is None:
            raise MindClosed(mind=self.endpoint.mind)
        began = time.monotonic()
        body = self._body(request, stream=on_token is not None)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                if on_token is None:
                    said = await self._whole(self._http, body)
                else:
                    said = await self._streamed(self._http, body, on_token)
        except TimeoutError as error:
            raise MindTimeout(mind=self.endpoint.mind, seconds=request.timeout_seconds) from error
        except httpx.ConnectTimeout as error:
            raise MindTimeout(mind=self.endpoint.mind, seconds=_CONNECT_SECONDS) from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            detail = str(error) or type(error).__name__
            raise MindUnreachable(mind=self.endpoint.mind, detail=detail) from error
        calls, extras = read_calls(said.calls.whole(), request)
        kept = {name: value for name, value in said.echo.items() if value}
        echo = {"mind": self.endpoint.mind, "message": kept, "calls": extras}
        return Reply(
            text=said.text,
            mind=self.endpoint.mind,
            usage=self._usage(said, request, time.monotonic() - began),
            stop_reason="tool_calls" if calls and said.finish != "length" else _stop_reason(said.finish),
            tool_calls=calls,
            echo=echo if calls and (kept or extras) else None,
        )

    async def post(self, path: str, body: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """POST to another path of the server, relative to its root."""
        import httpx  # noqa: PLC0415

        if self._http is None:
            raise MindClosed(mind=self.endpoint.mind)
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._http.post(path, json=body)
        except TimeoutError as error:
            raise MindTimeout(mind=self.endpoint.mind, seconds=timeout_seconds) from error
        except httpx.TransportError as error:
            raise MindUnreachable(mind=self.endpoint.mind, detail=str(error) or repr(error)) from error
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response.status_code, response.text, response.headers.get("retry-after"))
        return self._object(response.text)

    def _body(self, request: Request, *, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": wire_messages(request.messages, self.endpoint.mind),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            **self.endpoint.extra,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        if request.schema is not None:
            adapt = self.endpoint.adapt_schema
            schema = adapt(request.schema) if adapt is not None else request.schema
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": schema},
            }
        body.update(wire_tools(request))
        if request.grammar is not None:
            if not self.endpoint.grammars:
                raise GrammarUnsupported(mind=self.endpoint.mind)
            body["grammar"] = request.grammar
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return body

    async def _whole(self, http: "httpx.AsyncClient", body: dict[str, Any]) -> "_Said":
        response = await http.post("chat/completions", json=body)
        if response.status_code != 200:
            raise self._refusal(response.status_code, response.text, response.headers.get("retry-after"))
        data = self._object(response.text)
        try:
            choice = data["choices"][0]
            said = _Said(finish=choice.get("finish_reason"), usage=data.get("usage"))
            said.add(choice["message"].items())
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise MindReplyInvalid(
                mind=self.endpoint.mind,
                reason="the server's answer has no choices[0].message",
                text=response.text,
            ) from error
        return said

    async def _streamed(self, http: "httpx.AsyncClient", body: dict[str, Any], on_token: OnToken) -> "_Said":
        said = _Said()
        async with http.stream("POST", "chat/completions", json=body) as response:
            if response.status_code != 200:
                text = (await response.aread()).decode("utf-8", "replace")
                raise self._refusal(response.status_code, text, response.headers.get("retry-after"))
            async for event in _events(response):
                if event == "[DONE]":
                    return said
                chunk = self._object(event)
                if "error" in chunk:
                    detail = str(chunk["error"])[:300]
                    raise MindBroken(mind=self.endpoint.mind, status=500, detail=detail)
                piece = said.take(chunk)
                if piece:
                    on_token(piece)
        if said.finish is None:
            raise MindUnreachable(
                mind=self.endpoint.mind, detail="the stream ended in the middle of the answer"
            )
        return said

    def _object(self, text: str) -> dict[str, Any]:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise MindReplyInvalid(
                mind=self.endpoint.mind, reason=f"the server's answer is not JSON ({error})", text=text[:2000]
            ) from error
        if not isinstance(data, dict):
            raise MindReplyInvalid(
                mind=self.endpoint.mind, reason="the server's answer is not an object", text=text[:2000]
            )
        return data

    def _refusal(self, status: int, text: str, retry_after: str | None) -> MindError:
        mind = self.endpoint.mind
        detail, error = _error_detail(text)
        wait = retry_after_seconds(retry_after, now=time.time())
        if status in {400, 404, 422, 500, 501} and _refuses_tools(detail):
            return ToolsUnsupported(mind=mind, detail=detail, instead="constrained")
        if status == 429:
            return MindRateLimited(mind=mind, detail=detail, retry_after=wait)
        if status in {401, 403}:
            return MindRefusedKey(mind=mind, detail=detail, variable=self.endpoint.key_variable)
        if status in {408, 409} or status >= 500:
            return MindBroken(mind=mind, status=status, detail=detail, retry_after=wait)
        if error.get("type") == "exceed_context_size_error" or error.get("code") == "context_length_exceeded":
            return MindContextExceeded(
                mind=mind, prompt_tokens=error.get("n_prompt_tokens"), context_tokens=error.get("n_ctx")
            )
        return MindRefusedRequest(mind=mind, status=status, detail=detail)

    def _usage(self, said: "_Said", request: Request, seconds: float) -> Usage:
        reported = said.usage if isinstance(said.usage, dict) else {}
        prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens")
        estimated = not isinstance(prompt, int) or not isinstance(completion, int)
        if estimated:
            prompt = bound_tokens(request.messages, request.tools)
            completion = min(request.max_tokens, len(said.text.encode()))
        details = reported.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        cached = cached if isinstance(cached, int) else 0
        price = self.endpoint.price
        return Usage(
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            cached_tokens=cached,
            usd=None if price is None else price.of(prompt or 0, completion or 0),
            seconds=seconds,
            estimated=estimated,
        )


@dataclass(slots=True)
class _Said:
    """What has arrived of an answer."""

    text: str = ""
    finish: str | None = None
    usage: Any = None
    calls: CallDeltas = field(default_factory=CallDeltas)
    echo: dict[str, Any] = field(default_factory=dict)

    def take(self, chunk: dict[str, Any]) -> str:
        """Add one stream chunk; returns its text."""
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""
        self.finish = choices[0].get("finish_reason") or self.finish
        delta = choices[0].get("delta")
        return self.add(delta.items()) if isinstance(delta, dict) else ""

    def add(self, fields: Iterable[tuple[str, Any]]) -> str:
        """Add a message, or a piece of one; returns its text."""
        piece = ""
        for name, value in fields:
            if name == "tool_calls":
                self.calls.take(value)
            elif name == "content" and isinstance(value, str):
                piece = value
            elif name in _ECHOED and isinstance(value, str):
                self.echo[name] = self.echo.get(name, "") + value
            elif name in _ECHOED and isinstance(value, list):
                self.echo[name] = self.echo.get(name, []) + value
        self.text += piece
        return piece


async def _events(response: "httpx.Response") -> AsyncIterator[str]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield line[5:].strip()


def _error_detail(text: str) -> tuple[str, dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError:
        return (text.strip()[:300] or "no details", {})
    error = data.get("error", data) if isinstance(data, dict) else {}
    if isinstance(error, dict):
        return str(error.get("message") or text)[:300], error
    return str(error)[:300], {}


def _refuses_tools(detail: str) -> bool:
    words = detail.lower()
    told = re.search(r"\btools?\b|\btool_choice\b|function.?call", words)
    return (
        told is not None
        and re.search(r"not support|unsupported|requires|enable|unknown|unexpected", words) is not None
    )


def _stop_reason(finish: str | None) -> Literal["stop", "length", "other"]:
    if finish in {"stop", None}:
        return "stop"
    return "length" if finish == "length" else "other"


class OpenAIMind:
    """A model behind an OpenAI-compatible address; replies are raw (see `open_mind` for the whole stack)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = ChatClient(endpoint)

    @property
    def name(self) -> str:
        return self._client.endpoint.mind

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", parallel_tools=True)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(exc_type, exc, traceback)

    async def quote(self, request: Request) -> Quote:
        """One token a byte of prompt plus `max_tokens`, at the configured price."""
        prompt, price = bound_tokens(request.messages, request.tools), self._client.endpoint.price
        usd = None if price is None else price.of(prompt, request.max_tokens)
        return Quote(tokens=prompt + request.max_tokens, usd=usd)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        return await self._client.ask(request, on_token)
