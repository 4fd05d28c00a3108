"""What a model writes for itself before it answers: told apart from the answer, whole and in a stream."""

import re
from dataclasses import dataclass, field

__all__ = ["ThoughtFilter", "split_thoughts", "without_thoughts"]

_TAGS = ("think", "thinking", "thought", "reasoning", "seed:think")
_OPEN = re.compile(rf"\s*<({'|'.join(_TAGS)})>", re.IGNORECASE)
_CLOSE_ALONE = re.compile(rf"</({'|'.join(_TAGS)})>\s*?(?:\n|$)", re.IGNORECASE)
_ANYWHERE = re.compile(rf"<({'|'.join(_TAGS)})>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_LONGEST_OPENING = max(len(tag) for tag in _TAGS) + 2


def split_thoughts(text: str) -> tuple[str, str]:
    """Thoughts and answer of a reply.

    Thoughts stand at the beginning, between tags; a chat template may have written the opening tag into the
    prompt, so that the reply has the closing one alone. Tags further on belong to the answer: a program
    that handles such tags must come through.
    """
    thoughts: list[str] = []
    rest = text
    while (opening := _OPEN.match(rest)) is not None:
        closing = re.compile(rf"</{re.escape(opening.group(1))}>", re.IGNORECASE).search(rest, opening.end())
        if closing is None:
            return "\n".join([*thoughts, rest[opening.end() :].strip()]), ""
        thoughts.append(rest[opening.end() : closing.start()].strip())
        rest = rest[closing.end() :]
    if not thoughts and (alone := _CLOSE_ALONE.search(text)) is not None:
        before = text[: alone.start()]
        if "```" not in before and "~~~" not in before and not _ANYWHERE.search(before) and before.strip():
            thoughts.append(before.strip())
            rest = text[alone.end() :]
    return "\n".join(thoughts), rest.lstrip("\n") if thoughts else rest


def without_thoughts(text: str) -> str:
    """The text with nothing between thinking tags, wherever they stand; for finding JSON in prose."""
    return _ANYWHERE.sub("", split_thoughts(text)[1])


@dataclass(slots=True)
class ThoughtFilter:
    """Passes on the pieces of a stream that belong to the answer."""

    _held: str = ""
    _tag: str = ""
    _open: bool = field(default=True)

    def feed(self, piece: str) -> str:
        """Take a piece; returns what of the text so far can be shown."""
        if not self._open:
            return piece
        self._held += piece
        while True:
            if self._tag:
                end = self._held.lower().find(f"</{self._tag}>")
                if end < 0:
                    return ""
                self._held = self._held[end + len(self._tag) + 3 :].lstrip("\n")
                self._tag = ""
            opening = _OPEN.match(self._held)
            if opening is None:
                break
            self._tag = opening.group(1).lower()
            self._held = self._held[opening.end() :]
        start = self._held.lstrip()
        if not start or (
            len(start) < _LONGEST_OPENING and any(f"<{tag}>".startswith(start.lower()) for tag in _TAGS)
        ):
            return ""
        self._open = False
        shown, self._held = self._held, ""
        return shown

    def rest(self) -> str:
        """What was held back when the stream ended outside of thoughts."""
        held, self._held = self._held, ""
        return "" if self._tag else held
