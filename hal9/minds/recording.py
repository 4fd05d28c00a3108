"""Exchanges with a model, written as JSON lines and played back later without the model.

A line holds the request's content (never its metadata, keys or addresses) and the reply. The key of a line is
a hash of everything that shapes the answer; equal requests are answered in the order in which they were
recorded.
"""

import asyncio
import dataclasses
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hal9.errors.minds import RecordingDamaged, ReplayMiss
from hal9.minds.prices import Quote
from hal9.minds.protocol import Capabilities, Message, Mind, OnToken, Reply, Request, ToolCall, Usage
from hal9.minds.wrapping import WrappingMind

__all__ = ["RecordingMind", "ReplayMind", "request_key"]

_FORMAT = 1
_USERINFO = re.compile(r"//[^/@#]*@")


def _content(request: Request) -> dict[str, Any]:
    # A grammar or tools stand in the key only where there are any, so that recordings without stay valid.
    grammar = {} if request.grammar is None else {"grammar": request.grammar}
    tools = [dataclasses.asdict(tool) for tool in request.tools]
    return {
        **grammar,
        **({"tools": tools, "tool_choice": request.tool_choice} if tools else {}),
        "messages": [_turn(message) for message in request.messages],
        "schema": request.schema,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
        "seed": request.seed,
    }


def _turn(message: Message) -> dict[str, Any]:
    turn = {"role": message.role, "content": message.content}
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    calls = [dataclasses.asdict(call) for call in message.tool_calls]
    return {**turn, **({"tool_calls": calls} if calls else {})}


def request_key(request: Request) -> str:
    """SHA-256 over what shapes the answer: messages, constraint, temperature, max_tokens, stop, seed."""
    text = json.dumps(_content(request), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _more(reply: Reply) -> dict[str, Any]:
    """What not every reply has."""
    found = {
        "tool_calls": [dataclasses.asdict(call) for call in reply.tool_calls],
        "echo": reply.echo,
        "thinking": reply.thinking,
    }
    return {name: value for name, value in found.items() if value}


class RecordingMind(WrappingMind):
    """Passes everything on and appends each exchange to a file. Failures are not recorded."""

    def __init__(self, mind: Mind, path: Path, *, secrets: Sequence[str] = ()) -> None:
        """Record `mind` into `path`; each of `secrets` is blotted out wherever it stands in an exchange."""
        super().__init__(mind)
        self._path = path
        self._secrets = tuple(json.dumps(secret, ensure_ascii=False)[1:-1] for secret in secrets if secret)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        return await super().__aenter__()

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        reply = await self._mind.think(request, on_token=on_token)
        line = json.dumps(
            {
                "format": _FORMAT,
                "key": request_key(request),
                "mind": _USERINFO.sub("//", reply.mind),
                "request": _content(request),
                "reply": {
                    "text": reply.text,
                    "stop_reason": reply.stop_reason,
                    "usage": dataclasses.asdict(reply.usage),
                    **_more(reply),
                },
            },
            ensure_ascii=False,
        )
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        await asyncio.to_thread(self._append, line + "\n")
        return reply

    def _append(self, line: str) -> None:
        # One write in append mode: lines of several processes do not mix.
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


class ReplayMind:
    """Answers from a recording alone; whatever was not recorded is an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._replies: dict[str, list[Reply]] = {}
        self._used: defaultdict[str, int] = defaultdict(int)

    @property
    def name(self) -> str:
        return f"replay:{self._path}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", parallel_tools=True)

    async def __aenter__(self) -> Self:
        """Read the recording.

        Raises:
            RecordingDamaged: a line is not a recorded exchange.
        """
        text = await asyncio.to_thread(self._path.read_text, encoding="utf-8")
        self._replies = {}
        self._used.clear()
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                key, reply = self._parse(line, number)
                self._replies.setdefault(key, []).append(reply)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def quote(self, request: Request) -> Quote:
        """What the recorded call cost; replaying it is accounted as it was."""
        reply = self._next(request)
        usage = reply.usage
        return Quote(tokens=usage.prompt_tokens + usage.completion_tokens, usd=usage.usd)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Give the next recorded answer to this very request.

        Raises:
            ReplayMiss: there is none (any more).
        """
        reply = self._next(request)
        self._used[request_key(request)] += 1
        if on_token is not None:
            on_token(reply.text)
        return reply

    def _next(self, request: Request) -> Reply:
        key = request_key(request)
        recorded, used = self._replies.get(key, []), self._used[key]
        if used >= len(recorded):
            raise ReplayMiss(path=str(self._path), key=key, seen=len(recorded))
        return recorded[used]

    def _parse(self, line: str, number: int) -> tuple[str, Reply]:
        try:
            data = json.loads(line)
            if data["format"] != _FORMAT:
                raise RecordingDamaged(
                    path=str(self._path), line=number, detail=f"format {data['format']!r} is not {_FORMAT}"
                )
            return str(data["key"]), _reply(data["reply"], str(data["mind"]))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordingDamaged(path=str(self._path), line=number, detail=repr(error)) from error


def _reply(data: Mapping[str, Any], mind: str) -> Reply:
    return Reply(
        text=str(data["text"]),
        mind=mind,
        usage=Usage(**data["usage"]),
        stop_reason=data["stop_reason"],
        tool_calls=tuple(ToolCall(**call) for call in data.get("tool_calls", ())),
        echo=data.get("echo"),
        thinking=str(data.get("thinking", "")),
    )
