"""What git ignores, as git itself says: its rules have corners that no reimplementation shares."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.ripmap import GitFailed
from hal9.ripmap.history.git_command import run_git

__all__ = ["Ignored", "ask_git", "ignore_sources", "ignores_folder"]

_META = re.compile(r"([\\*?\[\]{}!])")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Ignored entries below a folder, relative to it; `asked` tells whether git could be asked at all."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    asked: bool = False

    def __contains__(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def folder_patterns(self) -> Iterator[str]:
        """Patterns that keep a walk out of the ignored folders."""
        for folder in sorted(self.folders):
            if folder.isprintable():
                yield "!/" + _META.sub(r"\\\1", folder)


def ask_git(folder: Path) -> Ignored:
    """What git ignores below a folder; `asked` is False without git or outside of a repository.

    A folder that is itself ignored by the repository around it was meant by whoever asks for it: then
    nothing in it counts as ignored.
    """
    listing = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--", ".")
    try:
        found = run_git(folder, *listing)
    except GitFailed:
        # No git, no repository, or one that git will not touch: ignore files are read without it.
        return Ignored()
    names = [os.fsdecode(name) for name in found.split(b"\0") if name]
    if any(name in {"./", "."} or name.startswith("../") for name in names):
        return Ignored(asked=True)
    return Ignored(
        files=frozenset(name for name in names if not name.endswith("/")),
        folders=frozenset(name[:-1] for name in names if name.endswith("/")),
        asked=True,
    )


def ignores_folder(root: Path, inside: str) -> bool:
    """Whether a repository ignores one of its folders; False where git cannot be asked.

    Args:
        root: the repository's root.
        inside: the folder, as the repository names it.
    """
    try:
        return bool(run_git(root, "check-ignore", "--", f"{inside}/"))
    except GitFailed:
        # Not ignored (git says so by its exit status), no git, or a repository that it will not touch.
        return False


def ignore_sources(root: Path) -> list[Path]:
    """Files outside the tree that decide what is ignored in it: when one changes, all is asked anew.

    They are the repository's `info/exclude`, the user's excludes file, the configuration that names it (with
    what it includes), and ignore files between the repository's root and a subfolder given as root.
    """
    try:
        top = Path(os.fsdecode(run_git(root, "rev-parse", "--show-toplevel").removesuffix(b"\n")))
        exclude = os.fsdecode(run_git(root, "rev-parse", "--git-path", "info/exclude").removesuffix(b"\n"))
    except GitFailed:
        # No repository: only files in the tree decide.
        return []
    places = [root / exclude, _excludes_file(root), *_configuration(root)]
    if top != root and root.is_relative_to(top):
        above = [parent for parent in root.parents if parent == top or parent.is_relative_to(top)]
        places.extend(parent / ".gitignore" for parent in above)
    return places


def _excludes_file(root: Path) -> Path:
    try:
        named = os.fsdecode(run_git(root, "config", "--path", "core.excludesFile").removesuffix(b"\n"))
    except GitFailed:
        # Not set: git's own default.
        base = os.environ.get("XDG_CONFIG_HOME")
        return (Path(base) if base else Path("~/.config").expanduser()) / "git" / "ignore"
    return root / named


def _configuration(root: Path) -> list[Path]:
    """Configuration files that git reads here, and the user's, which need not exist yet."""
    listed = run_git(root, "config", "--list", "--show-origin", "--name-only", "-z").split(b"\0")
    named = {os.fsdecode(item.removeprefix(b"file:")) for item in listed if item.startswith(b"file:")}
    return [Path("~/.gitconfig").expanduser(), *(root / name for name in sorted(named))]
