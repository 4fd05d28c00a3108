r"""Changing a part of a text: an exact replacement or a unified diff; a miss tells the nearest lines.

Line endings, byte order mark and the final newline of the text stay as they are: an edit in `\n` applies to
a file in `\r\n`, and what it inserts gets the file's own line endings.
"""

import difflib
import re
from dataclasses import dataclass
from itertools import pairwise

from hal9.errors.tools import EditMissed

__all__ = ["Edit", "apply_diff", "nearest_lines", "replace_text", "split_diff"]

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_BARE_HUNK = re.compile(r"^@@(?!@)")
_SHOWN_LINES = 12
_MAX_COMPARED_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed text, the lines that changed in it (first and last, from 1), and what was lenient."""

    text: str
    first_line: int
    last_line: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Hunk:
    start: int  # the line it says it begins at, 0 when it does not say
    old: tuple[str, ...]
    new: tuple[str, ...]


def replace_text(text: str, old: str, new: str, *, path: str, every: bool = False) -> Edit:
    """Replace `old` where it stands exactly once (or everywhere).

    Lines that differ only in blanks at their end are taken as the same.

    Raises:
        EditMissed: it stands nowhere or more than once, or nothing would change.
    """
    if not old:
        raise EditMissed(path=path, problem="`old` is empty; give the exact lines to replace, or use write")
    ending = _line_ending(text)
    old, new = _with_ending(old, ending), _with_ending(new, ending)
    if old == new:
        raise EditMissed(path=path, problem="`old` and `new` are the same")
    count = text.count(old)
    if count == 1 or (every and count > 1):
        first = _line_of(text, text.index(old))
        changed = text.replace(old, new)
        return Edit(changed, first, first + new.count("\n") - (1 if new.endswith("\n") else 0))
    if count > 1:
        lines = ", ".join(str(line) for line in _occurrences(text, old)[:10])
        raise EditMissed(
            path=path,
            problem=f"the text to replace stands there {count} times (lines {lines}); "
            "give more lines around it, so that it is unique",
        )
    loose = _replace_lines(text, old, new, ending)
    if loose is not None:
        return loose
    raise EditMissed(path=path, problem=f"the text to replace is not in it.{nearest_lines(text, old)}")


def apply_diff(text: str, diff: str, *, path: str) -> Edit:
    """Apply the hunks of a unified diff for one file; line numbers are only a hint.

    Raises:
        EditMissed: no hunk, or the old lines of a hunk are not in the text (all hunks or none apply).
    """
    hunks = _hunks(diff)
    if not hunks:
        raise EditMissed(path=path, problem="the diff has no hunk; a hunk begins with a line @@ -1,3 +1,3 @@")
    ending = _line_ending(text)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = text.removeprefix(mark).split(ending)
    first, last, shift = len(lines), 0, 0
    for number, hunk in enumerate(hunks, start=1):
        place = _place(lines, hunk, hunk.start - 1 + shift)
        if place is None:
            wanted = ending.join(hunk.old)
            raise EditMissed(
                path=path,
                problem=f"the old lines of hunk {number} are not in it.{nearest_lines(text, wanted)}",
            )
        lines[place : place + len(hunk.old)] = hunk.new
        shift += len(hunk.new) - len(hunk.old)
        first = min(first, place + 1)
        last = max(last, place + len(hunk.new))
    changed = mark + ending.join(lines)
    if changed == text:
        raise EditMissed(path=path, problem="the diff changes nothing")
    return Edit(changed, first, max(last, first))


def split_diff(diff: str) -> list[tuple[str, str]]:
    """The files of a unified diff: path after the change ("" for a deleted file) and the hunks' text."""
    found: list[tuple[str, str]] = []
    lines = diff.split("\n")
    heads = [
        index
        for index, (line, following) in enumerate(pairwise(lines))
        if line.startswith("--- ") and following.startswith("+++ ")
    ]
    for index, following_head in pairwise([*heads, len(lines)]):
        path = lines[index + 1][4:].split("\t", 1)[0].strip()
        path = path.removeprefix("b/")
        body = lines[index + 2 : following_head]
        while body and body[-1].startswith(("diff --git", "index ", "new file", "deleted file")):
            body.pop()
        found.append(("" if path == "/dev/null" else path, "\n".join(body)))
    return found


