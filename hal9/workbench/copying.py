"""The copy of a workspace that a turn works in: regular files, and links as links."""

import errno
import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hal9.errors.workbench import SnapshotDamaged
from hal9.workbench.changes import read_json, write_json
from hal9.workbench.handles import Entry, FolderHandle, entry_of, write_all
from hal9.workbench.trees import WalkLimits, is_cache

__all__ = ["CopiedTree", "Pair", "TreeCopier", "digest_of", "load_base", "save_base"]

_FORMAT = 1
_FICLONE = 0x40049409
_CHUNK = 1024 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 200
_STEADY_TRIES = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """A file of the workspace and its copy, as both were when it was copied."""

    original: Entry
    copy: Entry
    digest: str = ""


@dataclass(slots=True)
class CopiedTree:
    """What was copied, and what was not and why.

    Attributes:
        pairs: files, links and folders of the workspace, by path.
        shared: folders that are seen read-only.
        repositories: prefixes of the paths that have a `.git`.
        skipped: what was left out, with the reason.
        git_roots: where a `.git` is, or may come to be, that goes back to a mark with the rest.
        git: what was in them in the beginning, by path; their contents are kept among the blobs.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    git_roots: list[str] = field(default_factory=list)
    git: dict[str, Pair] = field(default_factory=dict)


def save_base(folder: Path, workspace: Path, copied: CopiedTree) -> None:
    """Write down what was copied, and how original and copy looked then."""
    write_json(
        folder / "base.json",
        {
            "format": _FORMAT,
            "workspace": str(workspace),
            "pairs": {path: asdict(pair) for path, pair in copied.pairs.items()},
            "shared": copied.shared,
            "repositories": copied.repositories,
            "skipped": copied.skipped,
            "git_roots": copied.git_roots,
            "git": {path: asdict(pair) for path, pair in copied.git.items()},
        },
    )


def load_base(folder: Path, workspace: Path) -> CopiedTree:
    """Read what `save_base` wrote.

    Raises:
        FileNotFoundError: there is none.
        SnapshotDamaged: it cannot be read, or is of another workspace.
    """
    stored = read_json(folder / "base.json")
    try:
        if (stored["format"], stored["workspace"]) != (_FORMAT, str(workspace)):
            raise SnapshotDamaged(path=str(folder), detail="it is of another workspace or version")
        return CopiedTree(
            pairs=_pairs_from(stored["pairs"]),
            shared=stored["shared"],
            repositories=stored["repositories"],
            skipped=stored["skipped"],
            # A copy of an earlier version did not note them: its git folders stay as they are.
            git_roots=stored.get("git_roots", []),
            git=_pairs_from(stored.get("git", {})),
        )
    except (KeyError, TypeError) as error:
        raise SnapshotDamaged(path=str(folder), detail=str(error)) from error


def _pairs_from(rows: dict[str, Any]) -> dict[str, Pair]:
    return {
        path: Pair(Entry(*row["original"]), Entry(*row["copy"]), row["digest"]) for path, row in rows.items()
    }


def digest_of(data: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class TreeCopier:
    """Copies a tree between two open folders.

    Args:
        limits: bounds on entries, bytes, time.
        left_out: whether a path (and what is below it) is not copied, with the reason; "" copies it.
        shared: whether a folder is only seen read-only: then an empty one stands in its place.
    """

    limits: WalkLimits
    left_out: Callable[[str], str] = lambda _path: ""
    shared: Callable[[str], bool] = lambda _path: False
    _clone: bool = field(default=sys.platform == "linux", init=False)

    def copy(self, source: FolderHandle, target: FolderHandle) -> CopiedTree:
        """Copy everything below `source` into the empty folder `target`.

        Raises:
            WorkspaceTooLarge: over a limit.
            OSError: the copy cannot be written.
        """
        found = CopiedTree()
        self._folder(source.fd, target.fd, "", found, 0)
        return found

    def _folder(self, source: int, target: int, prefix: str, found: CopiedTree, depth: int) -> None:
        if depth > _DEEPEST:
            found.skipped[prefix] = f"nested deeper than {_DEEPEST} folders"
            return
        for name in sorted(os.listdir(source)):
            path = f"{prefix}{name}"
            reason = self.left_out(path)
            if is_cache(name):
                continue
            if reason:
                found.skipped[path] = reason
                continue
            if name == ".git":
                # Git's folder is made by whoever knows what of it a copy needs.
                found.repositories.append(prefix)
                continue
            try:
                status = os.stat(name, dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                self._subfolder(source, target, name, path, found, depth)
            else:
                self._entry(source, target, name, path, found)

    def _subfolder(
        self, source: int, target: int, name: str, path: str, found: CopiedTree, depth: int
    ) -> None:
        self.limits.count()
        try:
            below = os.open(name, _FOLDER, dir_fd=source)
        except OSError as error:
            found.skipped[path] = f"cannot be read: {error.strerror}"
            return
        made = -1
        try:
            status = os.fstat(below)
            if os.fstatvfs(below).f_blocks == 0 and status.st_dev != os.fstat(source).st_dev:
                found.skipped[path] = "a file system of the kernel's"
                return
            os.mkdir(name, 0o700, dir_fd=target)
            if self.shared(path):
                found.shared.append(path)
                return
            made = os.open(name, _FOLDER, dir_fd=target)
            self._folder(below, made, f"{path}/", found, depth + 1)
            os.fchmod(made, stat.S_IMODE(status.st_mode) | 0o700)
            os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))
            found.pairs[path] = Pair(entry_of(status), entry_of(os.fstat(made)))
        finally:
            os.close(below)
            if made >= 0:
                os.close(made)

    def _entry(self, source: int, target: int, name: str, path: str, found: CopiedTree) -> None:
        try:
            pair = self.copy_entry(source, target, name)
        except FileNotFoundError:
            return
        except PermissionError as error:
            found.skipped[path] = f"cannot be read: {error.strerror}"
            return
        if isinstance(pair, str):
            found.skipped[path] = pair
        else:
            found.pairs[path] = pair

    def copy_entry(self, source: int, target: int, name: str) -> Pair | str:
        """Copy one file or link between open folders; a sentence when it is a thing that is not copied.

        Raises:
            FileNotFoundError: it went away.
            PermissionError: it cannot be read.
        """
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            self.limits.count()
            goal = os.readlink(name, dir_fd=source)
            os.symlink(goal, name, dir_fd=target)
            made = os.stat(name, dir_fd=target, follow_symlinks=False)
            return Pair(entry_of(status, goal), entry_of(made, goal))
        if not stat.S_ISREG(status.st_mode):
            return f"a {entry_of(status).kind}"
        self.limits.count(status.st_size)
        for attempt in range(1, _STEADY_TRIES + 1):
            try:
                reading = os.open(name, _READ, dir_fd=source)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO):
                    return "replaced while it was copied"
                raise
            try:
                before = os.fstat(reading)
                if not stat.S_ISREG(before.st_mode):
                    return "replaced while it was copied"
                writing = os.open(name, _NEW, 0o600, dir_fd=target)
                try:
                    digest = self._data(reading, writing)
                    os.fchmod(writing, stat.S_IMODE(before.st_mode) | 0o200)
                    os.utime(writing, ns=(before.st_atime_ns, before.st_mtime_ns))
                    made = os.fstat(writing)
                finally:
                    os.close(writing)
                steady = entry_of(os.fstat(reading)).unchanged_since(entry_of(before))
            finally:
                os.close(reading)
            if steady or attempt == _STEADY_TRIES:
                break
            os.unlink(name, dir_fd=target)  # somebody wrote to it meanwhile: once more
        return Pair(entry_of(before), entry_of(made), digest)

    def _data(self, reading: int, writing: int) -> str:
        """The bytes; shared with the original where the file system can. Returns their digest when read."""
        if self._clone:
            try:
                fcntl.ioctl(writing, _FICLONE, reading)
            except OSError:
                self._clone = False
            else:
                return ""
        seen = hashlib.sha256()
        while chunk := os.read(reading, _CHUNK):
            seen.update(chunk)
            write_all(writing, chunk)
        return seen.hexdigest()
