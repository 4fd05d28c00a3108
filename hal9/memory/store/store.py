"""The memory: one database with everything the cluster has learned.

The interface is synchronous, since SQLite is. Every method may be called from any thread (one lock per store
serialises them), so an event loop calls them through `asyncio.to_thread`. Other processes may have the
same database open; they read while one writes, and each write waits for its turn.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hal9.clock import Clock, SystemClock
from hal9.database import Connection, Place, atomic, open_database
from hal9.errors.database import DatabaseDamaged
from hal9.errors.memory import MemoryClosed, MemoryInvalid, MemoryMissing, MemoryUnwritable
from hal9.memory.embedding.protocol import Embedder
from hal9.memory.records import KINDS, TAUGHT_ON, Memory, NewMemory, Outcome
from hal9.memory.store.migrations import MIGRATIONS
from hal9.memory.store.rows import COLUMNS, content_hash, to_memory, to_row
from hal9.memory.store.tables import Tables
from hal9.memory.store.unspaced_words import forget_pairs, index_pairs
from hal9.text import clean_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MemoryStore", "content_hash"]

_OUTCOME_COLUMN = {"helped": "helped", "failed": "hurt", "hurt": "hurt", "neutral": "neutral"}
_EMBED_BATCH = 64
_RULE_TEXT = f"coalesce(example_task, nullif(json_extract(provenance, '$.{TAUGHT_ON}'), ''), rule)"
"""What a rule's vector is made of: the task on which it was taught tells best which tasks it is for."""


