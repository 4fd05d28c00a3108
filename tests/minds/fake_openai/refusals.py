"""Modes of servers that fail, refuse, or take a request only in another form."""

import json
from typing import Any

from hal9.errors.minds import (
    MindBroken,
    MindContextExceeded,
    MindDeclined,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    MindReplyInvalid,
    MindTimeout,
    MindUnreachable,
)
from tests.minds.fake_openai.answers import SCHEMA, chunk, stream
from tests.minds.fake_openai.mode import Mode, both, last_without, noted, requests, text
from tests.minds.fake_openai.server import (
    Behaviour,
    Handler,
    cuts_the_stream,
    errs_in_the_stream,
    fails,
    hangs,
    raw,
    resets,
    says,
    truncates,
)

__all__ = ["REFUSALS"]

HTML = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def page(status: int) -> Behaviour:
    """A web page in place of an answer."""
    return lambda handler: handler.send(status, HTML, {"content-type": "text/html"})


def refuses_field(name: str, message: str, status: int = 400, **error: Any) -> Behaviour:
    """Refuse requests that have the field, answer the others."""

    def behave(handler: Handler) -> None:
        body = handler.server.seen[-1].body
        there = (
            any(turn["role"] == "system" for turn in body["messages"]) if name == "system" else name in body
        )
        (fails(status, message, **error) if there else says('{"a": 4}'))(handler)

    return behave


def refuses_schema(handler: Handler) -> None:
    """Know the mode that writes any JSON, and no schemas."""
    form = handler.server.seen[-1].body.get("response_format", {})
    if form.get("type") == "json_schema":
        fails(400, "response_format.type must be 'text' or 'json_object'", param="response_format.type")(
            handler
        )
        return
    says('{"a": 4}')(handler)


def limits_tokens(handler: Handler) -> None:
    """Allow no more than 32 tokens of answer."""
    if handler.server.seen[-1].body.get("max_tokens", 0) > 32:
        fails(
            400,
            "max_tokens is too large: 64. This model supports at most 32 completion tokens",
            param="max_tokens",
        )(handler)
        return
    says("four")(handler)


def redirects(handler: Handler) -> None:
    """Be at another path of the same host."""
    if "moved" not in handler.path:
        handler.send(307, "", {"location": f"{handler.server.url}/moved/chat/completions"})
        return
    says("four")(handler)


def leads_elsewhere(handler: Handler) -> None:
    """Be at another host."""
    handler.send(307, "", {"location": "https://elsewhere.example/v1/chat/completions"})


def _error_event(data: Any, name: str = "error") -> str:
    return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}"


