"""What minds answer, read into typed structures: a split of work, or an implementation."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hal9.errors.neurons import ReplyUnusable

__all__ = ["Implementation", "PlannedPart", "Split", "WrittenFile", "parse_implementation", "parse_split"]

_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*(.*?)[ \t]*$")
_PATH = r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.[A-Za-z0-9_]{1,8}"
_PATH_ONLY = re.compile(rf"^{_PATH}$")
_PATH_LINE = re.compile(
    rf"^[#*>`\s/-]*(?:[Ff]ile(?:name)?|[Pp]ath)?[:\s]*[`*\"']*({_PATH})[`*\"':]*\s*:?\s*$"
)
_COMMENT_PATH = re.compile(
    rf"^(?:#|//|--|/\*|<!--)\s*(?:[Ff]ile(?:name)?|[Pp]ath)?:?\s*({_PATH})\s*(?:\*/|-->)?\s*$"
)
_RUN = {"run"}
_NOT_FILES = {"text", "txt", "console", "output", "bash", "sh", "shell", "plaintext"}


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedPart(_Reply):
    """One part of a split."""

    title: Annotated[str, Field(max_length=120)]
    objective: Annotated[str, Field(min_length=3, max_length=2000)]


class Split(_Reply):
    """How a strategist or designer divides its task."""

    approach: Annotated[str, Field(max_length=1500)] = ""
    parts: Annotated[list[PlannedPart], Field(min_length=1, max_length=16)]


class WrittenFile(_Reply):
    """A whole file."""

    path: Annotated[str, Field(min_length=1, max_length=300)]
    content: str


class Implementation(_Reply):
    """What an implementer delivers: files, commands to run, an answer in words."""

    answer: str = ""
    files: list[WrittenFile] = Field(default_factory=list)
    commands: list[Annotated[str, Field(max_length=2000)]] = Field(default_factory=list)


def parse_split(value: object) -> Split:
    """Validated split.

    Raises:
        ReplyUnusable: not of this shape.
    """
    try:
        return Split.model_validate(value)
    except ValidationError as error:
        raise ReplyUnusable(detail=str(error.errors(include_url=False)[0]["msg"]), text=str(value)) from error


def parse_implementation(text: str, *, targets: tuple[str, ...], truncated: bool = False) -> Implementation:
    """Read fenced blocks: files, `run` blocks, and the words around them.

    A block's path stands in its info string, in the line above it, or in a comment on its first line. A
    single target takes the longest block without a path.

    Raises:
        ReplyUnusable: cut off within a block, or files were asked for and none can be recognised.
    """
    files: dict[str, str] = {}
    commands: list[str] = []
    nameless: list[str] = []
    words: list[str] = []
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        opening = _FENCE.match(lines[index])
        if opening is None:
            words.append(lines[index])
            index += 1
            continue
        end = _closing(lines, index, opening.group(1))
        if end == len(lines) and truncated:
            raise ReplyUnusable(detail="the reply was cut off within a code block", text=text)
        block = lines[index + 1 : end]
        info = opening.group(2)
        if info.lower() in _RUN:
            commands += [line.strip() for line in block if line.strip() and not line.startswith("#")]
        else:
            path, block = _path_of(info, words, block)
            content = "\n".join(block) + "\n"
            if path is not None:
                files[path] = content
            elif info.lower() not in _NOT_FILES and content.strip():
                nameless.append(content)
        index = end + 1
    remaining = [target for target in targets if target not in files]
    if nameless and len(remaining) == 1:
        files[remaining[0]] = max(nameless, key=len)
    if targets and not files:
        raise ReplyUnusable(detail=f"no code block for {', '.join(targets)}", text=text)
    answer = "\n".join(words).strip() if files or commands else text.strip()
    return Implementation(
        answer=answer,
        files=[WrittenFile(path=path, content=content) for path, content in files.items()],
        commands=commands,
    )


def _closing(lines: list[str], start: int, fence: str) -> int:
    for index in range(start + 1, len(lines)):
        closing = _FENCE.match(lines[index])
        if closing and closing.group(1).startswith(fence) and not closing.group(2):
            return index
    return len(lines)


def _path_of(info: str, words: list[str], block: list[str]) -> tuple[str | None, list[str]]:
    """Path of a block and its content; a heading line that only names the path leaves the answer."""
    for token in re.split(r"[\s:=]+", info):
        if _PATH_ONLY.match(token) and ("." in token):
            return token, block
    above = next((position for position in range(len(words) - 1, -1, -1) if words[position].strip()), None)
    if above is not None and len(words) - above <= 2:
        named = _PATH_LINE.match(words[above])
        if named:
            del words[above:]
            return named.group(1), block
    if block:
        commented = _COMMENT_PATH.match(block[0].strip())
        if commented:
            return commented.group(1), block[1:]
    return None, block
