"""What an implementing neuron is shown of a repository at once: named files, failing lines, likely bodies.

Everything shown says which lines of how many it is, so that nobody takes a part for the whole.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hal9.errors.base import WorkbenchError
from hal9.signals import InlineFile

__all__ = ["Excerpt", "Shown", "SymbolPlace", "choose_excerpts", "frames_of", "given_file"]

_FRAMES = (
    re.compile(r'File "([^"\n]+)", line (\d+)'),  # Python
    re.compile(
        r"^\s*at .*?\(?((?:[A-Za-z]:)?[^\s():]+\.\w+):(\d+)(?::\d+)?\)?", re.MULTILINE
    ),  # JavaScript, Java
    re.compile(r"(?:^|\s)(?:-->\s*)?((?:[\w@.+-]+/)*[\w@+-][\w@.+-]*\.\w{1,5}):(\d+)\b", re.MULTILINE),
)
_BEFORE, _AFTER = 25, 15
_WHOLE_SHARE = 0.6  # of the room, for one file that the task names
_LONGEST_BODY = 160  # lines of one symbol
_TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.\w+$")

ReadText = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class SymbolPlace:
    """A function or class that the repository's map ranks high."""

    path: str
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines `start` to `end` (from 1) of a file of `total` lines."""

    path: str
    start: int
    end: int
    total: int
    text: str

    @property
    def whole(self) -> bool:
        """Nothing of the file is missing."""
        return self.start == 1 and self.end == self.total

    def shown(self) -> str:
        """As it stands in a prompt."""
        part = "" if self.whole else f", lines {self.start}-{self.end} of {self.total} (not the whole file)"
        fence = "`" * max(3, _longest_fence(self.text) + 1)
        return f"The file {self.path} now{part}:\n{fence}\n{self.text}\n{fence}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in the first prompt besides the task.

    Attributes:
        map: the ranked map.
        excerpts: files, or lines of them.
        check: the output of the check that failed before anything was done.
        passed_already: the check passed before anything was done.
    """

    map: str = ""
    excerpts: tuple[Excerpt, ...] = ()
    check: str = ""
    passed_already: bool = False

    @property
    def partly(self) -> bool:
        """Something is shown of which not all is shown."""
        return any(not excerpt.whole for excerpt in self.excerpts)


def given_file(file: InlineFile) -> Excerpt:
    """A file that came with the task."""
    lines = file.content.removesuffix("\n").split("\n")
    return Excerpt(file.path, 1, len(lines), len(lines), "\n".join(lines))


@dataclass(slots=True)
class _Chosen:
    """Line ranges per file, within a number of characters."""

    read: ReadText
    room: int
    lines: dict[str, list[str]] = field(default_factory=dict)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    async def total(self, path: str) -> int:
        """Lines of a file; 0 when it cannot be read as text."""
        if path not in self.lines:
            try:
                text = await self.read(path)
            except (OSError, WorkbenchError, ValueError):
                text = ""
            self.lines[path] = text.removesuffix("\n").split("\n") if text else []
        return len(self.lines[path])

    async def add(self, path: str, start: int, end: int, *, most: int | None = None) -> bool:
        """Add lines when they fit; True when they stand there now."""
        total = await self.total(path)
        start, end = max(start, 1), min(end, total)
        if total == 0 or start > end:
            return False
        known = self.ranges.get(path, [])
        if any(low <= start and end <= high for low, high in known):
            return True
        size = sum(len(line) + 1 for line in self.lines[path][start - 1 : end])
        if size > (self.room if most is None else min(self.room, most)):
            return False
        self.room -= size
        self.ranges[path] = _merged([*known, (start, end)])
        return True

    def excerpts(self) -> list[Excerpt]:
        return [
            Excerpt(path, start, end, len(self.lines[path]), "\n".join(self.lines[path][start - 1 : end]))
            for path, ranges in self.ranges.items()
            for start, end in ranges
        ]


async def choose_excerpts(
    read: ReadText,
    *,
    room: int,
    named: Sequence[str] = (),
    evidence: str = "",
    symbols: Sequence[SymbolPlace] = (),
    roots: Sequence[str] = (),
) -> list[Excerpt]:
    """What to show, most important first, in at most `room` characters.

    Args:
        read: text of a file of the workspace.
        room: characters.
        named: files that the task names; whole when they fit, else what fits of their beginning.
        evidence: a failing check's output; the lines it points at are shown.
        symbols: the map's best, best first; their bodies are shown.
        roots: absolute folders that stand for the workspace in the evidence.
    """
    chosen = _Chosen(read, room)
    for path in named:
        total = await chosen.total(path)
        whole = await chosen.add(path, 1, total, most=int(room * _WHOLE_SHARE))
        if not whole:
            await chosen.add(path, 1, min(total, 40))
    frames = frames_of(evidence, roots)
    for path, line in frames:
        if not _TESTS.search(path):
            await chosen.add(path, line - _BEFORE, line + _AFTER)
    for symbol in symbols:
        await chosen.add(symbol.path, symbol.start, min(symbol.end, symbol.start + _LONGEST_BODY))
    for path, line in frames:
        if _TESTS.search(path):
            await chosen.add(path, line - _BEFORE, line + _AFTER, most=room // 4)
    return chosen.excerpts()


def frames_of(output: str, roots: Iterable[str] = ()) -> list[tuple[str, int]]:
    """Files and lines of the workspace that an output names, the last (innermost) first."""
    prefixes = sorted((root.rstrip("/") + "/" for root in roots), key=len, reverse=True)
    found: list[tuple[int, str, int]] = []
    for pattern in _FRAMES:
        for match in pattern.finditer(output):
            path = match.group(1)
            for prefix in prefixes:
                if path.startswith(prefix):
                    path = path[len(prefix) :]
                    break
            path = path.removeprefix("./")
            if not path.startswith("/") and ".." not in path and "site-packages" not in path:
                found.append((match.start(), path, int(match.group(2))))
    ordered = [(path, line) for _, path, line in sorted(found, reverse=True)]
    return list(dict.fromkeys(ordered))


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _longest_fence(text: str) -> int:
    runs = [len(match.group()) for match in re.finditer(r"^\s*`{3,}", text, re.MULTILINE)]
    return max(runs, default=2)
