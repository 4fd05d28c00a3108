"""Modes of good servers with habits: how they write what they answer, why they stopped, what it cost."""

import json
from typing import Any

from hal9.errors.minds import MindBroken, MindDeclined, MindReplyInvalid
from tests.minds.fake_openai.mode import Mode, both, estimated, noted, text
from tests.minds.fake_openai.server import USAGE, Behaviour, Handler, says

__all__ = ["ANSWERS"]

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def message(fields: dict[str, Any], finish: Any = "stop", usage: Any = USAGE) -> Behaviour:
    """Answer with a message of these fields, whole or as one chunk."""

    def behave(handler: Handler) -> None:
        ending = {} if finish == "absent" else {"finish_reason": finish}
        kind = "chat.completion"
        more = {} if usage is None else {"usage": usage}
        if handler.server.seen[-1].body.get("stream"):
            handler.start_stream()
            for delta, end in ((fields, {"finish_reason": None}), ({}, ending)):
                choice = {"index": 0, "delta": delta, **end}
                handler.event(
                    {"id": "x", "object": f"{kind}.chunk", "created": 1, "model": "m", "choices": [choice]}
                )
            if more:
                handler.event(
                    {"id": "x", "object": f"{kind}.chunk", "created": 1, "model": "m", "choices": [], **more}
                )
            handler.event("[DONE]")
            return
        choice = {"index": 0, "message": {"role": "assistant", **fields}, **ending}
        body = {"id": "x", "object": kind, "created": 1, "model": "m", "choices": [choice], **more}
        handler.send(200, json.dumps(body))

    return behave


def stream(*events: Any, ending: str = "\n\n", done: bool = True) -> Behaviour:
    """Send these events as they are."""

    def behave(handler: Handler) -> None:
        handler.start_stream()
        for event in events:
            line = event if isinstance(event, str) else "data: " + json.dumps(event)
            handler.wfile.write((line + ending).encode("utf-8", "surrogatepass"))
        if done:
            handler.wfile.write(b"data: [DONE]\n\n")
        handler.wfile.flush()

    return behave


