"""Which scope a task has: found in its own words, by code, without a model.

A wrong rule does more harm than no rule, so this errs on the side of "unknown": a task that names no module
and has no recognisable statement gets a scope that no memory covers.
"""

import re
from collections.abc import Sequence

from hal9.memory.records import ANY, MemoryScope
from hal9.memory.rules.place import paths_in, repository_of, work_of
from hal9.text import split_lines

__all__ = ["module_of", "names_module", "scope_for_memory", "scope_of", "task_family_of"]

_NAME = r"[A-Za-z_][\w]*(?:[./-][A-Za-z_][\w]*)*"
# Ordered: an explicit statement beats an import beats a dotted use.
_MODULE_PATTERNS = (
    re.compile(rf"\b(?:module|package|component|service|subsystem)\s*[:=]\s*[`'\"]?({_NAME})", re.IGNORECASE),
    re.compile(
        rf"\b(?:module|package|component|service|subsystem)\s+(?:named\s+|called\s+)?[`'\"]({_NAME})[`'\"]",
        re.IGNORECASE,
    ),
    re.compile(rf"[`'\"]({_NAME})[`'\"]\s+(?:module|package|component|service|subsystem)\b", re.IGNORECASE),
    re.compile(
        rf"\b(?:in|for|of|to)\s+(?:the\s+|our\s+)?({_NAME})\s+(?:module|package|component|service|subsystem)\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:module|package|component|service|subsystem)\s+(?:named\s+|called\s+)?({_NAME})", re.IGNORECASE
    ),
    re.compile(r"[`'\"\s(](?:[\w.-]+/)*([A-Za-z_]\w*)\.(?:py|rs|go|ts|js|java|rb|c|cpp|h)\b"),
)
# Words that follow "module" in prose without naming one.
_PROSE = """
a an and are as at be by can do does each every for from has have in into is it its level must name named of
on or our should so that the then there this to under use uses using we when where which will with without
you your python
"""
_NOT_NAMES = frozenset(_PROSE.split())
_LITERAL = re.compile(r"\"[^\"\n]*\"|(?<!\w)'[^'\n]*'|`[^`\n]*`|\d[\d.,_:/-]*")
_WORD = re.compile(r"[a-z]+|#")
_CODE = re.compile(
    r"^\s*(?:def|class|async def|fn|func|function|import|from|#include|public)\b|```", re.MULTILINE
)
_FAMILY_WORDS = 12
_FAMILY_MIN_WORDS = 5


def module_of(task: str) -> str:
    """The module that a task names, lower case, or "" when it names none."""
    for pattern in _MODULE_PATTERNS:
        for match in pattern.finditer(task):
            name = match.group(1).strip("./-").lower()
            if name and name not in _NOT_NAMES:
                return name
    return ""


def names_module(task: str) -> bool:
    """Whether the words say "module NAME" or the like; a file's name alone is a file."""
    return any(
        match.group(1).strip("./-").lower() not in _NOT_NAMES
        for pattern in _MODULE_PATTERNS[:-1]
        for match in pattern.finditer(task)
    )


def task_family_of(task: str) -> str:
    """The wording that tasks of one kind share, or "" when the task has no telling statement.

    It is the first statement (up to a sentence end or line end) in lower-case words, with quoted strings and
    numbers replaced by ``#``. Tasks generated from one template agree exactly; a statement with fewer than
    five words ("Complete this function:") tells nothing. Source code tells nothing either: its first words
    are names.
    """
    text = task.strip()
    code = _CODE.search(text)
    prose = text[: code.start()] if code else text
    for line in split_lines(prose):
        statement = re.split(r"(?<=[.?!])\s", line.strip(), maxsplit=1)[0]
        statement = statement.split(":", 1)[0] if ":" in statement else statement
        words = _WORD.findall(_LITERAL.sub(" # ", statement).lower())
        if len([word for word in words if word != "#"]) >= _FAMILY_MIN_WORDS:
            return "-".join(words[:_FAMILY_WORDS])
    return ""


def scope_of(
    task: str,
    *,
    workspace: str = "",
    module: str | None = None,
    family: str | None = None,
    paths: Sequence[str] = (),
) -> MemoryScope:
    """The scope of a task.

    Args:
        task: its text.
        workspace: where it runs.
        module: what the caller knows about the module; None looks into the text.
        family: what the caller knows about the family; None looks into the text.
        paths: files that the caller knows the task to touch, as the workspace names them.
    """
    repository = repository_of(workspace)
    known = [named for path in paths if (named := repository.path(path))]
    touched = tuple(dict.fromkeys([*known, *paths_in(task, repository)]))
    return MemoryScope(
        workspace=repository.identity,
        module=(module_of(task) or _stem(touched)) if module is None else module.lower(),
        task_family=task_family_of(task) if family is None else family,
        work=work_of(task, touched),
        paths=touched,
        also=workspace,
    ).cleaned()


def _stem(paths: Sequence[str]) -> str:
    """The module that the only file is, when it lies in no folder."""
    if len(paths) != 1 or "/" in paths[0] or "." not in paths[0]:
        return ""
    return paths[0].rsplit(".", 1)[0].lower()


def scope_for_memory(task: MemoryScope) -> MemoryScope:
    """The scope under which a rule from a task is kept.

    A rule from a task that names a module is about that module, whatever is to be done there; a rule from
    a task without one is about tasks of the same family.
    """
    if task.module:
        return MemoryScope(task.workspace, task.module, ANY)
    return MemoryScope(task.workspace, "", task.task_family)