CONTEXTS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("OpenAI", 400, {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.", "code": "context_length_exceeded"}),
    ("llama.cpp", 400, {"message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_prompt_tokens": 9001, "n_ctx": 8192}),
    ("vLLM", 400, {"message": "The decoder prompt (length 9001) is longer than the maximum model length of 8192."}),
    ("Ollama", 500, {"message": "the input length exceeds the context length"}),
    ("TGI", 422, {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9001"}),
    ("Anthropic", 400, {"message": "prompt is too long: 209001 tokens > 200000 maximum"}),
    ("Gemini", 400, {"message": "The input token count (9001) exceeds the maximum number of tokens allowed (8192)."}),
    ("LM Studio", 400, {"message": "Trying to keep the first 9001 tokens when context the overflows. However, the model is loaded with context length of only 8192 tokens"}),
    ("Mistral", 400, {"message": "Prompt contains 9001 tokens, too large for model with 8192 maximum context length"}),
    ("Groq", 400, {"message": "Please reduce the length of the messages or completion."}),
)  # fmt: skip

FAILED = (
    Mode(name="error object in the stream", server='`{"error": {…}}` after some text', hal9="failed; retried",
         behaviours=(errs_in_the_stream,), expect=MindBroken, litellm=(MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="object error, then done", server='`{"object": "error"}` after some text, then `[DONE]`', hal9="failed; retried",
         behaviours=(stream(chunk("half "), {"object": "error", "message": "cuda out of memory", "code": 500}),),
         expect=MindBroken, litellm=(MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="error event with detail", server='`event: error` with `{"detail": …}`, then `[DONE]`', hal9="failed; retried",
         behaviours=(stream(chunk("half "), _error_event({"detail": "worker died"})),),
         expect=MindBroken, litellm=(MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="error event in words", server="`event: error` with plain words", hal9="failed; retried",
         behaviours=(stream(chunk("half "), _error_event("worker died")),),
         expect=MindBroken, litellm=(MindBroken, MindUnreachable, MindReplyInvalid), ways=("stream",)),
    Mode(name="error as a string", server='`{"error": "overloaded"}` in the stream', hal9="failed; retried",
         behaviours=(stream(chunk("half "), {"error": "overloaded"}),),
         expect=MindBroken, litellm=(MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="typed error in the stream", server='`{"type": "error", "error": {…}}`, as Anthropic has it', hal9="failed; retried",
         behaviours=(stream(chunk("half "), {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),),
         expect=MindBroken, litellm=(MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="rate limit in the stream", server='`{"error": {"code": 429}}` as the first event', hal9="rate limited; waits",
         behaviours=(stream({"error": {"code": 429, "message": "slow down"}}),),
         expect=MindRateLimited, litellm=(MindRateLimited, MindBroken, MindUnreachable), ways=("stream",)),
    Mode(name="stream cut off", server="the connection ends in the middle", hal9="unreachable; retried",
         behaviours=(cuts_the_stream,), expect=MindUnreachable, litellm=(MindUnreachable, MindBroken), ways=("stream",)),
    Mode(name="event cut off", server="the connection ends in the middle of an event", hal9="unreachable; retried",
         behaviours=(stream(chunk("half "), 'data: {"choices": [{"delta": {"cont', ending="\n", done=False),),
         expect=MindUnreachable, litellm=(MindUnreachable, MindBroken, MindReplyInvalid), ways=("stream",)),
    Mode(name="error with status 200", server='`{"error": {…}}` with status 200', hal9="failed; retried",
         behaviours=(raw('{"error": {"message": "no worker"}}'),), expect=MindBroken,
         litellm=(MindBroken, MindUnreachable, MindReplyInvalid, MindRefusedRequest), ways=("whole",)),
    Mode(name="detail with status 200", server='`{"detail": …}` with status 200', hal9="failed; retried",
         behaviours=(raw('{"detail": "no worker"}'),), expect=MindBroken,
         litellm=(MindBroken, MindUnreachable, MindReplyInvalid, MindRefusedRequest), ways=("whole",)),
    Mode(name="page with status 200", server="an HTML page with status 200", hal9="failed, with the page's title; retried",
         behaviours=(page(200),), expect=MindBroken, litellm=(MindBroken, MindUnreachable, MindReplyInvalid)),
    Mode(name="page with status 502", server="an HTML page with status 502", hal9="failed, with the page's title; retried, not charged",
         behaviours=(page(502),), expect=MindBroken, litellm=(MindBroken, MindUnreachable)),
    Mode(name="no JSON", server="text that is no JSON", hal9="invalid; sampled anew",
         behaviours=(raw("hello"),), expect=MindReplyInvalid, litellm=(MindReplyInvalid, MindUnreachable, MindBroken), ways=("whole",)),
    Mode(name="no choices", server="no choices", hal9="invalid; sampled anew",
         behaviours=(raw('{"choices": [], "usage": {}}'),), expect=MindReplyInvalid,
         litellm=(MindReplyInvalid, MindUnreachable, MindBroken), ways=("whole",)),
    Mode(name="promises too much", server="fewer bytes than it announced", hal9="unreachable; retried",
         behaviours=(truncates,), expect=MindUnreachable, litellm=(MindUnreachable, MindBroken), ways=("whole",)),
    Mode(name="reset", server="resets the connection", hal9="unreachable; retried",
         behaviours=(resets,), expect=MindUnreachable, litellm=(MindUnreachable, MindBroken)),
    Mode(name="silence", server="says nothing", hal9="timeout; tried once more",
         behaviours=(hangs,), expect=MindTimeout, ask={"timeout_seconds": 0.4}, litellm=MindTimeout, ways=("whole",)),
    Mode(name="loading", server="503 `Loading model`, then answers", hal9="waits, up to the request's timeout",
         behaviours=(fails(503, "Loading model", type="unavailable_error"), says("four")),
         expect=both(text("four"), requests(2)), ways=("whole",)),
    Mode(name="overloaded", server="503", hal9="failed; retried, not charged",
         behaviours=(fails(503, "overloaded"),), expect=MindBroken),
    Mode(name="too many requests", server="429", hal9="rate limited; waits as `Retry-After` says, up to 60 s",
         behaviours=(fails(429),), expect=MindRateLimited),
    Mode(name="wrong key", server="401", hal9="names the variable with the key; not retried",
         behaviours=(fails(401),), expect=MindRefusedKey),
    Mode(name="unknown model", server="404", hal9="refused; not retried",
         behaviours=(fails(404, "model not found"),), expect=MindRefusedRequest),
    Mode(name="content policy", server="400 with code `content_filter`", hal9="declined, with the words; not retried",
         behaviours=(fails(400, "blocked by content management policy", code="content_filter"),),
         expect=MindDeclined, litellm=(MindDeclined, MindRefusedRequest)),
    Mode(name="redirect", server="307 to another path of the same host", hal9="followed",
         behaviours=(redirects,), expect=text("four"), ways=("whole",)),
    Mode(name="redirect elsewhere", server="307 to another host", hal9="refused, with the address: prompts go nowhere unasked",
         behaviours=(leads_elsewhere,), expect=MindRefusedRequest,
         litellm=(MindRefusedRequest, MindUnreachable, MindBroken), ways=("whole",)),
    *(
        Mode(name=f"context full, {server}", server=f"{server}'s words for a prompt that is too long",
             hal9="too long, with the numbers where they are told; not retried",
             behaviours=(fails(status, **error),), expect=MindContextExceeded,
             litellm=(MindContextExceeded, MindRefusedRequest, MindBroken), ways=("whole",))
        for server, status, error in CONTEXTS
    ),
)  # fmt: skip

ASKED_AGAIN = (
    Mode(name="no response_format", server="refuses `response_format`", hal9="asked in words from then on",
         behaviours=(refuses_field("response_format", "response_format is not supported by this model"),),
         ask={"schema": SCHEMA}, expect=both(lambda reply, _: reply.parsed == {"a": 4}, last_without("response_format"))),
    Mode(name="no schemas", server="knows `json_object` but no `json_schema`", hal9="`json_object` and the schema in words",
         behaviours=(refuses_schema,), ask={"schema": SCHEMA},
         expect=lambda reply, server: reply.parsed == {"a": 4} and server.seen[-1].body["response_format"] == {"type": "json_object"}),
    Mode(name="no stream_options", server="refuses `stream_options`", hal9="left out from then on",
         behaviours=(refuses_field("stream_options", "Unrecognized request argument supplied: stream_options"),),
         expect=last_without("stream_options"), ways=("stream",)),
    Mode(name="no max_tokens", server="wants `max_completion_tokens`", hal9="written so from then on",
         behaviours=(refuses_field("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", param="max_tokens"),),
         expect=both(last_without("max_tokens"), lambda _, server: server.seen[-1].body["max_completion_tokens"] == 64)),
    Mode(name="fewer tokens", server="allows a shorter answer at most", hal9="asked for so many from then on",
         behaviours=(limits_tokens,), expect=lambda _, server: server.seen[-1].body["max_tokens"] == 32),
    Mode(name="no temperature", server="refuses `temperature`", hal9="left out from then on, with a note",
         behaviours=(refuses_field("temperature", "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is supported.", param="temperature"),),
         expect=both(last_without("temperature"), noted("no temperature"))),
    Mode(name="no seed", server="refuses `seed` (422, pydantic's words)", hal9="left out from then on, with a note",
         behaviours=(refuses_field("seed", "body.seed: Extra inputs are not permitted", 422),), ask={"seed": 7},
         expect=both(last_without("seed"), noted("no seed"))),
    Mode(name="no stop", server="refuses `stop`", hal9="left out, with a note; the answer is cut there by HAL9",
         behaviours=(refuses_field("stop", "Unsupported parameter: 'stop' is not supported with this model.", param="stop"),),
         ask={"stop": (": 4",)}, expect=both(last_without("stop"), lambda reply, _: reply.text == '{"a"')),
    Mode(name="no system role", server="refuses a system message", hal9="put before the question from then on",
         behaviours=(refuses_field("system", "Only user and assistant roles are supported: system role not supported"),),
         expect=lambda _, server: [turn["role"] for turn in server.seen[-1].body["messages"]] == ["user"]),
    Mode(name="no streams", server="refuses `stream`", hal9="asked for the whole answer from then on",
         behaviours=(refuses_field("stream", "streaming is not supported"),), expect=last_without("stream"), ways=("stream",)),
)  # fmt: skip

REFUSALS: tuple[Mode, ...] = (*FAILED, *ASKED_AGAIN)
