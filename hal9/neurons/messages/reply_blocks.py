"""The blocks of a model's reply: fenced code by CommonMark's rules, search-and-replace blocks, patches.

markdown-it-py finds the fences, also longer ones, ``~~~`` and those inside lists. What stands in them is
taken from the reply's own characters, never from a normalised copy. Two things CommonMark cannot know are
settled before: a block of Markdown holds fences of its own, and a search-and-replace block may hold anything.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from hal9.errors.neurons import ReplyUnusable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = [
    "Block",
    "PatchedFile",
    "SearchReplace",
    "find_blocks",
    "find_patched_files",
    "find_search_replace",
]

_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([^`]*?|(?<=~)[^\n]*?)[ \t]*$")
_MARKDOWN = re.compile(r"(?:^|[\s:=/.])(?:markdown|md|mdx|rst)\b|\.(?:md|markdown|mdx|rst|qmd|Rmd)\b")
_SEARCH = re.compile(r"^\s{0,8}<{5,9} ?SEARCH\b[: ]*(.*)$")
_DIVIDER = re.compile(r"^\s{0,8}={5,9}\s*$")
_REPLACE = re.compile(r"^\s{0,8}>{5,9} ?(?:REPLACE|UPDATED)\b.*$")
_PATCH_BEGIN = re.compile(r"^\s{0,8}\*\*\* Begin Patch\s*$")
_PATCH_END = re.compile(r"^\s{0,8}\*\*\* End Patch\s*$")
_PATCH_FILE = re.compile(r"^\*\*\* (Add|Update|Delete) File: *(.*?)\s*$")
_PATCH_MOVE = re.compile(r"^\*\*\* Move to: *(.*?)\s*$")
# Characters at which markdown-it would break a line or that it replaces; line numbers must stay ours.
_ODD = str.maketrans({"\r": " ", "\0": " "})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        info: the info string.
        lines: what stands in it, without line ends.
        first: the line of its opening fence, from 0.
        after: the line after its closing fence.
        closed: whether there is a closing fence.
    """

    info: str
    lines: tuple[str, ...]
    first: int
    after: int
    closed: bool


@dataclass(frozen=True, slots=True)
class SearchReplace:
    """A search-and-replace block; `first` and `after` are its lines, `named` is what its first line adds."""

    old: str
    new: str
    first: int
    after: int
    named: str = ""


@dataclass(frozen=True, slots=True)
class PatchedFile:
    """What one ``*** Begin Patch`` does to one file.

    Attributes:
        path: the file.
        action: what is done.
        body: the lines of a new file, or the hunks of a diff.
        moved_to: its new path; empty when it stays.
        first: the line on which the patch begins.
        after: the line after the patch's end.
    """

    path: str
    action: Literal["Add", "Update", "Delete"]
    body: str
    moved_to: str
    first: int
    after: int


def find_blocks(lines: list[str], hidden: list[tuple[int, int]]) -> list[Block]:
    """The fenced blocks of a reply's lines, in order.

    Args:
        lines: the reply's lines.
        hidden: ranges of lines that belong to something else already.
    """
    shown = [line.translate(_ODD) for line in lines]
    for first, after in hidden:
        for index in range(first, after):
            shown[index] = "x" * len(shown[index])
    _lengthen_fences_around_markdown(shown)
    found: list[Block] = []
    for token in _parser().parse("\n".join(shown)):
        if token.type != "fence" or token.map is None:
            continue
        first, after = token.map
        last = shown[after - 1].strip().lstrip("> ")
        closed = after - 1 > first and set(last) == {token.markup[0]} and len(last) >= len(token.markup)
        inner = token.content.removesuffix("\n").split("\n") if token.content else []
        body = range(first + 1, after - 1 if closed else after)
        pieces = tuple(_own_characters(lines[index], inner, place) for place, index in enumerate(body))
        found.append(Block(token.info.strip(), pieces, first, after, closed))
    return found


def _own_characters(line: str, inner: list[str], place: int) -> str:
    """A line of a block as it was written, without the indent of the list that the block stands in."""
    kept = len(inner[place]) if place < len(inner) else 0
    own = line[len(line) - kept :] if kept else ""
    if place < len(inner) and own.translate(_ODD) != inner[place]:
        return inner[place]  # a tab was expanded into the indent
    return own.removesuffix("\r")


