"""What a correction asks for and where it holds: said back to the user at once, changed with one command."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hal9.memory import EVERYWHERE, MemoryScope, place_of, read_place, scope_for_memory
from hal9.memory.rules.place import repository_of, work_of
from hal9.memory.rules.wording import (
    about_one_answer,
    contentless,
    hostile,
    scope_word,
    subject_words,
    supersedes,
    withdrawal,
)

__all__ = ["KINDS", "Understood", "concerns", "contradicts", "proposed_scope", "understand"]

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
KINDS = ("tests", "docs", "sql", "shell", "prose", "code")


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


def proposed_scope(
    task: MemoryScope, *, words: str, wanted: str, changed: Sequence[str], workspace: str
) -> MemoryScope:
    """Where a rule is taken to hold.

    In this order: what the user asked for; what the words say ("always", "in this file"); the folder of the
    files that the answer changed or the task named; the module or wording of the task.

    Args:
        task: the task's scope.
        words: the correction.
        wanted: a place or kind of work that the user gave, or "".
        changed: files that the answer changed, as the workspace names them.
        workspace: the task's folder.

    Raises:
        MemoryInvalid: `wanted` is no place.
    """
    repository = repository_of(workspace)
    files = [named for path in changed if (named := repository.path(path))] or list(task.paths)
    work = _work(words, files, task.work)
    if wanted.strip().lower() in KINDS:
        return MemoryScope(task.workspace, place=EVERYWHERE, work=wanted.strip().lower())
    said = scope_word(words)
    place = ""
    if wanted.strip():
        place, work = _wanted(wanted, files), _work(words, (), "")
    elif said == "project" and task.workspace:
        place = EVERYWHERE
    elif said in ("file", "folder") and files:
        place = _wanted(said, files)
    elif any("/" in path for path in files):
        place = _shared_folder(files)
    return MemoryScope(task.workspace, place=place, work=work) if place else scope_for_memory(task)


def _wanted(wanted: str, files: Sequence[str]) -> str:
    word = wanted.strip().lower()
    if word == "file" and files:
        return files[0].rstrip("/")
    if word == "folder" and files:
        return place_of(files[0])
    return read_place(wanted)


def _work(words: str, files: Sequence[str], known: str) -> str:
    """The kind of work that the words name, else that of the files; plain code says nothing."""
    said = work_of(words)
    if said in ("tests", "docs", "sql", "shell"):
        return said
    found = work_of("", files) or known
    return found if found in ("docs", "sql", "shell", "prose") else ""


def _shared_folder(files: Sequence[str]) -> str:
    """The deepest folder that holds all files, when that is not the whole project."""
    folders = [path.rstrip("/").split("/")[: None if path.endswith("/") else -1] for path in files]
    if not folders:
        return ""
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared) + "/**" if shared else ""


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
