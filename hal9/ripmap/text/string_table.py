"""Many short texts in one block of bytes, decoded one by one when asked for, and found by their text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["SEPARATOR", "StringTable", "TermDictionary", "code_of"]

SEPARATOR = "\0"
_CODING = ("utf-8", "surrogatepass")


class StringTable(Sequence[str]):
    """Texts that stand in a block, a zero byte between them."""

    __slots__ = ("_block", "_bounds", "_size")

    def __init__(self, block: memoryview, size: int) -> None:
        self._block = block
        self._size = size
        self._bounds: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        if not self._size:
            return iter(())
        return iter(bytes(self._block).decode(*_CODING).split(SEPARATOR))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._size))]
        if self._bounds is None:
            zeros = np.flatnonzero(np.frombuffer(self._block, np.uint8) == 0)
            self._bounds = np.concatenate([[-1], zeros, [len(self._block)]])
        if index < 0:
            index += self._size
        if not 0 <= index < self._size:
            raise IndexError(index)
        block = self._block[self._bounds[index] + 1 : self._bounds[index + 1]]
        return bytes(block).decode(*_CODING)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(bytes(self._block))


def code_of(text: str) -> int:
    """32 bits of a text, equal in every process."""
    return crc32(text.encode(*_CODING))


class TermDictionary:
    """Distinct texts and their numbers, found by binary search over codes: nothing is built at the start."""

    __slots__ = ("codes", "order", "texts")

    def __init__(self, texts: Sequence[str], codes: NDArray[Any], order: NDArray[Any]) -> None:
        self.texts = texts
        self.codes = codes
        self.order = order

    @classmethod
    def of(cls, texts: Iterable[str]) -> "TermDictionary":
        """Number the texts in their order; they must be distinct."""
        listed = list(texts)
        codes = np.fromiter(map(code_of, listed), np.uint32, len(listed))
        order = np.argsort(codes, kind="stable").astype(np.int32)
        return cls(listed, codes[order], order)

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __contains__(self, text: str) -> bool:
        return self.get(text) >= 0

    def __getitem__(self, text: str) -> int:
        number = self.get(text)
        if number < 0:
            raise KeyError(text)
        return number

    def get(self, text: str, otherwise: int = -1) -> int:
        """The text's number."""
        code = code_of(text)
        index = int(np.searchsorted(self.codes, np.uint32(code)))
        while index < len(self.codes) and self.codes[index] == code:
            number = int(self.order[index])
            if self.texts[number] == text:
                return number
            index += 1
        return otherwise

    def extended(self, added: "Sequence[str]") -> "TermDictionary":
        """The same with further texts, none of them known, numbered after the others."""
        if not added:
            return self
        codes = np.empty(len(self.order) + len(added), np.uint32)
        codes[self.order] = self.codes
        codes[len(self.order) :] = np.fromiter(map(code_of, added), np.uint32, len(added))
        order = np.argsort(codes, kind="stable").astype(np.int32)
        return TermDictionary([*self.texts, *added], codes[order], order)

    def packed(self, name: str) -> dict[str, Any]:
        """Arrays for `codec.pack`, their names beginning with `name`."""
        return {name: list(self.texts), f"{name}.codes": self.codes, f"{name}.order": self.order}

    @classmethod
    def unpacked(cls, name: str, found: Any) -> "TermDictionary":
        """The inverse of `packed`."""
        return cls(found[name], found[f"{name}.codes"], found[f"{name}.order"])
