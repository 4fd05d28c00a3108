"""Sparse matrices as three plain arrays, with the few products that a query needs.

A query touches a handful of lines of each matrix. Plain arrays can be mapped from a file and read at once;
loading a library for sparse algebra would take longer than the whole query.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CsrMatrix", "ascending", "csr_matrix", "distinct", "numbered"]

Ints = NDArray[np.intp]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CsrMatrix:
    """A matrix by its lines: rows or columns, whichever are asked for.

    Attributes:
        data, indices: values, and their indices across the line; one entry each, line after line.
        indptr: where each line begins; one more entry than lines.
        across: how long a line is.
    """

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    across: int

    def __len__(self) -> int:
        return max(0, len(self.indptr) - 1)

    @property
    def sizes(self) -> NDArray[Any]:
        """Entries per line. Shape (lines,)."""
        return np.diff(self.indptr)

    @property
    def row_of_entry(self) -> Ints:
        """Line of every entry. Shape (entries,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def line(self, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Indices and values of one line. Both of shape (entries of the line,)."""
        entries = slice(self.indptr[number], self.indptr[number + 1])
        return self.indices[entries], self.data[entries]

    def select(self, lines: NDArray[Any]) -> tuple[Ints, Ints, Array]:
        """Entries of some lines: indices, which of `lines` each is of, values.

        `lines` has shape (lines asked,), the results (entries found,).
        """
        starts = self.indptr[lines].astype(np.intp)
        sizes = self.indptr[lines + 1].astype(np.intp) - starts
        which = np.repeat(np.arange(len(lines)), sizes)
        entries = np.arange(len(which)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        return self.indices[entries].astype(np.intp), which, self.data[entries].astype(np.float64)

    def weighted(self, lines: NDArray[Any], weights: Array) -> Array:
        """Sum of some lines, each times its weight; shape (across,)."""
        indices, which, values = self.select(lines)
        return np.bincount(indices, values * weights[which], self.across).astype(np.float64)

    def summed(self) -> Array:
        """Sum of all lines; shape (across,)."""
        return np.bincount(self.indices, self.data, self.across).astype(np.float64)

    def packed(self, name: str) -> dict[str, NDArray[Any]]:
        """Arrays for `codec.pack`, their names beginning with `name`. Each has the shape of its attribute."""
        return {
            f"{name}.data": self.data,
            f"{name}.indices": self.indices,
            f"{name}.indptr": self.indptr,
            f"{name}.across": np.array([self.across], np.int64),
        }

    @classmethod
    def unpacked(cls, name: str, found: Any) -> "CsrMatrix":
        """The inverse of `packed`. Shapes are as they were packed."""
        across = int(found[f"{name}.across"][0])
        return cls(found[f"{name}.data"], found[f"{name}.indices"], found[f"{name}.indptr"], across)


def csr_matrix(
    line: NDArray[Any],
    index: NDArray[Any],
    values: NDArray[Any],
    shape: tuple[int, int],
    *,
    twice: Literal["add", "largest"] = "add",
) -> CsrMatrix:
    """A matrix from coordinates; values given twice are added, or the largest is taken.

    `line`, `index` and `values` have shape (entries,).
    """
    key = line.astype(np.int64) * max(1, shape[1]) + index
    order = np.argsort(key, kind="stable")
    key, values = key[order], values[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.intp)
    join = np.add if twice == "add" else np.maximum
    joined = join.reduceat(values, first) if len(first) else values
    key = key[first]
    counts = np.bincount(key // max(1, shape[1]), minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64 if len(key) > 2**31 - 1 else np.int32)
    return CsrMatrix(joined, (key % max(1, shape[1])).astype(np.int32), indptr, shape[1])


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The distinct values, ascending (as `numpy.unique`, which would load masked arrays for it).

    Of shape (n,) into (distinct,).
    """
    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def numbered(values: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """The distinct values, ascending, and which of them each value is.

    Of shape (n,) into (distinct,) and (n,).
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, np.bool_)
    which = np.empty(len(values), np.intp)
    which[order] = np.cumsum(first) - 1
    return ordered[first], which


def ascending(numbers: NDArray[Any]) -> Ints:
    """The order that sorts natural numbers, equal ones as they stand.

    Sixteen bits at a time, as numpy sorts numbers of that width by counting, an order of magnitude faster.

    In and out of shape (n,).
    """
    largest = int(numbers.max()) if len(numbers) else 0
    order: Ints = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in range(16, largest.bit_length(), 16):
        order = order[np.argsort((numbers[order] >> shift).astype(np.uint16), kind="stable")]
    return order
