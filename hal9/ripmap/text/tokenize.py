"""Words of code and prose: identifiers, their parts, and their stems.

`Identifier` splitting knows snake_case, camelCase, PascalCase, acronyms and digits. A compound yields its
parts and itself, so that both `display_for_field` and a sentence about displaying a field find it.
"""

import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BOILERPLATE",
    "STOP_WORDS",
    "WORD_BYTES",
    "identifier_parts",
    "is_code_like",
    "join_codes",
    "pair_codes",
    "stem",
    "stem_codes",
    "words",
]

_WORD = re.compile(r"[^\W\d]\w*|\d+[^\W\d_]+\w*|\d{2,}", re.UNICODE)
_ASCII_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+[A-Za-z][A-Za-z0-9_]*|[0-9]{2,}")
"""The same for ASCII texts, in half the time."""
WORD_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
"""What ASCII words are made of."""
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z](?![a-z])|\d+|[^\W\dA-Za-z_]+", re.UNICODE)
_LONGEST_WORD = 120
"""A longer run of letters is data (base64, minified code), not a word."""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _set(
    """
    a about above after again all also am an and any are as at be because been before being below between both
    but by can cannot could did do does doing don done down during each etc few for from further get gets got
    had has
    have having he her here hers him his how however i if in into is isn it its itself just like ll me might
    more most must my no nor not now of off on once one only or other our ours out over own please same
    she should so some still such than that the their theirs them then there these they this those through to
    too under until up us use used uses using very was way we were what when where whether which while who
    whom
    why will with within without would you your yours re ve doesn didn won shouldn wouldn couldn hi hello
    thanks thank
    """
)


def words(text: str) -> list[str]:
    """All identifier-like words of a text, in order, as written."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


@lru_cache(maxsize=400_000)
def identifier_parts(word: str) -> tuple[str, ...]:
    """The lower-case tokens of one word: its parts (two characters or more), and the whole when compound.

    >>> identifier_parts("HTTPServer_v2")
    ('http', 'server', 'v2', 'httpserver_v2')
    """
    if len(word) > _LONGEST_WORD:
        return ()
    if word.islower() and word.isalpha() and word.isascii():
        # Most words are plain; what follows would find the same.
        return (word,) if len(word) > 1 else ()
    whole = word.strip("_").lower()
    if not whole:
        return ()
    parts = [part.lower() for part in _PART.findall(word)]
    merged: list[str] = []
    for part in parts:
        # `v2`, `utf8`, `axes3d`: a lone letter or a number clings to what it numbers.
        if merged and part.isdigit() and not merged[-1].isdigit() and len(merged[-1]) == 1:
            merged[-1] += part
        else:
            merged.append(part)
    kept = tuple(part for part in merged if len(part) > 1)
    if len(merged) > 1 and len(whole) > 1:
        return (*kept, whole)
    return kept or ((whole,) if len(whole) > 1 else ())


def is_code_like(word: str) -> bool:
    """Whether a word looks like an identifier rather than prose: snake, camel, digits or dunder."""
    inner = word.strip("_")
    if not inner or inner.isdigit():
        return False
    if "_" in inner or word.startswith("_"):
        return True
    if any(character.isdigit() for character in inner):
        return True
    return any(character.isupper() for character in inner[1:]) and not inner.isupper()


BOILERPLATE = _set(
    """
    fix fixes fixed fixing bug bugs issue issues problem problems add added adds adding support supports
    supported
    update updated updates updating remove removed removes removing change changed changes changing improve
    improved
    improves improvement improvements make makes made making allow allows allowed ensure ensures ensured
    avoid avoids
    prevent prevents correctly properly incorrect incorrectly wrong wrongly instead longer new merge merged
    ticket tickets reported report reports feature regression behavior behaviour unexpected unexpectedly
    expected backport released
    release minor pr enhancement refactor refactored cleanup
    """
)
"""Words of every commit message and issue: they speak of the change, not of the code."""


@lru_cache(maxsize=400_000)
def stem_codes(word: str) -> tuple[int, ...]:
    """Stable 32-bit codes of the stems of a word's parts; stop words are left out."""
    parts = identifier_parts(word)
    return tuple(
        crc32(stem(part).encode("utf-8", "surrogatepass"))
        for part in (parts[:-1] if len(parts) > 1 else parts)
        if part not in STOP_WORDS
    )


def pair_codes(text: str) -> NDArray[np.uint32]:
    """A 32-bit code of each two stems in a row, in order of the text. Shape (stems - 1,)."""
    return join_codes(np.array([code for word in words(text) for code in stem_codes(word)], np.uint32))


def join_codes(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A 32-bit code of each two codes in a row. Of shape (n,) into (n - 1,)."""
    if len(codes) < 2:
        return np.zeros(0, np.uint32)
    return codes[:-1] * np.uint32(0x9E3779B1) ^ codes[1:]


_VOWEL = re.compile(r"[aeiouy]")
_SUFFIXES = (
    ("izations", "iz"),
    ("ization", "iz"),
    ("isation", "iz"),
    ("ations", ""),
    ("ation", ""),
    ("ating", ""),
    ("ated", ""),
    ("ates", ""),
    ("ate", ""),
    ("ators", ""),
    ("ator", ""),
    ("izers", "iz"),
    ("izer", "iz"),
    ("izing", "iz"),
    ("ized", "iz"),
    ("izes", "iz"),
    ("ize", "iz"),
    ("ising", "iz"),
    ("ions", ""),
    ("ion", ""),
    ("ments", ""),
    ("ment", ""),
    ("ings", ""),
    ("ing", ""),
    ("ers", ""),
    ("er", ""),
    ("ors", ""),
    ("or", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ed", ""),
    ("ives", ""),
    ("ive", ""),
    ("able", ""),
    ("ible", ""),
    ("es", ""),
    ("s", ""),
    ("e", ""),
)
_BY_LAST_LETTER = {
    last: tuple(pair for pair in _SUFFIXES if pair[0][-1] == last)
    for last in {suffix[-1] for suffix, _ in _SUFFIXES}
}
_SHORTEST_STEM = 3


@lru_cache(maxsize=400_000)
def stem(token: str) -> str:
    """A blunt English stem that joins serialize, serializer, serializing and serialization.

    It is used to *add* weaker matches beside exact ones, so it may overshoot now and then.
    """
    if not token.isascii() or not token.isalpha() or len(token) <= _SHORTEST_STEM or token.endswith("ss"):
        return token
    for suffix, replacement in _BY_LAST_LETTER.get(token[-1], ()):
        if token.endswith(suffix):
            base = token[: len(token) - len(suffix)]
            if len(base) >= _SHORTEST_STEM and _VOWEL.search(base):
                base += replacement
                if (
                    not replacement
                    and len(base) > _SHORTEST_STEM
                    and base[-1] == base[-2]
                    and base[-1] not in "lsz"
                ):
                    base = base[:-1]
                return base
    return token
