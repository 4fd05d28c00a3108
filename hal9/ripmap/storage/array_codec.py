"""Arrays and texts as one block of bytes, read back without copying and without running anything.

Layout: eight bytes of header length (little endian), a JSON header, then the arrays, each aligned to sixteen
bytes.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.text.string_table import SEPARATOR, StringTable

__all__ = ["Packed", "pack", "unpack"]

Packed = dict[str, "NDArray[np.generic] | Sequence[str]"]
_ALIGN = 16


def pack(values: Mapping[str, "NDArray[np.generic] | Sequence[str]"]) -> bytes:
    """Write named arrays and lists of text. Arrays may have any shape, which is kept."""
    header: list[list[object]] = []
    blocks: list[bytes] = []
    offset = 0
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            block = SEPARATOR.join(value).encode("utf-8", "surrogatepass")
            header.append([name, "text", [len(value)], offset, len(block)])
        else:
            block = np.ascontiguousarray(value).tobytes()
            header.append([name, value.dtype.str, list(value.shape), offset, len(block)])
        blocks.append(block + bytes(-len(block) % _ALIGN))
        offset += len(blocks[-1])
    head = json.dumps(header).encode()
    head += b" " * (-(len(head) + 8) % _ALIGN)
    return len(head).to_bytes(8, "little") + head + b"".join(blocks)


def unpack(source: "bytes | memoryview") -> Packed:
    """Read what `pack` wrote; arrays and texts are read-only views of `source`."""
    view = memoryview(source)
    length = int.from_bytes(view[:8], "little")
    start = 8 + length
    found: Packed = {}
    for name, kind, shape, offset, size in json.loads(bytes(view[8:start])):
        block = view[start + offset : start + offset + size]
        if kind == "text":
            found[name] = StringTable(block, shape[0])
        else:
            found[name] = np.frombuffer(block, np.dtype(kind)).reshape(shape)
    return found
