"""Three-way merges: of two texts, of two change sets of one workspace, of a change set and another tree."""

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.text import split_lines
from hal9.workbench.changes import Change, ChangeSet, Side, keep_blob, patch_diff
from hal9.workbench.copying import digest_of
from hal9.workbench.diffs import as_text
from hal9.workbench.handles import FolderHandle

__all__ = [
    "MergeConflict",
    "Merged",
    "combine",
    "concerns_folder",
    "merge_changes",
    "merge_texts",
    "write_onto",
]

_LARGEST = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A path that both changed in ways that do not go together, with both diffs."""

    path: str
    why: str
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """Both change sets as one, as far as they go together."""

    kept: ChangeSet
    conflicts: tuple[MergeConflict, ...]


def merge_texts(base: str, ours: str, theirs: str) -> str | None:
    """The text with both changes; None when they touch the same or adjoining lines in different ways."""
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    lines = split_lines(base, keepends=True)
    changed = sorted(
        [(*edit, 0) for edit in _edits(lines, split_lines(ours, keepends=True))]
        + [(*edit, 1) for edit in _edits(lines, split_lines(theirs, keepends=True))],
        key=lambda edit: (edit[0], edit[1]),
    )
    merged: list[str] = []
    at = 0
    last: tuple[int, int, list[str], int] | None = None
    for start, end, text, side in changed:
        if last is not None and side != last[3] and start <= last[1]:
            if (start, end, text) == last[:3]:
                continue  # both made the same change
            return None
        merged += [*lines[at:start], *text]
        at = max(at, end)
        last = (start, end, text, side)
    return "".join([*merged, *lines[at:]])


def _edits(base: Sequence[str], other: Sequence[str]) -> Iterator[tuple[int, int, list[str]]]:
    matcher = difflib.SequenceMatcher(None, base, other, autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag != "equal":
            yield first, last, list(other[start:end])


def merge_changes(
    ours: ChangeSet, theirs: ChangeSet, folder: Path, *, ancestor: ChangeSet | None = None
) -> Merged:
    """Two change sets of one workspace as one, kept in `folder`; what conflicts is in neither form in it.

    Args:
        ours: one.
        theirs: the other.
        folder: where the merged one is kept; not the folder of another change set.
        ancestor: what both began with, beyond the workspace; its changes are in both.
    """
    (folder / "blobs").mkdir(parents=True, exist_ok=True, mode=0o700)
    sets = [ours, theirs, *([ancestor] if ancestor is not None else [])]
    by_path = [{change.path: change for change in one.changes} for one in sets]
    changes: list[Change] = []
    conflicts: list[MergeConflict] = []
    for path in sorted({path for one in by_path for path in one}):
        found = [one.get(path) for one in by_path]
        merged = _merge_one(sets, found, folder)
        if isinstance(merged, str):
            diffs = [patch_diff(sets[at], one) if (one := found[at]) is not None else "" for at in (0, 1)]
            conflicts.append(MergeConflict(path, merged, *diffs))
        elif merged is not None:
            changes.append(merged)
            for source in sets:
                _take_blobs(source, merged, folder)
    changes, under = _without_folders_as_files(changes)
    conflicts += under
    kept = ChangeSet(folder, ours.root, tuple(changes), {**theirs.refused, **ours.refused})
    kept.save()
    return Merged(kept, tuple(conflicts))


def _merge_one(
    sets: Sequence[ChangeSet], found: Sequence[Change | None], folder: Path
) -> Change | str | None:
    """What becomes of one path; None when it is as it was before both, words when they do not go together."""
    known = [change for change in found if change is not None]
    before, original = known[0].before, next((one.original for one in known if one.original), None)
    if any(one.before != before and not _same_content(one.before, before) for one in known):
        return "the two did not begin with the same file"
    mine, other = (one.after if one is not None else before for one in found[:2])
    base = found[2].after if len(found) > 2 and found[2] is not None else before
    if other in (mine, base):
        after = mine
    elif mine == base:
        after = other
    else:
        merged = _merge_sides(sets, base, mine, other, folder)
        if isinstance(merged, str):
            return merged
        after = merged
    return None if after == before else Change(known[0].path, before, after, original)


def _same_content(side: Side | None, other: Side | None) -> bool:
    return side is not None and other is not None and side.kind == other.kind and side.digest == other.digest


def _merge_sides(
    sets: Sequence[ChangeSet], base: Side | None, mine: Side | None, other: Side | None, folder: Path
) -> Side | str:
    if mine is None or other is None:
        return "one removed it, the other changed it"
    if mine.kind != "file" or other.kind != "file":
        return "the two made different things of it"
    if base is None:
        return "both made it, with different contents"
    texts = [_text_of(sets, side) for side in (base, mine, other)]
    old, ours, theirs = texts
    if old is None or ours is None or theirs is None:
        return "both changed it, and it is no text"
    merged = merge_texts(old, ours, theirs)
    if merged is None:
        return "both changed the same lines"
    data = merged.encode("utf-8")
    digest = digest_of(data)
    keep_blob(folder / "blobs", digest, data)
    return Side("file", mine.mode if mine.mode != base.mode else other.mode, len(data), digest)


def _text_of(sets: Sequence[ChangeSet], side: Side) -> str | None:
    data = next((found for one in sets if (found := one.content(side)) is not None), None)
    return None if data is None else as_text(data)


def _without_folders_as_files(changes: list[Change]) -> tuple[list[Change], list[MergeConflict]]:
    """One made a file where the other put files below: that does not go together."""
    solid = {change.path for change in changes if change.after is not None and change.after.kind != "folder"}
    kept, conflicts = [], []
    for change in changes:
        parts = change.path.split("/")
        above = next((path for n in range(1, len(parts)) if (path := "/".join(parts[:n])) in solid), None)
        if above is not None and change.after is not None:
            conflicts.append(MergeConflict(change.path, f"{above} is no folder for the other"))
        else:
            kept.append(change)
    return kept, conflicts


def _take_blobs(source: ChangeSet, change: Change, folder: Path) -> None:
    for side in (change.before, change.after):
        data = source.content(side)
        if side is not None and side.kind == "file" and data is not None:
            keep_blob(folder / "blobs", side.digest, data)


def combine(sets: Sequence[ChangeSet], folder: Path) -> ChangeSet:
    """The net effect of change sets that followed each other in one workspace, kept in `folder`."""
    (folder / "blobs").mkdir(parents=True, exist_ok=True, mode=0o700)
    net: dict[str, Change] = {}
    refused: dict[str, str] = {}
    for kept in sets:
        refused |= kept.refused
        for change in kept.changes:
            _take_blobs(kept, change, folder)
            first = net.get(change.path)
            if first is not None:
                net[change.path] = Change(change.path, first.before, change.after, first.original)
            else:
                net[change.path] = change
    changes = tuple(net[path] for path in sorted(net) if net[path].before != net[path].after)
    kept = ChangeSet(folder, sets[0].root, changes, refused)
    kept.save()
    return kept


def concerns_folder(change: Change) -> bool:
    """Whether a change makes, removes or replaces a folder."""
    return any(side.kind == "folder" for side in (change.before, change.after) if side is not None)


def write_onto(kept: ChangeSet, folder: FolderHandle) -> tuple[tuple[str, str], ...]:
    """Make the changes in another tree, merging texts where it differs from what the change set saw.

    Returns:
        What could not be made: (path, why). Everything else was.
    """
    conflicts: list[tuple[str, str]] = []
    removed = sorted((one for one in kept.changes if one.after is None), key=_path, reverse=True)
    for change in [*removed, *sorted((one for one in kept.changes if one.after is not None), key=_path)]:
        problem = _folder_onto(change, folder) if concerns_folder(change) else ""
        if not problem and (change.after is None or change.after.kind != "folder"):
            problem = _write_one(kept, change, folder)
        if problem:
            conflicts.append((change.path, problem))
    return tuple(conflicts)


def _folder_onto(change: Change, folder: FolderHandle) -> str:
    """Make or remove a folder; one in which something else stands stays."""
    now = folder.look(change.path)
    if change.after is not None and change.after.kind == "folder":
        if now is not None and now.kind != "folder":
            folder.remove(change.path)
        folder.make_folder(change.path)
    elif now is not None and now.kind == "folder":
        try:
            with folder.parent_of(change.path) as (fd, name):
                os.rmdir(name, dir_fd=fd)
        except OSError:
            return "" if change.after is None else "a folder stands there that is not empty"
    return ""


def _write_one(kept: ChangeSet, change: Change, folder: FolderHandle) -> str:
    after = change.after
    now = folder.look(change.path)
    if after is None:
        if now is not None and now.kind != "folder":
            folder.remove_tree(change.path)
        return ""
    if after.kind == "link":
        folder.remove_tree(change.path)
        folder.link(change.path, after.target)
        return ""
    data = kept.content(after)
    if data is None:
        return "its new content is not kept any more"
    before = change.before if change.before is None or change.before.kind == "file" else None
    if now is not None and now.kind == "file":
        there = folder.read(change.path, limit=_LARGEST)
        if before is None or digest_of(there) not in (before.digest, after.digest):
            merged = _merged(kept.content(before), data, there)
            if merged is None:
                return "it is not what the task saw"
            data = merged
    elif now is not None:
        folder.remove_tree(change.path)
    elif before is not None:
        return "it is not there"
    folder.write(change.path, data, mode=after.mode)
    return ""


def _merged(before: bytes | None, ours: bytes, theirs: bytes) -> bytes | None:
    texts = [as_text(data) if data is not None else None for data in (before, ours, theirs)]
    base, mine, other = texts
    if base is None or mine is None or other is None:
        return None
    merged = merge_texts(base, mine, other)
    return None if merged is None else merged.encode("utf-8")


def _path(change: Change) -> str:
    return change.path
