"""All references of one file as columns of numbers: a large file has tens of thousands of them."""

import marshal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.records import Reference, ReferenceKind

__all__ = ["KIND_BITS", "RECEIVER_BITS", "REFERENCE_KINDS", "ReferenceTable"]

REFERENCE_KINDS: tuple[ReferenceKind, ...] = ("call", "type", "attribute", "name")
"""The most telling first: of two readings of one name the earlier kind stays."""
KIND_BITS, RECEIVER_BITS = 2, 24
"""How wide a kind is as a number, and the place of a text: files are too small to hold more texts."""
_COLUMNS = 6


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceTable(Sequence[Reference]):
    """References in order of the file.

    Attributes:
        texts: distinct texts; the first is "".
        columns: one row per field of `Reference`, one column per reference. Names, receivers and classes are
            places in `texts`, kinds are places in `REFERENCE_KINDS`.
    """

    texts: Sequence[str]
    columns: NDArray[np.integer[Any]]

    @classmethod
    def empty(cls) -> "ReferenceTable":
        """No references."""
        return cls(("",), np.zeros((_COLUMNS, 0), np.int32))

    @classmethod
    def of(cls, references: Sequence[Reference]) -> "ReferenceTable":
        """The same references as columns."""
        if isinstance(references, cls):
            return references
        places: dict[str, int] = {"": 0}
        rows = [
            (
                places.setdefault(one.name, len(places)),
                one.line,
                REFERENCE_KINDS.index(one.kind),
                one.scope,
                places.setdefault(one.receiver, len(places)),
                places.setdefault(one.receiver_type, len(places)),
            )
            for one in references
        ]
        return cls(tuple(places), np.array(rows, np.int32).reshape(-1, _COLUMNS).T)

    def packed(self) -> bytes:
        """Bytes that `unpacked` reads; numbers take two bytes each where they fit."""
        fits = np.iinfo(np.int16).max
        wide = self.columns.size and int(self.columns.max()) > fits
        columns = self.columns.astype(np.int32 if wide else np.int16)
        return marshal.dumps((list(self.texts), columns.dtype.str, columns.tobytes()))

    @classmethod
    def unpacked(cls, data: bytes | memoryview) -> "ReferenceTable":
        """The inverse of `packed`; only for bytes whose checksum was verified."""
        texts, kind, columns = marshal.loads(data)  # noqa: S302 - checked before
        return cls(texts, np.frombuffer(columns, np.dtype(kind)).reshape(_COLUMNS, -1))

    def _rows(self, columns: NDArray[np.integer[Any]]) -> Iterator[Reference]:
        texts = self.texts
        for name, line, kind, scope, receiver, declared in zip(*columns.tolist(), strict=True):
            yield Reference(texts[name], line, REFERENCE_KINDS[kind], scope, texts[receiver], texts[declared])

    def __len__(self) -> int:
        return int(self.columns.shape[1])

    def __iter__(self) -> Iterator[Reference]:
        return self._rows(self.columns)

    @overload
    def __getitem__(self, position: int) -> Reference: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Reference, ...]: ...
    def __getitem__(self, position: int | slice) -> Reference | tuple[Reference, ...]:
        if isinstance(position, slice):
            return tuple(self._rows(self.columns[:, position]))
        return next(self._rows(self.columns[:, [position]]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
