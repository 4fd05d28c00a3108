"""What an implementing neuron is shown of a repository at once: named files, failing lines, likely bodies.

Everything shown says which lines of how many it is, so that nobody takes a part for the whole.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hal9.errors.base import WorkbenchError
from hal9.neurons.messages.likely_bodies import TEST_FILE, SymbolPlace, called_in, named_in, spoken_of
from hal9.signals import InlineFile

__all__ = ["Choice", "Excerpt", "Shown", "choose_excerpts", "frames_of", "given_file"]

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
_BEGINNING = 60  # lines shown of a longer one
_MOST_UNNAMED = 24
_GAP = 4  # so few lines between two ranges are shown rather than left out: a heading costs as much
_UNNAMED_SHARE = 0.25  # of the room, for bodies by rank alone beside such as are named
_LONGEST_UNNAMED = 60  # lines of one symbol that nothing names
_TEST_SHARE = 0.25  # of the room, for a test file that only the check names

ReadText = Callable[[str], Awaitable[str]]


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

    def shown(self, *, further: bool = False) -> str:
        """As it stands in a prompt; `further` after another excerpt of the same file."""
        part = "" if self.whole else f", lines {self.start}-{self.end} of {self.total} (not the whole file)"
        head = f"lines {self.start}-{self.end} of it:" if further else f"The file {self.path} now{part}:"
        fence = "`" * max(3, _longest_fence(self.text) + 1)
        return f"{head}\n{fence}\n{self.text}\n{fence}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown of files.

    Attributes:
        excerpts: most important first, those of one file together.
        named: whether bodies stand there that the task or its failing check calls by their names.
    """

    excerpts: tuple[Excerpt, ...] = ()
    named: bool = False


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

    def files(self) -> list[str]:
        """The excerpts, as they stand in a prompt."""
        before = ["", *(excerpt.path for excerpt in self.excerpts)]
        return [
            excerpt.shown(further=excerpt.path == path)
            for path, excerpt in zip(before, self.excerpts, strict=False)
        ]


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
        grown = _merged([*known, (start, end)])
        size = self._size(path, grown) - self._size(path, known)
        if size > (self.room if most is None else min(self.room, most)):
            return False
        self.room -= size
        self.ranges[path] = grown
        return True

    async def add_symbols(
        self, symbols: Sequence[SymbolPlace], *, most: int | None = None, longest: int = _LONGEST_BODY
    ) -> list[str]:
        """Add bodies; the texts of those that stand there now."""
        until = self.room - most if most is not None else 0
        shown: list[str] = []
        for symbol in symbols:
            lines = symbol.end - symbol.start
            if lines > longest and longest < _LONGEST_BODY:
                continue
            end = symbol.end if lines <= _LONGEST_BODY else symbol.start + _BEGINNING
            if await self.add(symbol.path, symbol.start, end, most=max(self.room - until, 0)):
                shown.append("\n".join(self.lines[symbol.path][symbol.start - 1 : end]))
        return shown

    def _size(self, path: str, ranges: Sequence[tuple[int, int]]) -> int:
        lines = self.lines[path]
        return sum(len(line) + 1 for start, end in ranges for line in lines[start - 1 : end])

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
    check_named: Sequence[str] = (),
    task: str = "",
    evidence: str = "",
    symbols: Sequence[SymbolPlace] = (),
    roots: Sequence[str] = (),
) -> Choice:
    """What to show, most important first, in at most `room` characters.

    Args:
        read: text of a file of the workspace.
        room: characters.
        named: files that the task names; whole when they fit, else what fits of their beginning.
        check_named: files that only the check names; whole when they are short.
        task: its words; bodies of what they name are shown before others.
        evidence: a failing check's output; the lines it points at and the bodies it names are shown.
        symbols: the map's, best first.
        roots: absolute folders that stand for the workspace in the evidence.
    """
    chosen = _Chosen(read, room)
    for path in named:
        total = await chosen.total(path)
        whole = await chosen.add(path, 1, total, most=int(room * _WHOLE_SHARE))
        if not whole:
            await chosen.add(path, 1, min(total, 40))
    for path in check_named:
        share = _TEST_SHARE if TEST_FILE.search(path) else _WHOLE_SHARE
        await chosen.add(path, 1, await chosen.total(path), most=int(room * share))
    frames = frames_of(evidence, roots)
    for path, line in frames:
        if not TEST_FILE.search(path):
            await chosen.add(path, line - _BEFORE, line + _AFTER)
    bodies = await _add_bodies(chosen, symbols, task=task, evidence=evidence)
    for path, line in frames:
        if TEST_FILE.search(path) and not await _stands_in(chosen, path, line, evidence):
            await chosen.add(path, line - _BEFORE, line + _AFTER, most=room // 4)
    return Choice(tuple(chosen.excerpts()), named=bool(bodies))


async def _add_bodies(
    chosen: _Chosen, symbols: Sequence[SymbolPlace], *, task: str, evidence: str
) -> list[str]:
    """Add what is named, then what that calls, then what the map ranks high; the texts of what is named."""
    bodies = await chosen.add_symbols(
        [*named_in(task, symbols), *named_in(evidence, symbols), *spoken_of(task, symbols)]
    )
    called = called_in(bodies, symbols, beside=tuple(chosen.ranges))
    await chosen.add_symbols(called, most=chosen.room // 2)
    code = [symbol for symbol in symbols if not TEST_FILE.search(symbol.path)]
    share = int(chosen.room * _UNNAMED_SHARE) if bodies else None
    longest = _LONGEST_UNNAMED if bodies else _LONGEST_BODY
    await chosen.add_symbols(code[:_MOST_UNNAMED], most=share, longest=longest)
    return bodies


async def _stands_in(chosen: _Chosen, path: str, line: int, evidence: str) -> bool:
    """Whether the output shows that line of the file itself, as many test runners do."""
    if line > await chosen.total(path):
        return True
    text = chosen.lines[path][line - 1].strip()
    return bool(text) and text in evidence


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
        if merged and start <= merged[-1][1] + 1 + _GAP:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _longest_fence(text: str) -> int:
    runs = [len(match.group()) for match in re.finditer(r"^\s*`{3,}", text, re.MULTILINE)]
    return max(runs, default=2)