def chunk(content: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {
        "index": 0,
        "delta": {"content": content} if content is not None else {},
        "finish_reason": finish,
    }
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def counts(prompt: Any, completion: Any) -> dict[str, Any]:
    """A usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0}


CUT_JSON = '{"parts": [{"a": 1}, {"a": 2}, {"b'
IGNORES_STREAM = message({"content": "four"})


def ignores_stream(handler: Handler) -> None:
    """A whole answer although a stream was asked for."""
    handler.server.seen[-1].body["stream"] = False
    IGNORES_STREAM(handler)


ANSWERS: tuple[Mode, ...] = (
    Mode(
        name="plain", server="answers well", hal9="the reply", behaviours=(says("four"),), expect=text("four")
    ),
    Mode(
        name="empty data lines",
        server="empty `data:` lines and comments between the chunks",
        hal9="ignored",
        behaviours=(stream(": ping", "data:", chunk("fo"), "data: ", chunk("ur"), chunk(None, "stop")),),
        expect=text("four"),
        ways=("stream",),
        litellm=MindBroken,
    ),
    Mode(
        name="error is null",
        server='`"error": null` in every chunk',
        hal9="no error",
        behaviours=(stream(chunk("four", error=None), chunk(None, "stop", error=None)),),
        expect=text("four"),
        ways=("stream",),
    ),
    Mode(
        name="the same chunk",
        server="the same chunk 150 times, for an array of zeros",
        hal9="the reply",
        behaviours=(stream(*[chunk(" 0,")] * 150, chunk(None, "stop")),),
        expect=text(" 0," * 150),
        ways=("stream",),
    ),
    Mode(
        name="no done",
        server="no `[DONE]` after the finish reason",
        hal9="the reply",
        behaviours=(stream(chunk("four"), chunk(None, "stop"), done=False),),
        expect=text("four"),
        ways=("stream",),
    ),
    Mode(
        name="single newlines",
        server="no empty line between events",
        hal9="the reply",
        behaviours=(stream(chunk("fo"), chunk("ur"), chunk(None, "stop"), "", ending="\n"),),
        expect=text("four"),
        ways=("stream",),
        litellm=MindBroken,
    ),
    Mode(
        name="crlf",
        server="`\\r\\n` after every line",
        hal9="the reply",
        behaviours=(stream(chunk("fo"), chunk("ur"), chunk(None, "stop"), ending="\r\n\r\n"),),
        expect=text("four"),
        ways=("stream",),
    ),
    Mode(
        name="odd separators",
        server="U+2028, U+0085, form feed, a lone carriage return in the text",
        hal9="they stay in the text",
        behaviours=(
            stream(
                "data: " + json.dumps(chunk("a\u2028b\x85c\x0cd\re"), ensure_ascii=False), chunk(None, "stop")
            ),
        ),
        expect=text("a\u2028b\x85c\x0cd\re"),
        litellm=lambda reply, _: reply.text == "a\u2028b\x85c\x0cd\re",
        ways=("stream",),
    ),
    Mode(
        name="stream ignored",
        server="a whole JSON answer although a stream was asked for",
        hal9="the reply",
        behaviours=(ignores_stream,),
        expect=text("four"),
        litellm=(MindReplyInvalid, MindBroken),
        ways=("stream",),
    ),
    Mode(
        name="content in parts",
        server="content as a list of parts",
        hal9="the parts' text",
        behaviours=(message({"content": [{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]}),),
        expect=text("four"),
        ways=("whole",),
        litellm=MindBroken,
    ),
    Mode(
        name="thinking tags",
        server="`<think>…</think>` before the answer",
        hal9="the answer alone; the thinking is kept apart",
        behaviours=(message({"content": "<think>2+2\nis</think>\n\nfour"}),),
        expect=lambda reply, _: reply.text == "four" and "2+2" in reply.thinking,
    ),
    Mode(
        name="thinking without a beginning",
        shown=False,
        server="only `</think>`, as templates make it that open the tag themselves",
        hal9="the answer alone",
        behaviours=(message({"content": "2+2 is\n</think>\nfour"}),),
        expect=text("four"),
    ),
    Mode(
        name="thinking in a field",
        server="`reasoning_content` beside the content",
        hal9="the answer alone; the thinking is kept apart",
        behaviours=(message({"content": "four", "reasoning_content": "2+2"}),),
        expect=lambda reply, _: (reply.text, reply.thinking) == ("four", "2+2"),
    ),
    Mode(
        name="nothing but thinking",
        server="thinks and answers nothing",
        hal9="invalid; sampled anew",
        behaviours=(message({"content": "", "reasoning_content": "hm"}),),
        expect=MindReplyInvalid,
    ),
    Mode(
        name="JSON after an example",
        server="an example object first, the answer last",
        hal9="the last whole object",
        behaviours=(says('Like {"a": 1}? No:\n{"a": 4}'),),
        ask={"schema": SCHEMA},
        expect=lambda reply, _: reply.parsed == {"a": 4},
    ),
    Mode(
        name="JSON in the thinking",
        server="an object inside `<think>`, another after it",
        hal9="the one after it",
        behaviours=(says('<think>{"a": 1}</think>{"a": 4}'),),
        ask={"schema": SCHEMA},
        expect=lambda reply, _: reply.parsed == {"a": 4},
    ),
    Mode(
        name="cut JSON",
        server="an object that was cut off, whole ones inside it",
        hal9="invalid; sampled anew",
        behaviours=(says(CUT_JSON, finish="length"),),
        ask={"schema": SCHEMA},
        expect=MindReplyInvalid,
    ),
    Mode(
        name="lone surrogates",
        server="half of a surrogate pair in the text",
        hal9="replaced by U+FFFD",
        behaviours=(message({"content": "four\ud800"}),),
        expect=text("four\ufffd"),
        litellm=lambda reply, _: reply.text[:4] == "four",
    ),
    *(
        Mode(
            name=f"finish {word!r}",
            server=f"`finish_reason: {json.dumps(word)}`",
            hal9="cut off: `length`",
            behaviours=(message({"content": "fou"}, finish=word),),
            expect=text("fou", "length"),
        )
        for word in ("length", "MAX_TOKENS", "max_tokens", "Length", "model_length", "repetition")
    ),
    Mode(
        name="finish as an object",
        server='`finish_reason: {"type": "max_tokens"}`',
        hal9="cut off: `length`",
        behaviours=(message({"content": "fou"}, finish={"type": "max_tokens"}),),
        expect=text("fou", "length"),
        ways=("whole",),
        litellm=MindBroken,
    ),
    Mode(
        name="finish as a list",
        server='`finish_reason: ["length"]`',
        hal9="cut off: `length`",
        behaviours=(message({"content": "fou"}, finish=["length"]),),
        expect=text("fou", "length"),
        ways=("whole",),
        litellm=MindBroken,
    ),
    Mode(
        name="finish absent",
        server="no `finish_reason`",
        hal9="`other`, with a note; a file that is not closed is not written",
        behaviours=(message({"content": "four"}, finish="absent"),),
        expect=both(text("four", "other"), noted("did not say why")),
        litellm=lambda reply, _: reply.text == "four",
        ways=("whole",),
    ),
    Mode(
        name="finish absent, full",
        server="no `finish_reason`, as many tokens as were allowed",
        hal9="cut off: `length`",
        behaviours=(message({"content": "four"}, finish="absent", usage=counts(25, 64)),),
        expect=text("four", "length"),
        litellm=lambda reply, _: reply.text == "four",
        ways=("whole",),
    ),
    *(
        Mode(
            name=f"finish {word!r}",
            server=f"`finish_reason: {json.dumps(word)}`",
            hal9="failed in the middle; retried",
            behaviours=(message({"content": "fou"}, finish=word),),
            expect=MindBroken,
            litellm=MindBroken,
        )
        for word in ("error", "abort")
    ),
    Mode(
        name="content filter",
        server='`finish_reason: "content_filter"` after some text',
        hal9="declined, with the text",
        behaviours=(message({"content": "fou"}, finish="content_filter"),),
        expect=MindDeclined,
    ),
    Mode(
        name="refusal",
        server="a `refusal` in place of content",
        hal9="declined, with the text",
        behaviours=(message({"content": None, "refusal": "I cannot."}),),
        expect=MindDeclined,
        litellm=(MindDeclined, MindReplyInvalid),
    ),
    Mode(
        name="no usage",
        server="no token counts",
        hal9="upper bounds, marked as estimated",
        behaviours=(message({"content": "four"}, usage=None),),
        expect=estimated,
    ),
    *(
        Mode(
            name=f"usage {name}",
            server=f"{name} token counts",
            hal9="upper bounds, marked as estimated",
            behaviours=(message({"content": "four"}, usage=usage),),
            expect=estimated,
            litellm=lambda reply, _: reply.usage.prompt_tokens > 0 and reply.usage.completion_tokens > 0,
        )
        for name, usage in (
            ("zero", counts(0, 0)),
            ("negative", counts(-25, -7)),
            ("absurd", counts(10**15, 10**15)),
        )
    ),
    Mode(
        name="usage fractional",
        server="fractional token counts",
        hal9="upper bounds, marked as estimated",
        behaviours=(message({"content": "four"}, usage=counts(2.5, 1.5)),),
        expect=estimated,
        litellm=MindBroken,
    ),
    Mode(
        name="cached tokens beyond the prompt",
        server="more cached tokens than prompt tokens",
        hal9="at most the prompt's",
        behaviours=(
            message({"content": "four"}, usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 999}}),
        ),
        expect=lambda reply, _: reply.usage.cached_tokens <= reply.usage.prompt_tokens,
    ),
)
