"""Search by words (BM25), by meaning (cosine), or by both, fused in a way that was measured.

Fusing everything with everything makes search worse: on paraphrased errors, BM25 over all words is right a
third of the time where cosine is right two thirds, and every weight on it costs accuracy. What cosine cannot
do is tell ``E042`` from ``E017``. So in the fusion only *telling* words count: codes and identifiers. Each
candidate is scored ``cosine + w * b / (b + c)``, where ``b`` is its BM25 over the telling words of the query,
0 without any. A query in plain words is ranked exactly as by cosine. Pairs of signs of scripts that put no
spaces between words count as telling, because few embedders know such scripts. ``w`` and ``c`` were chosen on
the development texts of `benchmarks/memory`; its README has the figures.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hal9.database import Row, on_postgres
from hal9.errors.memory import MemoryInvalid
from hal9.memory.records import KINDS, Kind, Memory, MemoryScope
from hal9.memory.retrieval.vector_matrix import VectorMatrix
from hal9.memory.store.postgres_vectors import best_by_index, has_index, stored_cosines
from hal9.memory.store.postgres_words import best_by_words
from hal9.memory.store.store import MemoryStore
from hal9.memory.store.unspaced_words import best_by_pairs, without_vowel_signs
from hal9.text import clean_text

__all__ = ["Fusion", "Hit", "SearchFilter", "escape_match", "search", "telling_words"]

Mode = Literal["fused", "words", "vectors"]
_TERM = re.compile(r"\w+")
_CODE = re.compile(r"(?=.*\d)(?=.*[^\W\d]).{2,}|\d{3,}|\w+_\w+|.*[a-z][A-Z].*|[A-Z]{4,}")
# The class of an exception names a family of errors, which cosine knows better.
_CLASS = re.compile(r".*(?:Error|Exception|Warning)")
_MAX_TERMS = 48


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights of the fusion.

    Attributes:
        word_weight: w, the most that matching telling words add to a cosine.
        half_bm25: c, the BM25 that earns half of it.
        pool: how many of the best of either side are looked at.
    """

    word_weight: float = 1.0
    half_bm25: float = 1.0
    pool: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """What may be found at all; everything named must hold.

    Attributes:
        scope: each of its fields that is not empty must be equal.
        layer: of the neuron that remembered.
        kinds: any of these; empty for all.
        neuron: that remembered.
        since: created at or after, seconds since the epoch.
        until: created before.
        quarantined: also find quarantined memories (by words only).
    """

    scope: MemoryScope = field(default_factory=MemoryScope)
    layer: int | None = None
    kinds: tuple[Kind, ...] = ()
    neuron: str | None = None
    since: float | None = None
    until: float | None = None
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One found memory; `cosine` is None without a vector, `words` is the BM25 that counted."""

    memory: Memory
    score: float
    cosine: float | None
    words: float


def _matrix(store: MemoryStore) -> VectorMatrix:
    # Two threads may both make one at first; either is right, and the one kept last stays.
    held = store.caches.get("vectors")
    if not isinstance(held, VectorMatrix):
        held = store.caches["vectors"] = VectorMatrix(store)
    return held


def telling_words(text: str) -> list[str]:
    """The words that identify rather than describe, such as ``E042``, ``parse_total``, ``ENOENT``.

    Lower case, each once, in order.
    """
    found = (
        word
        for word in _TERM.findall(clean_text(text))
        if _CODE.fullmatch(word) and not _CLASS.fullmatch(word)
    )
    return list(dict.fromkeys(word.lower() for word in found))


def escape_match(words: Sequence[str]) -> str:
    """An FTS5 query that finds any of the words; "" without a word.

    Every word is reduced to letters, digits and underscores and quoted, so nothing in it is query syntax. The
    first 48 different words count.
    """
    return " OR ".join(f'"{word}"' for word in plain_words(words))


def plain_words(words: Sequence[str]) -> list[str]:
    """Words reduced to letters, digits and underscores, in lower case; the first 48 different ones.

    Without those of scripts with vowel signs: their consonants alone would find other words.
    """
    kept = (without_vowel_signs(clean_text(word)) for word in words)
    plain = dict.fromkeys(part.lower() for text in kept for part in _TERM.findall(text))
    return list(plain)[:_MAX_TERMS]


def search(
    store: MemoryStore,
    text: str,
    *,
    where: SearchFilter | None = None,
    limit: int = 10,
    mode: Mode | None = None,
    fusion: Fusion | None = None,
) -> list[Hit]:
    """Memories that fit a text, best first; the same file gives the same answer.

    Args:
        store: an open memory file.
        text: anything.
        where: what may be found.
        limit: most hits, at least 1.
        mode: by words, by vectors, or fused; None takes fused with an embedder and words without.
        fusion: other weights.

    Raises:
        MemoryInvalid: vectors are asked for and the store has no embedder, or the limit is below 1.
    """
    where, fusion = where or SearchFilter(), fusion or Fusion()
    mode = mode or ("fused" if store.embedder is not None else "words")
    if limit < 1:
        raise MemoryInvalid(what="search", why=f"a limit of {limit} finds nothing; use 1 or more")
    if mode != "words" and store.embedder is None:
        raise MemoryInvalid(what="search", why="the memory was opened without an embedder; search by words")
    pool = limit if mode != "fused" else max(limit, fusion.pool)
    words = dict[int, float]()
    if mode != "vectors":
        words = _by_words(store, [text] if mode == "words" else telling_words(text), where, pool)
        for one, score in _by_pairs(store, text, where, pool).items():
            words[one] = words.get(one, 0.0) + score
    # What has no vector (yet) of the present model is found by all of its words.
    plain = _by_words(store, [text], where, pool) if mode == "fused" and store.lacks_vectors() else {}
    cosines = _by_vectors(store, text, where, pool, extra=(*words, *plain)) if mode != "words" else {}
    words |= {one: max(score, words.get(one, 0.0)) for one, score in plain.items() if one not in cosines}
    scored = list[tuple[float, int]]()
    for one in words.keys() | cosines.keys():
        bm25 = words.get(one, 0.0)
        if mode == "words":
            score = bm25
        elif mode == "vectors":
            score = cosines[one]
        else:
            score = cosines.get(one, 0.0) + fusion.word_weight * bm25 / (bm25 + fusion.half_bm25)
        scored.append((score, one))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    best = scored[:limit]
    found = {memory.id: memory for memory in store.get_many([one for _, one in best])}
    return [
        Hit(found[one], score, cosines.get(one), words.get(one, 0.0)) for score, one in best if one in found
    ]


def _conditions(where: SearchFilter) -> tuple[list[str], list[Any]]:
    unknown = [kind for kind in where.kinds if kind not in KINDS]
    if unknown:
        raise MemoryInvalid(what="search", why=f"kind {unknown[0]!r} is none of {', '.join(KINDS)}")
    clauses, values = list[str](), list[Any]()
    scope = where.scope.cleaned()
    equal = {
        "m.workspace": scope.workspace or None,
        "m.module": scope.module or None,
        "m.task_family": scope.task_family or None,
        "m.layer": where.layer,
        "m.neuron": None if where.neuron is None else clean_text(where.neuron),
    }
    for column, value in equal.items():
        if value is not None:
            clauses.append(f"{column} = ?")
            values.append(value)
    if where.kinds:
        clauses.append("m.kind IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(where.kinds)))
    for clause, bound in (("m.created >= ?", where.since), ("m.created < ?", where.until)):
        if bound is not None:
            clauses.append(clause)
            values.append(bound)
    return clauses, values


def _by_words(store: MemoryStore, words: Sequence[str], where: SearchFilter, limit: int) -> dict[int, float]:
    match = escape_match(words)
    if not match:
        return {}
    condition, values = _findable(where)
    with store.reading() as connection:
        if on_postgres(connection):
            return best_by_words(connection, plain_words(words), condition, values, limit)
        rows: list[Row] = connection.execute(
            "SELECT m.id AS id, bm25(memories_fts) AS rank FROM memories_fts "  # noqa: S608
            f"JOIN memories m ON m.id = memories_fts.rowid WHERE memories_fts MATCH ?{condition} "
            "ORDER BY rank, m.id LIMIT ?",
            (match, *values, limit),
        ).fetchall()
    # SQLite's bm25() is the more negative the better.
    return {int(row["id"]): max(0.0, -float(row["rank"])) for row in rows}


def _by_pairs(store: MemoryStore, text: str, where: SearchFilter, limit: int) -> dict[int, float]:
    condition, values = _findable(where)
    with store.reading() as connection:
        return best_by_pairs(connection, clean_text(text), condition, values, limit)


def _findable(where: SearchFilter) -> tuple[str, list[Any]]:
    clauses, values = _conditions(where)
    if not where.quarantined:
        clauses.append("m.quarantined = 0")
    return "".join(f" AND {clause}" for clause in clauses), values


def _by_vectors(
    store: MemoryStore, text: str, where: SearchFilter, limit: int, *, extra: tuple[int, ...]
) -> dict[int, float]:
    made = store.embed([clean_text(text)])
    if made is None or store.embedder is None:
        return {}
    clauses, values = _conditions(where)
    model = store.embedder.model_id
    with store.reading() as connection:
        if has_index(connection, model):
            condition = "".join(f" AND {clause}" for clause in clauses)
            cosines = best_by_index(connection, made[0], model, condition, values, limit)
            others = [one for one in extra if one not in cosines]
            return cosines | stored_cosines(connection, made[0], model, others)
    among = None
    if clauses:
        with store.reading() as connection:
            rows = connection.execute(
                f"SELECT m.id FROM memories m WHERE {' AND '.join(clauses)}",  # noqa: S608
                values,
            ).fetchall()
        among = np.asarray([row[0] for row in rows], dtype=np.int64)
    matrix = _matrix(store)
    ids, scores = matrix.nearest(made[0], limit, among=among)
    cosines = {int(one): float(score) for one, score in zip(ids, scores, strict=True)}
    missing = np.asarray([one for one in extra if one not in cosines], dtype=np.int64)
    return cosines | matrix.cosines(made[0], missing)
