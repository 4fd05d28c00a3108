"""Words of scripts that the engines cannot tell apart (Chinese, Thai, Hindi), found by pairs of signs.

FTS5's unicode61 takes a whole Chinese sentence for one word, so nothing in it is ever found, and takes Hindi
words apart at every vowel sign, so that one fits all words with its consonants. Every two signs that stand
together are kept here as one entry, which is how search engines index such scripts without a dictionary; the
last sign of a run stands alone, so that a single sign finds too. A plain table serves SQLite and PostgreSQL
alike. Texts in other scripts have no entries and cost nothing.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hal9.database import Connection

__all__ = [
    "best_by_pairs",
    "create_pairs",
    "forget_pairs",
    "index_pairs",
    "index_vowel_signs",
    "pairs_of",
    "without_vowel_signs",
]

# Scripts whose vowel signs are no letters: those of India and Sri Lanka, Thai, Lao, Burmese, Khmer.
_SIGNED = "\u0900-\u0eff\u1000-\u109f\u1780-\u17ff"
_SIGNED_RUN = re.compile(f"[{_SIGNED}]+")
_RUN = re.compile(
    f"[{_SIGNED}\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_MOST_ASKED = 96
_CANDIDATES = 400
# BM25's saturation; lengths are not compared, since runs of other scripts stand between.
_K1, _LEAST_IDF = 1.2, 1e-6


def create_pairs(connection: Connection) -> None:
    """The table, and the entries of what is remembered already."""
    connection.execute(
        "CREATE TABLE memory_pairs (pair TEXT NOT NULL, memory_id INTEGER NOT NULL, times INTEGER NOT NULL,"
        " PRIMARY KEY (pair, memory_id))"
    )
    connection.execute("CREATE INDEX memory_pairs_memory ON memory_pairs (memory_id)")
    for row in connection.execute("SELECT id, content FROM memories").fetchall():
        index_pairs(connection, int(row[0]), str(row[1]))


def index_vowel_signs(connection: Connection) -> None:
    """The entries of memories in scripts with vowel signs, some of which had none at first."""
    for row in connection.execute("SELECT id, content FROM memories").fetchall():
        if _SIGNED_RUN.search(str(row[1])):
            forget_pairs(connection, int(row[0]))
            index_pairs(connection, int(row[0]), str(row[1]))


def without_vowel_signs(text: str) -> str:
    """A text without its words in scripts with vowel signs, which only pairs can tell apart."""
    return _SIGNED_RUN.sub(" ", text)


def pairs_of(text: str, *, asked: bool = False) -> Counter[str]:
    """Pairs of neighbouring signs in a text, and each run's last sign.

    Args:
        text: anything.
        asked: it is a question: the last sign counts only where it is the whole run.
    """
    found: Counter[str] = Counter()
    for run in _RUN.findall(unicodedata.normalize("NFKC", text)):
        found.update(run[place : place + 2] for place in range(len(run) - 1))
        if not asked or len(run) == 1:
            found[run[-1]] += 1
    return found


def index_pairs(connection: Connection, memory_id: int, text: str) -> None:
    """Keep a memory's entries; call it where its row is inserted."""
    pairs = pairs_of(text)
    if pairs:
        connection.executemany(
            "INSERT INTO memory_pairs (pair, memory_id, times) VALUES (?, ?, ?)",
            [(pair, memory_id, times) for pair, times in pairs.items()],
        )


def forget_pairs(connection: Connection, memory_id: int) -> None:
    """Delete a memory's entries with it."""
    connection.execute("DELETE FROM memory_pairs WHERE memory_id = ?", (memory_id,))


def best_by_pairs(
    connection: Connection, text: str, condition: str, values: Sequence[Any], limit: int
) -> dict[int, float]:
    """The memories that share the rarest pairs with a text.

    Args:
        connection: a reader.
        text: what is asked.
        condition: more that must hold of memories `m`, beginning with " AND", or "".
        values: for its placeholders.
        limit: how many.

    Returns:
        A score like BM25's by memory; more is better.
    """
    asked = list(pairs_of(text, asked=True))[:_MOST_ASKED]
    if not asked:
        return {}
    (total,) = connection.execute("SELECT count(*) FROM memories").fetchone()
    scores: dict[int, float] = {}
    for pair in asked:
        # A single sign is the beginning of pairs, or stands alone.
        within, bound = ("p.pair = ?", pair) if len(pair) > 1 else ("p.pair LIKE ?", f"{pair}%")
        (holders,) = connection.execute(
            f"SELECT count(DISTINCT p.memory_id) FROM memory_pairs p WHERE {within}",  # noqa: S608 - fixed text
            (bound,),
        ).fetchone()
        if not holders:
            continue
        rarity = max(math.log((total - holders + 0.5) / (holders + 0.5)), _LEAST_IDF)
        rows = connection.execute(
            "SELECT p.memory_id AS id, sum(p.times) AS times FROM memory_pairs p "  # noqa: S608 - fixed text
            f"JOIN memories m ON m.id = p.memory_id WHERE {within}{condition} "
            "GROUP BY p.memory_id ORDER BY p.memory_id DESC LIMIT ?",
            (bound, *values, _CANDIDATES),
        ).fetchall()
        for row in rows:
            times = int(row["times"])
            scores[int(row["id"])] = scores.get(int(row["id"]), 0.0) + rarity * times * (_K1 + 1) / (
                times + _K1
            )
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return dict(best[:limit])