def nearest_lines(text: str, wanted: str) -> str:
    """The lines of a text most like the wanted ones, numbered, as a sentence; empty when none are alike."""
    lines = text.split("\n")
    asked = [line.strip() for line in wanted.split("\n") if line.strip()]
    if not asked or len(lines) > _MAX_COMPARED_LINES:
        return ""
    stripped = [line.strip() for line in lines]
    anchor = max(asked, key=len)
    close = difflib.get_close_matches(
        anchor, dict.fromkeys(line for line in stripped if line), n=1, cutoff=0.5
    )
    if not close:
        return ""
    offset = next(index for index, line in enumerate(asked) if line == anchor)
    center = max(
        (index for index, line in enumerate(stripped) if line == close[0]),
        key=lambda index: sum(
            1
            for step, line in enumerate(asked)
            if 0 <= index - offset + step < len(stripped) and stripped[index - offset + step] == line
        ),
    )
    start = max(center - offset - 1, 0)
    shown = lines[start : start + min(len(asked) + 2, _SHOWN_LINES)]
    listing = "\n".join(f"{start + 1 + index}\t{line.rstrip()}" for index, line in enumerate(shown))
    return f" The nearest lines are:\n{listing}"


# --- lines ---------------------------------------------------------------------------------


def _line_ending(text: str) -> str:
    """The ending of most lines."""
    crlf = text.count("\r\n")
    return "\r\n" if crlf and crlf * 2 >= text.count("\n") else "\n"


def _with_ending(text: str, ending: str) -> str:
    plain = text.replace("\r\n", "\n")
    return plain if ending == "\n" else plain.replace("\n", ending)


def _line_of(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _occurrences(text: str, part: str) -> list[int]:
    found, index = [], text.find(part)
    while index >= 0:
        found.append(_line_of(text, index))
        index = text.find(part, index + 1)
    return found


def _replace_lines(text: str, old: str, new: str, ending: str) -> Edit | None:
    """Whole lines that are the same but for blanks at their ends, when they stand there once."""
    lines = text.split(ending)
    asked = [line.rstrip() for line in old.removesuffix(ending).split(ending)]
    if not any(asked):
        return None
    stripped = [line.rstrip() for line in lines]
    places = [
        index for index in range(len(lines) - len(asked) + 1) if stripped[index : index + len(asked)] == asked
    ]
    if len(places) != 1:
        return None
    place = places[0]
    fresh = new.removesuffix(ending).split(ending) if new else []
    lines[place : place + len(asked)] = fresh
    changed = ending.join(lines)
    if changed == text:
        return None
    return Edit(changed, place + 1, place + max(len(fresh), 1), note="blanks at line ends were ignored")


# --- diffs ---------------------------------------------------------------------------------


def _hunks(diff: str) -> list[_Hunk]:
    hunks: list[_Hunk] = []
    old: list[str] | None = None
    new: list[str] = []
    start = 0

    def close() -> None:
        if old is not None and (old or new):
            # A blank line at the end is what followed the diff, not a part of it.
            while old and new and old[-1] == new[-1] == "" and not trailing_context:
                old.pop()
                new.pop()
            hunks.append(_Hunk(start, tuple(old), tuple(new)))

    trailing_context = True
    for raw in diff.split("\n"):
        line = raw.removesuffix("\r")
        if _BARE_HUNK.match(line):
            close()
            numbered = _HUNK.match(line)
            old, new, start = [], [], int(numbered.group(1)) if numbered else 0
            trailing_context = True
        elif old is None or line.startswith("\\"):
            continue
        elif line.startswith("+"):
            new.append(line[1:])
            trailing_context = True
        elif line.startswith("-"):
            old.append(line[1:])
            trailing_context = True
        else:
            old.append(line[1:] if line else "")
            new.append(line[1:] if line else "")
            trailing_context = bool(line)
    close()
    return hunks


def _place(lines: list[str], hunk: _Hunk, hint: int) -> int | None:
    """Where the old lines of a hunk stand, nearest to the hint; blanks at line ends do not matter."""
    size = len(hunk.old)
    if size == 0:
        return min(max(hint + 1, 0), len(lines)) if lines != [""] else 0
    for clean in (str, str.rstrip):
        wanted = [clean(line) for line in hunk.old]
        have = [clean(line) for line in lines]
        places = [index for index in range(len(have) - size + 1) if have[index : index + size] == wanted]
        if len(places) == 1 or (places and hunk.start):
            return min(places, key=lambda index: abs(index - hint))
        if places:
            return None  # more than one place, and the diff does not say which
    return None
