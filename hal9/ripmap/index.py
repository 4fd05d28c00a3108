"""The index of a repository: every file with what was extracted from it, its text and its history."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

from hal9.errors import FileNotIndexed
from hal9.ripmap.building import Entry, blob_id, extraction_key
from hal9.ripmap.cache import ContentStore, read_sealed_file, remove_stale, write_sealed_file
from hal9.ripmap.extraction import Extraction, extract
from hal9.ripmap.history import History
from hal9.ripmap.model import FileRecord, Role
from hal9.ripmap.packing import pack_extraction, unpack_extraction
from hal9.ripmap.settings import IndexSettings
from hal9.ripmap.source import IndexStats, Origin
from hal9.ripmap.textio import decode

__all__ = ["Index", "Patch"]

Patch = Callable[[memoryview, list[int]], bytes | None]
"""Makes a new artifact from an older one: gets its bytes and, for every file now, its position then (-1: changed)."""

_BATCH = 256
_KEPT_ARTIFACTS = 4
_STAMP = 8


class Index:
    """A repository as of one moment. Make one with `open_index`; it never changes afterwards.

    Records are decoded when asked for, so that holding an index of 100,000 files is cheap. `paths` (sorted) and
    `roles` run in parallel with `files`.
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
    ) -> None:
        self.root = origin.root
        self.settings = settings
        self.stats = stats
        self.fingerprint = fingerprint
        self.entries = entries
        self.paths = tuple(entry.path for entry in entries)
        self.files: Sequence[FileRecord] = _Files(self)
        self.folder = settings.folder / "trees" / origin.digest if settings.use_cache else None
        self._origin = origin
        self._notify = notify
        self._packed = packed
        self._artifacts: dict[str, memoryview] = {}
        self._stale: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._positions

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {path: position for position, path in enumerate(self.paths)}

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """What each file is for."""
        known: dict[int, Role] = {}
        return tuple(known.setdefault(entry.roles, Role(entry.roles)) for entry in self.entries)

    @cached_property
    def history(self) -> History:
        """Ancestors of the commit the tree stands on, newest first; empty without git."""
        return self._origin.history(self.settings, self.folder)

    def position(self, path: str) -> int:
        """Where `path` stands in `paths` and `files`.

        Raises:
            FileNotIndexed: it is not there.
        """
        try:
            return self._positions[path]
        except KeyError:
            raise FileNotIndexed(path=path, root=str(self.root)) from None

    def file(self, path: str) -> FileRecord:
        """The record of one file.

        Raises:
            FileNotIndexed: it is not there.
        """
        return self.files[self.position(path)]

    def text(self, path: str) -> str:
        """The file's text ("" when it is oversized, or gone since the index was made).

        Raises:
            FileNotIndexed: it was never there.
        """
        return decode(self._content(self.entries[self.position(path)]))

    def _content(self, entry: Entry) -> bytes:
        if entry.status in {"oversized", "unreadable"}:
            return b""
        content = self._origin.read(entry.path, entry.content_hash)
        if content is None or blob_id(content) != entry.content_hash:
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
        """Bytes made from the whole index, kept for as long as no file changes (and no commit, `with_history`).

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
                _fingerprint(entry).encode("utf-8", "surrogateescape"), digest_size=_STAMP
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
            places = [before.get(mine[start : start + _STAMP], -1) for start in range(0, len(mine), _STAMP)]
            return patch(older, places)
        return None

    def file_artifacts(
        self, name: str, version: int, build: Callable[[FileRecord, str], bytes]
    ) -> list[bytes]:
        """Bytes made from each file alone, in the order of `files`; only files that changed are built again.

        `build` gets the record and its text, and must depend on nothing else.
        """
        out: list[bytes] = []
        for start in range(0, len(self.entries), _BATCH):
            batch = self.entries[start : start + _BATCH]
            keys = [f"a/{name}/{version}/{_fingerprint(entry)}" for entry in batch]
            known = self._stored(keys)
            missing = [position for position, key in enumerate(keys) if key not in known]
            records = self.records([start + position for position in missing])
            fresh: list[tuple[str, bytes]] = []
            for position, record in zip(missing, records, strict=True):
                made = build(record, self.text(record.path))
                known[keys[position]] = made
                if record.path not in self._stale:
                    fresh.append((keys[position], made))
            if fresh and self._store is not None:
                self._store.write(fresh)
            out.extend(known[key] for key in keys)
        return out

    # --- records ---

    @cached_property
    def _store(self) -> ContentStore | None:
        return ContentStore(self.settings.folder, self._notify) if self.folder is not None else None

    def _stored(self, keys: list[str]) -> dict[str, bytes]:
        found = {key: self._packed[key] for key in keys if key in self._packed}
        rest = [key for key in keys if key not in found]
        if rest and self._store is not None:
            found.update(self._store.read(rest))
        return found

    def outline(self, path: str) -> FileRecord:
        """The record of one file without references, imports and strings (far quicker for large files).

        Raises:
            FileNotIndexed: it is not there.
        """
        return self.records([self.position(path)], outline=True)[0]

    def records(self, positions: Sequence[int], *, outline: bool = False) -> list[FileRecord]:
        """Records of several files at once (quicker than one by one)."""
        chosen = [self.entries[position] for position in positions]
        keys = [extraction_key(entry.language, entry.content_hash) for entry in chosen]
        stored = self._stored(keys)
        return [
            _record(entry, self._extraction(entry, stored.get(key), outline=outline))
            for entry, key in zip(chosen, keys, strict=True)
        ]

    def _extraction(self, entry: Entry, packed: bytes | None, *, outline: bool) -> Extraction:
        if entry.status in {"oversized", "unreadable"}:
            return Extraction(entry.status)
        found = unpack_extraction(packed, outline=outline) if packed is not None else None
        if found is not None:
            return found
        content = self._content(entry)
        if entry.path in self._stale:
            return Extraction("unreadable")
        found = extract(entry.language, content)
        if self._store is not None:
            self._store.write([(extraction_key(entry.language, entry.content_hash), pack_extraction(found))])
        return found


def _fingerprint(entry: Entry) -> str:
    return f"{entry.content_hash}:{entry.path}"


def _record(entry: Entry, found: Extraction) -> FileRecord:
    return FileRecord(
        entry.path, entry.language, max(entry.signature[0], 0), entry.content_hash, Role(entry.roles), found.status,
        entry.lines, found.definitions, found.references, found.imports, found.strings, found.docstring,
    )  # fmt: skip


class _Files(Sequence[FileRecord]):
    """Records by position, decoded on demand and not held."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index.entries)

    def __getitem__(self, position: int) -> FileRecord:  # type: ignore[override]  # slices are not offered
        return self._index.records([position])[0]

    def __iter__(self) -> Iterator[FileRecord]:
        size = len(self)
        batches = (range(start, min(start + _BATCH, size)) for start in range(0, size, _BATCH))
        return chain.from_iterable(self._index.records(list(batch)) for batch in batches)
