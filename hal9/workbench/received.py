"""A change set out of the changes that a result carried here from another machine."""

from collections.abc import Sequence
from pathlib import Path

from hal9.errors.workbench import ChangesMissing
from hal9.signals import FileChange
from hal9.workbench.changes import Change, ChangeSet, Side, keep_blob
from hal9.workbench.copying import digest_of
from hal9.workbench.handles import FolderHandle

__all__ = ["receive_changes"]

_LARGEST = 1024 * 1024 * 1024


def receive_changes(changes: Sequence[FileChange], *, root: Path, folder: Path, task_id: str) -> ChangeSet:
    """Keep the changes in `folder` as if they had been made here; what stood before is read from `root`.

    Raises:
        ChangesMissing: a file was too large to be carried whole.
    """
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept: list[Change] = []
    with FolderHandle(root) as workspace:
        for change in changes:
            if change.action != "deleted" and change.content is None:
                detail = (
                    f"{change.path} was changed on another machine and is too large to come with the result"
                )
                raise ChangesMissing(task_id=task_id, detail=detail)
            now = workspace.look(change.path)
            before, original = None, None
            if now is not None and now.kind == "file":
                data = workspace.read(change.path, limit=_LARGEST)
                before, original = Side("file", now.mode, len(data), digest_of(data)), now
                keep_blob(blobs, before.digest, data)
            after = None
            if change.content is not None and change.action != "deleted":
                data = change.content.encode("utf-8")
                after = Side("file", before.mode if before else 0o644, len(data), digest_of(data))
                keep_blob(blobs, after.digest, data)
            if before != after:
                kept.append(Change(change.path, before, after, original))
    found = ChangeSet(folder, str(root), tuple(kept))
    found.save()
    return found
