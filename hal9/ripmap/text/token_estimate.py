"""An upper estimate of a text's tokens without any vocabulary, calibrated per script.

Fitted to cl100k (and, for code, o200k) on source, maps and prose in twenty scripts, then raised by a margin.
What no language would write (random letters, runs of mixed punctuation) is told from words by its pairs.
"""

import re
from bisect import bisect_right
from functools import cache
from itertools import pairwise

__all__ = ["estimate_tokens"]

_PIECE = re.compile(
    r"[A-Za-z]+|[0-9]+|[!-/:-@\[-`{-~]+|[^\x00-\x7f]+|\n\s*|[^\S\n]{2,}|[\x00-\x08\x0b-\x1f\x7f]"
)
_WORD_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MARGIN = 1.18
_RARE_LETTER = 0.6
"""Tokens per letter of a word with several pairs of letters that hardly occur in words."""
_RARE_PAIR = 0.5

_FOLLOWERS = (
    "abcdgiklmnprstuvxy", "baeijlouy", "cacehiklmortuy", "dabdeijosu", "eacdefgilmnpqrstvwxy",
    "faefilortu", "gaehilnorstu", "haeiorst", "iabcdefglmnoprstvxz", "jaeos", "keisuw", "ladefilostuy",
    "mabdeimnopsu", "nacdefgiklnopstuvy", "oabcdefgiklmnoprstuvw", "padeiklmoprstuy", "qlu",
    "racdefgikmnorstuy", "sacehikopqstuwy", "tacehiloprstuwy", "uabcdegilmnprst", "vaei", "waehinors",
    "xceipt", "ymopst", "ze",
)  # fmt: skip
_PAIRS = frozenset(word[0] + letter for word in _FOLLOWERS for letter in word[1:])
"""Pairs of letters that make up 98.5 percent of those in code and English."""
_MARKS = frozenset([
    "()", '",', "):", "._", '("', '")', "),", ").", '."', "[]", ");", "',", ":=", "{@", "!=", "_(",
    '":', "->", "])", "],", "},", "')", "('", "*/", "/*", '"-', "_,", "([", "'%", "{}", "`,", "':",
    '"}', '"\\', "['", "].", "']", "(*", ")}", "})", '".', '["', '"]', "]:", "(?", '{"', "%[", "_%",
    '}"', ")[", "</", "?:", "${", "|-", "='", "+=", "}.", ")]", '="', "_.", '"$', ".'", "[:", "=(",
    '"%', "(_", ",)", "`.", ".]", "%(", "'_", '"_', "`)", "(`", '"{', "//", ":/", "<=", ">=", "];",
    ']"', ")'", ':"', ".)", "](", "./", "$(", "==", "**", "&&", "||", "::", "--", "..", "##", "=>",
    "<-", "++", "/>", "?.", "??",
])  # fmt: skip
"""Pairs of marks that usually share a token."""

_SCRIPTS: tuple[tuple[int, float], ...] = (
    (0x80, 0.9), (0x250, 1.4), (0x300, 0.6), (0x370, 0.95), (0x400, 0.5), (0x460, 1.2), (0x530, 1.6),
    (0x590, 1.1), (0x600, 0.85), (0x700, 2.4), (0x900, 1.15), (0x980, 1.7), (0xE00, 1.05),
    (0xE80, 2.4), (0x10A0, 2.0), (0x1100, 2.4), (0x1200, 2.7), (0x13A0, 2.6), (0x1E00, 1.3),
    (0x1F00, 1.6), (0x2000, 1.0), (0x2070, 1.6), (0x2190, 1.5), (0x2500, 0.9), (0x2580, 1.8),
    (0x2E80, 2.2), (0x3000, 1.1), (0x3100, 2.4), (0x4E00, 1.15), (0xA000, 2.6), (0xAC00, 1.0),
    (0xD7B0, 3.0), (0xFF00, 1.3), (0xFFF0, 3.0),
)  # fmt: skip
"""First code point of a block, and tokens per character in it."""
_STARTS = [start for start, _ in _SCRIPTS]


def estimate_tokens(text: str) -> int:
    """An upper estimate for texts that somebody wrote, and for random letters, digits and marks."""
    total = 0.0
    for piece in _PIECE.findall(text):
        first = piece[0]
        if not first.isascii():
            total += sum(map(_character, piece))
        elif first.isalpha():
            total += _word(piece)
        elif first.isdigit():
            total += 0.4 + (len(piece) + 2) // 3
        elif first == "\n" or first.isspace():
            total += _space(piece)
        else:
            total += _marks(piece)
    return int(_MARGIN * total) + 2


@cache
def _character(character: str) -> float:
    return _SCRIPTS[bisect_right(_STARTS, ord(character)) - 1][1]


@cache
def _word(word: str) -> float:
    return sum(map(_hump, _WORD_HUMPS.findall(word)))


def _hump(hump: str) -> float:
    """One part of a word: about a token, more for long ones, far more for what looks like no word at all."""
    lower = hump.lower()
    rare = sum(lower[place : place + 2] not in _PAIRS for place in range(len(lower) - 1))
    length = len(hump)
    usual = 1.02 + 0.14 * max(0, length - 4) + (0.27 * length if hump.isupper() and length > 1 else 0.0)
    if rare > 1 and 4 * rare > length:
        return max(usual, 0.4 + _RARE_LETTER * length)
    return usual + _RARE_PAIR * min(rare, 2)


@cache
def _space(piece: str) -> float:
    """A line break with its indentation is one token; every change of kind within begins another."""
    changes = sum(one != other for one, other in pairwise(piece))
    usual = 1.1 if piece[0] == "\n" else 1.0
    return usual + 0.68 * max(0, changes - 1)


@cache
def _marks(piece: str) -> float:
    """Marks that usually stand together share a token, and so does a run of one mark."""
    total = 0.55
    for one, other in pairwise(piece):
        total += 0.12 if one == other else 0.25 if one + other in _MARKS else 0.7
    return total
