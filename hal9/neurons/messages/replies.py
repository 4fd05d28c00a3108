"""What minds answer, read into typed structures: a split of work, or an implementation."""

import itertools
import re
import shlex
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hal9.errors.neurons import ReplyUnusable
from hal9.neurons.messages.reply_blocks import (
    Block,
    PatchedFile,
    SearchReplace,
    find_blocks,
    find_patched_files,
    find_search_replace,
)
from hal9.text import split_lines, without_surrogates

__all__ = [
    "FileDiff",
    "Implementation",
    "PlannedPart",
    "Replacement",
    "Split",
    "WrittenFile",
    "parse_implementation",
    "parse_split",
    "split_schema",
]

_NAMED_FILES = (
    r"Makefile|GNUmakefile|Dockerfile|Containerfile|Jenkinsfile|Vagrantfile|Procfile|Gemfile|Rakefile"
    r"|LICENSE|COPYING|NOTICE|AUTHORS|CODEOWNERS|README|CHANGELOG|BUILD|WORKSPACE|Justfile|justfile"
)
_FOLDERS = r"(?:\.{1,2}/|/)?(?:[\w.@+()\[\]-]+/)*"
_PATH = rf"{_FOLDERS}(?:[\w@+()\[\]-][\w.@+()\[\]-]*\.\w{{1,12}}|\.[A-Za-z][\w.-]*|{_NAMED_FILES})"
_PATH_ONLY = re.compile(rf"^{_PATH}$")
_PATH_LINE = re.compile(
    rf"^[#*>`\s/-]*(?:\d+[.)]\s*)?[*`]*(?:[Ff]ile(?:name)?|[Pp]ath)?[:\s]*[`*\"']*({_PATH})[`*\"':]*\s*"
    r"(?:\((?:new|updated|modified|changed|created)(?: file)?\))?[`*:]*\s*$"
)
_COMMENT_PATH = re.compile(
    rf"^(?:#|//|--|/\*|<!--|;|%)\s*(?:[Ff]ile(?:name)?|[Pp]ath)?:?\s*({_PATH})\s*(?:\*/|-->)?\s*$"
)
_QUOTED_PATH = re.compile(rf"`({_PATH})`")
_RUN = {"run"}
_SHELLS = {"bash", "sh", "shell", "zsh"}
_SCRIPTS = (".sh", ".bash", ".zsh")
_NOT_FILES = {"text", "txt", "console", "output", "plaintext", "shell-session", "sh-session", *_SHELLS}
_NOT_PATHS = {"vb.net", "asp.net", "node.js", "vue.js", "next.js", "react.js"}
_DIFFS = {"diff", "patch", "udiff"}
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@|^@@$|^@@ .*$")
# A block with one of these is one script: its lines do not stand alone.
_BELONG_TOGETHER = re.compile(
    r"<<-?\s*['\"\\]?\w|\\$|^\s*(?:if|for|while|until|case|select|function)\b|^\s*[({]|\(\)\s*\{"
    r"|^\s*(?:cd|export|source|\.|set|alias|pushd|popd|trap|umask)\s|^\s*[A-Za-z_]\w*=\S*\s*$"
)


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedPart(_Reply):
    """One part of a split."""

    title: Annotated[str, Field(max_length=120)]
    objective: Annotated[str, Field(min_length=3, max_length=2000)]


class Split(_Reply):
    """How a strategist or designer divides its task; the reasoning is required, and written first."""

    approach: Annotated[str, Field(max_length=1500)]
    parts: Annotated[list[PlannedPart], Field(min_length=1, max_length=16)]


class PartPlan(_Reply):
    """One part of a plan that was made after looking at the repository."""

    title: Annotated[str, Field(max_length=120, description="A few words.")]
    objective: Annotated[
        str,
        Field(
            min_length=3,
            max_length=8000,
            description="What is to be done; whoever does it has not seen what you saw.",
        ),
    ]
    files: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]],
        Field(max_length=100, description="Files it writes, from the workspace's root."),
    ] = []
    check: Annotated[
        str,
        Field(
            max_length=2000,
            description="Command that ends with 0 when this part alone is done; empty when none can tell.",
        ),
    ] = ""
    after: Annotated[
        list[int],
        Field(max_length=16, description="Numbers (from 1) of earlier parts whose changes it builds on."),
    ] = []


class Plan(_Reply):
    """How a strategist or designer divides its task after looking."""

    approach: Annotated[str, Field(max_length=4000)]
    parts: Annotated[list[PartPlan], Field(min_length=1, max_length=16)]


class WrittenFile(_Reply):
    """A whole file."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    content: str


class Replacement(_Reply):
    """A part of a file: `old` stands in it and becomes `new`. An empty `old` begins a new file."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    old: str
    new: str


class FileDiff(_Reply):
    """Hunks of a unified diff. `path` is empty where the diff's own ``---``/``+++`` lines name the files."""

    path: Annotated[str, Field(max_length=1000)]
    diff: str


