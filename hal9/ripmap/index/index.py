"""The index of a repository: every file with what was extracted from it, its text and its history."""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from hal9.errors.ripmap import FileNotIndexed
from hal9.ripmap.files.decoding import decode
from hal9.ripmap.files.discovery import Tree
from hal9.ripmap.history.git_log import History
from hal9.ripmap.index.entries import (
    Entry,
    artifact_key,
    blob_id,
    entry_fingerprint,
    extraction_key,
    record_of,
)
from hal9.ripmap.index.source import IndexStats, Origin, WorkingTree
from hal9.ripmap.records import Extraction, FileRecord, Role
from hal9.ripmap.settings import IndexSettings
from hal9.ripmap.storage.cache import (
    ContentStore,
    read_sealed_file,
    remove_stale,
    usable_store,
    write_sealed_file,
)
from hal9.ripmap.storage.record_codec import outline_bytes, pack_extraction, unpack_extraction, unpack_outline

if TYPE_CHECKING:
    from hal9.ripmap.index.artifacts import Builder

__all__ = ["Index", "Patch"]

Patch = Callable[[memoryview, list[int]], bytes | None]
"""Makes a new artifact from an older one.

Gets its bytes and, for every file now, its `file_index` then (-1: changed).
"""

_BATCH = 100
_POOL_BYTES = 2_000_000
_KEPT_ARTIFACTS = 4
_STAMP = 8
_OUTLINES_VERSION = 1


