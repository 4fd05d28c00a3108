"""Plain counts of what was learned and how it does, for those who draw their own curves from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from hal9.memory import MemoryStore

__all__ = ["LearningCounts", "count_learning"]

_USES = ("helped", "failed", "hurt", "unjudged")
_FIRINGS = ("fired", "heeded", "overridden", "wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCounts:
    """Counts as they stand.

    Attributes:
        judged: tasks by (passed, a rule was recalled).
        rule_uses: recalls of rules by what became of them.
        guards: guards by state.
        guard_firings: all firings, and those that were heeded, overridden or wrong.
    """

    judged: Mapping[tuple[bool, bool], int]
    rule_uses: Mapping[str, int]
    guards: Mapping[str, int]
    guard_firings: Mapping[str, int]


def count_learning(store: MemoryStore) -> LearningCounts:
    """Count in the memory file; four queries whatever its size."""
    uses = ", ".join(f"COALESCE(SUM({one}), 0) AS {one}" for one in _USES)
    firings = ", ".join(f"COALESCE(SUM({one}), 0) AS {one}" for one in _FIRINGS)
    judged = {(passed, recalled): 0 for passed in (True, False) for recalled in (True, False)}
    with store.reading() as connection:
        for row in connection.execute(
            "SELECT passed, CASE WHEN recalled = '[]' THEN 0 ELSE 1 END AS with_rule, COUNT(*) AS number "
            "FROM outcomes WHERE passed IS NOT NULL GROUP BY 1, 2"
        ):
            judged[bool(row["passed"]), bool(row["with_rule"])] = row["number"]
        of_rules = connection.execute(f"SELECT {uses} FROM mitigations").fetchone()  # noqa: S608 - constants
        of_guards = connection.execute(f"SELECT {firings} FROM guards").fetchone()  # noqa: S608 - constants
        states = connection.execute(
            "SELECT state, COUNT(*) AS number FROM guards GROUP BY state ORDER BY state"
        ).fetchall()
    return LearningCounts(
        judged=judged,
        rule_uses={one: int(of_rules[one]) for one in _USES},
        guards={row["state"]: row["number"] for row in states},
        guard_firings={one: int(of_guards[one]) for one in _FIRINGS},
    )
