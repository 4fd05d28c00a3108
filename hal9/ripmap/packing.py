"""Records as bytes and back: compact, checked, and quick to read.

`marshal` is used because only the user's own cache is read and nothing else in the standard library is as fast;
a checksum over every payload is verified first, and the Python version is part of every key and header.
"""

import marshal
import sys
import zlib
from typing import Any

from hal9.ripmap.extraction import EXTRACTOR_VERSION, Extraction
from hal9.ripmap.model import Definition, Import, Reference, StringLiteral

__all__ = ["FORMAT", "checked", "pack_extraction", "sealed", "unpack_extraction"]

FORMAT = f"ripmap-{EXTRACTOR_VERSION}-{marshal.version}-{sys.version_info[0]}.{sys.version_info[1]}"
"""What a cached payload must have been written with to be read."""

_SEAL = 4


def sealed(payload: bytes) -> bytes:
    """`payload` behind its CRC-32."""
    return zlib.crc32(payload).to_bytes(_SEAL, "little") + payload


def checked(data: bytes | memoryview) -> bytes | memoryview | None:
    """The payload of `sealed` bytes; None when they were cut short or altered."""
    if len(data) < _SEAL or zlib.crc32(data[_SEAL:]) != int.from_bytes(data[:_SEAL], "little"):
        return None
    return data[_SEAL:]


def pack_extraction(found: Extraction) -> bytes:
    """Bytes of one extraction, compressed; equal names are stored once.

    Two parts, so that a map can read the outline (definitions) without the far larger rest (references).
    """
    seen: dict[str, str] = {}

    def once(text: str) -> str:
        return seen.setdefault(text, text)

    outline = (
        found.status,
        found.lines,
        [
            (once(d.name), once(d.kind), d.line, d.end_line, d.signature, once(d.parent), d.docstring, d.bases)
            for d in found.definitions
        ],
        found.docstring,
        found.generated,
    )
    rest = (
        [
            (once(r.name), r.line, once(r.kind), r.scope, once(r.receiver), once(r.receiver_type))
            for r in found.references
        ],
        [(once(i.module), i.names, i.alias, i.line, i.level) for i in found.imports],
        [(s.text, s.line) for s in found.strings],
    )
    first = zlib.compress(marshal.dumps(outline), 1)
    return sealed(len(first).to_bytes(4, "little") + first + zlib.compress(marshal.dumps(rest), 1))


def unpack_extraction(data: bytes, *, outline: bool = False) -> Extraction | None:
    """The extraction that was packed, without references, imports and strings if only its `outline` is wanted.

    None when the bytes are damaged.
    """
    payload = checked(data)
    if payload is None:
        return None
    length = int.from_bytes(payload[:4], "little")
    status, lines, definitions, docstring, generated = marshal.loads(  # noqa: S302 - checked above
        zlib.decompress(payload[4 : 4 + length])
    )
    references: tuple[Any, ...] = ()
    imports: tuple[Any, ...] = ()
    strings: tuple[Any, ...] = ()
    if not outline:
        references, imports, strings = marshal.loads(zlib.decompress(payload[4 + length :]))  # noqa: S302 - checked
    return Extraction(
        status,
        lines,
        tuple(Definition(*row) for row in definitions),
        tuple(map(Reference._make, references)),
        tuple(Import(*row) for row in imports),
        tuple(StringLiteral(*row) for row in strings),
        docstring,
        generated,
    )
