"""Opening an index: of a working tree, with only what changed read again, or of a commit."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from hal9.errors.ripmap import NotARepository
from hal9.ripmap.files.discovery import Signature, Tree, digest_of, recheck, walk
from hal9.ripmap.files.selection import Selection
from hal9.ripmap.history.blobs import BlobReader, blob_sizes
from hal9.ripmap.history.git_command import head_commit, run_git
from hal9.ripmap.history.git_log import history_fingerprint
from hal9.ripmap.index.entries import Entry, extraction_key
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.snapshot import Snapshot, load_snapshot, save_snapshot
from hal9.ripmap.index.source import CommitTree, IndexStats, WorkingTree
from hal9.ripmap.records import EXTRACTOR_VERSION, Extraction
from hal9.ripmap.settings import IndexSettings, load_settings
from hal9.ripmap.storage.cache import ContentStore, usable_store

__all__ = ["open_index", "open_revision", "still_current"]

_SNAPSHOT = "snapshot"
_HELD_FACTS = 200_000_000
"""Bytes of new facts that are handed on in memory; the rest is read again from the store."""
_SYMLINK, _SUBMODULE = b"120000", b"160000"


class _Opening:
    """What one opening gathers: packed extractions not stored anywhere, notices, counts."""

    def __init__(self, settings: IndexSettings, notify: Callable[[str], None] | None) -> None:
        self.settings = settings
        self.started = time.perf_counter()
        self.notices: list[str] = []
        self.packed: dict[str, bytes] = {}
        self.facts: dict[str, bytes] = {}
        self.extracted = 0
        self.reused = 0
        self._notify = notify

    def notify(self, text: str) -> None:
        """Pass a notice on, once."""
        if text not in self.notices:
            self.notices.append(text)
            if self._notify is not None:
                self._notify(text)

    def store(self) -> ContentStore | None:
        """The content store; None when the cache is off, or cannot be used (which is told)."""
        if not self.settings.use_cache:
            return None
        return usable_store(self.settings.folder, self.notify)

    def stats(self, entries: list[Entry], skipped_binary: int) -> IndexStats:
        """Everything counted so far."""
        languages = Counter(entry.language for entry in entries)
        missing = _without_grammar(languages) if self.extracted else ()
        return IndexStats(
            files=len(entries),
            extracted=self.extracted,
            reused=self.reused,
            seconds=time.perf_counter() - self.started,
            languages=dict(languages.most_common()),
            statuses=dict(Counter(str(entry.status) for entry in entries).most_common()),
            missing_grammars=missing,
            skipped_binary=skipped_binary,
            notices=tuple(self.notices),
        )


def _without_grammar(languages: Iterable[str]) -> tuple[str, ...]:
    from hal9.ripmap.files.languages import LANGUAGES, load_language  # noqa: PLC0415 - nothing to parse, no grammars

    return tuple(
        name
        for name in languages
        if name in LANGUAGES and LANGUAGES[name].grammar and load_language(name) is None
    )


def _fingerprint(entries: Iterable[Entry]) -> str:
    digest = hashlib.blake2b(f"{EXTRACTOR_VERSION}\n".encode(), digest_size=16)
    for entry in entries:
        digest.update(f"{entry.content_hash}:{entry.path}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def open_index(
    root: Path | str, settings: IndexSettings | None = None, *, notify: Callable[[str], None] | None = None
) -> Index:
    """Walk, extract what changed since the last time, and return the index of a working tree.

    Args:
        root: the folder to map.
        settings: None reads ripmap.toml or [tool.ripmap] of the root.
        notify: told what went wrong without stopping (a damaged cache, say); also kept in `stats.notices`.

    Raises:
        NotARepository: the root is missing or no folder.
        RipmapConfigWrong: its settings file is wrong.
    """
    root = _folder(Path(root))
    settings = settings if settings is not None else load_settings(root)
    if settings.subtree:
        _folder(root / settings.subtree)
    opening = _Opening(settings, notify)
    origin = WorkingTree(root, digest_of(root, settings))
    snapshot_path = settings.folder / "trees" / origin.digest / _SNAPSHOT if settings.use_cache else None
    known = load_snapshot(snapshot_path) if snapshot_path is not None else None
    tree = recheck(root, settings, known.tree) if known is not None else walk(root, settings)
    if known is not None and tree is known.tree:
        snapshot = known
        opening.reused = len(tree.paths)
    else:
        snapshot = _refreshed(root, settings, tree, known, opening)
        if snapshot_path is not None and not save_snapshot(snapshot_path, snapshot):
            opening.notify(f"{snapshot_path} cannot be written; the next run will read the tree again")
    entries = [entry for entry in map(snapshot.entry, range(len(tree.paths))) if entry.status != "binary"]
    binary = len(tree.binary) + len(tree.paths) - len(entries)
    index = Index(
        origin,
        settings,
        entries,
        stats=opening.stats(entries, binary),
        fingerprint=snapshot.fingerprint,
        packed=opening.packed,
        facts=opening.facts,
        notify=opening.notify,
    )
    index.tree = snapshot.tree
    if snapshot_path is not None:
        _look_after(snapshot_path.parent, root, settings, grown=opening.extracted > 0)
    return index


def _look_after(folder: Path, root: Path, settings: IndexSettings, *, grown: bool) -> None:
    """Note that the tree's cache was used, and after a growth keep the whole cache below its cap."""
    from hal9.ripmap.index.cache_size import mark_used, trim_cache  # noqa: PLC0415 - needed once an hour

    mark_used(folder, root)
    if grown:
        trim_cache(settings.folder, settings.cache_bytes, keep=(folder,))


