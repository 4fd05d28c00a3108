"""One request over the wire, one reply, typed failures; what a server does not take is left out next time."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from hal9.errors.base import MindError
from hal9.errors.minds import (
    MindBroken,
    MindClosed,
    MindRefusedRequest,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
    ToolsUnsupported,
)
from hal9.minds.chat.assembling import Answer, assembled, ended_in_the_middle
from hal9.minds.chat.body import request_body, sent_body
from hal9.minds.chat.endpoint import Endpoint
from hal9.minds.chat.events import EventTooLarge, read_events
from hal9.minds.chat.habits import Habits, habits_of
from hal9.minds.chat.refusals import Complaint, complaint_in, complaint_of, is_context_complaint, typed
from hal9.minds.protocol import OnToken, Reply, Request

if TYPE_CHECKING:
    import httpx

__all__ = ["ChatClient", "learnt_from"]

_CONNECT_SECONDS = 10.0
_LOADING_WAIT_SECONDS = 1.0
_MOST_CHANGES = 8
_MOST_REDIRECTS = 3
_PATH = "chat/completions"


class ChatClient:
    """One connection pool to one endpoint. Open it with `async with`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._habits: Habits = habits_of(endpoint.base_url, endpoint.model)
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
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer, notes = await self._asked(self._http, request, on_token)
        except TimeoutError as error:
            raise MindTimeout(mind=self.endpoint.mind, seconds=request.timeout_seconds) from error
        except httpx.ConnectTimeout as error:
            raise MindTimeout(mind=self.endpoint.mind, seconds=_CONNECT_SECONDS) from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            detail = str(error) or type(error).__name__
            raise MindUnreachable(mind=self.endpoint.mind, detail=detail) from error
        price, seconds = self.endpoint.price, time.monotonic() - began
        dollars = price.of if price is not None else _unknown_price
        return assembled(answer, request, self.endpoint.mind, dollars, seconds=seconds, notes=notes)

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
            raise self._error(complaint_of(response.status_code, response.text), response, tools=False)
        return self._object(response.text)

    async def _asked(
        self, http: "httpx.AsyncClient", request: Request, on_token: OnToken | None
    ) -> tuple[Answer, tuple[str, ...]]:
        """Ask until the server takes the request's form, and while its model is still being loaded."""
        changes = 0
        while True:
            body = request_body(request, self.endpoint, self._habits, stream=on_token is not None)
            refused = await self._once(
                http, sent_body(body, self._habits), on_token, _announcing(request.before_sending)
            )
            if isinstance(refused, Answer):
                return refused, self._habits.notes(body)
            complaint, response = refused
            if complaint.loading:
                await asyncio.sleep(_LOADING_WAIT_SECONDS)
                continue
            changes += 1
            error = self._error(complaint, response, tools=bool(request.tools))
            if changes > _MOST_CHANGES or not learnt_from(error, complaint, body, self._habits):
                raise error

    async def _once(
        self,
        http: "httpx.AsyncClient",
        body: dict[str, Any],
        on_token: OnToken | None,
        extensions: dict[str, Any],
    ) -> "Answer | tuple[Complaint, httpx.Response]":
        path = _PATH
        for _ in range(_MOST_REDIRECTS):
            async with http.stream("POST", path, json=body, extensions=extensions) as response:
                if response.status_code in {301, 302, 303, 307, 308}:
                    path = self._redirected(response)
                    continue
                if response.status_code != 200:
                    text = (await response.aread()).decode("utf-8", "replace")
                    return complaint_of(response.status_code, text), response
                kind = response.headers.get("content-type", "").lower()
                if body.get("stream") and "json" not in kind and "html" not in kind:
                    return await self._streamed(response, on_token)
                return await self._whole(response, on_token)
        raise MindUnreachable(mind=self.endpoint.mind, detail="the server sends from one address to the next")

    def _redirected(self, response: "httpx.Response") -> str:
        """Where a server wants the request; prompts go to no other host, that is for the user to choose."""
        target = str(response.next_request.url) if response.next_request is not None else ""
        same_host = urlsplit(target).hostname == urlsplit(self.endpoint.base_url).hostname
        if response.status_code in {307, 308} and target and same_host:
            return target
        raise MindRefusedRequest(
            mind=self.endpoint.mind,
            status=response.status_code,
            detail=f"the server is at {target or 'another address'}; use that address in the model's name",
        )

    async def _whole(
        self, response: "httpx.Response", on_token: OnToken | None
    ) -> "Answer | tuple[Complaint, httpx.Response]":
        text = (await response.aread()).decode("utf-8", "replace")
        if text.lstrip()[:1] == "<":
            raise self._error(complaint_of(502, text), response, tools=False)
        data = self._object(text)
        complaint = complaint_in(data)
        if complaint is not None:
            return complaint, response
        answer = Answer()
        choices = data.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, Mapping) or not isinstance(
            first.get("message", first.get("text")), (Mapping, str)
        ):
            raise MindReplyInvalid(
                mind=self.endpoint.mind,
                reason="the server's answer has no choices[0].message",
                text=text[:2000],
            )
        answer.take(data, on_token)
        answer.end(on_token)
        return answer

    async def _streamed(
        self, response: "httpx.Response", on_token: OnToken | None
    ) -> "Answer | tuple[Complaint, httpx.Response]":
        answer = Answer()
        try:
            async for event in read_events(response.aiter_bytes()):
                if event.data == "[DONE]":
                    break
                if event.name == "error" and not event.data.startswith("{"):
                    data: dict[str, Any] = {"error": event.data}
                else:
                    data = self._object(event.data)
                complaint = complaint_in(data, event=event.name)
                if complaint is not None:
                    if answer.text or answer.calls.whole():
                        raise self._error(complaint, response, tools=False)
                    return complaint, response
                answer.take(data, on_token)
            else:
                if not answer.finished:
                    raise ended_in_the_middle(self.endpoint.mind)
        except EventTooLarge as error:
            raise MindReplyInvalid(
                mind=self.endpoint.mind, reason="an event of its stream has no end", text=answer.text[:2000]
            ) from error
        answer.end(on_token)
        return answer

    def _object(self, text: str) -> dict[str, Any]:
        try:
            data = json.loads(text, strict=False)
        except (ValueError, RecursionError) as error:
            raise MindReplyInvalid(
                mind=self.endpoint.mind, reason=f"the server's answer is not JSON ({error})", text=text[:2000]
            ) from error
        if not isinstance(data, dict):
            raise MindReplyInvalid(
                mind=self.endpoint.mind, reason="the server's answer is not an object", text=text[:2000]
            )
        return data

    def _error(self, complaint: Complaint, response: "httpx.Response", *, tools: bool) -> MindError:
        if self.endpoint.key:
            # Some servers say the key back to whoever gives a wrong one; what they say is shown and kept.
            complaint = replace(complaint, detail=complaint.detail.replace(self.endpoint.key, "[the key]"))
        return typed(
            complaint,
            mind=self.endpoint.mind,
            key_variable=self.endpoint.key_variable,
            retry_after=response.headers.get("retry-after"),
            tools=tools,
        )


def learnt_from(error: MindError, complaint: Complaint, body: Mapping[str, Any], habits: Habits) -> bool:
    """Whether the server's complaint names something that the next try can leave out or write otherwise.

    Args:
        error: what the complaint means.
        complaint: what the server said.
        body: what was sent.
        habits: changed when it does.
    """
    if is_context_complaint(complaint.detail, complaint.code):
        return False
    if isinstance(error, ToolsUnsupported):
        # Some servers know tools but not every way of choosing among them.
        forced = body.get("tool_choice", "auto") != "auto"
        if not (forced and "tool_choice" not in habits.left_out):
            return False
        return habits.learn(complaint, {"tool_choice": body["tool_choice"]})
    return isinstance(error, (MindRefusedRequest, MindBroken)) and habits.learn(complaint, body)


def _announcing(before_sending: Callable[[], None] | None) -> dict[str, Any]:
    """What makes the connection say that it is open and the request is about to be written."""
    if before_sending is None:
        return {}

    async def trace(event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            before_sending()

    return {"trace": trace}


def _unknown_price(_prompt: int, _completion: int) -> None:
    return None
