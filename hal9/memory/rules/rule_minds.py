"""How each mind does with a rule: one that it cannot follow is kept from it, and stays for others."""

from hal9.memory.store.store import MemoryStore
from hal9.text import clean_text

__all__ = ["not_followed_by", "record_mind"]

_FAILURES = 2
"""Failures of a mind with a rule, without a success, after which it is not given the rule any more."""


def record_mind(store: MemoryStore, rule_id: int, mind: str, *, helped: bool) -> None:
    """Count a judged use of a rule by a mind."""
    column = "helped" if helped else "failed"
    with store.writing() as tables:
        tables.conn.execute(
            f"INSERT INTO rule_minds (mitigation_id, mind, {column}) VALUES (?, ?, 1) "  # noqa: S608 - fixed words
            f"ON CONFLICT (mitigation_id, mind) DO UPDATE SET {column} = rule_minds.{column} + 1",
            (rule_id, clean_text(mind)),
        )


def not_followed_by(store: MemoryStore, mind: str) -> frozenset[int]:
    """Rules that a mind has failed with again and again, never helped by."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT mitigation_id FROM rule_minds WHERE mind = ? AND helped = 0 AND failed >= ?",
            (mind, _FAILURES),
        ).fetchall()
    return frozenset(int(row["mitigation_id"]) for row in rows)
