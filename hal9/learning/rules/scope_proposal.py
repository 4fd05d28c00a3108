"""Where a correction is taken to hold: by the user's word, its own words and the files concerned."""

import posixpath
import re
from collections.abc import Sequence

from hal9.memory import EVERYWHERE, MemoryScope, place_of, read_place, scope_for_memory
from hal9.memory.records import covers_path
from hal9.memory.rules.place import Repository, paths_in, repository_of, work_of
from hal9.memory.rules.roles import ROLES, role_of
from hal9.memory.rules.scope import names_module
from hal9.memory.rules.subjects import about_style, value_subjects
from hal9.memory.rules.wording import scope_word, we_always

__all__ = ["KINDS", "proposed_scope", "shared_folder"]

KINDS = ("tests", "docs", "sql", "shell", "prose", "code", *ROLES)
_GENERIC = frozenset(
    {"src", "lib", "libs", "app", "apps", "pkg", "packages", "main", "core", "code", "source"}
)
_LEAST_NAME = 3


def proposed_scope(
    task: MemoryScope,
    *,
    words: str,
    wanted: str,
    changed: Sequence[str],
    workspace: str,
    objective: str = "",
    divided: bool = False,
) -> MemoryScope:
    """Where a rule is taken to hold.

    How work is divided, and what must be true at its end, holds for the project unless the words name a
    place. Else in this order: what the user asked for; a file or folder that the words name, as a path or by
    its name; what the words say ("everywhere", "in this file"); the whole project for what is only about how
    code is written, or for what a team says it always does; the folder of the files that the answer changed
    or the task named; the file, when it lies in no folder; the module or wording of the task.

    Args:
        task: the task's scope.
        words: the correction.
        wanted: a place or kind of work that the user gave, or "".
        changed: files that the answer changed, as the workspace names them.
        workspace: the task's folder.
        objective: the task in words.
        divided: the task was done in parts.

    Raises:
        MemoryInvalid: `wanted` is no place.
    """
    repository = repository_of(workspace)
    files = [named for path in changed if (named := repository.path(path))] or list(task.paths)
    if wanted.strip().lower() in KINDS:
        return MemoryScope(task.workspace, place=EVERYWHERE, work=wanted.strip().lower())
    if wanted.strip():
        work = role_of(words, divided=divided) or _work(words, (), "")
        return MemoryScope(task.workspace, place=_wanted(wanted, files), work=work)
    role = role_of(words, divided=divided)
    if role:  # of the work as a whole: it holds for the project, unless the words name a place
        named = _named_in(words, files, repository)
        return MemoryScope(task.workspace, place=named or EVERYWHERE, work=role)
    by_module = names_module(objective)
    place = ""
    if files or scope_word(words) == "project" or not by_module:
        place = _place(words, files, repository) if task.workspace or files else ""
    if not place and files and not task.module:
        place = files[0].rstrip("/")
    if not place:
        scope = scope_for_memory(task)
        if scope.module or scope.task_family:
            return scope
        place = EVERYWHERE  # a task without a folder whose wording is like no other's
    work = _work(words, files if place != EVERYWHERE else (), task.work if place != EVERYWHERE else "")
    return MemoryScope(task.workspace, place=place, work=work)


def _place(words: str, files: Sequence[str], repository: Repository) -> str:
    said = scope_word(words)
    if said in ("file", "folder") and files:
        return _wanted(said, files)
    named = _named_in(words, files, repository)
    if named:
        return named
    if said == "project" or about_style(words) or (we_always(words) and not value_subjects(words)):
        return EVERYWHERE
    return shared_folder(files) if any("/" in path for path in files) else ""


def _named_in(words: str, files: Sequence[str], repository: Repository) -> str:
    """The file or folder of those concerned that the words name, by its path or by its name alone."""
    for path in paths_in(words, repository):
        place = path.rstrip("/") + "/**" if path.endswith("/") else path
        if "/" in place and any(covers_path(place, one) for one in files):
            return place
    plain = words.lower()
    for path in files:
        name = posixpath.basename(path.rstrip("/")).lower()
        if "/" in path and "." in name and re.search(rf"(?<![\w/.]){re.escape(name)}(?!\w)", plain):
            return path
    for path in files:
        parts = path.split("/")[: None if path.endswith("/") else -1]
        for depth in range(len(parts), 0, -1):
            if _says(plain, parts[depth - 1].lower()):
                return "/".join(parts[:depth]) + "/**"
    return ""


def _says(words: str, folder: str) -> bool:
    if len(folder) < _LEAST_NAME or folder in _GENERIC:
        return False
    stem = re.escape(folder.rstrip("s"))
    return re.search(rf"(?<!\w){stem}(?:s|es)?(?!\w)", words) is not None


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


def shared_folder(files: Sequence[str]) -> str:
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
