r"""Text from outside: lines as editors count them, characters that can be stored, and how a file is written.

A line ends with ``\n`` (or ``\r\n``) and nowhere else. `str.splitlines` also cuts at a form feed, a vertical
tab, a lone ``\r``, U+0085, U+2028 and five more; git, compilers and editors do not, and line numbers and
files that are put together again would be wrong.
"""

import codecs
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

__all__ = [
    "TextStyle",
    "clean_text",
    "first_line",
    "span_in_words",
    "split_lines",
    "storable",
    "without_surrogates",
]

_MAX_MATCHED_LINES = 20_000
_CONTAINERS = (dict, list)


def split_lines(text: str, *, keepends: bool = False) -> list[str]:
    r"""The lines of a text; one that ends with a line break has no empty line after it.

    Args:
        text: any text.
        keepends: whether each line keeps its ``\n`` or ``\r\n``; joined, they are the text again.
    """
    lines = text.split("\n")
    last = lines.pop()
    lines = [line + "\n" for line in lines] if keepends else [line.removesuffix("\r") for line in lines]
    return [*lines, last] if last else lines


def first_line(text: str) -> str:
    """The first line that is not blank, without blanks around it; empty when there is none."""
    return next((line.strip() for line in split_lines(text) if line.strip()), "")


def span_in_words(seconds: float, *, decimals: int = 1) -> str:
    """A span of time in the largest unit that fits: 0.4 s, 12 s, 3 min, 2.5 h, 1.1 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.{decimals}f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.{decimals}f} s" if seconds < 10 else f"{seconds:.0f} s"


def without_surrogates(text: str) -> str:
    r"""The text as UTF-8 can hold it: pairs of surrogates joined, lone ones replaced by U+FFFD.

    JSON may carry them (``"\\ud83d"``), and so may names of files and arguments of programs.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_text(text: str) -> str:
    """Any text as databases and programs take it: no lone surrogates, no NUL."""
    return without_surrogates(text).replace("\0", "\ufffd")


def storable(value: Any) -> Any:
    """A value of strings, lists and mappings with every text as UTF-8 can hold it; unchanged when all are."""
    return value if _is_storable(value) else _made_storable(value)


def _is_storable(value: Any) -> bool:
    # Every signal and record passes here: almost all are fine, and to see that must cost little.
    if isinstance(value, str):
        return value.isascii() or without_surrogates(value) is value
    if isinstance(value, dict):
        return _are_storable(value) and _are_storable(value.values())
    return _are_storable(value) if isinstance(value, list) else True


def _are_storable(values: Iterable[Any]) -> bool:
    for value in values:
        if isinstance(value, str):
            if not value.isascii() and without_surrogates(value) is not value:
                return False
        elif value and isinstance(value, _CONTAINERS) and not _is_storable(value):
            return False
    return True


def _made_storable(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, dict):
        return {_made_storable(key): _made_storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_made_storable(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class TextStyle:
    r"""How a text file is written: what an edit by a model must not change by the way.

    Attributes:
        bom: whether it begins with the UTF-8 byte order mark.
        newline: the ending of most lines.
        final_newline: whether the last line has one.
        mixed: whether other lines end otherwise.
    """

    bom: bool = False
    newline: Literal["\n", "\r\n"] = "\n"
    final_newline: bool = True
    mixed: bool = False

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The style of a file's bytes; an empty file has that of a new one."""
        if not data:
            return cls()
        crlf = data.count(b"\r\n")
        bare = data.count(b"\n") - crlf
        return cls(
            bom=data.startswith(codecs.BOM_UTF8),
            newline="\r\n" if crlf > bare else "\n",
            final_newline=data.endswith(b"\n"),
            mixed=bool(crlf and bare),
        )

    def rewrite(self, text: str, before: str = "") -> bytes:
        r"""A new text of the file in the file's own style.

        Args:
            text: what it shall hold, with any line endings.
            before: what it held; in a file of mixed endings, lines that stay keep theirs.
        """
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
        if plain and self.final_newline and not plain.endswith("\n"):
            plain += "\n"
        elif not self.final_newline:
            plain = plain.removesuffix("\n")
        written = self._with_own_endings(plain, before) if self.mixed else plain.replace("\n", self.newline)
        return (codecs.BOM_UTF8 if self.bom else b"") + without_surrogates(written).encode()

    def _with_own_endings(self, plain: str, before: str) -> str:
        old = split_lines(before.removeprefix("\ufeff"), keepends=True)
        new = split_lines(plain, keepends=True)
        written = [line.removesuffix("\n") + self.newline if line.endswith("\n") else line for line in new]
        if max(len(old), len(new)) <= _MAX_MATCHED_LINES:
            bare = [line.replace("\r\n", "\n") for line in old]
            matcher = difflib.SequenceMatcher(None, bare, new, autojunk=False)
            for start, here, size in matcher.get_matching_blocks():
                written[here : here + size] = old[start : start + size]
        return "".join(written)
