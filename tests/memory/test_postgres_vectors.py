"""The index of vectors on a real PostgreSQL with pgvector, made above a lowered number of memories."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hal9.clock import ManualClock
from hal9.database import Place, PostgresPlace, on_postgres
from hal9.memory import MemoryScope, MemoryStore, NewMemory, SearchFilter, search
from hal9.memory.retrieval import search as searching
from hal9.memory.store import postgres_vectors
from hal9.memory.store.postgres_vectors import VectorIndexer, has_index
from hal9.memory.store.rows import to_row
from tests.support.postgres import PostgresServer, fresh_prefix

pytestmark = pytest.mark.postgresql

WIDTH, CENTRES = 48, 12
Vectors = NDArray[np.float32]


class Numbered:
    """An embedder that knows its vectors beforehand: the text's last word is their number."""

    def __init__(self, vectors: Vectors, model_id: str = "numbered") -> None:
        self.vectors, self.model_id = vectors, model_id

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.vectors[[int(text.split()[-1]) for text in texts]]


def clustered(count: int, *, seed: int = 1) -> Vectors:
    """Unit vectors round some centres; number n is of centre n % CENTRES."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CENTRES, WIDTH))
    rows = centres[np.arange(count) % CENTRES] + rng.normal(0, 0.3, (count, WIDTH))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def place(postgres: PostgresServer, tmp_path: Path) -> Iterator[PostgresPlace]:
    prefix = fresh_prefix()
    yield PostgresPlace(postgres.url, f"{prefix}_memory", tmp_path / "memory.db")
    postgres.drop(prefix)


Open = Callable[[Vectors], MemoryStore]


@pytest.fixture
def opened(place: PostgresPlace) -> Iterator[Open]:
    made: list[MemoryStore] = []

    def open_with(vectors: Vectors) -> MemoryStore:
        made.append(MemoryStore(place, embedder=Numbered(vectors), clock=ManualClock()).__enter__())
        return made[-1]

    yield open_with
    for store in made:
        store.close()


def fill(store: MemoryStore, numbers: Sequence[int]) -> dict[int, int]:
    """Remember vectors by number; a module for each centre. Returns the number of each memory."""

    def memory(n: int) -> NewMemory:
        return NewMemory(kind="error", content=f"about {n}", scope=MemoryScope("w", f"m{n % CENTRES}", "*"))

    assert store.embedder is not None
    rows = [
        to_row(memory(n), 0.0) | store.vector_columns(vector)
        for n, vector in zip(numbers, store.embedder.embed([str(n) for n in numbers]), strict=True)
    ]
    names = ", ".join(rows[0])
    with store.writing() as tables:  # all at once: one after the other takes most of a test
        last = int(tables.conn.execute("SELECT coalesce(max(id), 0) FROM memories").fetchone()[0])
        tables.conn.executemany(
            f"INSERT INTO memories ({names}) VALUES ({', '.join('?' * len(rows[0]))})",
            [tuple(row.values()) for row in rows],
        )
        ids = tables.conn.execute("SELECT id FROM memories WHERE id > ? ORDER BY id", (last,)).fetchall()
    return dict(zip([int(row[0]) for row in ids], numbers, strict=True))


def keep(place: Place, *, above: int, model: str = "numbered") -> str:
    assert isinstance(place, PostgresPlace)
    return VectorIndexer(place, model, above=above).keep().state


def indexed(store: MemoryStore) -> bool:
    assert store.embedder is not None
    with store.reading() as connection:
        return has_index(connection, store.embedder.model_id)


def waiting(store: MemoryStore) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM memory_vectors_waiting").fetchone()[0])


def walks(store: MemoryStore) -> int:
    """How often the index was walked."""
    with store.reading() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'memory_vectors_hnsw' "
            "AND schemaname = current_schema()"
        ).fetchone()
    return int(row[0])


def nearest(vectors: Vectors, held: dict[int, int], query: int, limit: int) -> list[int]:
    """The exact answer: memories by cosine, best first."""
    scores = {key: float(vectors[number] @ vectors[query]) for key, number in held.items()}
    return sorted(scores, key=lambda key: (-scores[key], key))[:limit]


def found(store: MemoryStore, query: int, limit: int = 10, where: SearchFilter | None = None) -> list[int]:
    hits = search(store, f"query {query}", mode="vectors", limit=limit, where=where)
    assert all(hit.cosine is not None for hit in hits)
    return [hit.memory.id for hit in hits]


def test_the_index_finds_the_neighbours_of_an_exact_search(
    place: PostgresPlace, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_vectors, "_FEW", 100)
    vectors = clustered(4_020)
    store = opened(vectors)
    held = fill(store, range(4_000))
    assert keep(place, above=4_000) == "small"
    assert not indexed(store)
    before = [search(store, f"query {4_000 + q}", mode="vectors") for q in range(20)]
    assert keep(place, above=3_000) == "indexed"
    assert indexed(store)
    assert waiting(store) == 0
    same = total = 0
    for q in range(20):
        hits = search(store, f"query {4_000 + q}", mode="vectors")
        exact = nearest(vectors, held, 4_000 + q, 10)
        same += len(set(exact) & {hit.memory.id for hit in hits})
        total += len(exact)
        scores = {hit.memory.id: hit.score for hit in before[q]}
        for hit in hits:  # cosines are those of the exact search, not of half precision
            assert hit.score == pytest.approx(scores.get(hit.memory.id, hit.score), abs=1e-6)
    assert same >= 0.97 * total, f"{same} of {total}"
    assert walks(store) == 20, "the index was used"
    assert "vectors" not in opened(vectors).caches, "nothing is loaded into the process"


def test_a_filter_finds_all_it_should_however_far_away(
    place: PostgresPlace, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(3_610)
    store = opened(vectors)
    held = fill(store, range(3_600))
    assert keep(place, above=100) == "indexed"
    far = {key: number for key, number in held.items() if number % CENTRES == 7}
    where = SearchFilter(scope=MemoryScope("w", "m7"))
    asked = ((3_600, 10), (3_603, 50))  # near to other centres
    exact = [nearest(vectors, far, query, limit) for query, limit in asked]
    assert [found(store, query, limit, where) for query, limit in asked] == exact
    # The same when the index is walked: it stops far before it meets anything that may be found.
    monkeypatch.setattr(postgres_vectors, "_FEW", 20)
    with store.reading() as connection:
        connection.execute("SET hnsw.max_scan_tuples = 300")
    assert [found(store, query, limit, where) for query, limit in asked] == exact
    assert walks(store) == 2
    assert found(store, 3_600, 10, SearchFilter(scope=MemoryScope("elsewhere"))) == []
    assert len(found(store, 3_600, 400, where)) == len(far) == 300


def test_an_index_under_a_wide_filter_is_walked_on(
    place: PostgresPlace, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_vectors, "_FEW", 20)
    vectors = clustered(3_610)
    store = opened(vectors)
    held = fill(store, range(3_600))
    assert keep(place, above=100) == "indexed"
    mine = {key: number for key, number in held.items() if number % CENTRES == 3}
    where = SearchFilter(scope=MemoryScope("w", "m3"))
    same = sum(
        len(set(found(store, query, 10, where)) & set(nearest(vectors, mine, query, 10)))
        for query in range(3_600, 3_610)
    )
    assert same >= 97
    assert walks(store) == 10


def test_writes_after_the_index_was_made_are_found_at_once(place: PostgresPlace, opened: Open) -> None:
    vectors = clustered(900)
    store, other = opened(vectors), opened(vectors)
    held = fill(store, range(500))
    assert keep(place, above=400) == "indexed"
    held |= fill(other, range(500, 700))
    assert waiting(store) == 200
    for query in (800, 801):
        assert found(store, query) == nearest(vectors, held, query, 10)
    assert keep(place, above=400) == "indexed"
    assert waiting(store) == 0
    first = nearest(vectors, held, 800, 3)
    other.forget(first[:1])
    other.quarantine(first[1:2], "harmful")
    for gone in first[:2]:
        del held[gone]
    assert found(store, 800) == nearest(vectors, held, 800, 10)
    with other.writing() as tables:  # a vector is replaced
        tables.table("memories").update(first[2], other.vector_columns(vectors[801]))
    held[first[2]] = 801
    assert found(store, 801, 1) == first[2:3]
    assert keep(place, above=400) == "indexed"
    assert found(store, 801, 1) == first[2:3]


def test_a_late_commit_is_not_passed_over(place: PostgresPlace, opened: Open) -> None:
    """A memory with a lower number than others that are indexed becomes visible after them."""
    vectors = clustered(400)
    store, late = opened(vectors), opened(vectors)
    fill(store, range(300))
    assert keep(place, above=100) == "indexed"
    with late.reading() as connection:  # a number is taken, as by a writer that is slow
        number = int(
            connection.execute("SELECT nextval(pg_get_serial_sequence('memories', 'id'))").fetchone()[0]
        )
    fill(store, range(300, 350))
    assert keep(place, above=100) == "indexed"
    with late.writing() as tables:
        row = tables.conn.execute("SELECT * FROM memories WHERE id = 1").fetchone()
        copy = {name: row[name] for name in row.keys() if name not in ("id", "words")}  # noqa: SIM118 - a row
        tables.table("memories").insert({"id": number, **copy, **late.vector_columns(vectors[399])})
    assert found(store, 399, 1) == [number]
    assert keep(place, above=100) == "indexed"
    assert waiting(store) == 0
    assert found(store, 399, 1) == [number]


def test_the_number_is_passed_while_others_write(place: PostgresPlace, opened: Open) -> None:
    vectors = clustered(1_600)
    store, other = opened(vectors), opened(vectors)
    held = fill(store, range(600))
    more = dict[int, int]()

    def write() -> None:
        for start in range(600, 1_500, 30):
            more.update(fill(other, range(start, start + 30)))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    states = {keep(place, above=500)}
    while writer.is_alive():
        states.add(keep(place, above=500))
        assert len(found(store, 1_500)) == 10
    writer.join(timeout=60)
    assert states == {"indexed"}
    assert keep(place, above=500) == "indexed"
    held |= more
    assert len(held) == 1_500
    with store.reading() as connection:
        rows = connection.execute("SELECT id FROM memory_vectors").fetchall()
    assert {int(row[0]) for row in rows} == set(held), "each is in the index, none twice"
    same = sum(len(set(found(store, q)) & set(nearest(vectors, held, q, 10))) for q in range(1_500, 1_520))
    assert same >= 0.97 * 200


def test_few_memories_left_or_another_model_end_the_index(place: PostgresPlace, opened: Open) -> None:
    vectors = clustered(420)
    store = opened(vectors)
    held = fill(store, range(400))
    assert keep(place, above=300) == "indexed"
    assert keep(place, above=500) == "indexed", "it is not made and dropped at one and the same number"
    store.forget(list(held)[:200])
    assert keep(place, above=500) == "small"
    assert not indexed(store)
    kept = {key: number for key, number in held.items() if number >= 200}
    assert found(store, 410) == nearest(vectors, kept, 410, 10)
    assert keep(place, above=100) == "indexed"
    with MemoryStore(place, embedder=Numbered(vectors, "newer")) as newer:
        assert not indexed(newer)
        assert newer.reembed() == 200
        assert keep(place, above=100, model="newer") == "indexed"
        assert indexed(newer)
        assert found(newer, 410, 3) == nearest(vectors, kept, 410, 3)


def test_an_indexer_is_stopped_half_way_and_goes_on(
    place: PostgresPlace, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_vectors, "_FILL", 50)
    vectors = clustered(400)
    store = opened(vectors)
    held = fill(store, range(380))
    indexer = VectorIndexer(place, "numbered", above=100)
    taken = 0
    original = postgres_vectors._take_in

    def take_in(*arguments: object) -> bool:
        nonlocal taken
        taken += 1
        if taken == 3:
            indexer.stop()
        return bool(original(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(postgres_vectors, "_take_in", take_in)
    assert indexer.keep().state == "stopped"
    assert not indexed(store)
    assert 0 < waiting(store) < 380
    assert found(store, 390) == nearest(vectors, held, 390, 10), "until then all is compared in the process"
    assert keep(place, above=100) == "indexed"
    assert waiting(store) == 0


def test_damaged_vectors_and_widths_do_not_stop_it(place: PostgresPlace, opened: Open) -> None:
    vectors = clustered(200)
    store = opened(vectors)
    held = list(fill(store, range(190)))
    with store.writing() as tables:
        tables.table("memories").update(held[0], {"embedding": b"abc"})
        tables.table("memories").update(held[1], {"embedding": np.full(WIDTH, np.nan, dtype="<f4").tobytes()})
    assert keep(place, above=100) == "indexed"
    assert len(found(store, 195, 190)) == 188
    with store.writing() as tables:
        tables.conn.execute("UPDATE memories SET embedding_dim = 5000")
    assert keep(place, above=10, model="numbered") == "indexed", "what stands, stands"


def test_too_wide_vectors_stay_in_the_process(place: PostgresPlace, opened: Open) -> None:
    store = opened(np.eye(30, 4_001, dtype=np.float32))
    fill(store, range(20))
    report = VectorIndexer(place, "numbered", above=10).keep()
    assert report.state == "unavailable"
    assert "4000" in report.detail
    assert len(found(store, 3, 5)) == 5


def test_only_one_process_makes_it(place: PostgresPlace, opened: Open) -> None:
    store = opened(clustered(60))
    fill(store, range(50))
    with store.reading() as connection:
        assert on_postgres(connection)
        assert connection.alone(f"vector index of {place.schema}")
    assert keep(place, above=10) == "stopped"
    assert not indexed(store)


def test_words_and_vectors_are_fused_over_the_index(place: PostgresPlace, opened: Open) -> None:
    store = opened(clustered(300))
    fill(store, range(250))
    assert keep(place, above=100) == "indexed"
    coded = store.remember(NewMemory(kind="error", content="raised E0427 at 17"))
    hits = search(store, "what is E0427 299", limit=3)
    assert hits[0].memory.id == coded
    assert hits[0].cosine is not None
    assert searching._matrix(store) is not None