def _lengthen_fences_around_markdown(lines: list[str]) -> None:
    """Make the fence around a block of Markdown longer than the fences in it, where they are balanced."""
    index = 0
    while index < len(lines):
        opening = _FENCE.match(lines[index])
        if opening is None:
            index += 1
            continue
        fence, info = opening.groups()
        end = _end_of(lines, index, fence)
        above = next((line for line in reversed(lines[max(0, index - 2) : index]) if line.strip()), "")
        if _MARKDOWN.search(info) or (_MARKDOWN.search(above) and len(above) < 200):
            balanced = _balanced_end(lines, index, fence)
            if balanced is not None and balanced != end:
                longer = fence[0] * (max(len(line) for line in lines[index : balanced + 1]) + 1)
                lines[index] = f"{longer}{info}"
                lines[balanced] = longer
                end = balanced
        index = end + 1


def _end_of(lines: list[str], start: int, fence: str) -> int:
    for index in range(start + 1, len(lines)):
        closing = _FENCE.match(lines[index])
        if closing and closing.group(1).startswith(fence) and not closing.group(2):
            return index
    return len(lines)


def _balanced_end(lines: list[str], start: int, fence: str) -> int | None:
    depth = 0
    for index in range(start + 1, len(lines)):
        mark = _FENCE.match(lines[index])
        if mark is None or not mark.group(1).startswith(fence):
            continue
        if mark.group(2):
            depth += 1
        elif depth:
            depth -= 1
        else:
            return index
    return None


def find_search_replace(lines: list[str]) -> list[SearchReplace]:
    """The ``<<<<<<< SEARCH … ======= … >>>>>>> REPLACE`` blocks of a reply's lines, in order.

    Raises:
        ReplyUnusable: one is not closed.
    """
    found: list[SearchReplace] = []
    index = 0
    while index < len(lines):
        opening = _SEARCH.match(lines[index])
        if opening is None:
            index += 1
            continue
        divider = _next(lines, index + 1, _DIVIDER)
        end = _next(lines, divider + 1, _REPLACE) if divider is not None else None
        if divider is None or end is None:
            raise ReplyUnusable(
                detail="a SEARCH block has no ======= and >>>>>>> REPLACE after it", text="\n".join(lines)
            )
        old, new = lines[index + 1 : divider], lines[divider + 1 : end]
        found.append(
            SearchReplace(_joined(old), _joined(new), index, end + 1, opening.group(1).strip().strip("`*"))
        )
        index = end + 1
    return found


def find_patched_files(lines: list[str]) -> list[PatchedFile]:
    """What the ``*** Begin Patch … *** End Patch`` envelopes of a reply do, file by file.

    Raises:
        ReplyUnusable: one is not closed, names no file, or says not where its lines belong.
    """
    found: list[PatchedFile] = []
    index = 0
    while index < len(lines):
        if not _PATCH_BEGIN.match(lines[index]):
            index += 1
            continue
        end = _next(lines, index + 1, _PATCH_END)
        if end is None:
            raise ReplyUnusable(
                detail="a patch that begins with *** Begin Patch has no *** End Patch", text="\n".join(lines)
            )
        heads = [line for line in range(index + 1, end) if _PATCH_FILE.match(lines[line])]
        if not heads:
            raise ReplyUnusable(
                detail="a patch names no file; begin it with *** Update File: PATH, Add File or Delete File",
                text="\n".join(lines),
            )
        for head, following in zip(heads, [*heads[1:], end], strict=True):
            found.append(_patched_file(lines, head, following, (index, end + 1)))
        index = end + 1
    return found


def _patched_file(lines: list[str], head: int, end: int, around: tuple[int, int]) -> PatchedFile:
    named = _PATCH_FILE.match(lines[head])
    assert named is not None  # noqa: S101 - its caller looked
    action, path = named.groups()
    body = [line for line in lines[head + 1 : end] if line.rstrip() != "*** End of File"]
    moved = _PATCH_MOVE.match(body[0]) if body else None
    if moved:
        body = body[1:]
    if action == "Add":
        text = _joined([line.removeprefix("+") for line in body])
    else:
        if body and not body[0].startswith("@@"):
            body = ["@@", *body]
        text = _joined(body)
        if action == "Update" and not moved and not any(line[:1] in {" ", "-"} for line in body):
            raise ReplyUnusable(
                detail=f"the patch for {path} shows no line of the file, so nobody knows where it belongs; "
                "give lines around the change",
                text="\n".join(lines),
            )
    return PatchedFile(path, action, text, moved.group(1) if moved else "", *around)  # type: ignore[arg-type]


def _next(lines: list[str], start: int, pattern: re.Pattern[str]) -> int | None:
    return next((index for index in range(start, len(lines)) if pattern.match(lines[index])), None)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@cache
def _parser() -> "MarkdownIt":
    # A fiftieth of a second that only a reply needs.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    # A tag alone on a line above a fence (<answer>) would otherwise hide the fence.
    return MarkdownIt("commonmark").disable(["html_block", "reference", "inline"])
