"""Search by words on PostgreSQL: its index finds the candidates, BM25 as in SQLite's FTS5 ranks them.

Words are cut as FTS5's unicode61 cuts them (every sign of ASCII that is no letter or digit parts two words)
and reduced to English stems, without stop words. PostgreSQL's own rank knows nothing of how rare a word is,
which is what search by telling words rests on.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from hal9.database import Connection

__all__ = ["best_by_words", "index_words"]

# As in FTS5.
_K1, _B, _LEAST_IDF = 1.2, 0.75, 1e-6
_CANDIDATES = 400
_LEXEME = re.compile(r"'((?:[^']|'')+)':([0-9,]+)")
_KINDS = "asciiword, word, numword, asciihword, hword, numhword, int, uint, float, sfloat, version"
_PARTED = r"regexp_replace(content, '[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+', ' ', 'g')"


def index_words(connection: Connection) -> None:
    """Give the memories a column of their words, kept by the server, and its index."""
    connection.execute("CREATE TEXT SEARCH DICTIONARY word_stems (TEMPLATE = snowball, Language = english)")
    connection.execute("CREATE TEXT SEARCH CONFIGURATION memory_words (COPY = pg_catalog.simple)")
    connection.execute(
        f"ALTER TEXT SEARCH CONFIGURATION memory_words ALTER MAPPING FOR {_KINDS} WITH word_stems"
    )
    connection.execute(
        "ALTER TABLE memories ADD COLUMN words tsvector "
        f"GENERATED ALWAYS AS (to_tsvector('memory_words', {_PARTED})) STORED"
    )
    connection.execute("CREATE INDEX memories_words ON memories USING gin (words)")


def best_by_words(
    connection: Connection, words: Sequence[str], condition: str, values: Sequence[Any], limit: int
) -> dict[int, float]:
    """The memories that fit any of the words best.

    Args:
        connection: a reader.
        words: what to look for; one with several parts is looked for as a phrase.
        condition: more that must hold of memories `m`, beginning with " AND", or "".
        values: for its placeholders.
        limit: how many.

    Returns:
        BM25 by memory; more is better.
    """
    phrases = _phrases(connection, words)
    if not phrases:
        return {}
    wanted = " || ".join(["phraseto_tsquery('memory_words', ?)"] * len(phrases))
    asked = [text for text, _, _ in phrases]
    rows = connection.execute(
        f"SELECT m.id, m.words::text AS found, length(m.words) AS size FROM memories m "  # noqa: S608 - fixed text
        f"WHERE m.words @@ ({wanted}){condition} ORDER BY ts_rank(m.words, ({wanted}), 1) DESC, m.id LIMIT ?",
        (*asked, *values, *asked, max(limit, _CANDIDATES)),
    ).fetchall()
    if not rows:
        return {}
    total, average = connection.execute(
        "SELECT count(*), greatest(avg(length(words)), 1)::float8 FROM memories"
    ).fetchone()
    scored = [(_bm25(row["found"], row["size"] / average, phrases, total), int(row["id"])) for row in rows]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return {one: score for score, one in scored[:limit]}


_Phrase = tuple[str, list[str], int]


def _phrases(connection: Connection, words: Sequence[str]) -> list[_Phrase]:
    """Each word as asked, its lexemes in order, and how many memories hold it."""
    found: list[_Phrase] = []
    for word in words:
        text = " ".join(part for part in re.split(r"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+", word) if part)
        if not text:
            continue
        row = connection.execute(
            "SELECT to_tsvector('memory_words', ?)::text, (SELECT count(*) FROM memories "
            "WHERE words @@ phraseto_tsquery('memory_words', ?))",
            (text, text),
        ).fetchone()
        at = {place: lexeme for lexeme, places in _positions(row[0]).items() for place in places}
        if at and row[1]:
            found.append((text, [at[place] for place in sorted(at)], int(row[1])))
    return found


def _positions(vector: str) -> dict[str, list[int]]:
    return {
        lexeme.replace("''", "'"): [int(place) for place in places.split(",")]
        for lexeme, places in _LEXEME.findall(vector)
    }


def _bm25(vector: str, relative_size: float, phrases: Sequence[_Phrase], total: int) -> float:
    at = _positions(vector)
    score = 0.0
    for _, lexemes, holders in phrases:
        places = [set(at.get(lexeme, ())) for lexeme in lexemes]
        count = sum(all(first + step in later for step, later in enumerate(places)) for first in places[0])
        rarity = max(math.log((total - holders + 0.5) / (holders + 0.5)), _LEAST_IDF)
        score += rarity * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * relative_size))
    return score
