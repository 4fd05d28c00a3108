"""Which functions and classes a task is about, by what its words and its failing check name.

A map ranks all of a repository; what the user or the failure calls by its name comes before that.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["TEST_FILE", "SymbolPlace", "called_in", "named_in", "spoken_of"]

TEST_FILE = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.\w+$")

_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_CODE_LIKE = re.compile(
    r"`([\w.]+)(?:\(\))?`"  # marked as code
    r"|\b((?:[A-Za-z]\w*)?[A-Za-z0-9]_\w+)"  # snake_case
    r"|\b([a-z]+[A-Z]\w*|[A-Z]+[a-z]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*)\b"  # camelCase, CamelCase, MRUCache
)
_WORD = re.compile(r"\b[A-Za-z_]\w{3,}\b")
_MOST_OF_ONE_NAME = 3  # a name that more definitions carry says nothing about which is meant


@dataclass(frozen=True, slots=True)
class SymbolPlace:
    """A function or class that the repository's map ranks high."""

    path: str
    name: str
    start: int
    end: int

    @property
    def bare_name(self) -> str:
        """Without the class it belongs to."""
        return self.name.rsplit(".", 1)[-1]


def named_in(text: str, symbols: Sequence[SymbolPlace]) -> list[SymbolPlace]:
    """Symbols that the text names as code: called, marked, or written as code is; in the text's order."""
    found = [
        (match.start(), part)
        for pattern in (_CALLED, _CODE_LIKE)
        for match in pattern.finditer(text)
        for group in match.groups()
        if group
        for part in group.split(".")
    ]
    return _of_names((name for _, name in sorted(found)), symbols)


def spoken_of(text: str, symbols: Sequence[SymbolPlace]) -> list[SymbolPlace]:
    """Symbols whose name is a word of the text, or such a word without its plural's s."""
    words = _WORD.findall(text)
    return _of_names((form for word in words for form in (word, word.removesuffix("s"))), symbols)


def called_in(
    bodies: Iterable[str], symbols: Sequence[SymbolPlace], *, beside: Iterable[str]
) -> list[SymbolPlace]:
    """Symbols that the bodies call: those of the files `beside`, then those whose name is unique."""
    near = set(beside)
    names = dict.fromkeys(match.group(1) for body in bodies for match in _CALLED.finditer(body))
    found = _of_names(names, symbols)
    carriers = Counter(symbol.bare_name for symbol in found)
    same_file = [symbol for symbol in found if symbol.path in near]
    elsewhere = [symbol for symbol in found if symbol.path not in near and carriers[symbol.bare_name] == 1]
    return [*same_file, *elsewhere]


def _of_names(names: Iterable[str], symbols: Sequence[SymbolPlace]) -> list[SymbolPlace]:
    by_name: dict[str, list[SymbolPlace]] = {}
    for symbol in symbols:
        if not TEST_FILE.search(symbol.path):
            by_name.setdefault(symbol.bare_name, []).append(symbol)
    found: list[SymbolPlace] = []
    for name in dict.fromkeys(names):
        places = by_name.get(name, [])
        if len(places) <= _MOST_OF_ONE_NAME:
            found += places
    return found
