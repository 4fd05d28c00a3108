"""What a server does not take, learned from its refusals and remembered as long as this process lives."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.minds.chat.refusals import Complaint

__all__ = ["Habits", "habits_of"]

_REFUSES = re.compile(
    r"not.{0,20}support|unsupported|unrecognized|unknown|unexpected|invalid|extra (?:inputs|fields)|no such"
    r"|not (?:allowed|permitted|implemented|valid)|only the default|does not|deprecated|cannot|can't|must"
    r"|too large|at most|expected|should|instead|only",
    re.IGNORECASE,
)
_WORDS: dict[str, re.Pattern[str]] = {
    "stream_options": re.compile(r"stream_options|include_usage", re.IGNORECASE),
    "response_format": re.compile(
        r"response_format|json_schema|json_object|json mode|structured outputs?|response schema",
        re.IGNORECASE,
    ),
    "max_tokens": re.compile(
        r"max_tokens|max_completion_tokens|max_new_tokens|maximum.{0,20}output tokens", re.IGNORECASE
    ),
    "temperature": re.compile(r"temperature", re.IGNORECASE),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    "stop": re.compile(
        r"['\"`]stop['\"`]|\bstop (?:sequences?|words?|param)|parameter:? stop\b", re.IGNORECASE
    ),
    "tool_choice": re.compile(r"tool_choice|tool choice", re.IGNORECASE),
    "system": re.compile(
        r"system (?:role|message|prompt|instruction)|role.{0,12}system|developer instruction"
        r"|roles? must alternate",
        re.IGNORECASE,
    ),
    "stream": re.compile(r"\bstream(?:ing)?\b", re.IGNORECASE),
}
_TOKENS_AT_MOST = re.compile(
    r"(?:at most|less than or equal to|maximum(?: value)?(?: is)?|no more than|up to|<=|≤|limit(?: is| of)?)"
    r"\D{0,24}(\d{2,})",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Habits:
    """What is left out of, or written otherwise in, requests to one model of one server."""

    left_out: set[str] = field(default_factory=set)
    max_tokens_field: str = "max_tokens"
    most_tokens: int | None = None
    json_mode: str = "json_schema"

    def learn(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        """Change what the next request looks like; False when the complaint names nothing that can go."""
        if complaint.status not in {400, 404, 415, 422, 500, 501}:
            return False
        param = complaint.fields.get("param")
        named = param.split(".")[0].split("[")[0] if isinstance(param, str) else ""
        if not named and not _REFUSES.search(complaint.detail):
            return False
        return any(
            self._change(name, complaint.detail)
            for name, words in _WORDS.items()
            if _sent(name, body)
            and (named in (name, _ALIASES.get(name)) or (not named and words.search(complaint.detail)))
        )

    def _change(self, name: str, detail: str) -> bool:
        if name == "response_format":
            # The weaker form first: a server without schemas may know the mode that writes any JSON.
            steps = {"json_schema": "json_object", "json_object": "none"}
            self.json_mode = steps.get(self.json_mode, "none")
            return True
        if name == "max_tokens":
            limit = _TOKENS_AT_MOST.search(detail)
            if limit and (self.most_tokens is None or int(limit.group(1)) < self.most_tokens):
                self.most_tokens = int(limit.group(1))
            elif self.max_tokens_field == "max_tokens":
                self.max_tokens_field = "max_completion_tokens"
            else:
                self.left_out.add("max_tokens")
            return True
        self.left_out.add(name)
        return True

    def notes(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """What the caller asked for and the server does not take."""
        told = [
            name
            for name in ("temperature", "seed", "stop", "tool_choice")
            if name in self.left_out and name in body
        ]
        return tuple(f"the server takes no {name}" for name in told)


_ALIASES = {"max_tokens": "max_completion_tokens", "system": "messages"}


def _sent(name: str, body: Mapping[str, Any]) -> bool:
    if name == "system":
        return any(turn.get("role") == "system" for turn in body.get("messages", ()))
    if name == "max_tokens":
        return "max_tokens" in body or "max_completion_tokens" in body
    return name in body


_KNOWN: dict[tuple[str, str], Habits] = {}


def habits_of(base_url: str, model: str) -> Habits:
    """The habits of a model at a server, shared by all its clients of this process."""
    return _KNOWN.setdefault((base_url, model), Habits())
