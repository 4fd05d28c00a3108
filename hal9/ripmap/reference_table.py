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
"""How wide a kind is as a number, and the number of a text: files are too small to hold more texts."""
_COLUMNS = 6


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceTable(Sequence[Reference]):
    """References in order of the file.

    Attributes:
        texts: distinct texts; the first is "".
        columns: one row per field of `Reference`, one column per reference. Names, receivers and classes are
            numbers of `texts`, kinds are numbers of `REFERENCE_KINDS`.
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
        numbers: dict[str, int] = {"": 0}
        rows = [
            (
                numbers.setdefault(one.name, len(numbers)),
                one.line,
                REFERENCE_KINDS.index(one.kind),
                one.scope,
                numbers.setdefault(one.receiver, len(numbers)),
                numbers.setdefault(one.receiver_type, len(numbers)),
            )
            for one in references
        ]
        return cls(tuple(numbers), np.array(rows, np.int32).reshape(-1, _COLUMNS).T)

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
    def __getitem__(self, index: int) -> Reference: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Reference, ...]: ...
    def __getitem__(self, index: int | slice) -> Reference | tuple[Reference, ...]:
        if isinstance(index, slice):
            return tuple(self._rows(self.columns[:, index]))
        return next(self._rows(self.columns[:, [index]]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