def still_current(index: Index) -> bool:
    """Whether opening the index again would give the same: no stamp and no commit is another."""
    tree = index.tree
    if tree is None or index.stale or recheck(index.root, index.settings, tree) is not tree:
        return False
    if not index.settings.use_git:
        return True
    head = head_commit(index.root)
    expected = history_fingerprint(index.root, head, index.settings.history_limit) if head else ""
    return index.history.fingerprint == expected


def _folder(path: Path) -> Path:
    try:
        if not path.is_dir():
            detail = "it is not a folder" if path.exists() else "there is no such folder"
            raise NotARepository(path=str(path), detail=detail)
        return path.resolve()
    except (OSError, ValueError) as error:
        raise NotARepository(path=str(path), detail=str(error)) from error


def _refreshed(
    root: Path, settings: IndexSettings, tree: Tree, known: Snapshot | None, opening: _Opening
) -> Snapshot:
    """The snapshot of `tree`, reading only files whose signature is not the known one."""
    from hal9.ripmap.index.building import build_entries  # noqa: PLC0415 - an unchanged tree needs no extraction

    entries: dict[str, Entry] = {}
    changed: list[tuple[str, Signature]] = []
    before = (
        {path: file_index for file_index, path in enumerate(known.tree.paths)} if known is not None else {}
    )
    for path, signature in zip(tree.paths, tree.signatures, strict=True):
        file_index = before.get(path)
        if file_index is not None and known is not None and known.tree.signatures[file_index] == signature:
            entries[path] = known.entry(file_index)
        else:
            changed.append((path, signature))
    opening.reused = len(entries)
    store = opening.store()
    built = build_entries(
        root,
        changed,
        limit=settings.max_file_bytes,
        store=store,
        folder=settings.folder if store is not None else None,
        workers=settings.workers,
    )
    held = 0
    for part in built:
        entries.update((entry.path, entry) for entry in part.entries)
        opening.extracted += len(part.fresh)
        opening.reused += len(part.entries) - len(part.fresh)
        if store is not None:
            store.write([*part.fresh, *part.facts])
        else:
            opening.packed.update(part.fresh)
        if store is None or held < _HELD_FACTS:
            opening.facts.update(part.facts)
            held += sum(len(payload) for _, payload in part.facts)
    if store is not None:
        store.close()
    ordered = _placed([entries[path] for path in tree.paths], WorkingTree(root, "").read)
    return Snapshot.of(tree, ordered, _fingerprint(entry for entry in ordered if entry.status != "binary"))


_MOST_MANIFESTS = 500
"""Read of a tree's build and test configuration, those nearest to the root."""