class Index:
    """A repository as of one moment. Make one with `open_index`; it never changes afterwards.

    Records are decoded when asked for, so that holding an index of 100,000 files is cheap. `paths` (sorted)
    and
    `roles` run in parallel with `files`; `tree` holds the stamps it was opened under (None for a commit).
    """

    def __init__(
        self,
        origin: Origin,
        settings: IndexSettings,
        entries: Sequence[Entry],
        *,
        stats: IndexStats,
        fingerprint: str,
        packed: dict[str, bytes],
        notify: Callable[[str], None],
        facts: dict[str, bytes] | None = None,
    ) -> None:
        self.root = origin.root
        self.settings = settings
        self.stats = stats
        self.fingerprint = fingerprint
        self.entries = entries
        self.paths = tuple(entry.path for entry in entries)
        self.files: Sequence[FileRecord] = _Files(self)
        self.tree: Tree | None = None
        self.folder = settings.folder / "trees" / origin.digest if settings.use_cache else None
        self._origin = origin
        self._notify = notify
        self._packed = packed
        self._facts = facts or {}
        self._artifacts: dict[str, memoryview] = {}
        self._stale: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._file_indexes

    def __len__(self) -> int:
        return len(self.paths)

    def close(self) -> None:
        """Close the cache's database; a later use opens it again."""
        store = self.__dict__.pop("_store", None)
        if store is not None:
            store.close()

    @cached_property
    def _file_indexes(self) -> dict[str, int]:
        return {path: file_index for file_index, path in enumerate(self.paths)}

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """What each file is for."""
        known: dict[int, Role] = {}
        return tuple(known.setdefault(entry.roles, Role(entry.roles)) for entry in self.entries)

    @cached_property
    def history(self) -> History:
        """Ancestors of the commit the tree stands on, newest first; empty without git."""
        return self._origin.history(self.settings, self.folder, self._notify)

    def file_index(self, path: str) -> int:
        """Where `path` stands in `paths` and `files`.

        Raises:
            FileNotIndexed: it is not there.
        """
        try:
            return self._file_indexes[path]
        except KeyError:
            raise FileNotIndexed(path=path, root=str(self.root)) from None

    def file(self, path: str) -> FileRecord:
        """The record of one file.

        Raises:
            FileNotIndexed: it is not there.
        """
        return self.files[self.file_index(path)]

    def text(self, path: str) -> str:
        """The file's text ("" when it is oversized, or gone since the index was made).

        Raises:
            FileNotIndexed: it was never there.
        """
        return decode(self._content(self.entries[self.file_index(path)]))

    def _content(self, entry: Entry) -> bytes:
        if entry.status in {"oversized", "unreadable"}:
            return b""
        content = self._origin.read(entry.path, entry.content_hash)
        if content is None or blob_id(content, entry.content_hash) != entry.content_hash:
            # The tree moved on under this index: nothing made from here on may be kept for this fingerprint.
            self._stale.add(entry.path)
        return content or b""

    @property
    def stale(self) -> frozenset[str]:
        """Files found changed or gone since the index was made; open it again to see them as they are."""
        return frozenset(self._stale)

    # --- artifacts ---

    def artifact(
        self,
        name: str,
        version: int,
        build: Callable[[], bytes],
        *,
        with_history: bool = False,
        patch: Patch | None = None,
    ) -> memoryview:
        """Bytes made from the whole index, kept while no file (`with_history`: and no commit) changes.

        `patch` may make them from those of an earlier state of the tree; it returns None to decline.
        """
        label = self._label(name, version, with_history=with_history)
        known = self._artifacts.get(label)
        if known is None and self.folder is not None:
            known = read_sealed_file(self.folder / "artifacts" / label)
        if known is None:
            made = self._patched(name, version, patch) if patch is not None else None
            known = memoryview(made if made is not None else build())
            self._keep(name, version, label, known)
        self._artifacts[label] = known
        return known

    def _label(self, name: str, version: int, *, with_history: bool) -> str:
        suffix = ""
        if with_history:
            suffix = "-" + hashlib.blake2b(self.history.fingerprint.encode(), digest_size=8).hexdigest()
        return f"{name}-v{version}-{self.fingerprint}{suffix}"

    def _keep(self, name: str, version: int, label: str, payload: memoryview) -> None:
        if self.folder is None or self._stale:
            return
        folder = self.folder / "artifacts"
        if not write_sealed_file(folder / label, payload):
            self._notify(f"{folder} cannot be written; the next query will prepare again")
            return
        members = folder / f"members-{self.fingerprint}"
        if not members.exists():
            write_sealed_file(members, self._members)
            remove_stale(folder, "members-", keep=_KEPT_ARTIFACTS)
        remove_stale(folder, f"{name}-v{version}-", keep=_KEPT_ARTIFACTS)

    @cached_property
    def _members(self) -> bytes:
        return b"".join(
            hashlib.blake2b(
                entry_fingerprint(entry).encode("utf-8", "surrogateescape"), digest_size=_STAMP
            ).digest()
            for entry in self.entries
        )

    def _patched(self, name: str, version: int, patch: Patch) -> bytes | None:
        if self.folder is None:
            return None
        folder = self.folder / "artifacts"
        prefix = f"{name}-v{version}-"
        try:
            found = sorted(folder.glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime, reverse=True)
        except OSError:
            # Tidied away by another process between the listing and the look.
            return None
        for path in found:
            members = read_sealed_file(folder / f"members-{path.name[len(prefix) :].partition('-')[0]}")
            older = read_sealed_file(path) if members is not None else None
            if members is None or older is None:
                continue
            before = {bytes(members[start : start + _STAMP]): start // _STAMP
                      for start in range(0, len(members), _STAMP)}  # fmt: skip
            mine = self._members
            older_indexes = [
                before.get(mine[start : start + _STAMP], -1) for start in range(0, len(mine), _STAMP)
            ]
            return patch(older, older_indexes)
        return None

    def file_artifacts(
        self, name: str, version: int, build: "Builder", file_indexes: Sequence[int] | None = None
    ) -> list[bytes]:
        """Bytes made from each file alone, in the order of `files`; only files that changed are built again.

        `file_indexes` asks for some files only, in that order.

        `build` gets the record and its text, must depend on nothing else, and be a function at the top of a
        module:
        it may run in another process.
        """
        chosen = range(len(self.entries)) if file_indexes is None else file_indexes
        keys = [artifact_key(name, version, self.entries[file_index]) for file_index in chosen]
        known = {key: self._facts[key] for key in keys if key in self._facts}
        wanted = [key for key in keys if key not in known]
        for start in range(0, len(wanted), _BATCH):
            known.update(self._stored(wanted[start : start + _BATCH]))
        if self._store is not None:
            # They are in the store from now on, and were handed over only for the first look.
            self._facts = {}
        key_of = dict(zip(chosen, keys, strict=True))
        missing = [file_index for file_index in chosen if key_of[file_index] not in known]
        for batch, made in self._made(build, missing):
            fresh: list[tuple[str, bytes]] = []
            for file_index, payload in zip(batch, made, strict=True):
                if payload is None:
                    # It changed under this index: what it gives now is used, and not kept.
                    self._stale.add(self.paths[file_index])
                    record = self.records([file_index])[0]
                    known[key_of[file_index]] = build(record, self.text(record.path))
                else:
                    known[key_of[file_index]] = payload
                    fresh.append((key_of[file_index], payload))
            if fresh and self._store is not None:
                self._store.write(fresh)
        return [known[key] for key in keys]

    def _made(self, build: "Builder", missing: list[int]) -> Iterator[tuple[list[int], list[bytes | None]]]:
        """Artifacts of the missing files, batch by batch, in several processes when there is much to do."""
        from hal9.ripmap.index.artifacts import make_artifacts, work_artifacts  # noqa: PLC0415 - brings the extractor
        from hal9.ripmap.index.building import pool  # noqa: PLC0415

        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        tasks = ([self._task(file_index) for file_index in batch] for batch in batches)
        size = sum(max(self.entries[file_index].signature[0], 0) for file_index in missing)
        workers = self.settings.workers or os.cpu_count() or 1
        folder = self.settings.folder if self.folder is not None else None
        heavy = size > _POOL_BYTES and workers > 1 and len(batches) > 1
        if not heavy or not isinstance(self._origin, WorkingTree):
            for batch, task in zip(batches, tasks, strict=True):
                yield batch, make_artifacts(task, build, self._origin, self._store)
            return
        with pool(workers, folder) as executor:
            run = partial(work_artifacts, build=build, origin=self._origin)
            yield from zip(batches, executor.map(run, tasks), strict=True)

    def _task(self, file_index: int) -> tuple[Entry, bytes | None]:
        entry = self.entries[file_index]
        return entry, self._packed.get(extraction_key(entry.language, entry.content_hash))

    # --- records ---

    def outline(self, path: str) -> FileRecord:
        """The record of one file with its definitions but without references, imports and strings.

        Read from one file that holds all outlines, so that drawing a map opens no database.

        Raises:
            FileNotIndexed: it is not there.
        """
        file_index = self.file_index(path)
        blob = self.artifact("outlines", _OUTLINES_VERSION, self._outlines)
        bounds = blob[: 8 * (len(self.entries) + 1)].cast("q")
        part = blob[bounds[file_index] : bounds[file_index + 1]]
        if not part:
            return self.file(path)
        return record_of(self.entries[file_index], unpack_outline(part))

    def _outlines(self) -> bytes:
        parts: list[bytes] = []
        for start in range(0, len(self.entries), _BATCH):
            batch = self.entries[start : start + _BATCH]
            keys = [extraction_key(entry.language, entry.content_hash) for entry in batch]
            stored = self._stored(keys)
            parts.extend(outline_bytes(stored.get(key, b"")) for key in keys)
        sizes = accumulate(map(len, parts), initial=8 * (len(parts) + 1))
        return array("q", sizes).tobytes() + b"".join(parts)

    @cached_property
    def _store(self) -> ContentStore | None:
        return usable_store(self.settings.folder, self._notify) if self.folder is not None else None

    def _stored(self, keys: list[str]) -> dict[str, bytes]:
        found = {key: self._packed[key] for key in keys if key in self._packed}
        rest = [key for key in keys if key not in found]
        if rest and self._store is not None:
            found.update(self._store.read(rest))
        return found

    def records(self, file_indexes: Sequence[int]) -> list[FileRecord]:
        """Records of several files at once (quicker than one by one)."""
        chosen = [self.entries[file_index] for file_index in file_indexes]
        keys = [extraction_key(entry.language, entry.content_hash) for entry in chosen]
        stored = self._stored(keys)
        return [
            record_of(entry, self._extraction(entry, stored.get(key)))
            for entry, key in zip(chosen, keys, strict=True)
        ]

    def _extraction(self, entry: Entry, packed: bytes | None) -> Extraction:
        if entry.status in {"oversized", "unreadable"}:
            return Extraction(entry.status)
        found = unpack_extraction(packed) if packed is not None else None
        if found is not None:
            return found
        from hal9.ripmap.extraction.extractor import extract  # noqa: PLC0415 - only what the cache lost is parsed again

        content = self._content(entry)
        if entry.path in self._stale:
            return Extraction("unreadable")
        found = extract(entry.language, content)
        if self._store is not None:
            self._store.write([(extraction_key(entry.language, entry.content_hash), pack_extraction(found))])
        return found


class _Files(Sequence[FileRecord]):
    """Records by `file_index`, decoded on demand and not held."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index.entries)

    def __getitem__(self, file_index: int) -> FileRecord:  # type: ignore[override]  # slices are not offered
        return self._index.records([file_index])[0]

    def __iter__(self) -> Iterator[FileRecord]:
        size = len(self)
        batches = (range(start, min(start + _BATCH, size)) for start in range(0, size, _BATCH))
        return chain.from_iterable(self._index.records(list(batch)) for batch in batches)
