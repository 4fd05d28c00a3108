"""What a turn changed, kept on disk: enough to show it, carry it over, undo it, and make a patch of it."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hal9.errors.workbench import SnapshotDamaged
from hal9.signals import FileChange
from hal9.workbench.diffs import Version, as_text, patch_of
from hal9.workbench.handles import Entry

__all__ = [
    "Change",
    "ChangeSet",
    "Side",
    "keep_blob",
    "load_changes",
    "patch_diff",
    "read_json",
    "shown_path",
    "write_json",
]

# What a signal can carry: results pass through a broker with a limit on messages.
_MOST_CARRIED_BYTES = 24 * 1024
_MOST_CARRIED_TOTAL = 96 * 1024
_MOST_LISTED = 200
_PLAIN_HEADS = ("new file mode 100644", "deleted file mode 100644")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Side:
    """A file or link before or after a turn. `digest` names the content; "" when it is not known any more."""

    kind: Literal["file", "link", "folder"]
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""

    @property
    def version_mode(self) -> int:
        """Git's mode."""
        if self.kind == "link":
            return 0o120000
        return 0o100755 if self.mode & 0o100 else 0o100644


@dataclass(frozen=True, slots=True)
class Change:
    """One path: what stood there, what is to stand there, and how the original looked when it was copied."""

    path: str
    before: Side | None
    after: Side | None
    original: Entry | None = None

    @property
    def action(self) -> Literal["created", "modified", "deleted"]:
        """In one word."""
        return "created" if self.before is None else "deleted" if self.after is None else "modified"


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All changes of one turn. Contents lie in `folder/blobs`, one file per digest.

    Attributes:
        folder: where it is kept.
        root: the workspace it was made in.
        changes: by path, folders first when made and last when removed.
        refused: what a command left that is never carried over, with the reason.
        note: whatever the owner of the turn wants to find again.
    """

    folder: Path
    root: str
    changes: tuple[Change, ...]
    refused: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def content(self, side: Side | None) -> bytes | None:
        """The bytes of one side; None when there is none or it was not kept."""
        if side is None or side.kind == "folder":
            return None
        if side.kind == "link":
            return os.fsencode(side.target)
        if not side.digest:
            return None
        try:
            return (self.folder / "blobs" / side.digest).read_bytes()
        except FileNotFoundError:
            return None

    def patch(self) -> Iterator[str]:
        """The changes as a patch that `git apply` takes, file by file."""
        for change in self.changes:
            old, new = self.version(change.before), self.version(change.after)
            if old is not None or new is not None:
                yield patch_of(change.path, old, new)

    def version(self, side: Side | None) -> Version | None:
        """One side as patches are made of it; None when there is none, or its content was not kept."""
        data = self.content(side)
        return None if side is None or data is None else Version(data, side.version_mode)

    def shown(self) -> list[FileChange]:
        """The changes as a result carries them: diffs are bounded, the whole lies in the change set."""
        listed: list[FileChange] = []
        room = _MOST_CARRIED_TOTAL
        real = [change for change in self.changes if "folder" not in _kinds(change)]
        for change in real[:_MOST_LISTED]:
            diff = patch_diff(self, change)
            if len(diff) > _MOST_CARRIED_BYTES:
                diff = (
                    f"{diff[:_MOST_CARRIED_BYTES]}\n… {len(diff) - _MOST_CARRIED_BYTES} more characters …\n"
                )
            if len(diff) > room:
                diff = f"… a diff of {len(diff)} characters …\n"
            data = self.content(change.after)
            text = as_text(data) if data is not None and len(data) <= _MOST_CARRIED_BYTES else None
            content = text if text is not None and len(text) + len(diff) <= room else None
            room -= len(diff) + len(content or "")
            listed.append(
                FileChange(path=shown_path(change.path), action=change.action, diff=diff, content=content)
            )
        return listed

    def save(self) -> None:
        """Write the list; contents are written before. What was saved earlier is replaced in one step."""
        write_json(
            self.folder / "changes.json",
            {
                "format": _FORMAT,
                "root": self.root,
                "changes": [asdict(change) for change in self.changes],
                "refused": self.refused,
                "note": self.note,
            },
        )


def patch_diff(kept: ChangeSet, change: Change) -> str:
    """The unified diff of one change as people read it; binary contents are only named."""
    old, new = kept.version(change.before), kept.version(change.after)
    if change.before is not None and change.before.kind == "file" and old is None:
        return "… the file was changed in the workspace meanwhile; what it was before is not known …\n"
    binary = any(version is not None and as_text(version.data) is None for version in (old, new))
    if binary:
        sizes = [str(len(version.data)) if version else "none" for version in (old, new)]
        return f"Binary file {shown_path(change.path)} differs ({sizes[0]} → {sizes[1]} bytes)\n"
    text = patch_of(change.path, old, new)
    lines = text.split("\n", 1)[1] if text.startswith("diff --git ") else text
    head, mark, rest = lines.partition("\n")
    # That a whole file came or went the line of its name says already.
    return rest if mark and head in _PLAIN_HEADS and rest else lines


def _kinds(change: Change) -> set[str]:
    return {side.kind for side in (change.before, change.after) if side is not None}


def shown_path(path: str) -> str:
    """A path as text that any encoding can carry: bytes that are no UTF-8 are written as escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def load_changes(folder: Path) -> ChangeSet:
    """Read a kept change set.

    Raises:
        FileNotFoundError: there is none.
        SnapshotDamaged: it cannot be read.
    """
    stored = read_json(folder / "changes.json")
    try:
        return ChangeSet(
            folder=folder,
            root=stored["root"],
            changes=tuple(_change_from(row) for row in stored["changes"]),
            refused=stored["refused"],
            note=stored["note"],
        )
    except (KeyError, TypeError) as error:
        raise SnapshotDamaged(path=str(folder), detail=f"{type(error).__name__}: {error}") from error


def _change_from(row: dict[str, Any]) -> Change:
    before, after, original = row["before"], row["after"], row["original"]
    return Change(
        path=row["path"],
        before=Side(**before) if before else None,
        after=Side(**after) if after else None,
        original=Entry(*original) if original else None,
    )


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file so that a crash or a power cut leaves the old or the new one."""
    part = path.with_name(f"{path.name}.part")
    # ASCII with escapes: names that are no UTF-8 keep their bytes as lone surrogates.
    with part.open("w", encoding="ascii") as stream:
        json.dump(value, stream, ensure_ascii=True, separators=(",", ":"))
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        FileNotFoundError: there is none.
        SnapshotDamaged: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise SnapshotDamaged(path=str(path), detail=str(error)) from error


def keep_blob(folder: Path, digest: str, data: bytes, *, durable: bool = True) -> None:
    """Write a content under its digest, once; `durable` waits for the disk."""
    path = folder / digest
    if path.exists():
        return
    part = folder / f"{digest}.part"
    with part.open("wb") as stream:
        stream.write(data)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    part.replace(path)
