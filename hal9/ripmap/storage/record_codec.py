"""Records as bytes and back: compact, checked, and quick to read.

`marshal` is used because only the user's own cache is read and nothing else in the standard library is as
fast; a checksum over every payload is verified first, and the Python version is part of every key and header.
"""

import marshal
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

from hal9.ripmap.records import EXTRACTOR_VERSION, Definition, Extraction, Import, StringLiteral
from hal9.ripmap.reference_table import ReferenceTable

__all__ = [
    "FORMAT",
    "LazyRows",
    "checked",
    "outline_bytes",
    "pack_extraction",
    "sealed",
    "unpack_extraction",
    "unpack_outline",
]

FORMAT = f"ripmap-{EXTRACTOR_VERSION}-{marshal.version}-{sys.version_info[0]}.{sys.version_info[1]}"
"""What a cached payload must have been written with to be read."""

_SEAL = 4
_T = TypeVar("_T")


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

    Three parts, so that a map can read the outline (definitions) without the far larger references, which are
    not compressed: that would take longer than anything else here.
    """
    seen: dict[str, str] = {}

    def once(text: str) -> str:
        return seen.setdefault(text, text)

    outline = (
        found.status,
        found.lines,
        [
            (
                once(d.name),
                once(d.kind),
                d.line,
                d.end_line,
                d.signature,
                once(d.parent),
                d.docstring,
                d.bases,
            )
            for d in found.definitions
        ],
        found.docstring,
        found.generated,
    )
    lists = (
        [(once(i.module), i.names, i.alias, i.line, i.level) for i in found.imports],
        [(s.text, s.line) for s in found.strings],
    )
    references = ReferenceTable.of(found.references).packed()
    return sealed(b"".join((_framed(outline), _framed(lists), references)))


def _framed(rows: Any) -> bytes:
    data = zlib.compress(marshal.dumps(rows), 1)
    return len(data).to_bytes(4, "little") + data


def _part(payload: bytes | memoryview, number: int) -> Any:
    start, end = _bounds(payload, number)
    return marshal.loads(zlib.decompress(payload[start:end]))  # noqa: S302 - checked before


def _bounds(payload: bytes | memoryview, number: int) -> tuple[int, int]:
    """Where a framed part begins and ends."""
    start = 0
    for _ in range(number):
        start += 4 + int.from_bytes(payload[start : start + 4], "little")
    return start + 4, start + 4 + int.from_bytes(payload[start : start + 4], "little")


class LazyRows(Sequence[_T]):
    """Rows that are decoded when first looked at."""

    __slots__ = ("_load", "_rows")

    def __init__(self, load: Callable[[], tuple[_T, ...]]) -> None:
        self._load = load
        self._rows: tuple[_T, ...] | None = None

    def _all(self) -> tuple[_T, ...]:
        if self._rows is None:
            self._rows = self._load()
        return self._rows

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[_T, ...]: ...
    def __getitem__(self, index: int | slice) -> _T | tuple[_T, ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[_T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, LazyRows) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


def unpack_extraction(data: bytes) -> Extraction | None:
    """The extraction that was packed; None when the bytes are damaged.

    Imports and strings are decoded when first looked at.
    """
    payload = checked(data)
    if payload is None:
        return None
    status, lines, definitions, docstring, generated = _part(payload, 0)
    return Extraction(
        status,
        lines,
        LazyRows(lambda: tuple(Definition(*row) for row in definitions)),
        ReferenceTable.unpacked(payload[_bounds(payload, 1)[1] :]),
        LazyRows(lambda: tuple(Import(*row) for row in _part(payload, 1)[0])),
        LazyRows(lambda: tuple(StringLiteral(*row) for row in _part(payload, 1)[1])),
        docstring,
        generated,
    )


def outline_bytes(data: bytes) -> bytes:
    """The outline's part of a packed extraction; empty when the bytes are damaged."""
    payload = checked(data)
    return bytes(payload[: 4 + int.from_bytes(payload[:4], "little")]) if payload is not None else b""


def unpack_outline(part: bytes | memoryview) -> Extraction:
    """An extraction without references, imports and strings, from what `outline_bytes` gave."""
    status, lines, definitions, docstring, generated = _part(part, 0)
    return Extraction(
        status,
        lines,
        tuple(Definition(*row) for row in definitions),
        docstring=docstring,
        generated=generated,
    )
