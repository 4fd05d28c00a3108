"""A workspace, or a change set, as one archive that another machine can take: packed and unpacked with care.

The archive is named by the digest of its bytes: whoever gets it in pieces knows when it is whole, and goes on
where it was. Left out is what a turn's copy leaves out (secrets, caches, installed packages).
"""

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from hal9.errors.workbench import SnapshotDamaged, WorkspaceMissing, WorkspaceTooLarge
from hal9.processes import boot_id
from hal9.settings import WorkbenchSettings
from hal9.workbench.applying import locked
from hal9.workbench.changes import ChangeSet, load_changes
from hal9.workbench.copying import TreeCopier
from hal9.workbench.git_state import GitFolders, find_git_folders, write_git_copy
from hal9.workbench.handles import FolderHandle
from hal9.workbench.secrets import left_out_because
from hal9.workbench.trees import WalkLimits, is_dependency_folder

__all__ = [
    "Packed",
    "digest_of_file",
    "identity_of",
    "pack_changes",
    "pack_workspace",
    "receive_change_set",
    "unpack",
]

_CHUNK = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNREADABLE = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive: where it lies, the sha256 of its bytes, how many they are, and what is not in it."""

    path: Path
    digest: str
    size: int
    skipped: dict[str, str]


def identity_of(workspace: Path) -> str:
    """What tells this very folder from one of the same name on another machine; "" when there is none."""
    try:
        status = workspace.stat()
    except OSError:
        return ""
    return f"{boot_id()}:{status.st_dev}:{status.st_ino}"


def pack_workspace(workspace: Path, settings: WorkbenchSettings, folder: Path) -> Packed:
    """Pack what a turn's copy of a workspace would have into `folder`; the workspace stays as it is.

    Raises:
        WorkspaceMissing, WorkspaceTooLarge, WorkspaceBusy.
        OSError: the archive cannot be written.
    """
    if not workspace.is_dir():
        raise WorkspaceMissing(path=str(workspace))
    limits = limits_of(settings, str(workspace))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="packing-", dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir(mode=0o700)
        copier = TreeCopier(
            limits,
            left_out=left_out_because(workspace, visible=frozenset(settings.visible_files)),
            shared=lambda path: path in settings.shared_folders or is_dependency_folder(workspace / path),
        )
        with FolderHandle(workspace) as original, FolderHandle(tree) as copy, locked(original, shared=True):
            found = copier.copy(original, copy)
        skipped = dict(found.skipped) | dict.fromkeys(found.shared, "installed packages stay where they are")
        for prefix in found.repositories:
            folders = find_git_folders(workspace / prefix)
            problem = "no readable repository" if folders is None else ""
            if folders is not None:
                problem = _copy_repository(folders, tree / prefix / ".git", limits)
            if problem:
                skipped[f"{prefix}.git"] = problem
        return _archive(tree, folder, settings, str(workspace), skipped)


def _copy_repository(folders: GitFolders, target: Path, limits: WalkLimits) -> str:
    """A git folder with all its objects; a sentence when they are too many to come along."""
    stores = [[path for path in store.rglob("*") if path.is_file()] for store in folders.objects]
    size = sum(path.stat().st_size for paths in stores for path in paths)
    if limits.bytes + size > limits.max_bytes:
        return f"its history has {size // 1024**2} MB, more than may travel (workbench.snapshot_mb)"
    write_git_copy(folders, target, [], limits)
    for store, paths in zip(folders.objects, stores, strict=True):
        for path in paths:
            copy = target / "objects" / path.relative_to(store)
            if path.relative_to(store).parts[0] != "info" and not copy.exists():
                limits.count(path.stat().st_size)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    return ""


def pack_changes(kept: Path, settings: WorkbenchSettings, folder: Path) -> Packed:
    """Pack a change set's list and contents.

    Raises:
        FileNotFoundError: there is none.
        SnapshotDamaged, WorkspaceTooLarge.
    """
    found = load_changes(kept)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="packing-", dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        (tree / "blobs").mkdir(parents=True)
        shutil.copyfile(kept / "changes.json", tree / "changes.json")
        sides = (side for change in found.changes for side in (change.before, change.after))
        for digest in sorted({side.digest for side in sides if side is not None and side.digest}):
            if (kept / "blobs" / digest).is_file():
                shutil.copyfile(kept / "blobs" / digest, tree / "blobs" / digest)
        return _archive(tree, folder, settings, found.root, {})


def receive_change_set(archive: Path, into: Path, *, root: Path, settings: WorkbenchSettings) -> ChangeSet:
    """Keep a change set of another machine in `into`, as one of the workspace `root`; an earlier one goes.

    How files looked on the other machine says nothing here: what they contained does.

    Raises:
        SnapshotDamaged, WorkspaceTooLarge.
    """
    into.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="received-", dir=into.parent) as scratch:
        folder = Path(scratch) / "changes"
        unpack(archive, folder, settings)
        try:
            found = load_changes(folder)
        except FileNotFoundError as error:
            raise SnapshotDamaged(path=str(archive), detail="it is no change set") from error
        changes = tuple(replace(change, original=None) for change in found.changes)
        replace(found, root=str(root), changes=changes).save()
        if into.exists():
            shutil.rmtree(into)
        folder.rename(into)
    return load_changes(into)


def unpack(archive: Path, target: Path, settings: WorkbenchSettings) -> None:
    """Unpack an archive into a new folder, which is there whole or not at all.

    Raises:
        SnapshotDamaged: it is no such archive, or holds something that is never packed.
        WorkspaceTooLarge.
    """
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, mode=0o700)
    limits = limits_of(settings, str(target))
    later: list[tuple[Path, tarfile.TarInfo]] = []
    try:
        with tarfile.open(archive, mode="r:gz") as tar, FolderHandle(part) as handle:
            for member in tar:
                limits.count(member.size if member.isreg() else 0)
                if member.isdir():
                    handle.make_folder(member.name)
                    later.append((part / member.name, member))
                elif member.issym():
                    handle.link(member.name, member.linkname)
                elif member.isreg() and (content := tar.extractfile(member)) is not None:
                    _write(handle, member, content)
                else:
                    raise SnapshotDamaged(path=str(archive), detail=f"{member.name!r} is of an unknown kind")
    except (*_UNREADABLE, UnicodeError) as error:
        raise SnapshotDamaged(path=str(archive), detail=str(error)) from error
    for path, member in reversed(later):  # what is put into a folder changes its time
        path.chmod(stat.S_IMODE(member.mode) | 0o700)
        os.utime(path, (member.mtime, member.mtime))
    part.rename(target)


def _write(handle: FolderHandle, member: tarfile.TarInfo, content: IO[bytes]) -> None:
    with handle.parent_of(member.name, create=True) as (fd, name):
        made = os.open(name, _NEW, 0o600, dir_fd=fd)
        with open(made, "wb") as stream:
            shutil.copyfileobj(content, stream, _CHUNK)
            stream.flush()
            os.fchmod(made, stat.S_IMODE(member.mode) & 0o777)
            os.utime(made, (member.mtime, member.mtime))


def _archive(
    tree: Path, folder: Path, settings: WorkbenchSettings, root: str, skipped: dict[str, str]
) -> Packed:
    """One archive of a folder of ours: the same bytes for the same content."""
    limit = settings.travel_mb * 1024 * 1024
    part = tree.parent / "archive"
    with part.open("wb") as raw:
        out: Any = _Bounded(raw, limit, root)
        with (
            gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for base, names, files in os.walk(tree):
                names.sort()
                links = [name for name in names if (Path(base) / name).is_symlink()]
                for path in (Path(base) / name for name in sorted([*names, *files])):
                    tar.add(path, path.relative_to(tree).as_posix(), recursive=False, filter=_plain)
                names[:] = [name for name in names if name not in links]
    digest = digest_of_file(part)
    target = folder / f"{digest}.tar.gz"
    size = part.stat().st_size
    part.replace(target)
    return Packed(target, digest, size, skipped)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    # The copy of a link is new; its time would make another archive of the same content.
    member.mtime = 0 if member.issym() else int(member.mtime)
    return member


class _Bounded:
    """A file that refuses to become too large; gzip writes and flushes, no more."""

    def __init__(self, raw: IO[bytes], limit: int, root: str) -> None:
        self._raw, self._left, self._limit, self._root = raw, limit, limit, root

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            detail = f"packed it has more than {self._limit // 1024**2} MB (workbench.travel_mb)"
            raise WorkspaceTooLarge(path=self._root, detail=detail)
        return self._raw.write(data)

    def flush(self) -> None:
        self._raw.flush()


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def limits_of(settings: WorkbenchSettings, root: str) -> WalkLimits:
    """How much of a tree may travel."""
    return WalkLimits(
        root=root,
        max_entries=settings.snapshot_files,
        max_bytes=settings.snapshot_mb * 1024 * 1024,
        seconds=settings.snapshot_seconds,
    )
