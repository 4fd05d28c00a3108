"""The items of a section: list bullets and paragraphs, split from Markdown and joined back.

An item starts at column 0: at a bullet (`-`, `*`, `+`, `1.`), or after a blank line. Indented lines, and
lines that follow without a blank line, continue the item. A code fence never splits. `join` puts bullets
on consecutive lines and one blank line around paragraphs, so `split(join(items)) == items`.
"""

import re
from collections.abc import Sequence

__all__ = ["as_bullet", "is_bullet", "join_items", "marker_of", "plain", "split_items", "unclosed_fence"]

_BULLET = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]+(?=\S)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)$")


def is_bullet(item: str) -> bool:
    """Whether the item is a list bullet."""
    return _BULLET.match(item) is not None


def marker_of(item: str) -> str:
    """The bullet's marker with its space, e.g. ``"- "``; empty for a paragraph."""
    match = _BULLET.match(item)
    return match.group() if match else ""


def plain(item: str) -> str:
    """The item's words: no bullet marker, whitespace collapsed. Targets are compared by this."""
    return " ".join(item[len(marker_of(item)) :].split())


def as_bullet(text: str, marker: str) -> str:
    """A paragraph turned into a bullet, its later lines indented under it."""
    head, *rest = text.split("\n")
    indent = " " * len(marker)
    return "\n".join([marker + head, *(indent + line if line else line for line in rest)])


def split_items(body: str) -> tuple[str, ...]:
    """Split a section's body into items."""
    items: list[list[str]] = []
    fence: str | None = None
    after_blank = True
    for raw in body.split("\n"):
        line = raw.rstrip()
        inside = fence is not None
        fence = _next_fence(line, fence)
        if not line and not inside:
            after_blank = True
            if items:
                items[-1].append("")
            continue
        indented = line[:1] in (" ", "\t")
        starts = not inside and not indented and (after_blank or _BULLET.match(line) is not None)
        if not items or starts:
            items.append([line.lstrip() if not items else line])
        else:
            items[-1].append(line)
        after_blank = False
    return tuple("\n".join(lines).rstrip("\n") for lines in items)


def join_items(items: Sequence[str]) -> str:
    """The canonical body for these items."""
    parts: list[str] = []
    for index, item in enumerate(items):
        if index:
            parts.append("\n" if is_bullet(items[index - 1]) and is_bullet(item) else "\n\n")
        parts.append(item)
    return "".join(parts)


def unclosed_fence(body: str) -> bool:
    """Whether a code fence is opened and never closed."""
    fence: str | None = None
    for line in body.split("\n"):
        fence = _next_fence(line.rstrip(), fence)
    return fence is not None


def _next_fence(line: str, fence: str | None) -> str | None:
    match = _FENCE.match(line)
    if match is None:
        return fence
    mark, info = match.groups()
    if fence is None:
        # An info string with a backtick is inline code, not a fence (CommonMark 4.5).
        return None if mark[0] == "`" and "`" in info else mark
    closes = mark[0] == fence[0] and len(mark) >= len(fence) and not info.strip()
    return None if closes else fence
