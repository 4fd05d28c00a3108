"""Which files a tree has: an ignore-aware walk, and the cheap check of what has changed since.

The first walk reads every folder. Afterwards only the folders whose modification time changed are listed
again, and a file counts as unchanged while its size, times and inode are what they were. Stamps younger
than the file system's clock can tell apart are never trusted ("racy", as in git's index).
"""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from hal9.ripmap.files.git_ignored import Ignored, ask_git, ignore_sources
from hal9.ripmap.files.selection import BINARY_EXTENSIONS, SKIPPED_FOLDERS, Selection
from hal9.ripmap.settings import IndexSettings

__all__ = ["Signature", "Tree", "digest_of", "recheck", "walk"]

Signature = tuple[int, int, int, int]
"""Size, modification time and change time in ns, inode. A racy one has inode -1 and equals no real one."""

IGNORE_NAMES = frozenset({".gitignore", ".ignore", ".ripmapignore"})
_INODE_MASK = (1 << 63) - 1
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Tree:
    """Files and folders as they stood.

    `folders` maps each walked folder ("" is the root) to its (mtime_ns, inode);
    `watched` maps ignore files outside the tree to their signatures; `binary` lists files left out by name.
    """

    paths: tuple[str, ...]
    signatures: tuple[Signature, ...]
    folders: dict[str, tuple[int, int]]
    watched: dict[str, Signature | None]
    binary: tuple[str, ...] = ()


def digest_of(root: Path, settings: IndexSettings) -> str:
    """Names the cache folder of this root under these settings."""
    import hashlib  # noqa: PLC0415 - kept beside its only use

    text = repr((os.fsencode(root), settings.selection()))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _signature(path: str) -> Signature | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INODE_MASK)


@dataclass(slots=True)
class _Walk:
    files: dict[str, Signature]
    folders: dict[str, tuple[int, int]]
    racy_since: int
    binary: set[str]


def _scan(root: Path, folder: str, settings: IndexSettings, into: _Walk, *, deep: bool = True) -> None:
    """Add what lies below `folder` ("" the root) to `into`; not `deep`: only what lies directly in it.

    What git ignores is asked of git where the folder is in a repository; without one, and for `.ignore`
    and `.ripmapignore`, the walking library decides. Ignore files above the repository, or above a root
    that is in none, have no say.
    """
    start = root / folder if folder else root
    ignored = ask_git(start) if settings.use_gitignore else Ignored(asked=True)
    _walk_folder(root, start, settings, into, ignored=ignored, depth=None if deep else 1)
    if not settings.use_gitignore or not deep:
        return
    # A repository within has ignore rules of its own, which the outer one's git does not read.
    inside = sorted(name for name in into.folders
                    if name != folder and (root / name / ".git").exists()
                    and (not folder or name.startswith(folder + "/")))  # fmt: skip
    for name in inside:
        nested = ask_git(root / name)
        if nested.asked:
            _drop(into, name)
            _walk_folder(root, root / name, settings, into, ignored=nested, depth=None)


def _walk_folder(
    root: Path, start: Path, settings: IndexSettings, into: _Walk, *, ignored: Ignored, depth: int | None
) -> None:
    import ignore  # noqa: PLC0415 - a warm start only compares stamps
    from ignore.overrides import OverrideBuilder  # noqa: PLC0415

    overrides = OverrideBuilder(start)
    for name in sorted(SKIPPED_FOLDERS):
        overrides.add(f"!{name}")
    for pattern in ignored.folder_patterns():
        overrides.add(pattern)
    builder = ignore.WalkBuilder(start)
    on = settings.use_gitignore
    builder.hidden(False).require_git(False).follow_links(False).overrides(overrides.build()).max_depth(depth)
    builder.ignore(on).parents(False).git_global(False).git_exclude(False).git_ignore(
        on and not ignored.asked
    )
    if on:
        builder.add_custom_ignore_filename(".ripmapignore")
    prefix, below = len(str(root)) + 1, len(str(start)) + 1
    entries = iter(builder.build())
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return
        except ignore.Error:
            # A folder that may not be read, or vanished during the walk; what is readable still counts.
            continue
        full = str(entry.path())
        if full[below:].replace(os.sep, "/") not in ignored:
            _add(full, full[prefix:].replace(os.sep, "/"), into)


def _add(full: str, path: str, into: _Walk) -> None:
    try:
        found = os.lstat(full)
    except OSError:
        return
    if stat.S_ISDIR(found.st_mode):
        racy = found.st_mtime_ns >= into.racy_since
        into.folders[path] = (found.st_mtime_ns, -1 if racy else found.st_ino & _INODE_MASK)
    elif stat.S_ISREG(found.st_mode):
        extension = path.rpartition(".")[2].lower()
        if extension in BINARY_EXTENSIONS:
            into.binary.add(path)
            return
        racy = found.st_mtime_ns >= into.racy_since or found.st_ctime_ns >= into.racy_since
        inode = -1 if racy else found.st_ino & _INODE_MASK
        into.files[path] = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode)


