"""Places in a repository: what a task touches, and where a rule holds. Reads git's own files, runs nothing.

A place is `**` (the whole project), a folder (`src/billing/**`), a file (`src/billing/dates.py`), or any
other glob written `glob:src/**/*.sql`. Paths are relative to the repository's root and use forward slashes.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hal9.errors.memory import MemoryInvalid
from hal9.memory.records import EVERYWHERE, GLOB
from hal9.text import split_lines

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
_MOST_CONFIG = 200_000
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
_REMOTE = re.compile(r'^\s*\[remote\s+"origin"\]\s*$')
_URL = re.compile(r"^\s*url\s*=\s*(\S+)")
_LOGIN = re.compile(r"^(?:[a-z+]+://)?(?:[^@/]+@)?([^:/]+)(?::\d+)?[:/]+(.+?)(?:\.git)?/?$")


@dataclass(frozen=True, slots=True)
class Repository:
    """What a workspace belongs to.

    Attributes:
        identity: the same for every checkout: the remote's host and path, else the root's own path.
        root: the root folder.
        inside: the workspace within it; "" for the root itself.
    """

    identity: str
    root: str
    inside: str = ""

    def path(self, name: str) -> str:
        """A path of the workspace as one of the repository; "" when it lies outside."""
        if name.startswith("/"):
            if not name.startswith(self.root.rstrip("/") + "/"):
                return ""
            return posixpath.normpath(name[len(self.root.rstrip("/")) + 1 :])
        made = posixpath.normpath(posixpath.join(self.inside, name))
        return "" if made.startswith("../") or made == ".." else made


def repository_of(workspace: str) -> Repository:
    """The repository of a workspace; a folder without git is one of its own."""
    if not workspace:
        return Repository("", "")
    folder = Path(workspace)
    for parent in (folder, *folder.parents):
        marker = parent / ".git"
        try:
            if marker.exists():
                inside = folder.relative_to(parent).as_posix()
                return Repository(_identity(parent, marker), str(parent), "" if inside == "." else inside)
        except OSError:
            break
    return Repository(workspace, workspace)


def _identity(root: Path, marker: Path) -> str:
    config = marker / "config"
    if marker.is_file():  # a linked work tree or submodule names its git folder
        named = _text(marker).partition("gitdir:")[2].strip()
        git = (root / named).resolve() if named else marker
        common = _text(git / "commondir").strip()
        config = ((git / common).resolve() / "config") if common else git / "config"
    url = _origin(_text(config))
    return url or str(config.parent.parent if marker.is_file() and config.exists() else root)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_MOST_CONFIG)
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _origin(config: str) -> str:
    """Host and path of `origin`, without login, so that ssh and https agree."""
    inside = False
    for line in split_lines(config):
        if line.lstrip().startswith("["):
            inside = _REMOTE.match(line) is not None
            continue
        found = _URL.match(line) if inside else None
        if found is not None:
            parts = _LOGIN.match(found.group(1))
            return f"{parts.group(1)}/{parts.group(2)}".lower() if parts else found.group(1)
    return ""


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
