"""Headings of Markdown and reStructuredText files, as definitions."""

import re

from hal9.ripmap.records import Definition
from hal9.text import split_lines

__all__ = ["markdown_headings", "rst_headings"]

_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_SETEXT = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_ADORNMENT = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")
_MARKUP = re.compile(r"[*_`]|\[([^\]]*)\]\([^)]*\)")
_NAME_LIMIT = 120


def markdown_headings(text: str) -> tuple[Definition, ...]:
    """ATX and setext headings outside code fences; each reaches to the next of its level or above."""
    lines = split_lines(text)
    found: list[tuple[int, int, str]] = []
    fence = ""
    for number, line in enumerate(lines, start=1):
        mark = _FENCE.match(line)
        if mark:
            opened = mark.group(1)
            if not fence:
                fence = opened
            elif opened.startswith(fence) and not line.strip().strip(opened[0]):
                fence = ""
            continue
        if fence:
            continue
        heading = _ATX.match(line)
        if heading:
            found.append((number, len(heading.group(1)), heading.group(2)))
            continue
        under = _SETEXT.match(line)
        above = lines[number - 2].strip() if number > 1 else ""
        if under and above and not above.startswith(("#", ">", "-", "|", "=")):
            found.append((number - 1, 1 if under.group(1)[0] == "=" else 2, above))
    return _sections(found, len(lines))


def rst_headings(text: str) -> tuple[Definition, ...]:
    """Underlined titles; a level is the order in which its adornment first appears."""
    lines = split_lines(text)
    found: list[tuple[int, int, str]] = []
    levels: dict[str, int] = {}
    for number in range(1, len(lines)):
        title, under = lines[number - 1].rstrip(), _ADORNMENT.match(lines[number])
        if not under or not title or title[0].isspace() or _ADORNMENT.match(title):
            continue
        if len(lines[number].rstrip()) < min(len(title), 4):
            continue
        over = number > 1 and lines[number - 2].rstrip() == lines[number].rstrip()
        key = under.group(1) * (2 if over else 1)
        found.append((number, levels.setdefault(key, len(levels) + 1), title))
    return _sections(found, len(lines))


def _sections(found: list[tuple[int, int, str]], last: int) -> tuple[Definition, ...]:
    definitions: list[Definition] = []
    path: list[tuple[int, str]] = []
    for position, (line, level, raw) in enumerate(found):
        name = _MARKUP.sub(r"\1", raw).strip()[:_NAME_LIMIT]
        while path and path[-1][0] >= level:
            path.pop()
        following = (entry[0] - 1 for entry in found[position + 1 :] if entry[1] <= level)
        definitions.append(
            Definition(
                name,
                "heading",
                line,
                max(line, next(following, last)),
                signature=f"{'#' * level} {name}",
                parent=" > ".join(part for _, part in path),
            )
        )
        path.append((level, name))
    return tuple(definitions)
