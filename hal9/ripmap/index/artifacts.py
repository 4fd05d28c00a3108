"""Bytes made from single files, in this process or in a worker."""

from collections.abc import Callable, Sequence

from hal9.ripmap.extraction.extractor import extract
from hal9.ripmap.files.decoding import decode
from hal9.ripmap.index.building import uncollected, worker_store
from hal9.ripmap.index.entries import Entry, blob_id, extraction_key, record_of
from hal9.ripmap.index.source import Origin
from hal9.ripmap.records import Extraction, FileRecord
from hal9.ripmap.storage.cache import ContentStore
from hal9.ripmap.storage.record_codec import unpack_extraction

__all__ = ["Builder", "make_artifacts", "work_artifacts"]

Builder = Callable[[FileRecord, str], bytes]
"""Makes a file's artifact from its record and its text."""

Task = tuple[Entry, bytes | None]


def make_artifacts(
    tasks: Sequence[Task], build: Builder, origin: Origin, store: ContentStore | None
) -> list[bytes | None]:
    """One artifact per task; None where the file is no longer what its entry says."""
    keys = [extraction_key(entry.language, entry.content_hash) for entry, packed in tasks if packed is None]
    stored = store.read(keys) if store is not None else {}
    with uncollected():
        return [_make(entry, packed, stored, build, origin) for entry, packed in tasks]


def _make(
    entry: Entry, packed: bytes | None, stored: dict[str, bytes], build: Builder, origin: Origin
) -> bytes | None:
    if entry.status in {"oversized", "unreadable"}:
        return build(record_of(entry, Extraction(entry.status)), "")
    content = origin.read(entry.path, entry.content_hash)
    if content is None or blob_id(content, entry.content_hash) != entry.content_hash:
        return None
    packed = packed or stored.get(extraction_key(entry.language, entry.content_hash))
    found = unpack_extraction(packed) if packed is not None else None
    return build(record_of(entry, found or extract(entry.language, content)), decode(content))


def work_artifacts(tasks: Sequence[Task], build: Builder, origin: Origin) -> list[bytes | None]:
    """The same in a worker process, with the store that it has open."""
    return make_artifacts(tasks, build, origin, worker_store())