class Implementation(_Reply):
    """What an implementer delivers: files, parts of files, commands to run, an answer in words.

    Answer and files are required of a reply in JSON: small models leave out what is optional.
    """

    answer: str
    files: list[WrittenFile]
    replacements: list[Replacement] = Field(default_factory=list)
    diffs: list[FileDiff] = Field(default_factory=list)
    commands: list[Annotated[str, Field(max_length=200_000)]] = Field(default_factory=list)


def split_schema(width: int) -> dict[str, Any]:
    """The shape that is asked for; more than `width` parts do not fit it and are asked for again."""
    schema = Split.model_json_schema()
    parts = schema["properties"]["parts"]
    parts["maxItems"] = min(width, parts["maxItems"])
    return schema


def parse_split(value: object, *, width: int) -> Split:
    """Validated split of at most `width` parts.

    Raises:
        ReplyUnusable: not of this shape, or more parts: none of them may be left out in silence.
    """
    try:
        split = Split.model_validate(value)
    except ValidationError as error:
        raise ReplyUnusable(detail=str(error.errors(include_url=False)[0]["msg"]), text=str(value)) from error
    if len(split.parts) > width:
        detail = (
            f"{len(split.parts)} parts were planned and at most {width} are allowed (width, max_children)"
        )
        raise ReplyUnusable(detail=detail, text=str(value))
    return split


def parse_plan(value: object) -> Plan:
    """Validated plan.

    Raises:
        ReplyUnusable: not of this shape.
    """
    try:
        return Plan.model_validate(value)
    except ValidationError as error:
        raise ReplyUnusable(detail=str(error.errors(include_url=False)[0]["msg"]), text=str(value)) from error


def parse_implementation(text: str, *, targets: tuple[str, ...], truncated: bool = False) -> Implementation:
    """Read a reply's blocks: files, diffs, patches, search-and-replace, `run` blocks, the words around them.

    A block's path stands in its info string, in the line above it, or in a comment on its first line. A
    single target takes the longest block without a path. Shell blocks are commands when the reply consists
    of nothing else.

    Raises:
        ReplyUnusable: cut off within a block, or files were asked for and none can be recognised.
    """
    text = without_surrogates(text)
    lines = split_lines(text)
    edits = find_search_replace(lines)
    patched = find_patched_files(lines)
    own: list[SearchReplace | PatchedFile] = [*edits, *patched]
    blocks = find_blocks(lines, [(one.first, one.after) for one in own])
    if truncated and blocks and not blocks[-1].closed:
        raise ReplyUnusable(detail="the reply was cut off within a code block", text=text)
    reader = _Reader(lines, targets)
    for edit in edits:
        reader.take_edit(edit, blocks)
    for file in patched:
        reader.take_patch(file, blocks)
    held = [block for block in blocks if not any(block.first <= one.first < block.after for one in own)]
    for block in held:
        reader.take(block)
    reader.settle(held)
    if targets and not reader.does_something:
        raise ReplyUnusable(detail=f"no code block for {', '.join(targets)}", text=text)
    return Implementation(
        answer=reader.words() if reader.does_something else text.strip(),
        files=[WrittenFile(path=path, content=content) for path, content in reader.files.items()],
        replacements=reader.replacements,
        diffs=reader.diffs,
        commands=reader.commands,
    )


