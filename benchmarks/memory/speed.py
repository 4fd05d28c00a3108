"""How fast is search, and is it exact? Against brute force, sqlite-vec and faiss on the same vectors, same
run.

Vectors are clustered unit vectors of 384 dimensions. hal9 rows are whole queries through the public search
(SQL filter, vectors from the rows in the file, memories read back); the embedding of the query is not counted
for anyone. Peers answer with ids alone, so hal9's matrix alone is shown too. Medians over the queries; the
order of engines changes with every round.

    python -m benchmarks.memory.speed [--sizes 1000 10000 100000] [--queries 60]
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory.report import write
from hal9.memory import MemoryStore, NewMemory, SearchFilter, search
from hal9.memory.retrieval.vector_matrix import VectorMatrix

DIMENSION = 384
TOP = 10
Vectors = NDArray[np.float32]
Engine = Callable[[int], list[int]]


class Prepared:
    """An embedder that knows its vectors beforehand: the text is their number."""

    model_id = "prepared-384"

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.vectors[[int(text.split()[-1]) for text in texts]]


def clustered(rng: np.random.Generator, count: int, centres: Vectors) -> Vectors:
    rows = centres[rng.integers(len(centres), size=count)] + rng.normal(0, 0.05, (count, DIMENSION))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def fill(path: Path, vectors: Vectors, size: int) -> float:
    """Write the memories through the store; returns seconds."""
    start = time.perf_counter()
    words = np.random.default_rng(3).integers(5_000, size=(size, 8))
    with MemoryStore(path, embedder=Prepared(vectors)) as store:
        for first in range(0, size, 5_000):
            store.remember_many(
                [
                    NewMemory(
                        kind="error" if number % 4 else "learning",
                        layer=2 + number % 3,
                        content=" ".join(f"word{word}" for word in words[number]) + f" id {number}",
                    )
                    for number in range(first, min(size, first + 5_000))
                ]
            )
    return time.perf_counter() - start


def hal9_engines(store: MemoryStore, queries: Vectors, size: int) -> dict[str, Engine]:
    matrix = VectorMatrix(store)
    where = SearchFilter(kinds=("learning",), layer=3)

    def ids(hits: Any) -> list[int]:
        return [hit.memory.id - 1 for hit in hits]

    return {
        "hal9 matrix": lambda q: [int(one) - 1 for one in matrix.nearest(queries[q], TOP)[0]],
        "hal9 search": lambda q: ids(search(store, f"query {size + q}", mode="vectors")),
        "hal9 search, filtered 1/12": lambda q: ids(
            search(store, f"query {size + q}", where=where, mode="vectors")
        ),
        "hal9 search, one code fused": lambda q: ids(search(store, f"word{q * 7}x word{q * 11} {size + q}")),
        "hal9 search, 6 words": lambda q: ids(
            search(
                store,
                " ".join(f"word{(q * 31 + at) % 5_000}" for at in range(6)) + f" {size + q}",
                mode="words",
            )
        ),
    }


def brute_force(vectors: Vectors, queries: Vectors) -> Engine:
    def run(q: int) -> list[int]:
        scores = vectors @ queries[q]
        best = np.argpartition(-scores, TOP)[:TOP]
        return [int(one) for one in best[np.argsort(-scores[best])]]

    return run


def faiss_flat(vectors: Vectors, queries: Vectors) -> Engine | str:
    try:
        import faiss
    except ImportError as missing:
        return f"absent ({missing})"
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    return lambda q: [int(one) for one in index.search(queries[q : q + 1], TOP)[1][0]]


def sqlite_vec(vectors: Vectors, queries: Vectors, folder: Path) -> Engine | str:
    try:
        import sqlite_vec
    except ImportError as missing:
        return f"absent ({missing})"
    driver: Any = sqlite3
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        try:
            import pysqlite3 as driver
        except ImportError:
            return "not loadable: this Python's sqlite3 cannot load extensions"
    connection = driver.connect(str(folder / "vec.db"))
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    connection.execute(
        "CREATE VIRTUAL TABLE v USING vec0("
        f"id INTEGER PRIMARY KEY, e FLOAT[{DIMENSION}] distance_metric=cosine)"
    )
    connection.executemany(
        "INSERT INTO v(id, e) VALUES (?, ?)", ((i, row.tobytes()) for i, row in enumerate(vectors))
    )
    connection.commit()

    def run(q: int) -> list[int]:
        rows = connection.execute(
            "SELECT id FROM v WHERE e MATCH ? AND k = ? ORDER BY distance", (queries[q].tobytes(), TOP)
        )
        return [int(row[0]) for row in rows]

    return run


def measure(engines: dict[str, Engine], count: int) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in engines}
    answers: dict[str, list[list[int]]] = {name: [] for name in engines}
    names = list(engines)
    for name in names:
        engines[name](0)
    for query in range(count):
        turned = names[query % len(names) :] + names[: query % len(names)]
        for name in turned:
            start = time.perf_counter()
            found = engines[name](query)
            times[name].append(time.perf_counter() - start)
            answers[name].append(found)
    truth = answers["brute force"]
    return {
        name: {
            "p50_ms": statistics.median(times[name]) * 1000,
            "p95_ms": sorted(times[name])[int(0.95 * count)] * 1000,
            "recall_at_10": statistics.mean(
                len(set(mine) & set(true)) / TOP for mine, true in zip(answers[name], truth, strict=True)
            )
            if "filtered" not in name and "fused" not in name and "words" not in name
            else None,
        }
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=60)
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    centres = clustered(rng, 200, rng.normal(size=(200, DIMENSION)).astype(np.float32) * 0.1)
    figures = []
    for size in options.sizes:
        everything = clustered(rng, size + options.queries, centres)
        vectors, queries = np.ascontiguousarray(everything[:size]), everything[size:]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            written = fill(folder / "memory.db", everything, size)
            with MemoryStore(folder / "memory.db", embedder=Prepared(everything)) as store:
                start = time.perf_counter()
                search(store, f"query {size}", mode="vectors")
                cold = time.perf_counter() - start
                engines: dict[str, Engine] = {"brute force": brute_force(vectors, queries)}
                engines |= hal9_engines(store, queries, size)
                absent = {}
                for peer, made in (
                    ("faiss flat", faiss_flat(vectors, queries)),
                    ("sqlite-vec", sqlite_vec(vectors, queries, folder)),
                ):
                    if isinstance(made, str):
                        absent[peer] = made
                    else:
                        engines[peer] = made
                found = measure(engines, options.queries)
        print(f"\n{size} memories; written in {written:.1f} s, first query {cold * 1000:.0f} ms")
        print(f"{'engine':<30} {'p50 ms':>9} {'p95 ms':>9} {'/ brute':>8} {'recall@10':>10}")
        base = found["brute force"]["p50_ms"]
        for engine, row in found.items():
            recall = "-" if row["recall_at_10"] is None else f"{row['recall_at_10']:.3f}"
            p50, p95 = row["p50_ms"], row["p95_ms"]
            print(f"{engine:<30} {p50:9.3f} {p95:9.3f} {p50 / base:8.1f} {recall:>10}")
        for peer, why in absent.items():
            print(f"{peer:<30} {why}")
        figures.append(
            {
                "size": size,
                "write_s": written,
                "first_query_ms": cold * 1000,
                "engines": found,
                "absent": absent,
            }
        )
    settings = {"dimension": DIMENSION, "queries": options.queries, "threads": "OMP_NUM_THREADS decides"}
    print(f"\nwritten: {write('speed', settings, figures, 'faiss-cpu', 'sqlite-vec', 'pysqlite3-binary')}")


if __name__ == "__main__":
    main()
