"""The body of a chat request, as one server takes it."""

from typing import Any

from hal9.errors.minds import GrammarUnsupported
from hal9.minds.chat.endpoint import Endpoint
from hal9.minds.chat.habits import Habits
from hal9.minds.protocol import Message, Request
from hal9.minds.schema import schema_instruction
from hal9.minds.schema_order import written_in_order
from hal9.minds.tool_wire import wire_messages, wire_tools

__all__ = ["request_body", "sent_body"]


def request_body(request: Request, endpoint: Endpoint, habits: Habits, *, stream: bool) -> dict[str, Any]:
    """Everything the caller asks for, before what the server does not take is left out.

    Raises:
        GrammarUnsupported: the request has a grammar and the server takes none.
    """
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": wire_messages(_with_shape(request, habits), endpoint.mind),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        **endpoint.extra,
    }
    if endpoint.prompt_cache_field:
        body[endpoint.prompt_cache_field] = request.reuse_prompt
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.schema is not None and habits.json_mode == "json_schema":
        schema = written_in_order(request.schema)
        if endpoint.adapt_schema is not None:
            schema = endpoint.adapt_schema(schema)
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    elif request.schema is not None and habits.json_mode == "json_object":
        body["response_format"] = {"type": "json_object"}
    body.update(wire_tools(request))
    if request.grammar is not None:
        if not endpoint.grammars:
            raise GrammarUnsupported(mind=endpoint.mind)
        body["grammar"] = request.grammar
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def _with_shape(request: Request, habits: Habits) -> tuple[Message, ...]:
    if request.schema is None or habits.json_mode == "json_schema":
        return request.messages
    return (*request.messages, Message("user", schema_instruction(request.schema)))


def sent_body(body: dict[str, Any], habits: Habits) -> dict[str, Any]:
    """The body without what the server does not take."""
    sent = {name: value for name, value in body.items() if name not in habits.left_out}
    if "stream" in habits.left_out:
        sent.pop("stream_options", None)
    if habits.most_tokens is not None and "max_tokens" in sent:
        sent["max_tokens"] = min(sent["max_tokens"], habits.most_tokens)
    if "max_tokens" in sent and habits.max_tokens_field != "max_tokens":
        sent[habits.max_tokens_field] = sent.pop("max_tokens")
    if "system" in habits.left_out:
        sent["messages"] = _without_system(body["messages"])
    return sent


def _without_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The instructions at the head of the first question, for models that know no system role."""
    told = "\n\n".join(str(turn["content"]) for turn in turns if turn["role"] == "system")
    rest = [turn for turn in turns if turn["role"] != "system"]
    first = next((index for index, turn in enumerate(rest) if turn["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": told}, *rest]
    joined = {**rest[first], "content": f"{told}\n\n{rest[first]['content']}"}
    return [*rest[:first], joined, *rest[first + 1 :]]