def _placed(entries: list[Entry], read: Callable[[str, str], bytes | None]) -> list[Entry]:
    """The same entries with the roles that their neighbours and the configuration give them."""
    from hal9.ripmap.files.declared import declares  # noqa: PLC0415 - an unchanged tree keeps its roles
    from hal9.ripmap.files.decoding import decode  # noqa: PLC0415
    from hal9.ripmap.files.placement import placed_roles  # noqa: PLC0415

    telling = [
        e for e in entries if e.status not in {"binary", "oversized", "unreadable"} and declares(e.path)
    ]
    nearest = sorted(telling, key=lambda entry: entry.path.count("/"))[:_MOST_MANIFESTS]
    manifests = {entry.path: decode(read(entry.path, entry.content_hash) or b"") for entry in nearest}
    roles = placed_roles(
        [entry.path for entry in entries],
        [entry.language for entry in entries],
        [entry.roles for entry in entries],
        manifests,
    )
    return [
        entry if entry.roles == role else entry._replace(roles=role)
        for entry, role in zip(entries, roles, strict=True)
    ]


def open_revision(
    root: Path | str,
    revision: str,
    settings: IndexSettings | None = None,
    *,
    notify: Callable[[str], None] | None = None,
) -> Index:
    """The index of one commit, with the history that led to it; the working tree is neither read nor touched.

    Raises:
        NotARepository: the root is missing or no folder.
        GitFailed: no repository, or no such revision.
    """
    root = _folder(Path(root))
    settings = settings if settings is not None else load_settings(root)
    opening = _Opening(settings, notify)
    named = run_git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    commit = named.decode().strip()
    blobs = BlobReader(root)
    origin = CommitTree(root, digest_of(root, settings), commit, blobs)
    keep = Selection(settings)
    listed = [item for item in _list_tree(root, commit, settings) if keep(item[0])]
    absent = sum(size is None for _, size, _ in listed)
    if absent:
        opening.notify(
            f"{absent} files of {revision} are not in this clone: their names count, their contents do not "
            f"(`git -C {root} fetch --refetch --no-filter` brings them)"
        )
    store = opening.store()
    entries = [_blob_entry(item, blobs, store, opening) for item in listed]
    if store is not None:
        store.close()
    ordered = sorted((e for e in entries if e.status != "binary"), key=lambda entry: entry.path)
    kept = _placed(ordered, origin.read)
    return Index(
        origin,
        settings,
        kept,
        stats=opening.stats(kept, len(entries) - len(kept)),
        fingerprint=_fingerprint(kept),
        packed=opening.packed,
        notify=opening.notify,
    )


def _list_tree(root: Path, commit: str, settings: IndexSettings) -> list[tuple[str, int | None, str]]:
    """Path, size (None: this clone does not hold it) and blob id of each regular file."""
    listing = run_git(root, "ls-tree", "-r", "-z", commit, "--", settings.subtree or ".")
    found: list[tuple[str, str]] = []
    for line in listing.split(b"\0"):
        if not line or line.startswith((_SYMLINK, _SUBMODULE)):
            continue
        meta, _, name = line.partition(b"\t")
        found.append((os.fsdecode(name), meta.split()[2].decode()))
    sizes = blob_sizes(root, commit, [blob for _, blob in found])
    return [(path, size, blob) for (path, blob), size in zip(found, sizes, strict=True)]


def _blob_entry(
    item: tuple[str, int | None, str], blobs: BlobReader, store: ContentStore | None, opening: _Opening
) -> Entry:
    from hal9.ripmap.extraction.extractor import extract  # noqa: PLC0415
    from hal9.ripmap.files.languages import language_of  # noqa: PLC0415
    from hal9.ripmap.index.building import entry_of  # noqa: PLC0415 - with what extracts
    from hal9.ripmap.storage.record_codec import pack_extraction, unpack_extraction  # noqa: PLC0415

    path, size, blob = item
    if size is None:
        return entry_of(path, (0, 0, 0, 0), blob, language_of(path), Extraction("unreadable"))
    signature = (size, 0, 0, 0)
    content: bytes | None = None
    language = language_of(path)
    if size > opening.settings.max_file_bytes:
        return entry_of(path, signature, blob, language, Extraction("oversized"))
    if not language or path.endswith(".h"):
        content = blobs.read(blob) or b""
        language = language_of(path, content[:4096])
    key = extraction_key(language, blob)
    packed = opening.packed.get(key) or (store.read([key]).get(key) if store is not None else None)
    found = unpack_extraction(packed) if packed is not None else None
    if found is None:
        content = content if content is not None else blobs.read(blob) or b""
        found = extract(language, content)
        opening.extracted += 1
        made = pack_extraction(found)
        if store is not None:
            store.write([(key, made)])
        else:
            opening.packed[key] = made
    else:
        opening.reused += 1
    return entry_of(path, signature, blob, language, found)
