"""Tool calls for minds whose provider has none: JSON that decoding is constrained to, or read out of text.

The tools are described at the end of the system turn, so that the prompt's beginning stays the same from step
to step and prompt caches hit. A call is one object: a thought, the tool's name, its arguments. A server that
refuses the native form, or makes no call where it must, is asked in this one from then on; where a model
writes its calls into the text of the native form, as small ones do, they are read there.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hal9.errors.minds import ToolsUnsupported
from hal9.minds.prices import Quote
from hal9.minds.protocol import Capabilities, Message, Mind, OnToken, Reply, Request, ToolCall, ToolSpec
from hal9.minds.schema import json_values
from hal9.minds.wrapping import WrappingMind

__all__ = ["ToolTranslatingMind", "call_schema", "calls_in_text", "translated"]

_THOUGHT_CHARACTERS = 1000
_TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_COMMAND_FENCE = re.compile(
    r"^ {0,3}```(?:bash|sh|shell)[ \t]*\n(.*?)^ {0,3}```[ \t]*$", re.DOTALL | re.MULTILINE
)


class ToolTranslatingMind(WrappingMind):
    """A mind that takes requests with tools, whatever its provider can."""

    def __init__(self, mind: Mind) -> None:
        super().__init__(mind)
        self._lowered: Capabilities | None = None
        self._called = False

    @property
    def capabilities(self) -> Capabilities:
        return self._lowered if self._lowered is not None else self._mind.capabilities

    async def quote(self, request: Request) -> Quote:
        """The quote of what is really sent."""
        return await super().quote(self._sent(request))

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Ask in the provider's own form, or in ours where it has none."""
        try:
            reply = await self._mind.think(self._sent(request), on_token=on_token)
        except ToolsUnsupported as error:
            self._lowered = replace(self._mind.capabilities, tools=error.instead, parallel_tools=False)
            reply = await self._mind.think(self._sent(request), on_token=on_token)
        if not request.tools:
            return reply
        if self.capabilities.tools != "native":
            return _with_calls(reply, request)
        self._called = self._called or bool(reply.tool_calls)
        if reply.tool_calls or request.tool_choice == "none":
            return reply
        read = _with_named_calls(reply, request)
        if not (read.tool_calls or self._called or request.tool_choice == "auto"):
            # The server takes tools, and its model never used one, not even where it had to.
            self._lowered = replace(self._mind.capabilities, tools="constrained", parallel_tools=False)
        return read

    def _sent(self, request: Request) -> Request:
        has_calls = any(message.role == "tool" or message.tool_calls for message in request.messages)
        mode = self.capabilities.tools
        if mode == "native" or not (request.tools or has_calls):
            return request
        return translated(request, constrained=mode == "constrained")


def translated(request: Request, *, constrained: bool) -> Request:
    """The same request without tools: these are described in words, calls and results are turns of text."""
    messages: list[Message] = []
    for message in request.messages:
        turn = _as_text(message, request)
        if messages and messages[-1].role == turn.role == "user":
            # Chat templates of small models want the roles to alternate.
            messages[-1] = replace(messages[-1], content=f"{messages[-1].content}\n\n{turn.content}")
        else:
            messages.append(turn)
    offered = _offered(request)
    if offered:
        described = _description(offered, request.tool_choice)
        if messages and messages[0].role == "system":
            messages[0] = replace(messages[0], content=f"{messages[0].content}\n\n{described}")
        else:
            messages.insert(0, Message("system", described))
    schema = call_schema(offered, request.tool_choice) if offered and constrained else request.schema
    return replace(request, messages=tuple(messages), schema=schema, tools=(), tool_choice="auto")


def _offered(request: Request) -> tuple[ToolSpec, ...]:
    if request.tool_choice == "none":
        return ()
    if request.tool_choice in {"auto", "required"}:
        return request.tools
    return tuple(tool for tool in request.tools if tool.name == request.tool_choice)


