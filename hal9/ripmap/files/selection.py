"""Which files a tree keeps by their names: settings' patterns, extensions, and what is never read."""

import re
from collections.abc import Iterable

from hal9.ripmap.settings import IndexSettings

__all__ = ["BINARY_EXTENSIONS", "SKIPPED_FOLDERS", "Patterns", "Selection"]

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".jj", "__pycache__", "node_modules", ".mypy_cache",
                              ".ruff_cache", ".pytest_cache", ".tox", ".nox", ".hypothesis"})  # fmt: skip
BINARY_EXTENSIONS = frozenset([
    "png", "jpg", "jpeg", "gif", "bmp", "ico", "icns", "webp", "tif", "tiff", "psd", "pdf", "ps",
    "eps", "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "jar", "war", "ear", "whl", "egg",
    "so", "dylib", "dll", "exe", "o", "a", "lib", "obj", "class", "pyc", "pyo", "pyd", "wasm", "bin",
    "dat", "db", "sqlite", "sqlite3", "mp3", "mp4", "m4a", "ogg", "wav", "flac", "avi", "mov", "mkv",
    "webm", "woff", "woff2", "ttf", "otf", "eot", "mo", "npy", "npz", "pkl", "pickle", "parquet",
    "feather", "h5", "hdf5", "pt", "pth", "onnx", "gguf", "safetensors", "xls", "xlsx", "doc", "docx",
    "ppt", "pptx", "odt", "ods", "iso", "img", "deb", "rpm", "apk", "keystore", "jks", "p12", "der",
    "swf", "fla", "blend", "fbx", "glb", "gltf", "tfrecord", "avro", "orc"
])  # fmt: skip
_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\r\\n\\v\\f",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


class Patterns:
    """Patterns by gitignore's rules over relative paths.

    The last pattern that fits decides, `!` takes back, a slash within anchors, one at the end means folders
    only, and what lies in a folder that fits cannot be taken back.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [rule for rule in map(_rule, patterns) if rule is not None]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def fits(self, path: str) -> bool:
        """Whether a file at `path` is meant."""
        start = path.find("/")
        while start >= 0:
            if self._decided(path[:start], folder=True):
                return True
            start = path.find("/", start + 1)
        return self._decided(path, folder=False)

    def _decided(self, path: str, *, folder: bool) -> bool:
        for pattern, taken_back, folders_only in reversed(self._rules):
            if (folder or not folders_only) and pattern.fullmatch(path):
                return not taken_back
        return False


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """A line's pattern, whether it takes back, whether it means folders only; None when it says nothing."""
    line = line.rstrip("\r\n")
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    taken_back = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    anchored = "/" in line.rstrip("/")
    body = _regex(line.strip("/"))
    if not line.strip("/") or body is None:
        return None
    return re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL), taken_back, folders_only


def _regex(pattern: str) -> str | None:
    """A wildcard pattern as a regular expression; None for one that git can never match (an open bracket)."""
    out: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**/", position) and (position == 0 or pattern[position - 1] == "/"):
            out.append("(?:.*/)?")
            position += 3
            continue
        if pattern.startswith("**", position) and position + 2 == len(pattern) and out and out[-1] == "/":
            out.append(".+")
            break
        if character == "[":
            found = _bracket(pattern, position)
            if found is None:
                return None
            out.append(found[0])
            position = found[1]
            continue
        if character == "\\":
            position += 1
            if position == len(pattern):
                return None
            out.append(re.escape(pattern[position]))
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)))
        position += 1
    return "".join(out)


def _bracket(pattern: str, start: int) -> tuple[str, int] | None:
    """A bracket expression as a regular expression, and where it ends; None when it is never closed."""
    position = start + 1
    negated = pattern[position : position + 1] in {"!", "^"}
    position += negated
    out: list[str] = []
    first = True
    while position < len(pattern) and (first or pattern[position] != "]"):
        first = False
        named = re.compile(r"\[:([a-z]+):\]").match(pattern, position)
        if named is not None:
            if named[1] not in _POSIX:
                return None
            out.append(_POSIX[named[1]])
            position = named.end()
            continue
        if pattern[position] == "\\" and position + 1 < len(pattern):
            position += 1
        character = pattern[position]
        between = character == "-" and out and pattern[position + 1 : position + 2] != "]"
        out.append("-" if between else re.escape(character))
        position += 1
    if position >= len(pattern):
        return None
    inside = "".join(out)
    try:
        re.compile(f"[{inside}]")
    except re.error:
        # A range that runs backwards fits nothing, in git too.
        return ("(?!)" if not negated else "[^/]"), position + 1
    return (f"(?!/)[{'^' if negated else ''}{inside}]"), position + 1


class Selection:
    """Whether a path belongs to the index, beyond what ignore files say."""

    def __init__(self, settings: IndexSettings) -> None:
        self._extensions = frozenset(extension.lstrip(".").lower() for extension in settings.extensions)
        self._include = Patterns(settings.include)
        self._exclude = Patterns(settings.exclude)

    def __call__(self, path: str) -> bool:
        extension = path.rpartition("/")[2].rpartition(".")[2].lower()
        if extension in BINARY_EXTENSIONS or not SKIPPED_FOLDERS.isdisjoint(path.split("/")[:-1]):
            return False
        if self._extensions and extension not in self._extensions:
            return False
        if self._include and not self._include.fits(path):
            return False
        return not self._exclude.fits(path)
