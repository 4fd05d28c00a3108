"""Errors over HTTP: problem details (RFC 9457) that carry the same typed error as the command line.

{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no task 'x'; …",
 "error": "cluster.TaskUnknown", "facts": {"given": "x", "matches": []}, "exit_code": 7}
"""

import importlib
import json
import re
from http import HTTPStatus
from typing import Any

from hal9.errors.api import RateExceeded, ServerRefused, TokenRefused
from hal9.errors.base import ConfigError, Hal9Error, LimitError, MindError

__all__ = ["MEDIA_TYPE", "error_of", "headers_of", "problem_of", "status_of"]

MEDIA_TYPE = "application/problem+json"
_CONFLICTS = (
    *("Finished", "Unfinished", "Stale", "Exists", "Running", "NotQueued"),
    *("Decided", "Conflict", "Taken", "State"),
)
_BY_NAME = (
    (("Unknown", "Missing", "Absent", "NotFound"), 404),
    (_CONFLICTS, 409),
    (("NotRunning", "Unavailable", "Unreachable"), 503),
)


def status_of(error: Hal9Error) -> int:
    """The HTTP status an error is told with: its own, else by what its name says."""
    own = getattr(type(error), "status", None)
    if isinstance(own, int):
        return own
    name = type(error).__name__
    if name.endswith("NotRunning"):
        return 503
    for endings, status in _BY_NAME:
        if name.endswith(endings):
            return status
    if isinstance(error, LimitError):
        return 429
    if isinstance(error, MindError):
        return 502
    return 500 if isinstance(error, ConfigError) else 422


def problem_of(error: Hal9Error) -> dict[str, Any]:
    """The body of an error's response."""
    status = status_of(error)
    kind = type(error)
    facts = {
        name: value
        for name, value in vars(error).items()
        if isinstance(value, str | int | float | bool | list | tuple | None)
    }
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message(),
        "error": f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}",
        "facts": facts,
        "exit_code": kind.exit_code,
    }


def headers_of(error: Hal9Error) -> dict[str, str]:
    """What a status wants told in headers."""
    if isinstance(error, TokenRefused):
        return {"WWW-Authenticate": 'Bearer realm="hal9"'}
    if isinstance(error, RateExceeded):
        return {"Retry-After": str(max(1, round(error.retry_after)))}
    return {}


def error_of(status: int, body: bytes) -> Hal9Error:
    """The error that a response tells: the very class if this version knows it, else the server's words."""
    try:
        told = json.loads(body)
        name, detail, facts = str(told["error"]), str(told["detail"]), dict(told["facts"])
    except (ValueError, KeyError, TypeError):
        text = " ".join(body.decode("utf-8", "replace").split())[:300]
        return ServerRefused(text=text or "the server gave no reason", code=status)
    return _rebuilt(name, facts, detail) or ServerRefused(text=detail, code=status)


def _rebuilt(name: str, facts: dict[str, Any], detail: str) -> Hal9Error | None:
    matched = re.fullmatch(r"([a-z]{1,30})\.([A-Za-z]{1,60})", name)
    if matched is None:
        return None
    try:
        kind = getattr(importlib.import_module(f"hal9.errors.{matched[1]}"), matched[2], None)
    except ModuleNotFoundError:
        return None
    if not (isinstance(kind, type) and issubclass(kind, Hal9Error)):
        return None
    try:
        error = kind(**{key: tuple(one) if isinstance(one, list) else one for key, one in facts.items()})
        # A fact that did not travel, or another version's wording: then the server's words count.
        return error if error.message() == detail else None
    except Exception:  # noqa: BLE001 - what a server sends must never end in a traceback here
        return None
