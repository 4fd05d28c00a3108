"""From a turn's log to the messages a mind reads, within its window.

The messages are a function of the opening and the log, so a resumed turn says byte for byte what it said
before, and each call's messages begin with those of the call before it: providers' prompt caches hit. Only a
fold changes the beginning, and folds are rare: when the window is nearly full, all older observations become
one line each; when that is not enough, older steps become a list of what was done.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hal9.journal.turns import TurnEntry
from hal9.minds.protocol import Message
from hal9.promptgram import estimate_tokens
from hal9.tools.turn_log import reply_message

__all__ = ["Conversation", "action_line"]

_FOLD_AT = 0.7  # share of the window at which observations are folded
_COMPACT_AT = 0.5  # share that must be free again after folding, else older steps are summed up
_KEPT_RESULTS = 4  # the newest results are never folded
_KEPT_ENTRIES = 8  # the newest entries are never summed up
_SAFETY = 1.25  # the estimate may be below the truth by about a fifth


@dataclass(slots=True)
class _Built:
    """The messages of the first entries of a log, and their estimated tokens."""

    entries: list[TurnEntry]
    messages: list[Message]
    tokens: int

    def begins(self, entries: Sequence[TurnEntry]) -> bool:
        """Whether what was built is how the messages of these entries begin."""
        count = len(self.entries)
        if count > len(entries) or (count and entries[count - 1] is not self.entries[-1]):
            return False
        return not any(_folds(entry) for entry in entries[count:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """How one turn's log is shown.

    Attributes:
        opening: system message and task.
        window_tokens: most tokens a prompt may have.
    """

    opening: tuple[Message, ...]
    window_tokens: int
    # Entries never change, and each step reads all of them: only what is new is built.
    _last: list[_Built] = field(default_factory=list, compare=False)

    def messages(self, entries: Sequence[TurnEntry]) -> tuple[Message, ...]:
        """What the mind reads next."""
        return tuple(self._build(entries).messages)

    def _build(self, entries: Sequence[TurnEntry]) -> _Built:
        built = self._last[0] if self._last else None
        if built is None or not built.begins(entries):
            built = self._anew(entries)
            self._last[:] = [built]
        for entry in entries[len(built.entries) :]:
            self._add(built, entry, folded=False)
        return built

    def _anew(self, entries: Sequence[TurnEntry]) -> _Built:
        folded, summed = _latest(entries, "fold"), _latest(entries, "compact")
        found = list(self.opening)
        if summed:
            done = [action_line(entry) for entry in entries[:summed] if entry.kind == "result"]
            told = "\n".join(f"{number}. {line}" for number, line in enumerate(done, start=1))
            found.append(
                Message("user", f"What you have done so far in this task:\n{told}\nGo on from here.")
            )
        built = _Built(list(entries[:summed]), found, sum(_size(message) for message in found))
        for entry in entries[summed:]:
            self._add(built, entry, folded=entry.position < folded)
        return built

    def _add(self, built: _Built, entry: TurnEntry, *, folded: bool) -> None:
        built.entries.append(entry)
        if entry.kind == "reply":
            message = reply_message(entry)
        elif entry.kind == "result":
            message = _result(entry, folded=folded)
        elif entry.body["what"] == "words":
            message = Message("user", entry.body["text"])
        else:
            return
        built.messages.append(message)
        built.tokens += _size(message)

    def next_fold(self, entries: Sequence[TurnEntry]) -> tuple[str, int] | None:
        """What must be folded before the next call: (``fold`` or ``compact``, position), or nothing."""
        if self._share(entries) < _FOLD_AT:
            return None
        results = [entry.position for entry in entries if entry.kind == "result"]
        if len(results) > _KEPT_RESULTS and results[-_KEPT_RESULTS] > _latest(entries, "fold"):
            note = TurnEntry(len(entries), "note", {"what": "fold", "upto": results[-_KEPT_RESULTS]})
            if self._anew([*entries, note]).tokens * _SAFETY / self.window_tokens < _COMPACT_AT:
                return "fold", results[-_KEPT_RESULTS]
        boundary = _boundary(entries)
        if boundary > _latest(entries, "compact"):
            return "compact", boundary
        if len(results) > 1 and results[-1] > _latest(entries, "fold"):
            return "fold", results[-1]
        return None

    def tokens(self, entries: Sequence[TurnEntry]) -> int:
        """Estimated size of the next prompt."""
        return int(self._build(entries).tokens * _SAFETY)

    def _share(self, entries: Sequence[TurnEntry]) -> float:
        return self.tokens(entries) / self.window_tokens


def _result(entry: TurnEntry, *, folded: bool) -> Message:
    text = f"[folded] {action_line(entry)}" if folded else entry.body["observation"]["text"]
    return Message("tool", text, tool_call_id=entry.body["call_id"])


def action_line(entry: TurnEntry) -> str:
    """A result in one line: what was done, how it ended, where its text is."""
    body = entry.body
    observation = body["observation"]
    what = " ".join(str(value) for value in _essence(body["arguments"]))
    what = " ".join(what.split())
    what = what if len(what) <= 160 else what[:159] + "…"
    size = len(observation["full"] or observation["text"])
    ended = observation["summary"] or ("done" if observation["ok"] else "failed")
    return f'{body["tool"]} {what} → {ended} (read "@output/{entry.position}" shows its {size} characters)'


def _essence(arguments: dict[str, Any]) -> list[Any]:
    """The arguments that say what was done, without texts that were written."""
    named = [arguments[key] for key in ("command", "path", "pattern", "question") if arguments.get(key)]
    return named or [value for value in arguments.values() if isinstance(value, str | int | float)][:3]


def _folds(entry: TurnEntry) -> bool:
    return entry.kind == "note" and entry.body["what"] in ("fold", "compact")


def _latest(entries: Sequence[TurnEntry], what: str) -> int:
    notes = [entry.body["upto"] for entry in entries if entry.kind == "note" and entry.body["what"] == what]
    return max(notes, default=0)


def _boundary(entries: Sequence[TurnEntry]) -> int:
    """The newest reply that leaves some entries after it: calls and results stay together."""
    replies = [
        entry.position
        for entry in entries
        if entry.kind == "reply" and entry.position <= len(entries) - _KEPT_ENTRIES
    ]
    return max(replies, default=0)


def _size(message: Message) -> int:
    calls = json.dumps([call.arguments for call in message.tool_calls]) if message.tool_calls else ""
    return estimate_tokens(message.content) + estimate_tokens(calls) + 6