def _outside(root: Path) -> dict[str, Signature | None]:
    """Files that say what is ignored but lie outside the tree, with their signatures now."""
    return {str(place): _signature(str(place)) for place in ignore_sources(root)}


def _finish(into: _Walk, settings: IndexSettings, watched: dict[str, Signature | None]) -> Tree:
    virtual_environments = [
        path.rpartition("/")[0] + "/" for path in into.files if path.endswith("/pyvenv.cfg")
    ]
    keep = Selection(settings)
    chosen = sorted(
        path
        for path in into.files
        if keep(path) and not any(path.startswith(prefix) for prefix in virtual_environments)
    )
    signatures = tuple(into.files[path] for path in chosen)
    folders = {
        folder: stamp
        for folder, stamp in into.folders.items()
        if not any((folder + "/").startswith(prefix) for prefix in virtual_environments)
    }
    return Tree(tuple(chosen), signatures, folders, watched, tuple(sorted(into.binary)))


def walk(root: Path, settings: IndexSettings) -> Tree:
    """Every file below `root` that ignore rules and settings leave, sorted by path."""
    into = _Walk({}, {}, time.time_ns() - _RACY_NS, set())
    watched = _outside(root) if settings.use_gitignore else {}
    _scan(root, settings.subtree.strip("/"), settings, into)
    return _finish(into, settings, watched)


def recheck(root: Path, settings: IndexSettings, known: Tree) -> Tree:
    """The tree now, listing again only what changed since `known`; `known` itself when nothing did.

    Files whose content may have changed come back with a new signature.
    """
    prefix = str(root) + "/"
    if any(_signature(place) != signature for place, signature in known.watched.items()):
        return walk(root, settings)
    dirty = [folder for folder, stamp in known.folders.items() if _folder_stamp(prefix + folder) != stamp]
    signatures: list[Signature | None] = []
    changed = False
    for path, signature in zip(known.paths, known.signatures, strict=True):
        try:
            found = os.lstat(prefix + path)
        except OSError:
            signatures.append(None)
            changed = True
            continue
        now = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INODE_MASK)
        if now != signature:
            changed = True
            if path.rpartition("/")[2] in IGNORE_NAMES:
                return walk(root, settings)
        signatures.append(now)
    if not changed and not dirty:
        return known
    if dirty and (settings.extensions or settings.include or settings.exclude):
        # Ignore files may be outside the selection, so that their change shows only in a full walk.
        return walk(root, settings)
    return _patched(root, settings, known, signatures, dirty)


def _folder_stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino & _INODE_MASK) if stat.S_ISDIR(found.st_mode) else None


def _patched(
    root: Path, settings: IndexSettings, known: Tree, signatures: list[Signature | None], dirty: list[str]
) -> Tree:
    racy_since = time.time_ns() - _RACY_NS
    into = _Walk({}, dict(known.folders), racy_since, set())
    listed = set(dirty)
    for path, signature in zip(known.paths, signatures, strict=True):
        folder = path.rpartition("/")[0]
        if signature is not None and folder not in listed:
            racy = max(signature[1], signature[2]) >= racy_since
            into.files[path] = (*signature[:3], -1) if racy else signature
    into.binary.update(path for path in known.binary if path.rpartition("/")[0] not in listed)
    for folder in sorted(dirty):
        stamp = _folder_stamp(str(root / folder) if folder else str(root))
        if stamp is None:
            _drop(into, folder)
            continue
        before = set(into.folders)
        _scan(root, folder, settings, into, deep=False)
        if any(path.rpartition("/")[0] == folder and path.rpartition("/")[2] in IGNORE_NAMES
               and path not in known.paths for path in into.files):  # fmt: skip
            return walk(root, settings)
        for fresh in sorted(set(into.folders) - before):
            _scan(root, fresh, settings, into)
    gone_ignores = [path for path in known.paths
                    if path.rpartition("/")[2] in IGNORE_NAMES and path not in into.files]  # fmt: skip
    if gone_ignores:
        return walk(root, settings)
    return _finish(into, settings, known.watched)


def _drop(into: _Walk, folder: str) -> None:
    inside = folder + "/"
    for name in [name for name in into.folders if name == folder or name.startswith(inside)]:
        del into.folders[name]
    for path in [path for path in into.files if path.startswith(inside)]:
        del into.files[path]
    into.binary.difference_update({path for path in into.binary if path.startswith(inside)})
