"""What the snapshot holds of one file, and what is kept under which name."""

import hashlib
from typing import NamedTuple

from hal9.ripmap.files.discovery import Signature
from hal9.ripmap.records import Extraction, FileRecord, ParseStatus, Role

__all__ = ["Entry", "artifact_key", "blob_id", "entry_fingerprint", "extraction_key", "record_of"]

_SHA256_DIGITS = 64


class Entry(NamedTuple):
    """What the snapshot holds of one file."""

    path: str
    signature: Signature
    content_hash: str
    language: str
    roles: int
    status: ParseStatus
    lines: int


def blob_id(content: bytes, like: str = "") -> str:
    """The id git gives to these bytes; `like` an id of 64 digits, as repositories with SHA-256 have them."""
    whole = b"blob %d\0" % len(content) + content
    if len(like) == _SHA256_DIGITS:
        return hashlib.sha256(whole, usedforsecurity=False).hexdigest()
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


def extraction_key(language: str, content_hash: str) -> str:
    """Where the store keeps the extraction of these bytes read as this language."""
    return f"x/{language}/{content_hash}"


def entry_fingerprint(entry: Entry) -> str:
    """Changes when path or content do."""
    return f"{entry.content_hash}:{entry.path}"


def record_of(entry: Entry, found: Extraction) -> FileRecord:
    """The record of a file."""
    return FileRecord(
        entry.path,
        entry.language,
        max(entry.signature[0], 0),
        entry.content_hash,
        Role(entry.roles),
        found.status,
        entry.lines,
        found.definitions,
        found.references,
        found.imports,
        found.strings,
        found.docstring,
    )


def artifact_key(name: str, version: int, entry: Entry) -> str:
    """Where the store keeps what is made from one file alone."""
    # A path need not be valid text, which a key must be.
    path_digest = hashlib.blake2b(entry.path.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
    return f"a/{name}/{version}/{entry.content_hash}:{path_digest}"
