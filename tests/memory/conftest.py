from collections.abc import Callable, Iterator

import pytest

from hal9.clock import ManualClock
from hal9.database import Place
from hal9.errors.memory import EmbedderUnavailable
from hal9.memory import Embedder, MemoryScope, MemoryStore, open_embedder
from hal9.memory.embedding.hashing import HashingEmbedder

LEDGER = MemoryScope("home", "ledger", "*")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(places: Callable[[str], Place], clock: ManualClock) -> Iterator[MemoryStore]:
    with MemoryStore(places("memory"), embedder=HashingEmbedder(), clock=clock) as opened:
        yield opened


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    try:
        made = open_embedder("onnx-minilm")
    except EmbedderUnavailable as missing:
        pytest.skip(str(missing))
    assert made is not None
    return made
