"""Search by vectors on PostgreSQL with pgvector: an HNSW index beside the memories, for very many of them.

The vectors in the memories stay the truth. The index lies in a table of its own with half-precision copies; a
trigger notes every memory whose vector was added or changed in `memory_vectors_waiting`, and what waits
is compared exactly until it is taken in: there is no cursor that could miss a late commit. Candidates
of the index are compared again with the stored vectors: cosines are those of an exact search, what may differ
is only who is found.

Under a filter an approximate index gives fewer rows than there are; `hnsw.iterative_scan` goes on until
enough are found or `hnsw.max_scan_tuples` were looked at. Its strict order drops what it meets too late, even
when that is nearer (recall 0.1 to 0.8 where the relaxed order has 0.7 to 1.0), so the relaxed one is
used; the order is made here. A filter that leaves little, or too few results, makes the search exact.
"""

import json
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hal9.database import Connection, PostgresPlace, atomic, on_postgres, open_database

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hal9.database.postgres import PostgresConnection

__all__ = ["IndexReport", "VectorIndexer", "best_by_index", "has_index", "stored_cosines"]

_FILL = 500
_CATCH_UP = 100
"""An entry of a finished index costs milliseconds, and all writers wait meanwhile."""
_WIDEST = 4_000  # dimensions an HNSW index of half-precision vectors takes
_FEW = 20_000
"""A filter that leaves no more is answered exactly: what it leaves may lie anywhere but near the question."""
_EF_SEARCH = 400
_POOL = 100
_EXTENSIONS = "hal9_extensions"


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How vectors are searched.

    Attributes:
        state: "small" (compared in the process), "indexed", "stopped", or "unavailable".
        vectors: how many of the embedder's model there are.
        detail: why not, when it is unavailable.
    """

    state: str
    vectors: int
    detail: str = ""


# --- searching -----------------------------------------------------------------------------------------


def has_index(connection: Connection, model: str) -> bool:
    """Whether there is a finished index of a model's vectors."""
    if not on_postgres(connection):
        return False
    return _note(connection) == {"model": model, "ready": True}


def best_by_index(
    connection: Connection,
    query: "NDArray[np.float32]",
    model: str,
    condition: str,
    values: Sequence[Any],
    limit: int,
) -> dict[int, float]:
    """The memories nearest to a vector.

    Args:
        connection: a reader on PostgreSQL, of a schema that `has_index`.
        query: unit vector of shape (dimension,).
        model: whose vectors.
        condition: more that must hold of memories `m`, beginning with " AND", or "".
        values: for its placeholders.
        limit: how many.

    Returns:
        Cosine by memory.
    """
    condition = f" AND m.embedding_model = ? AND m.quarantined = 0{condition}"
    values = (model, *values)
    waiting = connection.execute(
        "SELECT m.id, m.embedding FROM memory_vectors_waiting w "  # noqa: S608 - fixed text
        f"JOIN memories m ON m.id = w.id WHERE m.embedding IS NOT NULL{condition}",
        values,
    )
    found = dict[int, float]()
    while batch := waiting.fetchmany(4096):
        found |= _cosines(batch, query)
    found |= _from_index(connection, query, condition, values, limit)
    best = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return dict(best)


def _from_index(
    connection: Connection, query: "NDArray[np.float32]", condition: str, values: Sequence[Any], limit: int
) -> dict[int, float]:
    few = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM memories m WHERE true{condition} LIMIT {_FEW + 1}) AS few",  # noqa: S608
        values,
    ).fetchone()[0]
    pool = max(_POOL, 2 * limit)  # half precision and the relaxed order change places
    if few > _FEW:
        width = min(1000, max(_EF_SEARCH, pool))
        # Without a sort the order can come from the index alone; the planner's guesses at filters are poor.
        connection.execute(
            f"SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = {width}; SET jit = off; "
            "SET enable_sort = off"
        )
        found = _nearest(connection, query, condition, values, pool, order="")
        connection.execute("SET enable_sort = on")
        if len(found) >= pool:
            return found
    # Something that is no bare distance cannot be read off the index.
    return _nearest(connection, query, condition, values, pool, order=" + 0.0")


def _nearest(
    connection: Connection,
    query: "NDArray[np.float32]",
    condition: str,
    values: Sequence[Any],
    limit: int,
    *,
    order: str,
) -> dict[int, float]:
    schema = _extension(connection)
    rows = connection.execute(
        "SELECT m.id, m.embedding FROM memory_vectors v JOIN memories m ON m.id = v.id "  # noqa: S608 - fixed text
        f"WHERE m.embedding IS NOT NULL{condition} "
        f'ORDER BY (v.vector OPERATOR("{schema}".<=>) ?::"{schema}".halfvec){order} LIMIT ?',
        (*values, _text(query), limit),
    ).fetchall()
    return _cosines(rows, query)


