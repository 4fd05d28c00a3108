"""Parsing within a bound of time: an error in the right place can make a grammar try for minutes."""

import time
from typing import TYPE_CHECKING

from hal9.ripmap.files.languages import LoadedLanguage

if TYPE_CHECKING:
    from tree_sitter import Tree

__all__ = ["FILE_SECONDS", "TimeLimit", "parse_within"]

FILE_SECONDS = 10.0
"""What one file may take of the processor; ordinary files take milliseconds."""
_UNTIMED_BYTES = 64_000
_READ_BYTES = 65_536


class TimeLimit:
    """Processor time of this thread, so that what is read does not depend on what else runs."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.thread_time() + seconds

    def over(self) -> bool:
        """Whether the time is up."""
        return time.thread_time() >= self._ends

    def part(self, share: float) -> "TimeLimit":
        """A limit that ends with this one, and after a share of all of its time."""
        inner = TimeLimit(self._seconds * share)
        inner._ends = min(inner._ends, self._ends)
        return inner


def parse_within(loaded: LoadedLanguage, source: bytes, limit: TimeLimit) -> "Tree | None":
    """The syntax tree; None when the time is up before it is whole. Small files are always parsed."""
    if len(source) < _UNTIMED_BYTES:
        return loaded.parser.parse(source)

    def read(offset: int, _: object) -> bytes:
        return source[offset : offset + _READ_BYTES]

    def overdue(_offset: int, _has_error: bool) -> bool:
        return limit.over()

    try:
        tree: Tree | None = loaded.parser.parse(read, progress_callback=overdue)
    except ValueError:
        tree = None
    loaded.parser.reset()
    return tree
