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


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """How one turn's log is shown.

    Attributes:
        opening: system message and task.
        window_tokens: most tokens a prompt may have.
    """

    opening: tuple[Message, ...]
    window_tokens: int
    # By position and whether folded: entries never change, and each step reads all of them.
    _shown: dict[tuple[int, bool], Message] = field(default_factory=dict, compare=False)
    _sizes: dict[int, tuple[Message, int]] = field(default_factory=dict, compare=False)

    def messages(self, entries: Sequence[TurnEntry]) -> tuple[Message, ...]:
        """What the mind reads next."""
        folded, summed = _latest(entries, "fold"), _latest(entries, "compact")
        found = list(self.opening)
        if summed:
            done = [action_line(entry) for entry in entries[:summed] if entry.kind == "result"]
            told = "\n".join(f"{number}. {line}" for number, line in enumerate(done, start=1))
            found.append(
                Message("user", f"What you have done so far in this task:\n{told}\nGo on from here.")
            )
        for entry in entries[summed:]:
            if entry.kind in ("reply", "result"):
                found.append(self._message(entry, folded=entry.position < folded))
            elif entry.body["what"] == "words":
                found.append(Message("user", entry.body["text"]))
        return tuple(found)

    def _message(self, entry: TurnEntry, *, folded: bool) -> Message:
        key = (entry.position, folded and entry.kind == "result")
        if key not in self._shown:
            self._shown[key] = (
                reply_message(entry) if entry.kind == "reply" else _result(entry, folded=folded)
            )
        return self._shown[key]

    def next_fold(self, entries: Sequence[TurnEntry]) -> tuple[str, int] | None:
        """What must be folded before the next call: (``fold`` or ``compact``, position), or nothing."""
        if self._share(entries) < _FOLD_AT:
            return None
        results = [entry.position for entry in entries if entry.kind == "result"]
        if len(results) > _KEPT_RESULTS and results[-_KEPT_RESULTS] > _latest(entries, "fold"):
            note = TurnEntry(len(entries), "note", {"what": "fold", "upto": results[-_KEPT_RESULTS]})
            if self._share([*entries, note]) < _COMPACT_AT:
                return "fold", results[-_KEPT_RESULTS]
        boundary = _boundary(entries)
        if boundary > _latest(entries, "compact"):
            return "compact", boundary
        if len(results) > 1 and results[-1] > _latest(entries, "fold"):
            return "fold", results[-1]
        return None

    def tokens(self, entries: Sequence[TurnEntry]) -> int:
        """Estimated size of the next prompt."""
        return int(sum(self._size(message) for message in self.messages(entries)) * _SAFETY)

    def _size(self, message: Message) -> int:
        known = self._sizes.get(id(message))
        if known is None or known[0] is not message:
            known = self._sizes[id(message)] = (message, _size(message))
        return known[1]

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
