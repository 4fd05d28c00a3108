"""What a workspace belongs to. Reads git's own files, runs nothing; light, for hook calls need it too."""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hal9.text import split_lines

__all__ = ["Repository", "repository_of"]

_MOST_CONFIG = 200_000
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