def stored_cosines(
    connection: Connection, query: "NDArray[np.float32]", model: str, ids: Sequence[int]
) -> dict[int, float]:
    """Cosines with a unit vector of shape (dimension,); what is quarantined or has no vector is left out."""
    if not ids:
        return {}
    rows = connection.execute(
        "SELECT id, embedding FROM memories WHERE embedding_model = ? AND quarantined = 0 "
        "AND embedding IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
        (model, json.dumps([int(one) for one in ids])),
    ).fetchall()
    return _cosines(rows, query)


def _cosines(rows: Sequence[Any], query: "NDArray[np.float32]") -> dict[int, float]:
    sound = [row for row in rows if len(row["embedding"]) == 4 * len(query)]
    if not sound:
        return {}
    block = np.frombuffer(b"".join(row["embedding"] for row in sound), dtype="<f4").reshape(len(sound), -1)
    scores = block @ query
    return {
        int(row["id"]): float(score) for row, score in zip(sound, scores, strict=True) if np.isfinite(score)
    }


def _text(vector: "NDArray[np.float32]") -> str:
    return "[" + ",".join(f"{value:.7g}" for value in vector.tolist()) + "]"


# --- keeping the index -------------------------------------------------------------------------------


class VectorIndexer:
    """Makes and keeps the index of one memory; safe to stop at any moment, a later call goes on.

    Args:
        place: the memory.
        model: of the present embedder.
        above: how many vectors are compared in the process; more are indexed.
    """

    def __init__(self, place: PostgresPlace, model: str, *, above: int) -> None:
        self._place, self._model, self._above = place, model, above
        self._stopped = threading.Event()
        self._building: PostgresConnection | None = None

    def stop(self) -> None:
        """From another thread: leave off, also in the middle of a statement."""
        self._stopped.set()
        building = self._building
        if building is not None:
            building.cancel()

    def keep(self) -> IndexReport:
        """Make the index when it is due, take in what waits, or drop it when there is little left.

        Raises:
            sqlite3.OperationalError: the server is away, or refused.
        """
        with closing(open_database(self._place)) as connection:
            if not on_postgres(connection):
                raise TypeError(f"{self._place} is no place on PostgreSQL")
            # For as long as this session lives: one host makes the index.
            if not connection.alone(f"vector index of {self._place.schema}"):
                return IndexReport("stopped", 0, "another process makes the index")
            self._building = connection
            try:
                return self._keep(connection)
            except sqlite3.OperationalError:
                if self._stopped.is_set():
                    return IndexReport("stopped", 0)
                raise
            finally:
                self._building = None

    def _keep(self, connection: "PostgresConnection") -> IndexReport:
        count = int(
            connection.execute(
                "SELECT count(*) FROM memories WHERE embedding_model = ?", (self._model,)
            ).fetchone()[0]  # type: ignore[index]
        )
        note = _note(connection)
        mine = note is not None and note["model"] == self._model
        # Not at the very count at which it is made: every forgotten memory could cost a new index.
        if count <= (self._above // 2 if mine else self._above):
            if mine:
                _drop(connection)
            return IndexReport("small", count)
        if not mine:
            width = connection.execute(
                "SELECT embedding_dim FROM memories WHERE embedding_model = ? LIMIT 1", (self._model,)
            ).fetchone()
            try:
                _create(connection, self._model, int(width[0]) if width else 0)
            except _Unavailable as error:
                return IndexReport("unavailable", count, str(error))
            note = _note(connection)
        ready = note is not None and note["ready"]
        while not self._stopped.is_set() and _take_in(connection, self._model, _CATCH_UP if ready else _FILL):
            continue
        if self._stopped.is_set():
            return IndexReport("stopped", count)
        if not ready:
            self._build(connection)
        return IndexReport("indexed", count)

    def _build(self, connection: "PostgresConnection") -> None:
        schema = _extension(connection)
        # Workers would need shared memory that containers seldom have.
        connection.execute("SET maintenance_work_mem = '512MB'; SET max_parallel_maintenance_workers = 0")
        connection.execute("DROP INDEX IF EXISTS memory_vectors_hnsw")
        connection.execute(
            "CREATE INDEX memory_vectors_hnsw ON memory_vectors "
            f'USING hnsw (vector "{schema}".halfvec_cosine_ops)'
        )
        connection.execute("ANALYZE memory_vectors")
        connection.execute("ANALYZE memories")
        with atomic(connection):
            _write_note(connection, self._model, ready=True)


class _Unavailable(Exception):
    """Why there can be no index."""


def _create(connection: "PostgresConnection", model: str, width: int) -> None:
    if not 0 < width <= _WIDEST:
        raise _Unavailable(f"its vectors have {width} dimensions, and an index takes at most {_WIDEST}")
    with atomic(connection):
        schema = _make_extension(connection)
        _drop(connection)
        connection.execute(
            "CREATE TABLE memory_vectors "
            f'(id BIGINT PRIMARY KEY, vector "{schema}".halfvec({width}) NOT NULL)'
        )
        connection.execute("CREATE TABLE memory_vectors_waiting (id BIGINT PRIMARY KEY)")
        own = connection.place.schema
        connection.execute(
            "CREATE FUNCTION note_vector() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "  # noqa: S608
            "IF TG_OP = 'DELETE' THEN "
            f'DELETE FROM "{own}".memory_vectors WHERE id = OLD.id; '
            f'DELETE FROM "{own}".memory_vectors_waiting WHERE id = OLD.id; RETURN OLD; END IF; '
            f'INSERT INTO "{own}".memory_vectors_waiting VALUES (NEW.id) ON CONFLICT DO NOTHING; '
            f"RETURN NEW; END $body$"
        )
        connection.execute(
            "CREATE TRIGGER memories_vector AFTER INSERT OR DELETE OR UPDATE OF embedding, embedding_model "
            "ON memories FOR EACH ROW EXECUTE FUNCTION note_vector()"
        )
        connection.execute(
            "INSERT INTO memory_vectors_waiting SELECT id FROM memories WHERE embedding_model = ?", (model,)
        )
        _write_note(connection, model, ready=False)


def _drop(connection: "PostgresConnection") -> None:
    with atomic(connection):
        connection.execute("DROP TRIGGER IF EXISTS memories_vector ON memories")
        connection.execute("DROP FUNCTION IF EXISTS note_vector()")
        connection.execute("DROP TABLE IF EXISTS memory_vectors, memory_vectors_waiting")


def _take_in(connection: "PostgresConnection", model: str, most: int) -> bool:
    """Take in some of what waits; returns whether there was any."""
    with atomic(connection):
        width = connection.execute(
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass('memory_vectors') "
            "AND attname = 'vector'"
        ).fetchone()
        rows = connection.execute(
            "SELECT w.id, m.embedding, m.embedding_model FROM memory_vectors_waiting w "
            "LEFT JOIN memories m ON m.id = w.id ORDER BY w.id LIMIT ?",
            (most,),
        ).fetchall()
        if not rows or width is None:
            return False
        sound = [
            (row["id"], np.frombuffer(row["embedding"], dtype="<f4"))
            for row in rows
            if row["embedding_model"] == model and row["embedding"] and len(row["embedding"]) == 4 * width[0]
        ]
        schema = _extension(connection)
        connection.executemany(
            f'INSERT INTO memory_vectors (id, vector) VALUES (?, ?::"{schema}".halfvec) '  # noqa: S608 - fixed text
            "ON CONFLICT (id) DO UPDATE SET vector = excluded.vector",
            # A damaged vector must not stop the others; `audit` counts and names such rows.
            [(key, _text(vector)) for key, vector in sound if np.isfinite(vector).all()],
        )
        taken = json.dumps([row["id"] for row in rows])
        connection.execute(
            "DELETE FROM memory_vectors_waiting WHERE id IN (SELECT value FROM json_each(?))", (taken,)
        )
    return True


def _extension(connection: "Connection") -> str:
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'vector'"
    ).fetchone()
    return str(row[0]) if row else _EXTENSIONS


