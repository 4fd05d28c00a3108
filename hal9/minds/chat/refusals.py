"""Errors as servers tell them, in whatever form and with whatever status, turned into typed ones."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.base import MindError
from hal9.errors.minds import (
    MindBroken,
    MindContextExceeded,
    MindDeclined,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    ToolsUnsupported,
)
from hal9.minds.retries import retry_after_seconds

__all__ = ["Complaint", "complaint_in", "complaint_of", "is_context_complaint", "typed"]

_CONTEXT = re.compile(
    r"context.{0,20}(?:length|window|size).{0,40}exceed"
    r"|exceed\w*.{0,60}(?:context|maximum number of (?:input )?tokens)"
    r"|maximum (?:context|prompt|input|model) length|maximum (?:number of )?(?:input )?tokens (?:allowed|is)"
    r"|prompt is too long|input is too long|too many (?:input )?tokens|longer than the (?:maximum )?model"
    r"|context the overflows|greater than the context|reduce the length of the (?:messages|prompt|input)"
    r"|input token count.{0,40}exceeds|`inputs` tokens.{0,40}must be|too large for model with"
    r"|prompt.{0,40}(?:exceeds|larger than).{0,40}(?:n_ctx|context)|requested tokens.{0,40}exceed",
    re.IGNORECASE | re.DOTALL,
)
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_ANSWER_TOO_LONG = re.compile(
    r"max(?:imum)?_?(?:completion_|output_|new_)?tokens.{0,40}(?:too large|at most|must be)", re.IGNORECASE
)
_DECLINED_CODES = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
}
_TOOLS = re.compile(r"\btools?\b|tool_choice|tool choice|function.?call", re.IGNORECASE)
_NOT_TAKEN = re.compile(
    r"not.{0,20}support|unsupported|requires? |enable|unknown|unexpected|unrecognized"
    r"|not (?:allowed|permitted)|extra (?:inputs|fields)|does not have|is not available|not implemented",
    re.IGNORECASE,
)
_NUMBER_OF_TOKENS = re.compile(r"(\d[\d,]{2,})")
_PROXY_OR_DOWN = frozenset({502, 503, 504, 520, 521, 522, 523, 524, 529})


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server complains of: its words, and the fields of its error object."""

    status: int
    detail: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The error's code or type, in lower case; empty when there is none."""
        inner = self.fields.get("innererror")
        codes = [inner.get("code") if isinstance(inner, Mapping) else None]
        codes += [self.fields.get("code"), self.fields.get("type")]
        return next((code.lower() for code in codes if isinstance(code, str) and code), "")

    @property
    def loading(self) -> bool:
        """Whether the server is about to be ready: a model that is still being loaded."""
        return self.status == 503 and bool(
            re.search(
                r"loading|warming|starting|initiali[sz]ing|unavailable_error",
                f"{self.detail} {self.code}",
                re.IGNORECASE,
            )
        )


def complaint_of(status: int, text: str) -> Complaint:
    """The complaint in an error response's body, whatever its form."""
    try:
        data = json.loads(text)
    except ValueError:
        return Complaint(status, _plain(text))
    if isinstance(data, list) and data:
        data = data[0]
    found = complaint_in(data, status) if isinstance(data, Mapping) else None
    return found if found is not None else Complaint(status, _plain(text))


def complaint_in(data: Mapping[str, Any], status: int = 200, event: str = "") -> Complaint | None:
    """The complaint that an object or a stream's event is, or None for an answer.

    Args:
        data: the object.
        status: the response's status; an error's own numeric code goes before 200.
        event: the event's name.
    """
    error = data.get("error")
    if not error:
        named = data.get("object") == "error" or data.get("type") == "error" or event == "error"
        bare = "choices" not in data and any(data.get(key) for key in ("detail", "message", "errors", "msg"))
        if not (named or (bare and "usage" not in data)):
            return None
        error = data
    if isinstance(error, list):
        error = error[0] if error else ""
    fields = error if isinstance(error, Mapping) else {}
    detail = next(
        (fields[key] for key in ("message", "detail", "msg", "error", "errors") if fields.get(key)), None
    )
    if detail is None:
        detail = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
    text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    if status == 200:
        told = next(
            (fields.get(key) for key in ("code", "status", "status_code") if _is_status(fields.get(key))),
            None,
        )
        status = int(told) if told is not None else 500
    return Complaint(status, _plain(text), fields)


def _is_status(value: Any) -> bool:
    return str(value).isdigit() and 400 <= int(value) < 600


def _plain(text: str) -> str:
    """Readable words of a body; of an HTML page its title."""
    if re.match(r"\s*(?:<!doctype|<html|<head|<\?xml)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"a web page: {title.group(1).strip()[:200]}" if title else "a web page without a title"
    return text.strip()[:300] or "no details"


def is_context_complaint(detail: str, code: str = "") -> bool:
    """Whether words or a code say that a prompt does not fit the model's context."""
    if code in _CONTEXT_CODES:
        return True
    answer_alone = _ANSWER_TOO_LONG.search(detail) is not None and "inputs" not in detail
    return _CONTEXT.search(detail) is not None and not answer_alone


def typed(
    complaint: Complaint, *, mind: str, key_variable: str, retry_after: str | None, tools: bool
) -> MindError:
    """The error a complaint is.

    Args:
        complaint: what the server said.
        mind: named in the error.
        key_variable: where the user sets the key.
        retry_after: the response's header of that name.
        tools: whether tools were offered.
    """
    status, detail, code = complaint.status, complaint.detail, complaint.code
    if code in _DECLINED_CODES:
        return MindDeclined(mind=mind, reason=code, text=detail)
    if status == 413 or (status not in {429, 401, 403} and is_context_complaint(detail, code)):
        asked, room = _context_numbers(complaint)
        return MindContextExceeded(mind=mind, prompt_tokens=asked, context_tokens=room)
    if (
        tools
        and status in {400, 404, 405, 422, 500, 501}
        and _TOOLS.search(detail)
        and _NOT_TAKEN.search(detail)
    ):
        return ToolsUnsupported(mind=mind, detail=detail, instead="constrained")
    return _by_status(complaint, mind=mind, key_variable=key_variable, retry_after=retry_after)


def _by_status(complaint: Complaint, *, mind: str, key_variable: str, retry_after: str | None) -> MindError:
    status, detail = complaint.status, complaint.detail
    wait = retry_after_seconds(retry_after, now=time.time())
    if status == 429 or complaint.code in {"rate_limit_exceeded", "insufficient_quota"}:
        return MindRateLimited(mind=mind, detail=detail, retry_after=wait)
    if status in {401, 403, 407}:
        return MindRefusedKey(mind=mind, detail=detail, variable=key_variable)
    if status in {408, 409, 425} or status >= 500:
        return MindBroken(
            mind=mind, status=status, detail=detail, retry_after=wait, computed=status not in _PROXY_OR_DOWN
        )
    return MindRefusedRequest(mind=mind, status=status, detail=detail)


def _context_numbers(complaint: Complaint) -> tuple[int | None, int | None]:
    """Prompt and room in tokens, where they are told."""
    told = complaint.fields.get("n_prompt_tokens"), complaint.fields.get("n_ctx")
    if isinstance(told[0], int) and isinstance(told[1], int):
        return told[0], told[1]
    numbers = sorted({int(found.replace(",", "")) for found in _NUMBER_OF_TOKENS.findall(complaint.detail)})
    return (numbers[-1], numbers[0]) if len(numbers) == 2 else (None, None)
