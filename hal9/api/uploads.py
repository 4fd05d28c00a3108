"""Workspaces that clients bring along as archives: unpacked with care, worked on, fetched again."""

import asyncio
import io
import lzma
import re
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from hal9.clock import Clock
from hal9.errors.api import ArchiveRefused, UploadUnknown

__all__ = ["Uploads"]

_FILES = 20_000
_UNPACKED_TIMES = 8
_CHUNK = 1 << 16
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,  # an encrypted zip; also NotImplementedError: a method that is not built in
)


class Uploads:
    """Uploaded workspaces of a home: one folder per upload, named after its owner's token.

    Args:
        folder: where they lie.
        limit: largest archive, in bytes; unpacked it may have eight times as many.
        clock: time.
    """

    def __init__(self, folder: Path, *, limit: int, clock: Clock) -> None:
        self._folder = folder
        self.limit = limit
        self._clock = clock

    async def add(self, data: bytes, *, owner: str) -> str:
        """Unpack an archive (tar, tar.gz, tar.xz, zip); returns the upload's id.

        Raises:
            ArchiveRefused: no such archive, or one with paths that lead out, links, devices, or too much.
        """
        name = secrets.token_hex(12)
        target = self._folder / f"{owner}-{name}"
        await asyncio.to_thread(self._unpack, data, target)
        return name

    def folder(self, upload: str, *, owner: str) -> Path:
        """Where an upload lies.

        Raises:
            UploadUnknown: there is none of that id, or it is another client's.
        """
        path = self._folder / f"{owner}-{upload}"
        if re.fullmatch(r"[0-9a-f]{24}", upload) is None or not path.is_dir():
            raise UploadUnknown(upload=upload)
        return path

    def owner_of(self, workspace: Path) -> str | None:
        """Whose upload a folder is; None for a folder that is none."""
        inside = workspace.parent == self._folder
        return workspace.name.rpartition("-")[0] if inside else None

    async def archive(self, upload: str, *, owner: str) -> bytes:
        """An upload as it is now, as tar.gz.

        Raises:
            UploadUnknown.
        """
        return await asyncio.to_thread(_packed, self.folder(upload, owner=owner))

    def forget(self, *, older_than: float, used: set[str]) -> int:
        """Remove uploads that nobody touched since a moment and no open task uses; returns how many."""
        gone = 0
        for path in self._folder.glob("*-*") if self._folder.is_dir() else ():
            if str(path) not in used and path.stat().st_mtime < older_than:
                shutil.rmtree(path, ignore_errors=True)
                gone += 1
        return gone

    def _unpack(self, data: bytes, target: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.mkdir(mode=0o700)
        try:
            room = self.limit * _UNPACKED_TIMES
            for name, mode, stream in _counted(_members(data)):
                path = target / _safe(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                room -= _copy(stream, path, room)
                path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise ArchiveRefused(problem=error.strerror or str(error)) from error
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise


def _counted(members: Iterator[tuple[str, int, IO[bytes]]]) -> Iterator[tuple[str, int, IO[bytes]]]:
    for number, member in enumerate(members):
        if number >= _FILES:
            raise ArchiveRefused(problem=f"it has more than {_FILES} files")
        yield member


def _copy(stream: IO[bytes], path: Path, room: int) -> int:
    """Write one file; counts what really comes out, whatever the archive says of its size."""
    size = 0
    with path.open("xb") as out:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise ArchiveRefused(problem="unpacked it is too large")
            out.write(chunk)
    return size


def _members(data: bytes) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Regular files of an archive as (path, mode, content)."""
    source = io.BytesIO(data)
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    mode = info.external_attr >> 16
                    if info.is_dir():
                        continue
                    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
                        raise ArchiveRefused(problem=f"{info.filename!r} is no regular file")
                    with archive.open(info) as content:
                        yield info.filename, mode, content
            return
        source.seek(0)
        with tarfile.open(fileobj=source) as tar:
            for member in tar:
                if member.isdir():
                    continue
                content_of = tar.extractfile(member) if member.isreg() else None
                if content_of is None:
                    raise ArchiveRefused(problem=f"{member.name!r} is no regular file")
                yield member.name, member.mode, content_of
    except _UNREADABLE as error:
        raise ArchiveRefused(problem=f"no readable tar or zip archive: {error}") from error


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name or "\\" in name:
        raise ArchiveRefused(problem=f"the path {name[:100]!r} leads out of the workspace")
    return path


def _packed(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return out.getvalue()
