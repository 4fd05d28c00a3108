"""Places in a repository: what a task touches, and where a rule holds.

A place is `**` (the whole project), a folder (`src/billing/**`), a file (`src/billing/dates.py`), or any
other glob written `glob:src/**/*.sql`. Paths are relative to the repository's root and use forward slashes.
"""

import posixpath
import re
from collections.abc import Iterable

from hal9.errors.memory import MemoryInvalid
from hal9.memory.records import EVERYWHERE, GLOB
from hal9.memory.rules.repository import Repository, repository_of

__all__ = [
    "Repository",
    "paths_in",
    "place_of",
    "places_of",
    "read_place",
    "repository_of",
    "repository_paths",
    "work_of",
]

_MOST_PATHS = 40
_FILE = re.compile(
    r"(?<![\w./@:-])(?:\./)?((?:[\w@+-][\w.@+-]*/)*[\w@+-][\w.@+-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/])"
)
_FOLDER = re.compile(r"(?<![\w./@:-])(?:\./)?((?:[\w@+-][\w.@+-]*/)+[\w@+-]*)(?![\w.])")
_NOT_FILES = frozenset({"e.g", "i.e", "z.b", "p.ex", "etc", "vs"})
_SUFFIX = re.compile(
    r"\.(?:py|pyi|rs|go|ts|tsx|js|jsx|mjs|java|kt|rb|c|h|cc|cpp|hpp|cs|php|swift|scala|sh|bash|sql|md|rst|txt|toml|"
    r"yaml|yml|json|ini|cfg|html|css|vue|svelte|tf|proto|lua|r|jl|ex|exs|erl|hs|ml|dart|zig|ipynb|xml)$",
    re.IGNORECASE,
)


def repository_paths(workspace: str, names: Iterable[str]) -> list[str]:
    """Paths of a workspace as paths of its repository; those outside are left out."""
    repository = repository_of(workspace)
    return [named for name in names if (named := repository.path(name))]


def paths_in(text: str, repository: Repository) -> tuple[str, ...]:
    """Files and folders that a text names, as paths of the repository; folders end with a slash."""
    found: dict[str, None] = {}
    for match in _FOLDER.finditer(text):
        name = repository.path(match.group(1))
        if name and match.group(1).count("/") and not _SUFFIX.search(match.group(1)):
            found[name.rstrip("/") + "/"] = None
    for match in _FILE.finditer(text):
        word = match.group(1)
        if _SUFFIX.search(word) and word.lower() not in _NOT_FILES:
            found[repository.path(word)] = None
    root = repository.root.rstrip("/")
    if root and root in text:
        for match in re.finditer(re.escape(root) + r"/([\w.@+/-]+)", text):
            found[posixpath.normpath(match.group(1))] = None
    found.pop("", None)
    return tuple(found)[:_MOST_PATHS]


def place_of(path: str) -> str:
    """The place of a file's folder; a file at the root is a place of its own."""
    folder = path.rstrip("/") if path.endswith("/") else posixpath.dirname(path)
    return f"{folder}/**" if folder else path


def places_of(paths: Iterable[str]) -> list[str]:
    """Every plain place that holds one of these paths, for an exact look-up."""
    found = {EVERYWHERE: None}
    for path in paths:
        plain = path.rstrip("/")
        found[plain] = None
        parts = plain.split("/")
        for count in range(1, len(parts) + int(path.endswith("/"))):
            found["/".join(parts[:count]) + "/**"] = None
    return list(found)


def read_place(text: str) -> str:
    """A place as a person types it: `project`, `src/billing`, `src/billing/`, `a.py`, `'*.sql'`.

    Raises:
        MemoryInvalid: it is empty, or points outside the repository.
    """
    word = text.strip().removeprefix("./")
    if word.lower() in ("project", "everywhere", "all", "**", "."):
        return EVERYWHERE
    if not word or word.startswith(("/", "~")) or ".." in word.split("/"):
        raise MemoryInvalid(
            what="scope",
            why=f"{text!r} is no place in the project: give `project`, a folder, a file or a glob",
        )
    plain = word.removesuffix("/**").removesuffix("/")
    if any(sign in plain for sign in "*?["):
        return GLOB + word
    return plain if _SUFFIX.search(plain) and not word.endswith(("/", "/**")) else f"{plain}/**"


_DOCS = re.compile(r"\.(?:md|rst|txt|adoc|tex)$", re.IGNORECASE)
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|spec|__tests__)/|(?:^|/)test_[^/]*$|[._-](?:test|spec)s?\.[a-z]+$", re.IGNORECASE
)
_SHELL = re.compile(r"\.(?:sh|bash|zsh|ps1|bat)$", re.IGNORECASE)
_SAYS_TESTS = re.compile(
    r"\b(?:tests?|unittests?|pytest|testcases?|prueba|essai)\b|测试|テスト", re.IGNORECASE
)
_SAYS_DOCS = re.compile(
    r"\b(?:readme|changelog|documentation|docs|document|doku\w*|release notes?)\b|文档|ドキュメント",
    re.IGNORECASE,
)
_SAYS_SQL = re.compile(
    r"\b(?:sql|select statement|migration|schema change|quer(?:y|ies)(?! (?:string|param))"
    r"|abfragen?|consultas?|requêtes?)\b"
    r"|запрос\w* к базе|查询语句|クエリ",
    re.IGNORECASE,
)
_SAYS_SHELL = re.compile(r"\b(?:shell|bash|command line) (?:script|command)s?\b", re.IGNORECASE)
_SAYS_CODE = re.compile(
    r"\b(?:functions?|method|class|module|code|implement\w*|refactor\w*|bug|fix|script|api|endpoint|funktion|klasse|"
    r"fonction|función|funzione|função|functie|funkcj\w*)\b|функци|函数|関数|\.py\b|\w\(\w*\)",
    re.IGNORECASE,
)


def work_of(text: str, paths: Iterable[str] = ()) -> str:
    """The kind of work: from the files it touches, else from its words; "" when neither tells."""
    kinds = [kind for path in paths if not path.endswith("/") and (kind := _work_of_path(path))]
    if kinds:
        # Of several kinds code is the work; else the first file is, and the others are what it speaks of.
        return "code" if "code" in kinds else kinds[0]
    for kind, pattern in (
        ("tests", _SAYS_TESTS),
        ("sql", _SAYS_SQL),
        ("shell", _SAYS_SHELL),
        ("code", _SAYS_CODE),
        ("docs", _SAYS_DOCS),
    ):
        if pattern.search(text):
            return kind
    return ""


def _work_of_path(path: str) -> str:
    for kind, pattern in (("tests", _TESTS), ("docs", _DOCS), ("shell", _SHELL)):
        if pattern.search(path):
            return kind
    if path.lower().endswith(".sql"):
        return "sql"
    return "code" if _SUFFIX.search(path) else ""