class _Reader:
    """Collects what the blocks of one reply are."""

    def __init__(self, lines: list[str], targets: tuple[str, ...]) -> None:
        self._lines = lines
        self._targets = targets
        self._taken: set[int] = set()
        self._nameless: list[str] = []
        self.files: dict[str, str] = {}
        self.replacements: list[Replacement] = []
        self.diffs: list[FileDiff] = []
        self.commands: list[str] = []

    @property
    def does_something(self) -> bool:
        return bool(self.files or self.replacements or self.diffs or self.commands)

    def words(self) -> str:
        """What stands outside blocks and is not the name of one."""
        kept = [line for index, line in enumerate(self._lines) if index not in self._taken]
        return "\n".join(kept).strip()

    def take_edit(self, edit: SearchReplace, blocks: list[Block]) -> None:
        around = next((block for block in blocks if block.first < edit.first < block.after), None)
        path = edit.named if _PATH_ONLY.match(edit.named) else None
        if path is None:
            path = self._path_above(edit.first, stop=around.first if around else -1)
        if path is None and around is not None:
            path = _path_in(around.info) or self._path_above(around.first)
        if path is None and self.replacements:
            path = self.replacements[-1].path
        if path is None and len(self._targets) == 1:
            path = self._targets[0]
        if path is None:
            raise ReplyUnusable(detail="a SEARCH block names no file", text="\n".join(self._lines))
        self.replacements.append(Replacement(path=_plain(path), old=edit.old, new=edit.new))
        first, after = (around.first, around.after) if around else (edit.first, edit.after)
        self._taken.update(range(first, after))

    def take_patch(self, file: PatchedFile, blocks: list[Block]) -> None:
        """A new file is written, a changed one is a diff; deleting and moving are commands."""
        path = _plain(file.path)
        if file.action == "Add":
            self.files[path] = file.body
        elif file.action == "Delete":
            self.commands.append(f"rm -- {shlex.quote(path)}")
        else:
            if file.body.strip("@ \n"):
                self.diffs.append(FileDiff(path=path, diff=file.body))
            if file.moved_to:
                target = shlex.quote(_plain(file.moved_to))
                self.commands.append(
                    f'mkdir -p -- "$(dirname -- {target})" && mv -- {shlex.quote(path)} {target}'
                )
        around = next((block for block in blocks if block.first < file.first < block.after), None)
        first, after = (around.first, around.after) if around else (file.first, file.after)
        self._taken.update(range(first, after))

    def take(self, block: Block) -> None:
        self._taken.update(range(block.first, block.after))
        language = block.info.split(maxsplit=1)[0].lower() if block.info else ""
        body = list(block.lines)
        if language in _RUN:
            self.commands += _commands(body)
            return
        path = _path_in(block.info) or self._path_above(block.first)
        if path is None and body and (commented := _COMMENT_PATH.match(body[0].strip())):
            path, body = commented.group(1), body[1:]
        if (language in _DIFFS or _is_diff(body)) and not (path or "").endswith((".diff", ".patch")):
            self.diffs.append(FileDiff(path=_plain(path or ""), diff="".join(f"{line}\n" for line in body)))
            return
        content = "".join(f"{line}\n" for line in body)
        if path is not None and not (language in _SHELLS and not path.endswith(_SCRIPTS)):
            self.files[_plain(path)] = content
        elif (language not in _NOT_FILES or self._is_script(language, body)) and content.strip():
            named = self._target_named_above(block.first)
            if named is None:
                self._nameless.append(content)
            else:
                self.files[named] = content

    def _is_script(self, language: str, body: list[str]) -> bool:
        """A shell block for the one target that is a script: it is to be written, never to be run."""
        if language not in _SHELLS or len(self._targets) != 1:
            return False
        return self._targets[0].endswith(_SCRIPTS) or bool(body and body[0].startswith("#!"))

    def settle(self, blocks: list[Block]) -> None:
        """Give blocks without a path to the one target left, or run a reply of commands alone."""
        remaining = [target for target in self._targets if _plain(target) not in self.files]
        if self._nameless and len(remaining) == 1 and not (self.diffs or self.replacements):
            self.files[remaining[0]] = max(self._nameless, key=len)
        if not self.does_something and blocks and all(block.info.lower() in _SHELLS for block in blocks):
            for block in blocks:
                self.commands += _commands(list(block.lines))

    def _path_above(self, index: int, stop: int = -1) -> str | None:
        """The path that the line above names; that line then leaves the answer."""
        for above in range(index - 1, max(stop, index - 3), -1):
            if above in self._taken:
                return None
            if self._lines[above].strip():
                named = _PATH_LINE.match(self._lines[above])
                if named is None or named.group(1).lower() in _NOT_PATHS:
                    return None
                self._taken.add(above)
                return named.group(1)
        return None

    def _target_named_above(self, index: int) -> str | None:
        """The one target that a sentence above the block speaks of."""
        above = next((line for line in reversed(self._lines[max(0, index - 2) : index]) if line.strip()), "")
        named = {_plain(path) for path in _QUOTED_PATH.findall(above)}
        wanted = [target for target in self._targets if _plain(target) in named]
        return wanted[0] if len(wanted) == len(named) == 1 and wanted[0] not in self.files else None


def _path_in(info: str) -> str | None:
    for token in re.split(r"[\s:=,{}\"'`]+", info):
        if _PATH_ONLY.match(token) and token.lower() not in _NOT_PATHS and ("." in token or "/" in token):
            return token
    return None


def _plain(path: str) -> str:
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def _is_diff(lines: list[str]) -> bool:
    heads = [line for line in lines[:12] if line.strip()][:6]
    if any(line.startswith("diff --git ") for line in heads[:1]):
        return True
    for line, following in itertools.pairwise(heads):
        if line.startswith("--- ") and following.startswith("+++ "):
            return True
    return bool(heads) and re.match(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", heads[0]) is not None


def _commands(lines: list[str]) -> list[str]:
    """One command a line, or one script where lines belong together (here-documents, loops, `cd`)."""
    while lines and not lines[-1].strip():
        lines.pop()
    told = [line for line in lines if line.strip()]
    if told and all(line.lstrip().startswith("$ ") for line in told):
        lines = [line.lstrip()[2:] for line in told]
    together = any(_BELONG_TOGETHER.search(line) for line in lines) or any(
        _quotes_open(line) for line in lines
    )
    if together:
        # As with single commands, the first that fails ends it.
        return ["set -e\n" + "\n".join(lines)]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _quotes_open(line: str) -> bool:
    """Whether a line ends within a quoted string."""
    quote = ""
    escaped = False
    for position, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (position == 0 or line[position - 1].isspace()):
            return False
    return bool(quote)