class MemoryStore:
    """Opens, writes and reads the memory.

    Args:
        path: the file, or a place on PostgreSQL; it is made and migrated when opened.
        embedder: makes the vectors. None stores text alone: search is then by words only.
        clock: stamps what is written.
        busy_timeout_ms: how long another process's write is waited for.
    """

    def __init__(
        self,
        path: Place | str,
        *,
        embedder: Embedder | None = None,
        clock: Clock | None = None,
        busy_timeout_ms: int = 10_000,
    ) -> None:
        self.place = path
        self.path = str(path)
        self.embedder = embedder
        self.clock: Clock = clock or SystemClock()
        self._busy_timeout_ms = busy_timeout_ms
        self._connection: Connection | None = None
        self._tables: Tables | None = None
        self._lock = threading.RLock()
        self.caches: dict[str, object] = {}
        """What search keeps between calls; emptied on closing."""

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            DatabaseTooNew: a newer HAL9 wrote it.
            DatabaseDamaged: it is not a sound database.
            MemoryUnwritable: it cannot be opened for writing.
        """
        with self._translated():
            self._connection = open_database(
                self.place, MIGRATIONS, check_same_thread=False, busy_timeout_ms=self._busy_timeout_ms
            )
            self._tables = Tables(self._connection)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._tables = None
            self.caches.clear()

    @property
    def connection(self) -> Connection:
        """The open connection. Write only inside `writing()`, read inside `reading()`."""
        if self._connection is None:
            raise MemoryClosed(path=self.path)
        return self._connection

    @property
    def tables(self) -> Tables:
        """The same connection, by tables."""
        if self._tables is None:
            raise MemoryClosed(path=self.path)
        return self._tables

    @contextmanager
    def writing(self) -> Iterator[Tables]:
        """One atomic write under the store's lock; nests.

        Raises:
            MemoryUnwritable: the database refused (read-only, full disk, locked, away); nothing was written.
            DatabaseDamaged: the file is not sound any more.
        """
        with self._lock, self._translated():
            try:
                with atomic(self.connection):
                    yield self.tables
            except BaseException:
                # What was searched meanwhile may have seen rows that never came to be.
                self.caches.clear()
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Several reads under the store's lock, with this room's errors."""
        with self._lock, self._translated():
            yield self.connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "decode to UTF-8" in str(error):
                raise DatabaseDamaged(path=self.path, detail=str(error)) from error
            raise MemoryUnwritable(path=self.path, detail=str(error)) from error
        except UnicodeDecodeError as error:
            # A damaged schema gives SQLite's own message bytes that are no text.
            raise DatabaseDamaged(path=self.path, detail="its schema or a text is not UTF-8") from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise DatabaseDamaged(path=self.path, detail=str(error)) from error

    def insert(self, table: str, row: dict[str, Any]) -> int:
        """Insert one row into a table with a numeric key and return the key; nests inside `writing()`."""
        with self.writing() as tables:
            return int(tables.table(table).insert(row))

    # --- memories ---

    def remember(self, memory: NewMemory) -> int:
        """Store one memory and return its number."""
        return self.remember_many([memory])[0]

    def remember_many(
        self, memories: Sequence[NewMemory], *, vectors: NDArray[np.float32] | None = None
    ) -> list[int]:
        """Store memories, all or none; vectors are made before the write lock is taken.

        Args:
            memories: what to store.
            vectors: what `embed` gave for their contents, shape (len(memories), dimension), when known
                already.

        Raises:
            MemoryInvalid: an importance is not within 0..1, or a kind is unknown.
        """
        for memory in memories:
            if memory.kind not in KINDS:
                raise MemoryInvalid(what="memory", why=f"kind {memory.kind!r} is none of {', '.join(KINDS)}")
            if not 0.0 <= memory.importance <= 1.0:
                raise MemoryInvalid(what="memory", why=f"importance {memory.importance} is not within 0..1")
        if vectors is None:
            vectors = self.embed([clean_text(memory.content) for memory in memories])
        now = self.clock.now()
        ids: list[int] = []
        with self.writing() as tables:
            for index, memory in enumerate(memories):
                row = to_row(memory, now) | self.vector_columns(None if vectors is None else vectors[index])
                ids.append(self.insert("memories", row))
                index_pairs(tables.conn, ids[-1], row["content"])
        return ids

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Unit vectors of shape (len(texts), dimension), or None without an embedder."""
        import numpy as np  # noqa: PLC0415 - hooks do without

        if self.embedder is None:
            return None
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        parts = [
            self.embedder.embed(texts[start : start + _EMBED_BATCH])
            for start in range(0, len(texts), _EMBED_BATCH)
        ]
        return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)

    def vector_columns(self, vector: NDArray[np.float32] | None) -> dict[str, Any]:
        """The three columns that hold a vector: little-endian float32, the model's id, the dimension.

        `vector` has shape (dimension,).
        """
        import numpy as np  # noqa: PLC0415 - hooks do without

        if vector is None or self.embedder is None:
            return {"embedding": None, "embedding_model": None, "embedding_dim": None}
        return {
            "embedding": np.asarray(vector, dtype="<f4").tobytes(),
            "embedding_model": self.embedder.model_id,
            "embedding_dim": int(vector.shape[0]),
        }

    def get(self, memory_id: int) -> Memory:
        """One memory.

        Raises:
            MemoryMissing: it is not stored.
        """
        found = self.get_many([memory_id])
        if not found:
            raise MemoryMissing(kind="memory", id=memory_id)
        return found[0]

    def get_many(self, ids: Sequence[int]) -> list[Memory]:
        """The memories that exist, in the order asked."""
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM memories WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
                (json.dumps([int(one) for one in ids]),),
            ).fetchall()
        by_id = {int(row["id"]): to_memory(row) for row in rows}
        return [by_id[one] for one in ids if one in by_id]

    def touch(self, ids: Iterable[int]) -> None:
        """Note that memories were retrieved; forgetting goes by the last access."""
        now = self.clock.now()
        with self.writing() as tables:
            tables.conn.executemany(
                "UPDATE memories SET accessed = max(accessed, ?), access_count = access_count + 1 "
                "WHERE id = ?",
                [(now, one) for one in ids],
            )

    def record_outcome(self, memory_id: int, outcome: Outcome) -> None:
        """Count what became of a task that was shown the memory ("failed" counts as hurt).

        Raises:
            MemoryMissing: it is not stored.
        """
        column = _OUTCOME_COLUMN[outcome]
        with self.writing() as tables:
            changed = tables.conn.execute(
                f"UPDATE memories SET {column} = {column} + 1 WHERE id = ?",  # noqa: S608  a closed set
                (memory_id,),
            ).rowcount
            if changed == 0:
                raise MemoryMissing(kind="memory", id=memory_id)

    def quarantine(self, ids: Iterable[int], reason: str) -> int:
        """Take memories out of every search until released; returns how many changed."""
        return self._set_quarantine(ids, 1, clean_text(reason))

    def release(self, ids: Iterable[int]) -> int:
        """Put quarantined memories back into search; returns how many changed."""
        return self._set_quarantine(ids, 0, "")

    def _set_quarantine(self, ids: Iterable[int], value: int, reason: str) -> int:
        changed = 0
        with self.writing() as tables:
            for one in ids:
                changed += tables.conn.execute(
                    "UPDATE memories SET quarantined = ?, quarantine_reason = ? "
                    "WHERE id = ? AND quarantined != ?",
                    (value, reason, one, value),
                ).rowcount
            if changed:
                self.bump_epoch()
        return changed

    def forget(self, ids: Iterable[int]) -> int:
        """Delete memories for good; returns how many existed.

        Occurrences of errors keep counting without their text.
        """
        deleted = 0
        with self.writing() as tables:
            for one in ids:
                tables.conn.execute("UPDATE occurrences SET memory_id = NULL WHERE memory_id = ?", (one,))
                forget_pairs(tables.conn, one)
                deleted += tables.conn.execute("DELETE FROM memories WHERE id = ?", (one,)).rowcount
            if deleted:
                self.bump_epoch()
        return deleted

    def count(self) -> int:
        """How many memories are stored, quarantined ones included."""
        with self.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM memories").fetchone()[0])

    # --- vectors ---

    def bump_epoch(self) -> None:
        """Tell every vector cache, in every process, that rows it holds have changed.

        Call it inside `writing()`.
        """
        self.connection.execute("UPDATE memory_meta SET value = value + 1 WHERE key = 'vector_epoch'")

    def vector_epoch(self) -> int:
        """Changes whenever a stored vector was replaced, deleted or quarantined (not when one is added)."""
        with self.reading() as connection:
            return int(
                connection.execute("SELECT value FROM memory_meta WHERE key = 'vector_epoch'").fetchone()[0]
            )

    def stale_vectors(self) -> int:
        """How many memories and rules have no vector of the present model."""
        if self.embedder is None:
            return 0
        with self.reading() as connection:
            return sum(
                int(
                    connection.execute(
                        f"SELECT count(*) FROM {table} WHERE embedding_model IS NOT ?",  # noqa: S608
                        (self.embedder.model_id,),
                    ).fetchone()[0]
                )
                for table in ("memories", "mitigations")
            )

    def lacks_vectors(self) -> bool:
        """Whether some memory has no vector of the present model, so that search by meaning misses it."""
        if self.embedder is None:
            return True
        model = self.embedder.model_id
        with self.reading() as connection:
            # Each part is answered by the index.
            parts = ("embedding_model < ?", "embedding_model > ?", "embedding_model IS NULL")
            return any(
                connection.execute(
                    f"SELECT 1 FROM memories WHERE {part} LIMIT 1",  # noqa: S608 - fixed text
                    (model,) * part.count("?"),
                ).fetchone()
                for part in parts
            )

    def reembed(self) -> int:
        """Make the missing vectors of the present model, batch by batch; returns how many were made.

        Safe to stop at any moment: what is done stays done, and a later call goes on.
        """
        if self.embedder is None:
            return 0
        done = 0
        for table, column in (("memories", "content"), ("mitigations", _RULE_TEXT)):
            while True:
                with self.reading() as connection:
                    rows = connection.execute(
                        f"SELECT id, {column} AS text FROM {table} WHERE embedding_model IS NOT ? "  # noqa: S608
                        "ORDER BY id LIMIT ?",
                        (self.embedder.model_id, _EMBED_BATCH),
                    ).fetchall()
                if not rows:
                    break
                vectors = self.embed([str(row["text"]) for row in rows])
                if vectors is None:
                    break
                with self.writing() as tables:
                    for row, vector in zip(rows, vectors, strict=True):
                        tables.table(table).update(int(row["id"]), self.vector_columns(vector))
                    self.bump_epoch()
                done += len(rows)
        return done
