"""Hosted models through litellm, imported with the first call and with its own retries off."""

import asyncio
import importlib.util
import os
import time
from types import TracebackType
from typing import Any, Literal, Self

from hal9.errors.base import MindError
from hal9.errors.minds import (
    GrammarUnsupported,
    MindBroken,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
    RuntimeMissing,
    ToolsUnsupported,
)
from hal9.minds.prices import Price, Quote, bound_tokens
from hal9.minds.protocol import Capabilities, Message, OnToken, Reply, Request, Usage
from hal9.minds.retries import retry_after_seconds
from hal9.minds.schema import schema_instruction
from hal9.minds.tool_wire import read_calls, wire_messages, wire_tools

__all__ = ["LiteLLMMind"]

_ECHOED = ("reasoning_content", "thinking_blocks", "reasoning_items", "provider_specific_fields")
"""Fields of an assistant's turn that providers want back with its tool calls."""


class LiteLLMMind:
    """A model that litellm knows by ``provider/model``; replies are raw (see `open_mind`)."""

    def __init__(
        self, model: str, *, price: Price | None = None, base_url: str | None = None, key: str | None = None
    ) -> None:
        """Name the model.

        Args:
            model: litellm's name of it.
            price: overrides litellm's price table.
            base_url: overrides the provider's address.
            key: overrides the provider's environment variable.
        """
        self._model = model
        self._price = price
        self._base_url = base_url
        self._key = key
        self._litellm: Any = None
        self._loading = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"litellm:{self._model}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", parallel_tools=True)

    async def __aenter__(self) -> Self:
        """Check that litellm is installed, without importing it.

        Raises:
            RuntimeMissing: it is not.
        """
        if importlib.util.find_spec("litellm") is None:
            raise RuntimeMissing(mind=self.name, library="litellm", extra="litellm")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def _library(self) -> Any:
        async with self._loading:
            if self._litellm is None:
                # The import takes seconds; the event loop must not stand still meanwhile.
                self._litellm = await asyncio.to_thread(_import_litellm)
            return self._litellm

    async def quote(self, request: Request) -> Quote:
        """One token a byte of prompt, plus `max_tokens`; dollars by the given price or litellm's table."""
        litellm = await self._library()
        prompt = bound_tokens(self._messages(litellm, request), request.tools)
        return Quote(
            tokens=prompt + request.max_tokens, usd=self._dollars(litellm, prompt, request.max_tokens)
        )

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Answer with one attempt.

        Raises:
            MindError: a typed subclass.
        """
        if request.grammar is not None:
            raise GrammarUnsupported(mind=self.name)
        litellm = await self._library()
        if request.tools and not self._calls_tools(litellm):
            detail = "litellm's table of models says that it has no function calling"
            instead: Literal["constrained", "text"] = "constrained" if self._constrains(litellm) else "text"
            raise ToolsUnsupported(mind=self.name, detail=detail, instead=instead)
        began = time.monotonic()
        try:
            async with asyncio.timeout(request.timeout_seconds):
                response = await self._call(litellm, request, on_token)
        except TimeoutError as error:
            raise MindTimeout(mind=self.name, seconds=request.timeout_seconds) from error
        except litellm.exceptions.Timeout as error:
            raise MindTimeout(mind=self.name, seconds=request.timeout_seconds) from error
        except tuple(litellm.exceptions.LITELLM_EXCEPTION_TYPES) as error:
            raise self._typed(litellm, error) from error
        return self._reply(litellm, request, response, time.monotonic() - began)

    async def _call(self, litellm: Any, request: Request, on_token: OnToken | None) -> Any:
        messages = self._messages(litellm, request)
        arguments: dict[str, Any] = {
            "model": self._model,
            "messages": wire_messages(messages, self.name),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "timeout": request.timeout_seconds,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,  # not every provider knows seed or stop; litellm leaves those out
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "api_base": self._base_url,
            "api_key": self._key,
        }
        if request.schema is not None and self._constrains(litellm):
            arguments["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": request.schema},
            }
        arguments.update(wire_tools(request))
        arguments = {key: value for key, value in arguments.items() if value is not None}
        if on_token is None:
            return await litellm.acompletion(**arguments)
        chunks = []
        stream = await litellm.acompletion(**arguments, stream=True, stream_options={"include_usage": True})
        async for chunk in stream:
            chunks.append(chunk)
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if piece:
                on_token(piece)
        return litellm.stream_chunk_builder(chunks, messages=arguments["messages"])

    def _calls_tools(self, litellm: Any) -> bool:
        # A model that the table does not know is asked; a server that takes no tools says so.
        if self._base_url is not None or litellm.supports_function_calling(model=self._model):
            return True
        try:
            litellm.get_model_info(model=self._model)
        except Exception:  # noqa: BLE001 - litellm raises a bare Exception for a model it does not know
            return True
        return False

    def _constrains(self, litellm: Any) -> bool:
        # For servers behind the openai/ prefix the table says no although most of them can; they ignore what
        # they cannot, and the reply is validated anyway.
        return self._base_url is not None or bool(litellm.supports_response_schema(model=self._model))

    def _messages(self, litellm: Any, request: Request) -> tuple[Message, ...]:
        if request.schema is None or self._constrains(litellm):
            return request.messages
        return (*request.messages, Message("user", schema_instruction(request.schema)))

    def _dollars(self, litellm: Any, prompt: int, completion: int) -> float | None:
        if self._price is not None:
            return self._price.of(prompt, completion)
        try:
            costs = litellm.cost_per_token(
                model=self._model, prompt_tokens=prompt, completion_tokens=completion
            )
        except litellm.exceptions.NotFoundError:
            return None
        except Exception as error:  # litellm raises a bare Exception for a model without a price
            if "isn't mapped" in str(error) or "not mapped" in str(error):
                return None
            raise
        return float(sum(costs))

    def _reply(self, litellm: Any, request: Request, response: Any, seconds: float) -> Reply:
        try:
            choice = response.choices[0]
            message = choice.message
            text, finish = message.content or "", choice.finish_reason
        except (AttributeError, IndexError, TypeError) as error:
            raise MindReplyInvalid(
                mind=self.name, reason="the answer has no choices", text=str(response)
            ) from error
        reported = getattr(response, "usage", None)
        prompt = getattr(reported, "prompt_tokens", None)
        completion = getattr(reported, "completion_tokens", None)
        estimated = not prompt or completion is None
        if estimated:
            prompt = bound_tokens(request.messages, request.tools)
            completion = min(request.max_tokens, len(text.encode()))
        details = getattr(reported, "prompt_tokens_details", None)
        hidden = getattr(response, "_hidden_params", None)
        exact = hidden.get("response_cost") if isinstance(hidden, dict) and self._price is None else None
        usage = Usage(
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            cached_tokens=getattr(details, "cached_tokens", None) or 0,
            usd=float(exact) if exact else self._dollars(litellm, prompt or 0, completion or 0),
            seconds=seconds,
            estimated=estimated,
        )
        fields = message.model_dump(exclude_none=True)
        calls, extras = read_calls(fields.get("tool_calls"), request)
        kept = {name: fields[name] for name in _ECHOED if fields.get(name)}
        echo = {"mind": self.name, "message": kept, "calls": extras}
        return Reply(
            text=text,
            mind=self.name,
            usage=usage,
            stop_reason="tool_calls" if calls and finish != "length" else _stop_reason(finish),
            tool_calls=calls,
            echo=echo if calls and (kept or extras) else None,
        )

    def _typed(self, litellm: Any, error: Any) -> MindError:
        known = litellm.exceptions
        detail = str(error).strip()[:300]
        status = int(getattr(error, "status_code", 0) or 0)
        headers = getattr(error, "litellm_response_headers", None)
        wait = (
            retry_after_seconds(headers.get("retry-after"), now=time.time()) if headers is not None else None
        )
        if isinstance(error, known.RateLimitError):
            return MindRateLimited(mind=self.name, detail=detail, retry_after=wait)
        if isinstance(error, (known.AuthenticationError, known.PermissionDeniedError)):
            provider = self._model.split("/", maxsplit=1)[0].upper().replace("-", "_")
            return MindRefusedKey(mind=self.name, detail=detail, variable=f"{provider}_API_KEY")
        if isinstance(error, known.ContextWindowExceededError):
            return MindContextExceeded(mind=self.name, prompt_tokens=None, context_tokens=None)
        if isinstance(error, known.APIConnectionError):
            return MindUnreachable(mind=self.name, detail=detail)
        if status >= 500:
            return MindBroken(mind=self.name, status=status, detail=detail, retry_after=wait)
        return MindRefusedRequest(mind=self.name, status=status, detail=detail)


def _stop_reason(finish: Any) -> Literal["stop", "length", "other"]:
    if finish in {"stop", None}:
        return "stop"
    return "length" if finish == "length" else "other"


def _import_litellm() -> Any:
    # Otherwise the import itself goes to the network for a newer price table.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm  # noqa: PLC0415 - takes seconds

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm
