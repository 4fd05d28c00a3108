"""Files of a workspace through directory handles: no link is followed, nothing but regular files is opened.

A path that was checked as text can be another thing when it is used: a command may swap a folder for a link
in between. So every access here walks from an open handle of the root, one name at a time, and refuses links
on the way (`O_NOFOLLOW`); what is opened in the end is checked again through its own handle.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from hal9.errors.workbench import FileTooLarge, NotRegularFile, PathOutsideWorkspace, WorkspaceMissing

__all__ = [
    "Entry",
    "EntryKind",
    "FolderHandle",
    "enter_any",
    "entry_of",
    "names_in",
    "parts_of",
    "remove_all",
    "write_all",
]

EntryKind = Literal["file", "link", "folder", "fifo", "socket", "device"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO that took a file's place after the check must not block whoever opens it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1024 * 1024
_LONGEST_NAME = 255
_DEEPEST = 64


class Entry(NamedTuple):
    """What stands at a path: enough to see that it is still the same.

    A tuple, since a walk over a large tree makes and compares very many.
    """

    kind: EntryKind
    mode: int
    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    links: int = 1
    target: str = ""

    def unchanged_since(self, other: "Entry") -> bool:
        """Nobody wrote to it, or put something else in its place, in between."""
        return self[:6] == other[:6]


def entry_of(status: os.stat_result, target: str = "") -> Entry:
    """The entry for a `stat` result."""
    mode = status.st_mode
    return Entry(
        _kind(mode),
        mode & 0o7777,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_nlink,
        target,
    )


def _kind(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISFIFO(mode):
        return "fifo"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def parts_of(path: str, *, root: Path) -> tuple[str, ...]:
    """The names on the way to a file; "./a" is "a", an absolute path below `root` is taken as relative.

    Raises:
        PathOutsideWorkspace: it is empty, leads out, or no file can have this name.
    """
    prefix = f"{root}/"
    relative = path.removeprefix(prefix)
    parts = tuple(part for part in relative.split("/") if part not in ("", "."))
    try:
        usable = all(len(os.fsencode(part)) <= _LONGEST_NAME for part in parts)
    except UnicodeEncodeError:
        usable = False
    if not parts or relative.startswith("/") or ".." in parts or "\0" in relative or not usable:
        raise PathOutsideWorkspace(path=path, root=str(root))
    return parts


class FolderHandle:
    """An open directory, and the files below it. Use it with `with`; it is safe to share between threads.

    Raises:
        WorkspaceMissing: there is no directory at `path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            # The path to the root itself is the user's; links on it are theirs.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise WorkspaceMissing(path=str(self.path)) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        self._fd = -1

    @property
    def fd(self) -> int:
        """The directory's file descriptor."""
        return self._fd

    @contextlib.contextmanager
    def parent_of(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """An open handle of the folder a path is in, and the name there.

        Raises:
            PathOutsideWorkspace, FileNotFoundError.
            NotRegularFile: something on the way is no folder.
        """
        parts = parts_of(path, root=self.path)
        fd = os.dup(self._fd)
        try:
            for depth, part in enumerate(parts[:-1], 1):
                below = _open_folder(fd, part, create=create, shown="/".join(parts[:depth]))
                os.close(fd)
                fd = below
            yield fd, parts[-1]
        finally:
            os.close(fd)

    def look(self, path: str) -> Entry | None:
        """What stands at a path now; None when there is nothing, or no folder on the way."""
        try:
            with self.parent_of(path) as (fd, name):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                return entry_of(status, target)
        except (FileNotFoundError, NotRegularFile):
            return None

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[tuple[int, Entry]]:
        """Open a regular file for reading.

        Raises:
            PathOutsideWorkspace, FileNotFoundError.
            NotRegularFile: it, or a folder on the way, is something else.
        """
        with self.parent_of(path) as (fd, name):
            # Looked at first: opening a device can do something all by itself.
            kind = _kind(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
            if kind != "file":
                raise NotRegularFile(path=path, kind=kind)
            try:
                file = os.open(name, _FILE, dir_fd=fd)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise NotRegularFile(path=path, kind=f"file that does not open ({error.strerror})") from error
        try:
            entry = entry_of(os.fstat(file))
            if entry.kind != "file":
                raise NotRegularFile(path=path, kind=entry.kind)
            yield file, entry
        finally:
            os.close(file)

    def read(self, path: str, *, limit: int, expected: Entry | None = None) -> bytes:
        """All bytes of a regular file.

        Args:
            path: the file.
            limit: how many bytes at most.
            expected: what was seen there; another file, or one that got another name since, is refused.

        Raises:
            PathOutsideWorkspace, FileNotFoundError, NotRegularFile.
            FileTooLarge: more than `limit` bytes.
        """
        with self.open_file(path) as (file, entry):
            if expected is not None and (entry.inode, entry.links) != (expected.inode, expected.links):
                raise NotRegularFile(path=path, kind="file that was replaced while it was looked at")
            if entry.size > limit:
                raise FileTooLarge(path=path, size=entry.size, limit=limit)
            data = bytearray()
            while chunk := os.read(file, min(_CHUNK, limit + 1 - len(data))):
                data += chunk
                if len(data) > limit:
                    raise FileTooLarge(path=path, size=len(data), limit=limit)
            return bytes(data)

    def write(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        """Replace a file in one step: a crash leaves the old or the new one, never a mixture.

        Args:
            path: the file; folders on the way are made.
            data: its new content.
            mode: permission bits; None keeps those it has, 0o644 for a new file.

        Raises:
            PathOutsideWorkspace, OSError.
            NotRegularFile: something else stands there.
        """
        with self.parent_of(path, create=True) as (fd, name):
            before = _status(fd, name)
            if before is not None and not stat.S_ISREG(before.st_mode):
                raise NotRegularFile(path=path, kind=_kind(before.st_mode))
            if mode is None:
                mode = 0o644 if before is None else stat.S_IMODE(before.st_mode)
            part = f".{secrets.token_hex(8)}.hal9-part"
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
            try:
                try:
                    write_all(made, data)
                    os.fchmod(made, mode)
                finally:
                    os.close(made)
                os.replace(part, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=fd)
                raise

    def remove(self, path: str) -> None:
        """Remove a file or link, or whatever a command put there, but no folder; nothing there is fine.

        Raises:
            PathOutsideWorkspace.
            NotRegularFile: it is a folder.
        """
        try:
            with self.parent_of(path) as (fd, name):
                status = _status(fd, name)
                if status is None:
                    return
                if stat.S_ISDIR(status.st_mode):
                    raise NotRegularFile(path=path, kind="folder")
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            return

    def remove_tree(self, path: str) -> None:
        """Remove whatever stands at a path, with all below it."""
        try:
            with self.parent_of(path) as (fd, name):
                remove_all(fd, [name])
        except FileNotFoundError:
            return

    def make_folder(self, path: str) -> None:
        """Make a folder, and those on the way."""
        with self.parent_of(path, create=True) as (fd, name):
            os.close(_open_folder(fd, name, create=True, shown=path))

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link where nothing stands."""
        with self.parent_of(path, create=True) as (fd, name):
            os.symlink(target, name, dir_fd=fd)


def _open_folder(fd: int, name: str, *, create: bool, shown: str) -> int:
    for _ in range(2):
        try:
            return os.open(name, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
        except OSError as error:
            status = _status(fd, name)
            kind = _kind(status.st_mode) if status is not None else error.strerror or "thing that is gone"
            if kind == "folder":
                raise
            raise NotRegularFile(path=shown, kind=kind) from error
    raise FileNotFoundError(shown)


def _status(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it; `os.write` alone may stop half way."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def remove_all(fd: int, names: Sequence[str]) -> None:
    """Remove entries of an open folder with all below them, following no link, whatever their permissions."""
    stack: list[tuple[int, list[str], str]] = [(os.dup(fd), list(names), "")]
    try:
        while stack:
            folder, waiting, own = stack[-1]
            if not waiting:
                stack.pop()
                os.close(folder)
                if own:
                    os.rmdir(own, dir_fd=stack[-1][0])
                continue
            name = waiting.pop()
            status = _status(folder, name)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                _unlink(folder, name)
                continue
            if len(stack) > _DEEPEST:
                # Every level holds a handle open, and a tree can be deeper than there are handles.
                moved = f".{secrets.token_hex(8)}.hal9-part"
                os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=stack[0][0])
                stack[0][1].append(moved)
                continue
            below = enter_any(folder, name)
            with os.scandir(below) as found:
                stack.append((below, [entry.name for entry in found], name))
    finally:
        for folder, _, _ in stack:
            os.close(folder)


def names_in(fd: int) -> list[str]:
    """The names in an open folder."""
    return os.listdir(fd)


def _unlink(folder: int, name: str) -> None:
    """Remove a file, also out of a folder that its maker made read-only."""
    try:
        os.unlink(name, dir_fd=folder)
    except PermissionError:
        os.fchmod(folder, 0o700)
        os.unlink(name, dir_fd=folder)


def enter_any(folder: int, name: str) -> int:
    """Open a folder that its maker may have closed to everybody."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        if hasattr(os, "O_PATH"):
            handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                Path(f"/proc/self/fd/{handle}").chmod(0o700)
            finally:
                os.close(handle)
        else:
            os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
        return os.open(name, _FOLDER, dir_fd=folder)
