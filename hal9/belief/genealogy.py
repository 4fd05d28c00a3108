"""Who descends from whom, and the ordered log: enough to explain, draw and replay a run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Literal

__all__ = ["Birth", "Genealogy", "LogEntry", "genealogy_of"]

End = Literal["", "converged", "outdone", "merged", "evicted"]


@dataclass(slots=True)
class LogEntry:
    """One line of the ordered log. `facts` is JSON."""

    number: int
    step: int
    what: str
    node: str
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


@dataclass(slots=True)
class Birth:
    """One node's life. Kept for ever: ancestry is archived, never deleted.

    Attributes:
        parent, base: the node it was forked from, and that node's belief at the fork (the common ancestor).
        parent_age: commits of the parent at the fork.
        born, died: item evaluations spent by then; died is None while the node lives.
        end, heir: how it ended, and who took over its items and token.
        trace: (evaluations spent, mean score on its items) after each commit.
    """

    id: str
    parent: str | None
    base: Any
    parent_age: int
    born: int
    token: Fraction
    died: int | None = None
    end: End = ""
    heir: str | None = None
    trace: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Genealogy:
    """All births of a run, in order."""

    births: dict[str, Birth] = field(default_factory=dict)

    def living(self) -> list[str]:
        """Ids of the nodes alive, oldest first."""
        return [birth.id for birth in self.births.values() if birth.died is None]

    def common_base(self, a: str, b: str, beliefs: Mapping[str, Any], ages: Mapping[str, int]) -> Any:
        """The belief from which two living nodes both descend; None if their roots differ.

        Walks both lines up to the first shared node; of the two beliefs that this node had when the lines
        left it, the earlier one is the ancestor of both.
        """
        line_a, line_b = self._line(a, beliefs, ages), self._line(b, beliefs, ages)
        for node, (age, belief) in line_a.items():
            if node in line_b:
                other_age, other_belief = line_b[node]
                return belief if age <= other_age else other_belief
        return None

    def _line(
        self, node: str, beliefs: Mapping[str, Any], ages: Mapping[str, int]
    ) -> dict[str, tuple[int, Any]]:
        line = {node: (ages[node], beliefs[node])}
        birth = self.births[node]
        while birth.parent is not None:
            line[birth.parent] = (birth.parent_age, birth.base)
            birth = self.births[birth.parent]
        return line


def genealogy_of(log: Iterable[LogEntry]) -> tuple[Genealogy, int]:
    """The lives of a run, read off its ordered log, as far as the log goes.

    Scores are not in the log, so a life's trace has nan for each commit.

    Returns:
        The genealogy, and how many item evaluations were spent.
    """
    found, spent = Genealogy(), 0
    versions: dict[str, int] = {}
    for entry in log:
        facts = entry.facts
        if entry.what == "join" and facts.get("role") == "learner":
            found.births[entry.node] = Birth(entry.node, None, None, 0, spent, Fraction(0))
        elif entry.what == "birth":
            found.births[entry.node] = Birth(entry.node, facts["parent"], None, 0, spent, Fraction(0))
        elif entry.what == "turn":
            spent += int(facts.get("spent") or 0)
            version = int(facts.get("version") or 0)
            if entry.node in found.births and version > versions.get(entry.node, 0):
                found.births[entry.node].trace.append((spent, math.nan))
            versions[entry.node] = version
        elif entry.what == "death" and entry.node in found.births:
            life = found.births[entry.node]
            life.died, life.end, life.heir = spent, facts["end"], facts.get("heir")
    return found, spent
