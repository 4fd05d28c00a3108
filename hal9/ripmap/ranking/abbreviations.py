"""Abbreviations that a repository itself teaches: `cfg` where its comments say configuration.

A short token counts as an abbreviation of a word when it is written like one (a beginning, or the first
letter and some of the consonants that follow) and when the definitions named with it speak of the word far
more often than others do, in their comments, documentation and code.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.postings.words import Postings
from hal9.ripmap.text.string_table import code_of

__all__ = ["learned_abbreviations", "spellings"]

_SHORTEST_WORD = 5
_MOST_CONSONANTS = 8
_LEAST_TIMES = 3
_LEAST_SHARE = 0.25
_LEAST_LIFT = 3.0
_VOWELS = frozenset("aeiou")


@lru_cache(maxsize=4096)
def spellings(word: str) -> tuple[str, ...]:
    """Forms of two to five letters in which a word may be abbreviated; none for short words and for names."""
    if len(word) < _SHORTEST_WORD or not (word.isascii() and word.isalpha()):
        return ()
    forms = dict.fromkeys(word[:length] for length in range(2, min(5, len(word) - 2) + 1))
    consonants = [letter for letter in word[1:] if letter not in _VOWELS][:_MOST_CONSONANTS]
    for size in (1, 2, 3):
        forms.update(dict.fromkeys(word[0] + "".join(chosen) for chosen in combinations(consonants, size)))
    return tuple(forms)


def learned_abbreviations(postings: Postings, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(number of the word, column of its abbreviation), for each that this repository's definitions teach."""
    every = [(number, form) for number, word in enumerate(words) for form in spellings(word)]
    vocabulary, head, body = postings.vocabulary, postings.matrices["head"], postings.matrices["body"]
    if not every or not len(vocabulary):
        return
    codes = np.array([code_of(form) for _, form in every], np.uint32)
    places = np.minimum(np.searchsorted(vocabulary.codes, codes), len(vocabulary.codes) - 1)
    speaking: dict[int, NDArray[np.bool_]] = {}
    for row in np.flatnonzero(vocabulary.codes[places] == codes).tolist():
        number, form = every[row]
        column = vocabulary.get(form)
        named = head.line(column)[0] if column >= 0 else np.zeros(0, np.int32)
        if len(named) < _LEAST_TIMES:
            continue
        if number not in speaking:
            speaking[number] = _speaking(postings, words[number], body.across)
        said = speaking[number]
        times, usual = int(said[named].sum()), float(said.mean())
        share = times / len(named)
        if times >= _LEAST_TIMES and share >= _LEAST_SHARE and share >= _LEAST_LIFT * usual:
            yield number, column


def _speaking(postings: Postings, word: str, chunks: int) -> NDArray[np.bool_]:
    """Chunks whose text has the word or one of its stem. Shape (chunks,)."""
    found = np.zeros(chunks, np.bool_)
    own = postings.vocabulary.get(word)
    for column in (*([own] if own >= 0 else []), *postings.relatives(word).tolist()):
        found[postings.matrices["body"].line(column)[0]] = True
    return found
