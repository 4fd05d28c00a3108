"""Hosted models through litellm, imported with the first call and with its own retries off."""

import asyncio
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from hal9.errors.base import MindError
from hal9.errors.minds import (
    GrammarUnsupported,
    MindBroken,
    MindContextExceeded,
    MindDeclined,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
    RuntimeMissing,
    ToolsUnsupported,
)
from hal9.minds.chat.assembling import Answer, assembled
from hal9.minds.chat.body import request_body, sent_body
from hal9.minds.chat.client import learnt_from
from hal9.minds.chat.counts import believed_dollars
from hal9.minds.chat.endpoint import Endpoint
from hal9.minds.chat.habits import Habits
from hal9.minds.chat.refusals import Complaint, typed
from hal9.minds.prices import Price, Quote, bound_tokens
from hal9.minds.protocol import Capabilities, Message, OnToken, Reply, Request
from hal9.minds.schema import schema_instruction
from hal9.text import first_line

__all__ = ["LiteLLMMind"]

_LOADING_WAIT_SECONDS = 1.0
_MOST_CHANGES = 8
_WORDS_IT_LACKS = {
    "length": "length",
    "max_tokens": "length",
    "repetition": "length",
    "max_output_tokens": "length",
    "max_new_tokens": "length",
    "model_length": "length",
    "refusal": "content_filter",
}


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
        self._habits = Habits()
        self._endpoint = Endpoint(mind=self.name, base_url=base_url or "litellm", model=model)

    @property
    def name(self) -> str:
        return f"litellm:{self._model}"

    @property
    def _key_variable(self) -> str:
        return f"{self._model.split('/', maxsplit=1)[0].upper().replace('-', '_')}_API_KEY"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", parallel_tools=True, announces=True)

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
        if not self._constrains(litellm):
            self._habits.json_mode = "none"
        began = time.monotonic()
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer, notes = await self._asked(litellm, request, on_token)
        except TimeoutError as error:
            raise MindTimeout(mind=self.name, seconds=request.timeout_seconds) from error
        except litellm.exceptions.Timeout as error:
            raise MindTimeout(mind=self.name, seconds=request.timeout_seconds) from error
        seconds = time.monotonic() - began
        return assembled(answer, request, self.name, self._price_in(litellm), seconds=seconds, notes=notes)

    async def _asked(
        self, litellm: Any, request: Request, on_token: OnToken | None
    ) -> tuple[Answer, tuple[str, ...]]:
        """Ask until the provider takes the request's form, and while its model is still being loaded."""
        changes = 0
        while True:
            body = request_body(request, self._endpoint, self._habits, stream=on_token is not None)
            sent = sent_body(body, self._habits)
            if request.before_sending is not None:
                request.before_sending()
            try:
                answer = await self._call(litellm, sent, request.timeout_seconds, on_token)
            except litellm.exceptions.Timeout:
                raise
            except tuple(litellm.exceptions.LITELLM_EXCEPTION_TYPES) as error:
                complaint = _complaint(error, self._key or os.environ.get(self._key_variable))
                if complaint.loading:
                    await asyncio.sleep(_LOADING_WAIT_SECONDS)
                    continue
                found = self._typed(litellm, error, complaint, tools=bool(request.tools))
                changes += 1
                if changes > _MOST_CHANGES or not learnt_from(found, complaint, body, self._habits):
                    raise found from error
            else:
                return answer, (*self._habits.notes(body), *self._dropped(litellm, sent))

    async def _call(
        self, litellm: Any, sent: dict[str, Any], timeout_seconds: float, on_token: OnToken | None
    ) -> Answer:
        arguments = {
            **sent,
            "model": self._model,
            "timeout": timeout_seconds,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,  # not every provider knows seed or stop; litellm leaves those out
            "api_base": self._base_url,
            "api_key": self._key,
        }
        response = await litellm.acompletion(**{k: v for k, v in arguments.items() if v is not None})
        answer = Answer()
        if not sent.get("stream"):
            self._take(answer, response, on_token)
            answer.end(on_token)
            return answer
        async for chunk in response:
            self._take(answer, chunk, on_token)
        # Where the provider reports none, litellm counts by itself and its figures look like the provider's.
        chunks = getattr(response, "chunks", None)
        if isinstance(chunks, list) and not any(getattr(chunk, "usage", None) for chunk in chunks):
            answer.usage = None
        answer.end(on_token)
        return answer

    def _take(self, answer: Answer, response: Any, on_token: OnToken | None) -> None:
        try:
            data = response.model_dump(exclude_none=True)
        except AttributeError as error:
            raise MindReplyInvalid(
                mind=self.name, reason="the answer is no object", text=str(response)
            ) from error
        for choice in data.get("choices", ()):
            # The provider's own word, where litellm has one of its own for it.
            native = (choice.get("provider_specific_fields") or {}).get("native_finish_reason")
            if native:
                choice["finish_reason"] = native
        answer.take(data, on_token)

    def _dropped(self, litellm: Any, sent: dict[str, Any]) -> tuple[str, ...]:
        """What litellm leaves out because the provider does not know it."""
        try:
            known = litellm.get_supported_openai_params(model=self._model)
        except tuple(litellm.exceptions.LITELLM_EXCEPTION_TYPES):
            return ()
        if not known:
            return ()
        told = [name for name in ("temperature", "seed", "stop") if name in sent and name not in known]
        return tuple(f"the provider takes no {name}" for name in told)

    def _price_in(self, litellm: Any) -> Callable[[int, int], float | None]:
        return lambda prompt, completion: self._dollars(litellm, prompt, completion)

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
        return believed_dollars(float(sum(costs)))

    def _typed(self, litellm: Any, error: Any, complaint: Complaint, *, tools: bool) -> MindError:
        known = litellm.exceptions
        if isinstance(error, known.ContentPolicyViolationError):
            return MindDeclined(mind=self.name, reason="content policy", text=complaint.detail)
        if isinstance(error, known.ContextWindowExceededError):
            return MindContextExceeded(mind=self.name, prompt_tokens=None, context_tokens=None)
        if isinstance(error, known.MidStreamFallbackError):
            return MindBroken(mind=self.name, status=complaint.status, detail=complaint.detail)
        if isinstance(error, known.APIConnectionError):
            return MindUnreachable(mind=self.name, detail=complaint.detail)
        headers = getattr(error, "litellm_response_headers", None)
        return typed(
            complaint,
            mind=self.name,
            key_variable=self._key_variable,
            retry_after=headers.get("retry-after") if headers is not None else None,
            tools=tools,
        )


def _complaint(error: Any, key: str | None) -> Complaint:
    body = getattr(error, "body", None)
    fields = body if isinstance(body, dict) else {}
    # Some of its messages carry a whole traceback of its own.
    detail = first_line(str(error)) or type(error).__name__
    if key:
        detail = detail.replace(key, "[the key]")  # some servers say a wrong one back
    detail = detail[:300]
    return Complaint(int(getattr(error, "status_code", 0) or 0), detail, fields)


def _import_litellm() -> Any:
    # Otherwise the import itself goes to the network for a newer price table.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm  # noqa: PLC0415 - takes seconds
    from litellm.litellm_core_utils import core_helpers  # noqa: PLC0415

    # In streams the provider's own word is lost, and one that litellm does not know becomes "stop".
    for known, meaning in _WORDS_IT_LACKS.items():
        for word in (known, known.upper(), known.capitalize()):
            core_helpers._FINISH_REASON_MAP.setdefault(word, meaning)  # type: ignore[arg-type] # noqa: SLF001
    if "REPEATED_STREAMING_CHUNK_LIMIT" not in os.environ:
        # A table's rule or an array of zeros is an answer; what an endless one may cost, max_tokens says.
        litellm.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize  # type: ignore[attr-defined]
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm
