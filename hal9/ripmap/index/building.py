"""From changed files to entries.

Read, hash, look up, extract; in several processes when there is much to do.
"""

import gc
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hal9.ripmap.extraction.extractor import extract
from hal9.ripmap.files.decoding import decode
from hal9.ripmap.files.discovery import Signature
from hal9.ripmap.files.languages import language_of
from hal9.ripmap.files.roles import path_roles
from hal9.ripmap.index.entries import Entry, artifact_key, blob_id, extraction_key, record_of
from hal9.ripmap.postings.file_postings import FACTS, FACTS_VERSION, facts_of_file
from hal9.ripmap.records import Extraction, Role
from hal9.ripmap.storage.cache import ContentStore, usable_store
from hal9.ripmap.storage.record_codec import pack_extraction, unpack_extraction

__all__ = [
    "Built",
    "build_entries",
    "entry_of",
    "pool",
    "uncollected",
    "worker_store",
]

_CHUNK_BYTES = 500_000
_CHUNK_FILES = 100
_POOL_BYTES = 3_000_000
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Built:
    """One chunk's outcome: entries, and what the store does not hold yet (packed extractions, facts)."""

    entries: list[Entry]
    fresh: list[tuple[str, bytes]]
    facts: list[tuple[str, bytes]]


def entry_of(path: str, signature: Signature, content_hash: str, language: str, found: Extraction) -> Entry:
    """The entry that an extraction gives under this path."""
    roles = path_roles(path, language)
    if found.generated:
        roles |= Role.GENERATED
    if found.status == "binary":
        roles = Role.BINARY
    return Entry(path, signature, content_hash, language, int(roles), found.status, found.lines)


def _read(full: str, signature: Signature, limit: int) -> tuple[Signature, bytes | None]:
    """Contents with the signature they belong to.

    None when too large or unreadable. Retried while it changes.
    """
    for _ in range(3):
        with open(full, "rb") as handle:  # noqa: PTH123 - Path.open costs more than reading a small file
            before = os.fstat(handle.fileno())
            if before.st_size > limit:
                return signature, None
            content = handle.read()
            after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            break
    inode = signature[3]
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != signature[:3]:
        # It changed between the walk and now: keep what was read, and look again next time.
        inode = -1
    return (after.st_size, after.st_mtime_ns, after.st_ctime_ns, inode), content


def build_chunk(
    files: list[tuple[str, Signature]], root: str, limit: int, store: ContentStore | None
) -> Built:
    """Entries of these files, in order."""
    with uncollected():
        return _build_chunk(files, root, limit, store)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: a parse makes a great many objects, none of them in cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _build_chunk(
    files: list[tuple[str, Signature]], root: str, limit: int, store: ContentStore | None
) -> Built:
    loaded: list[tuple[str, Signature, str, str, bytes]] = []
    entries: dict[str, Entry] = {}
    for path, signature in files:
        try:
            actual, content = _read(f"{root}/{path}", signature, limit)
        except OSError:
            content, actual = None, signature
            found = Extraction("unreadable")
        else:
            found = Extraction("oversized")
        if content is None:
            made_up = f"{signature[0]:x}-{signature[1]:x}"
            entries[path] = entry_of(path, actual, made_up, language_of(path), found)
            continue
        loaded.append((path, actual, blob_id(content), language_of(path, content[:_HEAD]), content))
    keys = [extraction_key(language, digest) for _, _, digest, language, _ in loaded]
    known = store.read(keys) if store is not None else {}
    fresh: dict[str, bytes] = {}
    read: list[tuple[Entry, Extraction, bytes]] = []
    for key, (path, signature, digest, language, content) in zip(keys, loaded, strict=True):
        packed = known.get(key) or fresh.get(key)
        extraction = unpack_extraction(packed) if packed is not None else None
        if extraction is None:
            extraction = extract(language, content)
            fresh[key] = pack_extraction(extraction)
        entries[path] = entry_of(path, signature, digest, language, extraction)
        read.append((entries[path], extraction, content))
    return Built([entries[path] for path, _ in files], list(fresh.items()), _new_facts(read, store))


def _new_facts(
    read: list[tuple[Entry, Extraction, bytes]], store: ContentStore | None
) -> list[tuple[str, bytes]]:
    """What the ranker keeps of each file, made while its text is at hand."""
    keys = [artifact_key(FACTS, FACTS_VERSION, entry) for entry, _, _ in read]
    known = store.has(keys) if store is not None else set()
    return [
        (key, facts_of_file(record_of(entry, found), decode(content)))
        for key, (entry, found, content) in zip(keys, read, strict=True)
        if key not in known and entry.status != "binary"
    ]


_worker_store: ContentStore | None = None


def _start_worker(folder: Path | None) -> None:
    global _worker_store  # noqa: PLW0603 - a process pool has no other place for what each process opens once
    _worker_store = usable_store(folder, _unheard) if folder is not None else None


def worker_store() -> ContentStore | None:
    """The store of this worker process."""
    return _worker_store


def _unheard(_: str) -> None:
    """Notices of workers; the parent opens the same store and gives them once."""


def _work(files: list[tuple[str, Signature]], root: str, limit: int) -> Built:
    return build_chunk(files, root, limit, _worker_store)


def build_entries(
    root: Path,
    files: Sequence[tuple[str, Signature]],
    *,
    limit: int,
    store: ContentStore | None,
    folder: Path | None,
    workers: int,
) -> Iterator[Built]:
    """Entries of all `files` in order, chunk by chunk; small amounts are done in this process."""
    chunks = list(_chunks(files))
    total = sum(min(signature[0], limit) for _, signature in files)
    count = workers or os.cpu_count() or 1
    if count < 2 or total < _POOL_BYTES or len(chunks) < 2:
        for chunk in chunks:
            yield build_chunk(chunk, str(root), limit, store)
        return
    with pool(count, folder) as executor:
        yield from executor.map(partial(_work, root=str(root), limit=limit), chunks)


def _chunks(files: Sequence[tuple[str, Signature]]) -> Iterator[list[tuple[str, Signature]]]:
    chunk: list[tuple[str, Signature]] = []
    size = 0
    for item in files:
        chunk.append(item)
        size += item[1][0]
        if size >= _CHUNK_BYTES or len(chunk) >= _CHUNK_FILES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def pool(count: int, folder: Path | None) -> ProcessPoolExecutor:
    """Processes that each have the content store of `folder` open (`worker_store`)."""
    import multiprocessing  # noqa: PLC0415 - a warm start needs none

    # Forking is quickest, and safe only while no other thread may hold a lock.
    methods = multiprocessing.get_all_start_methods()
    method = "fork" if "fork" in methods and threading.active_count() == 1 else "spawn"
    return ProcessPoolExecutor(count, multiprocessing.get_context(method), _start_worker, (folder,))
