"""An answer put together from one message or from the chunks of a stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.minds import MindBroken, MindDeclined, MindUnreachable
from hal9.minds.chat.counts import believed_counts
from hal9.minds.chat.finish_reason import read_finish
from hal9.minds.protocol import OnToken, Reply, Request, StopReason, Usage
from hal9.minds.thoughts import ThoughtFilter, split_thoughts
from hal9.minds.tool_wire import CallDeltas, read_calls
from hal9.text import without_surrogates

__all__ = ["Answer", "assembled", "stop_reason"]

_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")
_ECHOED = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "reasoning_items")
"""Fields of an assistant's turn that some servers want back with its tool calls."""


@dataclass(slots=True)
class Answer:
    """What has arrived of an answer."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    finish: Any = None
    finished: bool = False
    usage: Any = None
    calls: CallDeltas = field(default_factory=CallDeltas)
    echo: dict[str, Any] = field(default_factory=dict)
    _filter: ThoughtFilter = field(default_factory=ThoughtFilter)

    def take(self, data: Mapping[str, Any], on_token: OnToken | None) -> None:
        """Add a whole answer or one chunk; new text of the answer goes to `on_token`."""
        if isinstance(data.get("usage"), Mapping):
            self.usage = data["usage"]
        choices = data.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
            return
        choice = choices[0]
        if choice.get("finish_reason") not in (None, ""):
            self.finish, self.finished = choice["finish_reason"], True
        for name in ("delta", "message"):
            piece = choice.get(name)
            if isinstance(piece, Mapping):
                self._add(piece, on_token)
        if isinstance(choice.get("text"), str) and "message" not in choice and "delta" not in choice:
            self._say(choice["text"], on_token)

    def end(self, on_token: OnToken | None) -> None:
        """The answer is over: what was held back as possible thinking is shown."""
        held = self._filter.rest()
        if held and on_token is not None:
            on_token(held)

    def _add(self, message: Mapping[str, Any], on_token: OnToken | None) -> None:
        self.calls.take(message.get("tool_calls"))
        if isinstance(message.get("function_call"), Mapping):
            self.calls.take([{"index": 0, "function": message["function_call"]}])
        if isinstance(message.get("refusal"), str):
            self.refusal += message["refusal"]
        told = next((message[name] for name in _THINKING_FIELDS if isinstance(message.get(name), str)), "")
        self.thinking += told
        for name in _ECHOED:
            value = message.get(name)
            if isinstance(value, str):
                self.echo[name] = f"{self.echo.get(name, '')}{value}"
            elif isinstance(value, list):
                self.echo[name] = [*self.echo.get(name, []), *value]
        content = message.get("content")
        if isinstance(content, str):
            self._say(content, on_token)
        elif isinstance(content, list):
            for part in content:
                self._add_part(part, on_token)

    def _add_part(self, part: Any, on_token: OnToken | None) -> None:
        if isinstance(part, str):
            self._say(part, on_token)
            return
        if not isinstance(part, Mapping):
            return
        text = part.get("text")
        if isinstance(text, Mapping):
            text = text.get("value")
        if part.get("type") in {"thinking", "reasoning"} or isinstance(part.get("thinking"), (str, list)):
            inner = part.get("thinking", text)
            if isinstance(inner, list):
                inner = "".join(str(item.get("text", "")) for item in inner if isinstance(item, Mapping))
            self.thinking += str(inner or "")
        elif part.get("type") == "refusal":
            self.refusal += str(part.get("refusal", ""))
        elif isinstance(text, str):
            self._say(text, on_token)

    def _say(self, piece: str, on_token: OnToken | None) -> None:
        self.text += piece
        shown = self._filter.feed(piece)
        if shown and on_token is not None:
            on_token(without_surrogates(shown))


def assembled(
    answer: Answer,
    request: Request,
    mind: str,
    dollars: Callable[[int, int], float | None],
    *,
    seconds: float,
    notes: tuple[str, ...],
) -> Reply:
    """The reply an answer amounts to.

    Args:
        answer: what arrived.
        request: what was asked.
        mind: named in the reply.
        dollars: the price of prompt and completion tokens, None when unknown.
        seconds: how long it took.
        notes: what the provider did not take.

    Raises:
        MindDeclined: the model or a filter of the provider refused; carries the text.
        MindBroken: the server says that it failed while writing.
    """
    thoughts, text = split_thoughts(without_surrogates(answer.text))
    thinking = "\n".join(part for part in (without_surrogates(answer.thinking).strip(), thoughts) if part)
    if thinking:
        text = text.lstrip("\n")
    written = f"{answer.text}{answer.thinking}{answer.refusal}{answer.calls.whole()}"
    counts = believed_counts(answer.usage, request, written)
    usage = Usage(
        prompt_tokens=counts.prompt,
        completion_tokens=counts.completion,
        cached_tokens=counts.cached,
        usd=dollars(counts.prompt, counts.completion),
        seconds=seconds,
        estimated=bool(counts.why),
    )
    if counts.why and answer.usage is not None:
        notes = (*notes, counts.why)
    calls, extras = read_calls(answer.calls.whole(), request)
    if answer.refusal and not text and not calls:
        raise MindDeclined(mind=mind, reason="refusal", text=without_surrogates(answer.refusal), usage=usage)
    reason, more = stop_reason(
        answer.finish, mind=mind, text=text, usage=usage, max_tokens=request.max_tokens, called=bool(calls)
    )
    text, cut = _cut_at(text, request.stop)
    kept = {name: value for name, value in answer.echo.items() if value}
    return Reply(
        text=text,
        mind=mind,
        usage=usage,
        stop_reason="stop" if cut else reason,
        notes=notes + more,
        tool_calls=calls,
        echo={"mind": mind, "message": kept, "calls": extras} if calls and (kept or extras) else None,
        thinking=thinking,
    )


def _cut_at(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """The text up to a stop word: servers that know no `stop` write on, others keep it in the answer."""
    ends = [place for word in stop if word and (place := text.find(word)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)


def stop_reason(
    told: Any, *, mind: str, text: str, usage: Usage, max_tokens: int, called: bool
) -> tuple[StopReason, tuple[str, ...]]:
    """Why the answer ended, and notes about it; when in doubt it was cut.

    Raises:
        MindDeclined: a filter or the model itself stopped it.
        MindBroken: the server failed.
    """
    meaning, word = read_finish(told)
    if meaning == "declined":
        raise MindDeclined(mind=mind, reason=word, text=text, usage=usage)
    if meaning == "failed":
        raise MindBroken(mind=mind, status=500, detail=f"it stopped in the middle with {word!r}", usage=usage)
    if meaning == "length":
        return "length", (() if word == "length" else (f"the server stopped with {word!r}",))
    full = not usage.estimated and usage.completion_tokens >= max_tokens
    if meaning == "absent":
        note = "the server did not say why it stopped"
        return ("length", (note,)) if full else ("tool_calls" if called else "other", (note,))
    if meaning == "other":
        return "other", (f"the server stopped with the unknown reason {word!r}",)
    return ("tool_calls" if called else "stop"), ()


def ended_in_the_middle(mind: str) -> MindUnreachable:
    """The error for a stream that ends without having said that it is over."""
    return MindUnreachable(mind=mind, detail="the stream ended in the middle of the answer")
