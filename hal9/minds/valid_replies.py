"""Calls until a reply is valid: JSON that fits its schema, tool calls that can be carried out, a text.

A failed reply is sampled anew from the fresh prompt; showing a small model its own wrong reply was measured
to repair nothing. A tool call with a mistake is a reply like any other: what is wrong stands in the call, and
whoever carries calls out tells the model.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from hal9.errors.base import MindError
from hal9.errors.minds import MindReplyInvalid
from hal9.minds.protocol import OnToken, Reply, Request, ToolCall, ToolSpec, Usage
from hal9.minds.schema import correct, json_values, problems, read_numbers

__all__ = ["answer", "checked_calls"]

Once = Callable[[Request, OnToken | None], Awaitable[Reply]]
"""One call to a model, without validation."""

RESAMPLING_TEMPERATURE = 0.7
"""A greedy model repeats its mistake, so further samples are drawn at least this warm."""


def checked_calls(calls: Iterable[ToolCall], tools: Iterable[ToolSpec]) -> tuple[ToolCall, ...]:
    """The calls with what is wrong with them: a tool that was not offered, arguments that do not fit."""
    known = {tool.name: tool for tool in tools}
    return tuple(_checked_call(call, known) for call in calls)


def _checked_call(call: ToolCall, known: dict[str, ToolSpec]) -> ToolCall:
    if call.problem:
        return call
    tool = known.get(call.name)
    if tool is None:
        names = ", ".join(known) or "none"
        return replace(call, problem=f"there is no tool {call.name!r}; the tools are: {names}")
    arguments = read_numbers(call.arguments, tool.schema)
    wrong = problems(arguments, tool.schema)
    if wrong:
        return replace(call, problem=f"the arguments of {call.name} do not fit: {'; '.join(wrong)}")
    return replace(call, arguments=arguments)


def _judge(reply: Reply, request: Request) -> tuple[Reply | None, str]:
    """The reply with its parsed value or its checked calls, or None and the reason."""
    schema = request.schema
    if reply.tool_calls:
        return replace(reply, tool_calls=checked_calls(reply.tool_calls, request.tools)), ""
    if request.tools and request.tool_choice not in {"auto", "none"}:
        return None, "a tool had to be called and none was"
    if schema is None:
        if reply.text.strip():
            return reply, ""
        thought = f"; all of its {len(reply.thinking)} characters are thinking" if reply.thinking else ""
        return None, f"the reply is empty{thought}"
    reason = "there is no JSON in the reply"
    if reply.stop_reason == "length":
        reason += ", which was cut off at max_tokens"
    for index, candidate in enumerate(json_values(reply.text)):
        value, notes = correct(candidate, schema)
        wrong = problems(value, schema)
        if not wrong:
            return replace(reply, parsed=value, notes=reply.notes + notes), ""
        if index == 0:
            reason = "; ".join(wrong)
    return None, reason


async def answer(once: Once, request: Request, on_token: OnToken | None, *, name: str) -> Reply:
    """Call until the reply is valid, at most `1 + request.repairs` times.

    Every attempt sees the same fresh prompt; further ones are drawn with another seed and at least
    `RESAMPLING_TEMPERATURE`. The usage of all attempts is added up.

    Raises:
        MindReplyInvalid: no attempt was valid; carries the last raw text.
    """
    spent = Usage(calls=0)
    reason, text = "", ""
    for attempt in range(1 + request.repairs):
        varied = request
        if attempt:
            varied = replace(
                request,
                temperature=max(request.temperature, RESAMPLING_TEMPERATURE),
                seed=None if request.seed is None else request.seed + attempt,
            )
        try:
            reply = await once(varied, on_token)
        except MindReplyInvalid as error:
            reason, text = error.reason, error.text
            if error.usage is not None:
                spent += error.usage
            continue
        except MindError as error:
            if spent.calls:
                error.usage = spent if error.usage is None else spent + error.usage
            raise
        spent += reply.usage
        judged, reason = _judge(reply, request)
        if judged is not None:
            return replace(judged, usage=spent)
        text = reply.text
    raise MindReplyInvalid(
        mind=name,
        reason=reason,
        text=text,
        attempts=1 + request.repairs,
        usage=spent if spent.calls else None,
    )
