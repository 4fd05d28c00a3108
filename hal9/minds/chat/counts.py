"""Token counts that providers report, believed only where they can be true."""

import math
from dataclasses import dataclass
from typing import Any

from hal9.minds.prices import bound_tokens
from hal9.minds.protocol import Request

__all__ = ["Counts", "believed_counts", "believed_dollars"]

_LONGEST_TOKEN_BYTES = 160
"""Runs of blanks make the longest tokens; ordinary text has about four bytes a token."""

_HIDDEN_PROMPT_TOKENS = 20_000
"""A provider's own instructions and tool descriptions, which count as prompt."""

_HIDDEN_ANSWER_FACTOR = 8
"""Thinking counts as completion, and some servers do not keep to `max_tokens` for it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one call. `why` tells why they are our own upper bounds; empty for the provider's."""

    prompt: int
    completion: int
    cached: int
    why: str = ""


def believed_counts(reported: Any, request: Request, written: str) -> Counts:
    """The reported counts if they are plausible, else upper bounds.

    Args:
        reported: what came as `usage`, whatever it is.
        request: what was asked.
        written: everything the model wrote: text, thinking, arguments of calls.
    """
    bound = bound_tokens(request.messages, request.tools)
    size = len(written.encode("utf-8", "replace"))
    usage = reported if isinstance(reported, dict) else {}
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    why = ""
    if prompt is None or completion is None:
        why = "the server reported no usable token counts"
    elif not max(1, bound // _LONGEST_TOKEN_BYTES) <= prompt <= 2 * bound + _HIDDEN_PROMPT_TOKENS:
        why = f"the server's count of {prompt} prompt tokens cannot be true"
    elif not size / _LONGEST_TOKEN_BYTES <= completion <= _most_written(request, size):
        why = f"the server's count of {completion} completion tokens cannot be true"
    if why or prompt is None or completion is None:
        return Counts(bound, min(request.max_tokens, size), 0, why)
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Counts(prompt, completion, min(cached or 0, prompt))


def _most_written(request: Request, size: int) -> int:
    return _HIDDEN_ANSWER_FACTOR * max(request.max_tokens, size) + _HIDDEN_PROMPT_TOKENS


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value) or value < 0 or value != int(value):
        return None
    return int(value)


def believed_dollars(value: Any) -> float | None:
    """A reported price if it is one: finite and not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
