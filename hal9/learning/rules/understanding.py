"""What a correction asks for and where it holds: said back to the user at once, changed with one command.

How a rule is replaced or taken back ("forget that") stands in `withdrawing`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from hal9.memory.rules.wording import (
    about_one_answer,
    contentless,
    hostile,
    subject_words,
    supersedes,
    withdrawal,
)

__all__ = ["Understood", "concerns", "contradicts", "understand"]

_SAME_SUBJECT = 0.5
_LEAST_SHARED = 2
_LITERAL = re.compile(
    r"`[^`]+`|\"[^\"]+\"|'[^']+'|\b[A-Z]{2,4}(?:[-./][A-Z]{2,4})+\b|\b\d[\w.,:%-]*|\b[a-z]+_[a-z_]+\b"
    r"|\b(?:tabs?|spaces|decimal|float|int|string|camel|snake|single|double|unittest|pytest|async|sync)\b",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:never|not|no|don't|do not|without|avoid|stop|nie|niemals|nicht|kein\w*)\b"
    r"|\b(?:jamais|ne pas|nunca|no usar|mai|nooit|nigdy)\b|никогда|не |不要|禁止|しない",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Understood:
    """How a correction's words are taken.

    Attributes:
        kind: `rule`; `preference`, about one answer and no rule until it is said again; `nothing`, the words
            say only that something is wrong; `withdrawal`, a rule is taken back; `hostile`, kept away from
            prompts.
        detail: for `hostile`, the words that gave it away.
    """

    kind: Literal["rule", "preference", "nothing", "withdrawal", "hostile"]
    detail: str = ""


def understand(words: str) -> Understood:
    """Take the user's words; an empty text is `nothing`."""
    found = hostile(words)
    if found:
        return Understood("hostile", found)
    if contentless(words):
        return Understood("nothing")
    if withdrawal(words) and not supersedes(words):
        return Understood("withdrawal")
    return Understood("preference" if about_one_answer(words) else "rule")


def concerns(rule: str, words: str) -> bool:
    """Whether a complaint is about a rule: they share a content word."""
    return bool(subject_words(words) & subject_words(rule))


def contradicts(newer: str, older: str) -> bool:
    """Whether two rules are about the same subject and cannot both be right.

    The same subject: half of the content words of the shorter one. Not both right: they name different
    literal things (formats, numbers, quoted words), or exactly one of them forbids.
    """
    first, second = subject_words(_without_literals(newer)), subject_words(_without_literals(older))
    shared = first & second
    if len(shared) < min(_LEAST_SHARED, len(first), len(second)) or not shared:
        return False
    if len(shared) < _SAME_SUBJECT * min(len(first), len(second)):
        return False
    mine, other = _literals(newer), _literals(older)
    differs = bool(mine and other and not mine & other)
    return differs or _forbids(newer) != _forbids(older)


def _literals(text: str) -> frozenset[str]:
    return frozenset(found.strip("`'\"").lower() for found in _LITERAL.findall(text))


def _without_literals(text: str) -> str:
    return _LITERAL.sub(" ", text)


def _forbids(text: str) -> bool:
    return _FORBIDS.search(text) is not None
