"""What a reply changes in a file, and what it must leave as it is: line endings, BOM, final newline, odd bytes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hal9.neurons.implementing.applying import Applier
from hal9.neurons.messages.replies import parse_implementation

FENCE = "```"


class Bench:
    """Files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.snapshot = SimpleNamespace(workspace="/somewhere")

    async def read_bytes(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    async def write(self, path: str, data: bytes) -> None:
        self.files[path] = data


def whole(new: str) -> str:
    return f"`a.py`\n{FENCE}python\n{new}\n{FENCE}\n"


def block(_: str) -> str:
    return "a.py\n<<<<<<< SEARCH\nfirst\nsecond\n=======\nfirst\n2nd\n>>>>>>> REPLACE\n"


def diff(_: str) -> str:
    return f"{FENCE}diff\n--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n first\n-second\n+2nd\n third\n{FENCE}\n"


def patch(_: str) -> str:
    return "*** Begin Patch\n*** Update File: a.py\n@@\n first\n-second\n+2nd\n*** End Patch\n"


@pytest.mark.parametrize("form", [whole, block, diff, patch])
@pytest.mark.parametrize(
    "before",
    [
        b"first\nsecond\nthird\n",
        b"first\r\nsecond\r\nthird\r\n",
        b"first\r\nsecond\r\nthird",
        b"\xef\xbb\xbffirst\nsecond\nthird\n",
        b"\xef\xbb\xbffirst\r\nsecond\r\nthird",
        b"first\nsecond\nthird",
    ],
)
async def test_an_edit_keeps_how_a_file_is_written(form: Callable[[str], str], before: bytes) -> None:
    bench = Bench({"a.py": before})
    applier = Applier(bench=cast(Any, bench), seen_whole={"a.py"}, meant={"a.py"})
    await applier.apply(parse_implementation(form("first\n2nd\nthird"), targets=("a.py",)))
    assert bench.files["a.py"] == before.replace(b"second", b"2nd")


@pytest.mark.parametrize("form", [block, diff, patch])
async def test_bytes_that_are_no_text_stay(form: Callable[[str], str]) -> None:
    before = b"first\nsecond\nthird\ncaf\xe9\x0c\x85\n\xe2\x80\xa8end"
    bench = Bench({"a.py": before})
    applier = Applier(bench=cast(Any, bench), seen_whole={"a.py"}, meant={"a.py"})
    await applier.apply(parse_implementation(form(""), targets=("a.py",)))
    assert bench.files["a.py"] == before.replace(b"second", b"2nd")
