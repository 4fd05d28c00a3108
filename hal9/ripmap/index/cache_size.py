"""How much the cache holds, and keeping it below a cap: the trees least recently used go first.

Every tree has a folder of its own; what single files gave is shared among trees in one database. When trees
go, what only they needed goes with them.
"""

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hal9.ripmap.index.snapshot import load_snapshot
from hal9.ripmap.storage.cache import ContentStore

__all__ = ["CachedTree", "cached_trees", "clear_cache", "mark_used", "total_bytes", "trim_cache"]

_ROOT = "root"
_FRESH_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CachedTree:
    """What the cache keeps of one tree; `used` in seconds since the epoch, `root` "" where unknown."""

    folder: Path
    root: str
    size: int
    used: float


def mark_used(folder: Path, root: Path, now: float | None = None) -> None:
    """Note that a tree's folder was used; at most once an hour, as a warm query should write nothing."""
    marker = folder / _ROOT
    moment = time.time() if now is None else now
    try:
        if marker.exists() and moment - marker.stat().st_mtime < _FRESH_SECONDS:
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker.write_bytes(os.fsencode(root))
        os.utime(marker, (moment, moment))
    except OSError:
        # A cache that cannot be written is told of by whoever needs to write it.
        return


def cached_trees(cache: Path) -> list[CachedTree]:
    """Every tree in the cache, the least recently used first."""
    found: list[CachedTree] = []
    trees = cache / "trees"
    for folder in sorted(trees.iterdir()) if trees.is_dir() else []:
        if not folder.is_dir():
            continue
        marker = folder / _ROOT
        try:
            used = marker.stat().st_mtime if marker.exists() else folder.stat().st_mtime
            root = os.fsdecode(marker.read_bytes()) if marker.exists() else ""
        except OSError:
            # Removed by another process meanwhile.
            continue
        found.append(CachedTree(folder, root, _size(folder), used))
    return sorted(found, key=lambda tree: (tree.used, tree.folder.name))


def total_bytes(cache: Path) -> int:
    """All of the cache."""
    return _size(cache)


def _size(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size  # noqa: PTH118 - thousands of files
            except OSError:
                # Gone between the listing and the look.
                continue
    return total


def clear_cache(cache: Path) -> int:
    """Remove everything; bytes freed."""
    freed = total_bytes(cache)
    for tree in cached_trees(cache):
        shutil.rmtree(tree.folder, ignore_errors=True)
    for suffix in ("", "-wal", "-shm"):
        (cache / f"contents.sqlite{suffix}").unlink(missing_ok=True)
    return freed - total_bytes(cache)


def trim_cache(cache: Path, most: int, keep: Iterable[Path] = ()) -> int:
    """Remove least recently used trees, and what only they needed, until at most `most` bytes are left.

    Args:
        cache: its folder.
        most: bytes.
        keep: folders of trees that are in use now.

    Returns:
        Bytes freed.
    """
    before = total_bytes(cache)
    if before <= most:
        return 0
    kept = set(keep)
    trees = [tree for tree in cached_trees(cache) if tree.folder not in kept]
    while trees and total_bytes(cache) > most:
        # Half of them at a time: each sweep of the database reads all of its keys.
        going, trees = trees[: (len(trees) + 1) // 2], trees[(len(trees) + 1) // 2 :]
        for tree in going:
            shutil.rmtree(tree.folder, ignore_errors=True)
        _sweep(cache)
    return before - total_bytes(cache)


def _sweep(cache: Path) -> None:
    """Drop from the database what no remaining tree's snapshot mentions."""
    wanted: set[str] = set()
    for tree in cached_trees(cache):
        snapshot = load_snapshot(tree.folder / "snapshot")
        wanted.update(snapshot.hashes if snapshot is not None else ())
    if not (cache / "contents.sqlite").exists():
        return
    store = ContentStore(cache, lambda _: None)
    try:
        store.keep_only(wanted)
    finally:
        store.close()