def call_schema(tools: tuple[ToolSpec, ...], choice: str) -> dict[str, Any]:
    """One call of one of the tools, the thought first; with "auto" an answer in words is the other choice."""
    thought = {"type": "string", "maxLength": _THOUGHT_CHARACTERS}
    choices = [
        _closed_object({"thought": thought, "tool": {"const": tool.name}, "arguments": tool.schema})
        for tool in tools
    ]
    if choice == "auto":
        choices.append(_closed_object({"thought": thought, "answer": {"type": "string"}}))
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _description(tools: tuple[ToolSpec, ...], choice: str) -> str:
    lines = ["You have these tools. Arguments are described by a JSON schema.", ""]
    for tool in tools:
        schema = json.dumps(tool.schema, ensure_ascii=False, separators=(",", ":"))
        lines += [f"## {tool.name}", tool.description.strip(), schema, ""]
    lines.append(
        'Answer with one JSON object and nothing else: {"thought": why, "tool": its name, "arguments": {…}} '
        "to call one tool. Its result comes in the next message."
    )
    if choice == "auto":
        lines.append('When no tool is needed any more: {"thought": why, "answer": your answer in words}.')
    return "\n".join(lines)


def _as_text(message: Message, request: Request) -> Message:
    if message.role == "tool":
        name = next(
            (
                call.name
                for earlier in request.messages
                for call in earlier.tool_calls
                if call.id == message.tool_call_id
            ),
            "the tool",
        )
        return Message("user", f"Result of {name}:\n{message.content}")
    if not message.tool_calls:
        return replace(message, echo=None)
    called = [
        json.dumps(
            {"thought": message.content, "tool": call.name, "arguments": call.arguments}, ensure_ascii=False
        )
        for call in message.tool_calls
    ]
    return Message(message.role, "\n".join(called))


def _with_calls(reply: Reply, request: Request) -> Reply:
    """The reply with the calls that stand in its text; a reply without any is an answer in words."""
    if _is_cut(reply):
        return reply
    offered = _offered(request)
    taken = sum(len(message.tool_calls) for message in request.messages)
    found = calls_in_text(reply.text, offered)
    if isinstance(found, str):
        return replace(reply, text=found)
    thought, named = found
    if not named:
        return reply
    calls = tuple(
        ToolCall(f"call_{taken + number}", name, arguments)
        for number, (name, arguments) in enumerate(named, start=1)
    )
    return replace(reply, text=thought, tool_calls=calls, stop_reason="tool_calls")


def _with_named_calls(reply: Reply, request: Request) -> Reply:
    """The reply with the calls that its text names, where one of them was offered; else it is words."""
    names = {tool.name for tool in _offered(request)}
    found = calls_in_text(reply.text, ())
    if _is_cut(reply) or isinstance(found, str) or not {name for name, _ in found[1]} & names:
        return reply
    return _with_calls(reply, request)


def _is_cut(reply: Reply) -> bool:
    """Whether the reply may hold half a call, which must not be taken for a whole one.

    Small models write a call and then empty lines until the limit: that call is whole.
    """
    whole = reply.text.rstrip("` \r\n\t")
    blank = reply.text != reply.text.rstrip()
    return reply.stop_reason == "length" and not (blank and whole.endswith(("}", "</tool_call>")))


Named = list[tuple[str, dict[str, Any]]]


def calls_in_text(text: str, tools: tuple[ToolSpec, ...]) -> str | tuple[str, Named]:
    """What a reply without native calls asks for.

    Returns:
        The answer's text when it says that it is one, else the thought and the calls (name, arguments).
    """
    tagged = [found for piece in _TAGGED.findall(text) for found in _calls_of(piece)]
    if tagged:
        return _TAGGED.sub("", text).strip(), tagged
    for value in json_values(text):
        if not isinstance(value, dict):
            continue
        named = _one_call(value)
        if named is not None:
            return str(value.get("thought", "")), [named]
        if isinstance(value.get("answer"), str) and set(value) <= {"thought", "answer"}:
            return str(value["answer"])
    shell = next((tool for tool in tools if list(tool.schema.get("required", [])) == ["command"]), None)
    fenced = _COMMAND_FENCE.search(text) if shell is not None else None
    if shell is not None and fenced is not None:
        # One command at a time, as with every other form: what follows was written without seeing its result.
        return text[: fenced.start()].strip(), [(shell.name, {"command": fenced.group(1).rstrip("\n")})]
    return "", []


def _calls_of(piece: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for value in json_values(piece):
        named = _one_call(value) if isinstance(value, dict) else None
        if named is not None:
            yield named
            return


def _one_call(value: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    name = value.get("tool", value.get("name"))
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return name, arguments
