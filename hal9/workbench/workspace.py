"""A directory a task may change: paths are jailed by resolution, edits are atomic, each keeps its diff."""

import base64
import difflib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hal9.errors.workbench import (
    FileNotText,
    FileTooLarge,
    PathOutsideWorkspace,
    WorkspaceMissing,
    WorkspaceUnwritable,
)
from hal9.signals import FileChange
from hal9.text import split_lines

__all__ = ["FileEdit", "Workspace"]

MAX_CARRIED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What should become of one file; `content` None deletes it."""

    path: str
    content: str | None


@dataclass(slots=True)
class Workspace:
    """A jailed directory. All paths are relative, in POSIX form.

    With `undo_file`, what each file was before is on disk before the file is touched. A new object
    on the same undo file (after a crash) first puts everything back.

    Raises:
        WorkspaceMissing: `root` is not a directory.
    """

    root: Path
    max_file_bytes: int = 64 * 1024 * 1024
    undo_file: Path | None = None
    _before: dict[Path, bytes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise WorkspaceMissing(path=str(self.root))
        self.root = self.root.resolve()
        if self.undo_file is not None and self.undo_file.exists():
            stored = json.loads(self.undo_file.read_text(encoding="utf-8"))
            for path, data in stored.items():
                self._before[self.resolve(path)] = None if data is None else base64.b64decode(data)
            self.revert()

    def resolve(self, path: str) -> Path:
        """Absolute path of a file in the workspace.

        Raises:
            PathOutsideWorkspace: absolute, leaves by `..`, or leads out through a symbolic link.
        """
        candidate = Path(path)
        if not path or "\0" in path or candidate.is_absolute() or ".." in candidate.parts:
            raise PathOutsideWorkspace(path=path, root=str(self.root))
        resolved = (self.root / candidate).resolve()
        if resolved == self.root or not resolved.is_relative_to(self.root):
            raise PathOutsideWorkspace(path=path, root=str(self.root))
        return resolved

    def read(self, path: str) -> str:
        """Text of a file.

        Raises:
            PathOutsideWorkspace, FileNotFoundError, FileNotText, FileTooLarge.
        """
        resolved = self.resolve(path)
        size = resolved.stat().st_size
        if size > self.max_file_bytes:
            raise FileTooLarge(path=path, size=size, limit=self.max_file_bytes)
        try:
            return resolved.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileNotText(path=path, detail=str(error)) from error

    def apply(self, edits: Sequence[FileEdit]) -> list[FileChange]:
        """Carry out all edits or, when one is refused or fails, none.

        Raises:
            PathOutsideWorkspace, FileTooLarge, WorkspaceUnwritable.
        """
        targets = [(edit, self.resolve(edit.path)) for edit in edits]
        for edit, _ in targets:
            size = len((edit.content or "").encode())
            if size > self.max_file_bytes:
                raise FileTooLarge(path=edit.path, size=size, limit=self.max_file_bytes)
        done: list[tuple[Path, bytes | None]] = []
        fresh: list[Path] = []
        changes: list[FileChange] = []
        try:
            for _, target in targets:
                if target not in self._before:
                    self._before[target] = target.read_bytes() if target.is_file() else None
                    fresh.append(target)
            self._save_undo()
            for edit, target in targets:
                before = target.read_bytes() if target.is_file() else None
                _write(target, None if edit.content is None else edit.content.encode())
                done.append((target, before))
                change = _describe(edit, before)
                if change is not None:
                    changes.append(change)
        except OSError as error:
            for target, before in reversed(done):
                _write(target, before)
            for target in fresh:
                del self._before[target]
            self._save_undo()
            raise WorkspaceUnwritable(path=str(error.filename or self.root), detail=str(error)) from error
        return changes

    def revert(self) -> None:
        """Put back every file as it was before the first edit made through this object."""
        for target, before in self._before.items():
            _write(target, before)
        self._before.clear()
        self._save_undo()

    def changes(self) -> list[FileChange]:
        """Net effect of all edits since the start (or the last revert)."""
        found = []
        for target, before in self._before.items():
            content = target.read_bytes().decode("utf-8", "replace") if target.is_file() else None
            edit = FileEdit(path=target.relative_to(self.root).as_posix(), content=content)
            change = _describe(edit, before)
            if change is not None:
                found.append(change)
        return found

    def _save_undo(self) -> None:
        if self.undo_file is None:
            return
        if not self._before:
            self.undo_file.unlink(missing_ok=True)
            return
        stored = {
            target.relative_to(self.root).as_posix(): None
            if data is None
            else base64.b64encode(data).decode()
            for target, data in self._before.items()
        }
        _write(self.undo_file, json.dumps(stored).encode())


def _write(target: Path, data: bytes | None) -> None:
    """Replace a file in one step, so that a crash leaves the old or the new one, never a mixture."""
    if data is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _describe(edit: FileEdit, before: bytes | None) -> FileChange | None:
    """The change an edit made, or None when it made none."""
    old = before.decode("utf-8", "replace") if before is not None else ""
    new = edit.content or ""
    if before is not None and edit.content is not None and old == new:
        return None
    if before is None and edit.content is None:
        return None
    diff = "".join(
        difflib.unified_diff(
            split_lines(old, keepends=True),
            split_lines(new, keepends=True),
            fromfile=f"a/{edit.path}" if before is not None else "/dev/null",
            tofile=f"b/{edit.path}" if edit.content is not None else "/dev/null",
        )
    )
    carried = edit.content if edit.content is not None and len(new) <= MAX_CARRIED_BYTES else None
    return FileChange(
        path=edit.path,
        action="deleted" if edit.content is None else "created" if before is None else "modified",
        diff=diff[:MAX_CARRIED_BYTES],
        content=carried,
    )
