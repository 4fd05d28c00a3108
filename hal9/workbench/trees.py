"""Walking a workspace by handles: what stands where, within limits; which folders are whose."""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from hal9.errors.workbench import NotRegularFile, WorkspaceTooLarge
from hal9.workbench.handles import Entry, FolderHandle, enter_any, entry_of

__all__ = ["DEPENDENCIES", "PART_SUFFIX", "Walk", "WalkLimits", "is_cache", "is_dependency_folder"]

# What tools write for themselves: never part of a task's work, so neither copied nor carried over.
_CACHES = frozenset(
    {
        "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".pytype",
        ".ipynb_checkpoints",         ".DS_Store", ".coverage", ".hal9",
    }
)  # fmt: skip
# What is installed, not written: large, and the same for every task. Seen read-only, not copied.
DEPENDENCIES = frozenset({"node_modules", ".tox", ".nox", "conda-meta"})
PART_SUFFIX = ".hal9-part"
_NEVER = _CACHES | {".git"}
_ENDINGS = (".pyc", PART_SUFFIX)
_DEEPEST = 200
# The clock is read once in so many entries.
_LOOKED_UP = 64


def is_cache(name: str) -> bool:
    """Whether a name is a tool's own, or left over from a write that was interrupted."""
    return name in _CACHES or name.endswith(_ENDINGS)


def is_dependency_folder(folder: Path) -> bool:
    """Whether a folder holds installed packages (also a Python environment of any name)."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return folder.name in DEPENDENCIES or any(
        (folder / mark).exists() for mark in ("pyvenv.cfg", "conda-meta")
    )


@dataclass(slots=True)
class WalkLimits:
    """How much of a tree is looked at; `stop` ends it from outside."""

    root: str
    max_entries: int = 200_000
    max_bytes: int = 4 * 1024**3
    seconds: float = 120.0
    stop: Event = field(default_factory=Event)
    entries: int = 0
    bytes: int = 0
    _until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds

    def count(self, size: int = 0) -> None:
        """Count one entry.

        Raises:
            WorkspaceTooLarge: too many, too large, or too slow.
            InterruptedError: `stop` was set.
        """
        self.entries += 1
        self.bytes += size
        if self.entries > self.max_entries:
            detail = f"it has more than {self.max_entries} entries (workbench.snapshot_files)"
        elif self.bytes > self.max_bytes:
            detail = f"it has more than {self.max_bytes // 1024**2} MB (workbench.snapshot_mb)"
        elif self.entries % _LOOKED_UP and not self.stop.is_set():
            return
        elif time.monotonic() > self._until:
            detail = f"looking through it takes longer than {self.seconds:.0f} s (workbench.snapshot_seconds)"
        elif self.stop.is_set():
            raise InterruptedError
        else:
            return
        raise WorkspaceTooLarge(path=self.root, detail=detail)


@dataclass(slots=True)
class Walk:
    """One pass over a tree.

    Args:
        left_out: paths that are not entered and not reported.
        limits: how much is looked at.
    """

    root: FolderHandle
    limits: WalkLimits
    left_out: frozenset[str] = frozenset()

    def entries(self) -> list[tuple[str, Entry]]:
        """Every entry, folders before what is in them; links are not followed, git's own is left out."""
        found: list[tuple[str, Entry]] = []
        self._below(self.root.fd, "", 0, found)
        return found

    def below(self, path: str) -> list[tuple[str, Entry]]:
        """A folder and every entry in it, also where `entries` leaves it out; anything else alone."""
        entry = self.root.look(path)
        if entry is None or entry.kind != "folder":
            return [] if entry is None else [(path, entry)]
        found = [(path, entry)]
        with (
            contextlib.suppress(FileNotFoundError, NotRegularFile),
            self.root.parent_of(f"{path}/x") as (fd, _),
        ):
            self._below(fd, f"{path}/", 0, found)
        return found

    def _below(self, fd: int, prefix: str, depth: int, found: list[tuple[str, Entry]]) -> None:
        if depth > _DEEPEST:
            raise WorkspaceTooLarge(
                path=self.limits.root, detail=f"folders are nested deeper than {_DEEPEST} ({prefix[:80]}…)"
            )
        count, left_out = self.limits.count, self.left_out
        for name in os.listdir(fd):
            path = prefix + name
            if name in _NEVER or name.endswith(_ENDINGS) or path in left_out:
                continue
            try:
                entry = entry_of(os.stat(name, dir_fd=fd, follow_symlinks=False))
                if entry.kind == "link":
                    entry = entry._replace(target=os.readlink(name, dir_fd=fd))
            except OSError:
                continue  # it went away while we looked
            count(entry.size if entry.kind == "file" else 0)
            found.append((path, entry))
            if entry.kind == "folder":
                # A folder that cannot be entered must not look like an empty one: its files would count
                # as deleted.
                below = enter_any(fd, name)
                try:
                    self._below(below, f"{path}/", depth + 1, found)
                finally:
                    os.close(below)
