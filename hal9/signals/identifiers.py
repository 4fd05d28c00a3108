"""Identifiers: UUIDv7, so that they sort by creation time."""

import os
import time
from collections.abc import Iterator

__all__ = ["new_id"]


class _Randomness:
    """The system's randomness in blocks: a system call for each id costs more than all the rest of it."""

    _BLOCK = 4096

    def __init__(self) -> None:
        self._left: Iterator[bytes] = iter(())
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A child process must not hand out what its parent will hand out."""
        self._left = iter(())

    def take(self) -> bytes:
        """Ten bytes that nobody else gets."""
        piece = next(self._left, None)  # one step of the interpreter, so threads never share a piece
        if piece is None:
            block = os.urandom(self._BLOCK)
            fresh = [block[start : start + 10] for start in range(10, self._BLOCK - 9, 10)]
            self._left = iter(fresh)
            piece = block[:10]
        return piece


_randomness = _Randomness()


def new_id(*, now: float | None = None) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then randomness; ids sort by creation time."""
    milliseconds = int((time.time() if now is None else now) * 1000) & 0xFFFFFFFFFFFF
    value = (milliseconds << 80) | int.from_bytes(_randomness.take(), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
