"""What changed in a copy: found by looking at every entry's times and sizes, told apart by content."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hal9.errors.workbench import (
    FileTooLarge,
    NotRegularFile,
    WorkspaceConflict,
    WorkspaceTooLarge,
    WorkspaceUnwritable,
)
from hal9.workbench.changes import Change, ChangeSet, Side, keep_blob
from hal9.workbench.copying import CopiedTree, Pair, TreeCopier, digest_of, save_base
from hal9.workbench.handles import Entry, FolderHandle
from hal9.workbench.marks import Known, MarkLog
from hal9.workbench.merging import write_onto
from hal9.workbench.trees import Walk, WalkLimits

__all__ = ["BEGUN", "TreeState"]

BEGUN = "begins"
"""The mark of what a copy began with, beyond its workspace."""

_LARGEST = 4 * 1024**3
_CARRIED_KINDS = ("file", "link", "folder")


@dataclass(slots=True)
class TreeState:
    """The copy, its base, and its marks. Every method blocks; call it in a worker thread."""

    workspace: Path
    folder: Path
    tree: FolderHandle
    copied: CopiedTree
    marks: MarkLog
    # What differs from the base at the last mark.
    _marked: dict[str, Known | None] = field(default_factory=dict)
    _rebased: bool = False

    # --- files ----------------------------------------------------------------------------------

    def read(self, path: str, *, limit: int) -> bytes:
        """Content of a regular file; one with names outside the copy is refused.

        Raises:
            FileNotFoundError, NotRegularFile, FileTooLarge.
        """
        entry = self.tree.look(path)
        if entry is None or entry.kind != "file" or entry.links == 1:
            return self.tree.read(path, limit=limit, expected=entry)
        if path in _foreign(self._walk(WalkLimits(root=str(self.workspace)))):
            raise NotRegularFile(path=path, kind="hard link to a file outside")
        return self.tree.read(path, limit=limit, expected=entry)

    def write(self, path: str, data: bytes, *, limit: int) -> None:
        """Replace or create a file.

        Raises:
            FileTooLarge, NotRegularFile, WorkspaceUnwritable.
        """
        if len(data) > limit:
            raise FileTooLarge(path=path, size=len(data), limit=limit)
        self._refuse_shared(path)
        try:
            self.tree.write(path, data)
        except OSError as error:
            raise WorkspaceUnwritable(path=path, detail=str(error)) from error

    def remove(self, path: str) -> None:
        """Remove a file or link.

        Raises:
            NotRegularFile, WorkspaceUnwritable.
        """
        self._refuse_shared(path)
        try:
            self.tree.remove(path)
        except OSError as error:
            raise WorkspaceUnwritable(path=path, detail=str(error)) from error

    def files(self, limits: WalkLimits) -> list[str]:
        """All regular files, sorted."""
        return sorted(path for path, entry in self._walk(limits) if entry.kind == "file")

    def _refuse_shared(self, path: str) -> None:
        parts = PurePosixPath(path).parts
        if ".git" in parts:
            raise WorkspaceUnwritable(path=path, detail="git's own files are not a task's to write")
        if path in self.copied.skipped:
            raise WorkspaceUnwritable(path=path, detail=f"not part of the copy ({self.copied.skipped[path]})")
        for folder in self.copied.shared:
            if path == folder or path.startswith(f"{folder}/"):
                raise WorkspaceUnwritable(
                    path=path, detail=f"{folder} is shared read-only with the workspace"
                )

    def _walk(self, limits: WalkLimits) -> list[tuple[str, Entry]]:
        return Walk(self.tree, limits, frozenset(self.copied.shared)).entries()

    def _walk_all(self, limits: WalkLimits) -> list[tuple[str, Entry]]:
        """Git's own too: what a mark records, though it is never part of a change set."""
        walk = Walk(self.tree, limits, frozenset(self.copied.shared))
        found = walk.entries()
        for root in self.copied.git_roots:
            found += walk.below(root)
        return found

    def record_git(self, limits: WalkLimits) -> None:
        """Keep what git's folders of the fresh copy hold, so that a later start finds them as at a mark."""
        prefixes = ["", *self.copied.repositories]
        self.copied.git_roots = sorted({f"{prefix}.git" for prefix in prefixes})
        walk = Walk(self.tree, limits)
        for path, entry in (pair for root in self.copied.git_roots for pair in walk.below(root)):
            digest = ""
            if entry.kind == "file":
                data = self.tree.read(path, limit=_LARGEST, expected=entry)
                digest = digest_of(data)
                # As durable as the copy itself: after a power cut both may be gone.
                keep_blob(self.folder / "blobs", digest, data, durable=False)
            self.copied.git[path] = Pair(entry, entry, digest)

    def begin_with(self, kept: ChangeSet, limits: WalkLimits) -> None:
        """Make the changes of earlier turns in the fresh copy and mark them.

        Raises:
            WorkspaceConflict: the workspace is not any more what they were made in.
        """
        if conflicts := write_onto(kept, self.tree):
            raise WorkspaceConflict(root=str(self.workspace), conflicts=conflicts)
        self.mark(BEGUN, limits)

    # --- marks ----------------------------------------------------------------------------------

    def mark(self, label: str, limits: WalkLimits, note: dict[str, Any] | None = None) -> int:
        """Record what changed since the last mark; contents are kept before the mark is written.

        With a `note`, nothing is written when nothing changed: the mark before says the same.
        Of a hard link to a file outside no content is kept, as of a FIFO: going back puts the base there.
        """
        changed: dict[str, Known | None] = {}
        found = self._walk_all(limits)
        foreign = _foreign(found)
        for path, entry in self._differing(found):
            digest = self._store(path, entry) if entry.kind == "file" and path not in foreign else ""
            changed[path] = Known(entry, digest)
        for path in self._expected_paths() - {path for path, _ in found}:
            changed[path] = None
        if note is not None and not changed:
            return 0
        self.marks.append(label, changed, note)
        self._marked.update(changed)
        return len(changed)

    def looks_unchanged(self, *, most: int) -> bool:
        """Whether a small copy is as at the last mark; False also where that takes a longer look.

        Only names and times are read, of at most `most` entries.
        """
        if len(self.copied.pairs) + len(self.copied.git) + len(self._marked) > most:
            return False
        try:
            found = self._walk_all(WalkLimits(root=str(self.workspace), max_entries=most))
        except (WorkspaceTooLarge, OSError):
            return False
        return next(self._differing(found), None) is None and self._expected_paths() == {
            path for path, _ in found
        }

    def _differing(self, found: Sequence[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
        """What is not as it was at the last mark."""
        pairs, git, marked = self.copied.pairs, self.copied.git, self._marked
        for path, entry in found:
            known = marked[path] if path in marked else pairs.get(path) or git.get(path)
            if known is not None:
                expected = known.entry if isinstance(known, Known) else known.copy
                if entry == expected or _same(entry, expected):
                    continue
            yield path, entry

    def _expected(self, path: str) -> Known | None:
        if path in self._marked:
            return self._marked[path]
        if path in self.copied.git:
            return Known(self.copied.git[path].copy, self.copied.git[path].digest)
        pair = self.copied.pairs.get(path)
        return None if pair is None else Known(pair.copy)

    def _expected_paths(self) -> set[str]:
        gone = {path for path, known in self._marked.items() if known is None}
        return (set(self.copied.pairs) | set(self.copied.git) | set(self._marked)) - gone

    def _store(self, path: str, entry: Entry) -> str:
        try:
            data = self.tree.read(path, limit=_LARGEST, expected=entry)
        except (FileNotFoundError, NotRegularFile):
            return ""  # a command put something else there meanwhile
        digest = digest_of(data)
        pair = self.copied.pairs.get(path)
        if pair is None or pair.digest != digest:
            keep_blob(self.folder / "blobs", digest, data)
        return digest

    # --- going back -----------------------------------------------------------------------------

    def restore(self, label: str | None, limits: WalkLimits) -> None:
        """Make the copy what it was at a mark (None the last, "" the base), whatever was done since.

        A file that has to come back from the base is taken from the workspace as it is now.
        """
        wanted = self.marks.at(label)
        self.marks.cut_after(label)
        self._marked = wanted
        now = dict(self._walk_all(limits))
        for path in sorted(set(now) - self._expected_paths(), reverse=True):
            self.tree.remove_tree(path)
        fresh: dict[str, Known | None] = {}
        for path in sorted(self._expected_paths()):
            known = self._expected(path)
            entry = now.get(path)
            if known is None or (entry is not None and _same(entry, known.entry)):
                continue
            if known.entry.kind == "folder":
                self._folder_back(path, entry, known.entry)
            elif known.digest and (self.folder / "blobs" / known.digest).exists():
                fresh[path] = self._blob_back(path, entry, known)
            elif known.entry.kind == "link" and path in wanted:
                self.tree.remove_tree(path)
                self.tree.link(path, known.entry.target)
                fresh[path] = Known(self._seen(path))
            else:
                self._base_back(path, entry, limits, fresh)
        self._marked.update(fresh)
        if self._rebased:
            save_base(self.folder, self.workspace, self.copied)
            self._rebased = False
        if fresh and self.marks.labels and label != "":
            # The entries that were put back have new times; the same mark again says so.
            self.marks.append(self.marks.labels[-1], fresh, self.marks.note)

    def _seen(self, path: str) -> Entry:
        entry = self.tree.look(path)
        if entry is None:
            raise WorkspaceUnwritable(path=path, detail="it vanished while it was put back")
        return entry

    def _folder_back(self, path: str, entry: Entry | None, wanted: Entry) -> None:
        if entry is not None and entry.kind != "folder":
            self.tree.remove(path)
        self.tree.make_folder(path)
        with self.tree.parent_of(f"{path}/x") as (fd, _):
            os.fchmod(fd, wanted.mode | 0o700)

    def _blob_back(self, path: str, entry: Entry | None, known: Known) -> Known:
        if entry is not None and entry.kind != "file":
            self.tree.remove_tree(path)
        self.tree.write(path, (self.folder / "blobs" / known.digest).read_bytes(), mode=known.entry.mode)
        return Known(self._seen(path), known.digest)

    def _base_back(
        self, path: str, entry: Entry | None, limits: WalkLimits, fresh: dict[str, Known | None]
    ) -> None:
        if entry is not None:
            self.tree.remove_tree(path)
        if path not in self.copied.pairs:
            # Nothing that was left out (a secret, say) comes in because a command made its name.
            fresh[path] = None
            return
        with FolderHandle(self.workspace) as original:
            pair: Pair | str = "gone"
            with (
                contextlib.suppress(FileNotFoundError, NotRegularFile),
                original.parent_of(path) as (source, name),
                self.tree.parent_of(path, create=True) as (target, _),
            ):
                pair = TreeCopier(limits).copy_entry(source, target, name)
        if isinstance(pair, str):
            # It is not in the workspace any more either: then it is not part of the base.
            self.copied.pairs.pop(path, None)
            self._rebased = True
            fresh[path] = None
            return
        self.copied.pairs[path] = pair
        if path in self._marked:
            fresh[path] = Known(pair.copy)
        self._rebased = True

    # --- changes --------------------------------------------------------------------------------

    def change_set(self, folder: Path, limits: WalkLimits, note: str = "") -> ChangeSet:
        """What differs from the base, with both contents kept in `folder`."""
        (folder / "blobs").mkdir(parents=True, exist_ok=True, mode=0o700)
        changes: list[Change] = []
        refused: dict[str, str] = {}
        found = self._walk(limits)
        foreign = _foreign(found)
        with FolderHandle(self.workspace) as original:
            for path, entry in found:
                reason = "a hard link to a file outside" if path in foreign else self._unfit(path, entry)
                if reason:
                    refused[path] = reason
                    continue
                try:
                    change = self._change(path, entry, original, folder / "blobs")
                except (FileNotFoundError, NotRegularFile):
                    refused[path] = "replaced while it was looked at"
                    continue
                if change is not None:
                    changes.append(change)
            for path in set(self.copied.pairs) - {path for path, _ in found}:
                pair = self.copied.pairs[path]
                before = self._before(path, pair, original, folder / "blobs")
                changes.append(Change(path, before, None, pair.original))
        changes.sort(key=lambda change: change.path)
        kept = ChangeSet(folder, str(self.workspace), tuple(changes), refused, note)
        kept.save()
        return kept

    def _unfit(self, path: str, entry: Entry) -> str:
        if entry.kind not in _CARRIED_KINDS:
            return f"a {entry.kind}"
        pair = self.copied.pairs.get(path)
        old = pair is not None and pair.copy.kind == "link" and pair.copy.target == entry.target
        if entry.kind == "link" and not old and _leads_out(path, entry.target):
            return "a link that leads out of the workspace"
        return ""

    def _change(self, path: str, entry: Entry, original: FolderHandle, blobs: Path) -> Change | None:
        pair = self.copied.pairs.get(path)
        if pair is not None and (_same(entry, pair.copy) or entry.kind == pair.copy.kind == "folder"):
            return None
        if entry.kind == "folder":
            after = Side("folder", entry.mode)
        elif entry.kind == "link":
            after = Side("link", 0o777, target=entry.target)
        else:
            data = self.tree.read(path, limit=_LARGEST, expected=entry)
            # The copy lets its owner write; what that added is not the turn's doing.
            mode = pair.original.mode if pair and pair.copy.mode == entry.mode else entry.mode & 0o777
            after = Side("file", mode, len(data), digest_of(data))
        if pair is None:
            before = None
        else:
            before = self._before(path, pair, original, blobs)
            if before.kind == after.kind == "file" and (before.mode, before.digest) == (
                after.mode,
                after.digest,
            ):
                return None
            if before.kind == after.kind == "link" and before.target == after.target:
                return None
        if after.kind == "file":
            keep_blob(blobs, after.digest, data)
        return Change(path, before, after, None if pair is None else pair.original)

    def _before(self, path: str, pair: Pair, original: FolderHandle, blobs: Path) -> Side:
        entry = pair.original
        if entry.kind != "file":
            return Side("link" if entry.kind == "link" else "folder", entry.mode, target=entry.target)
        digest = pair.digest
        now = original.look(path)
        data: bytes | None = None
        if now is not None and now.kind == "file" and now.size == entry.size:
            with contextlib.suppress(OSError, NotRegularFile, FileTooLarge):
                data = original.read(path, limit=entry.size, expected=now)
        if data is not None and not digest and now is not None and now.unchanged_since(entry):
            after = original.look(path)
            digest = digest_of(data) if after is not None and after.unchanged_since(entry) else ""
        if data is not None and digest and digest_of(data) == digest:
            keep_blob(blobs, digest, data)
        return Side("file", entry.mode, entry.size, digest)


def _foreign(found: Sequence[tuple[str, Entry]]) -> frozenset[str]:
    """Files that have a name outside of what was found too: their content is not the copy's own."""
    names = Counter(entry.inode for _, entry in found if entry.kind == "file" and entry.links > 1)
    return frozenset(
        path for path, entry in found if entry.kind == "file" and entry.links > max(names[entry.inode], 1)
    )


def _same(entry: Entry, other: Entry) -> bool:
    if entry.kind == other.kind == "folder":
        return True
    return entry.unchanged_since(other) and entry.target == other.target


def _leads_out(path: str, target: str) -> bool:
    """Whether a link, read as text, leaves the workspace (or names an absolute place)."""
    if target.startswith("/"):
        return True
    depth = len(PurePosixPath(path).parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
