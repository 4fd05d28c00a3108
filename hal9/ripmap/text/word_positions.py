"""The words of a text in their order, each with the chunk of the file that it stands in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.text.tokenize import WORD_BYTES, words

__all__ = ["RunningWords", "read_words"]

Ints = NDArray[np.int32]
_T = TypeVar("_T")
_NEWLINE = 10
_DIGITS = frozenset("0123456789")
_ONLY_WORDS = bytes(byte if byte in WORD_BYTES else 32 for byte in range(256))


@dataclass(frozen=True, slots=True)
class RunningWords:
    """`runs[number[i]]` is the i-th run of word characters, and stands in `chunk[i]`.

    A run that begins with a digit may hold several words, or none; every other is one.
    """

    runs: list[str]
    number: Ints
    chunk: Ints

    def each(self, make: Callable[[str], tuple[_T, ...]]) -> list[tuple[_T, ...]]:
        """What `make` gives for the words of each run."""
        made = list(map(make, self.runs))
        for position, run in enumerate(self.runs):
            if run[0] in _DIGITS:
                made[position] = tuple(chain.from_iterable(map(make, words(run))))
        return made

    def spelled_out(self, sizes: list[int], parts: NDArray[np.int64]) -> tuple[Ints, NDArray[np.int64]]:
        """The text with each run replaced by its parts, of which run n has `sizes[n]`.

        `parts` has shape (parts,), the results the length of the new text.

        Returns:
            Which run of the text each part came from, and the parts.
        """
        width = np.array(sizes, np.intp)
        counts = width[self.number]
        came = np.repeat(np.arange(len(self.number), dtype=np.int32), counts)
        first = np.cumsum(width) - width
        offsets = np.arange(len(came)) - np.repeat(np.cumsum(counts) - counts, counts)
        return came, parts[np.repeat(first[self.number], counts) + offsets] if len(came) else parts[:0]


def read_words(text: str, of_line: list[int]) -> RunningWords:
    """Read a text whose line n stands in chunk `of_line[n]`, lines beyond its end in chunk 0."""
    if not text.isascii():
        return _read_unicode(text, of_line)
    # Cutting at blanks takes a third of the time of a regular expression.
    content = text.encode("ascii")
    starts = np.append(0, np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE) + 1)
    chunk, first = _stretches(len(starts), of_line)
    blanked = content.translate(_ONLY_WORDS)
    bounds = [*starts[first].tolist(), len(content)]
    stretches = [blanked[start:end].split() for start, end in pairwise(bounds)]
    return _numbered(stretches, chunk[first], lambda runs: b" ".join(runs).decode("ascii").split())


def _read_unicode(text: str, of_line: list[int]) -> RunningWords:
    lines = text.split("\n")
    chunk, first = _stretches(len(lines), of_line)
    bounds = [*first.tolist(), len(lines)]
    stretches = [words("\n".join(lines[start:end])) for start, end in pairwise(bounds)]
    return _numbered(stretches, chunk[first], list)


def _stretches(lines: int, of_line: list[int]) -> tuple[Ints, NDArray[np.intp]]:
    """The chunk of each line, and where a stretch of lines of one chunk begins."""
    chunk = np.zeros(lines, np.int32)
    chunk[: len(of_line)] = of_line[:lines]
    return chunk, np.append(0, np.flatnonzero(np.diff(chunk)) + 1)


def _numbered(
    stretches: list[list[_T]], chunks: Ints, texts: Callable[[Iterable[_T]], list[str]]
) -> RunningWords:
    every = list(chain.from_iterable(stretches))
    numbers = {run: number for number, run in enumerate(dict.fromkeys(every))}
    return RunningWords(
        texts(numbers),
        np.fromiter(map(numbers.__getitem__, every), np.int32, len(every)),
        np.repeat(chunks, [len(stretch) for stretch in stretches]),
    )
