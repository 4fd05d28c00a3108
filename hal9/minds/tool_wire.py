"""Tool calls in the OpenAI chat form, which litellm speaks too: messages and tools out, calls back in.

Calls come whole or as deltas of a stream, with gaps: without an id, without an index, with arguments that are
an object already or no JSON at all. Each becomes a `ToolCall`; what is wrong with it stands in its `problem`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.minds.protocol import Message, Request, ToolCall
from hal9.text import storable

__all__ = ["CallDeltas", "read_calls", "wire_messages", "wire_tools"]

_DECODER = json.JSONDecoder(strict=False)
_CALL_FIELDS = {"id", "type", "function", "index"}


def wire_messages(messages: Iterable[Message], mind: str) -> list[dict[str, Any]]:
    """The turns as JSON; what `mind` wants back stands in the turns it made."""
    turns: list[dict[str, Any]] = storable([_wire_message(message, mind) for message in messages])
    return turns


def _wire_message(message: Message, mind: str) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    # Another mind's reasoning would be refused, or taken for this one's own.
    echo = message.echo if message.echo is not None and message.echo.get("mind") == mind else {}
    calls = echo.get("calls", {})
    return {
        "role": message.role,
        "content": message.content,
        **echo.get("message", {}),
        "tool_calls": [
            {
                **calls.get(call.id, {}),
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments_text(call)},
            }
            for call in message.tool_calls
        ],
    }


def _arguments_text(call: ToolCall) -> str:
    # The provider's own text, where it is good: its prompt cache then knows the turn again. Chat templates
    # parse this text, so one that is no JSON must not go back.
    if call.raw and _parsed(call.raw) is not None:
        return call.raw
    return json.dumps(call.arguments, ensure_ascii=False)


def wire_tools(request: Request) -> dict[str, Any]:
    """The fields of a request's body that offer its tools; none when it has none."""
    if not request.tools:
        return {}
    choice: Any = request.tool_choice
    if choice not in {"auto", "required", "none"}:
        choice = {"type": "function", "function": {"name": choice}}
    return {
        "tools": [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
            }
            for tool in request.tools
        ],
        "tool_choice": choice,
    }


def read_calls(raw: Any, request: Request) -> tuple[tuple[ToolCall, ...], dict[str, dict[str, Any]]]:
    """Calls out of a message's `tool_calls`.

    Args:
        raw: what the provider sent under that name, whatever it is.
        request: its messages tell which ids are taken.

    Returns:
        The calls, and by id the fields of theirs that are not ours to know (thought signatures).
    """
    if not isinstance(raw, list):
        return (), {}
    taken = {call.id for message in request.messages for call in message.tool_calls}
    calls: list[ToolCall] = []
    extras: dict[str, dict[str, Any]] = {}
    for item in raw:
        if not isinstance(item, Mapping):
            continue
        call = _read_call(item, _free_id(item.get("id"), taken))
        taken.add(call.id)
        calls.append(call)
        extra = {key: value for key, value in item.items() if key not in _CALL_FIELDS and value is not None}
        if extra:
            extras[call.id] = extra
    return tuple(calls), extras


def _free_id(told: Any, taken: set[str]) -> str:
    """The provider's id if it is one and free, else the next of ours: the same history gives the same id."""
    if isinstance(told, str) and told and told not in taken:
        return told
    number = len(taken) + 1
    while f"call_{number}" in taken:
        number += 1
    return f"call_{number}"


def _read_call(item: Mapping[str, Any], call_id: str) -> ToolCall:
    function = item.get("function")
    if not isinstance(function, Mapping):
        return ToolCall(call_id, "", {}, problem="the call names no function")
    name = function.get("name")
    name = name if isinstance(name, str) else ""
    arguments = function.get("arguments")
    if isinstance(arguments, Mapping):
        return ToolCall(call_id, name, dict(arguments))
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return ToolCall(call_id, name, {})
    if not isinstance(arguments, str):
        return ToolCall(call_id, name, {}, problem="the arguments are not an object", raw=str(arguments))
    found = _parsed(arguments)
    if found is None:
        return ToolCall(call_id, name, {}, problem=_why_not_parsed(arguments), raw=arguments)
    return ToolCall(call_id, name, found, raw=arguments)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _why_not_parsed(text: str) -> str:
    try:
        value = _DECODER.decode(text)
    except ValueError as error:
        return f"the arguments are not valid JSON: {error}"
    except RecursionError:
        return "the arguments are nested too deeply"
    return f"the arguments are not a JSON object but a {type(value).__name__}"


@dataclass(slots=True)
class CallDeltas:
    """Tool calls that arrive in the pieces of a stream."""

    _calls: list[dict[str, Any]] = field(default_factory=list)
    _by_index: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, deltas: Any) -> None:
        """Add one chunk's `tool_calls`."""
        if not isinstance(deltas, list):
            return
        for delta in deltas:
            if isinstance(delta, Mapping):
                self._add(delta)

    def whole(self) -> list[dict[str, Any]]:
        """The calls as a message that was not streamed would have them."""
        return self._calls

    def _add(self, delta: Mapping[str, Any]) -> None:
        call = self._call_of(delta)
        for key, value in delta.items():
            if key not in {"index", "function"} and value is not None and not call.get(key):
                call[key] = value
        function = delta.get("function")
        if not isinstance(function, Mapping):
            return
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and name and not call["function"].get("name"):
            call["function"]["name"] = name
        if isinstance(arguments, str):
            before = call["function"].get("arguments")
            call["function"]["arguments"] = (before if isinstance(before, str) else "") + arguments
        elif isinstance(arguments, Mapping):
            call["function"]["arguments"] = dict(arguments)

    def _call_of(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """The call a delta belongs to.

        Some servers number every call 0, some number none: another id is another call, and so is a name where
        no index tells otherwise.
        """
        index, told = delta.get("index"), delta.get("id")
        if isinstance(index, int):
            call = self._by_index.get(index)
        else:
            call = self._calls[-1] if self._calls else None
            function = delta.get("function")
            named = isinstance(function, Mapping) and bool(function.get("name"))
            if call is not None and named and not told and call["function"].get("name"):
                call = None
        if call is None or (told and call.get("id") and call["id"] != told):
            call = {"function": {}}
            self._calls.append(call)
            if isinstance(index, int):
                self._by_index[index] = call
        return call
