"""Names and texts from a repository as they may be shown: valid text, one line, nothing a terminal obeys."""

import re
from collections.abc import Iterable

__all__ = ["path_shown_as", "shown", "shown_text"]

_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the reading direction, what is no text at all."""
_ESCAPED_BYTES = (0xDC80, 0xDCFF)


def shown(name: str) -> str:
    """A name on one line: bytes that are no text and unprintable characters as backslash escapes."""
    return name if name.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in name)


def shown_text(text: str) -> str:
    """A text whose lines and tabs stay; what would steer a terminal or is no text becomes an escape."""
    return _UNSHOWN.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if _ESCAPED_BYTES[0] <= code <= _ESCAPED_BYTES[1]:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def path_shown_as(text: str, paths: Iterable[str]) -> str:
    """The path that is shown as `text`, so that what was printed can be given back; else `text` itself."""
    if "\\" not in text:
        return text
    return next((path for path in paths if not path.isprintable() and shown(path) == text), text)