def _make_extension(connection: "PostgresConnection") -> str:
    """Have pgvector in this database; in a schema of its own unless it is there already."""
    version = connection.execute(
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions "
        "WHERE name = 'vector'"
    ).fetchone()
    if version is None:
        raise _Unavailable("the server has no pgvector")
    if tuple(int(part) for part in str(version[0]).split(".")[:2]) < (0, 8):
        raise _Unavailable(f"pgvector {version[0]} is too old; 0.8 or newer can search under a filter")
    try:
        with atomic(connection):
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{_EXTENSIONS}"')
            connection.execute(f'CREATE EXTENSION IF NOT EXISTS vector SCHEMA "{_EXTENSIONS}"')
    except sqlite3.OperationalError as error:
        raise _Unavailable(f"pgvector cannot be switched on in this database: {error}") from error
    return _extension(connection)


def _note(connection: Connection) -> dict[str, Any] | None:
    """What is noted at the index's table: the model, and whether it is finished; None without one."""
    row = connection.execute("SELECT obj_description(to_regclass('memory_vectors'), 'pg_class')").fetchone()
    if row is None or not row[0]:
        return None
    found: dict[str, Any] = json.loads(row[0])
    return found


def _write_note(connection: Connection, model: str, *, ready: bool) -> None:
    text = json.dumps({"model": model, "ready": ready}).replace("'", "''")
    connection.execute(f"COMMENT ON TABLE memory_vectors IS '{text}'")
