"""A rule that helps in one folder and fails elsewhere: a narrower place is put to the user, or taken.

The counterpart of `spreading`. A rule of the user's own is never moved without them; one that came from a
retry, a mind or a pack is, once the difference can hardly be chance, and the ledger has the way back.
"""

import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from hal9.errors.memory import MemoryInvalid
from hal9.learning.gate.rule_rollback import set_rule_scope
from hal9.memory import EVERYWHERE, MemoryScope, MemoryStore, Rule
from hal9.memory.records import covers_place

__all__ = ["Narrowing", "narrow", "narrowing_of"]

_CHANCE_TO_ASK = 0.17
"""Two helped inside and two failed outside, and none the other way round, are enough to ask."""
_CHANCE_TO_MOVE = 0.05
"""Three and three are enough to move a rule that no person has said."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """A narrower place for a rule.

    Attributes:
        rule_id: the rule.
        place: where it helps.
        helped: tasks there that it helped.
        inside: judged tasks there.
        failed: tasks elsewhere that failed with it.
        outside: judged tasks elsewhere.
        chance: how probable so clear a difference would be if the place made none (Fisher's exact test).
    """

    rule_id: int
    place: str
    helped: int
    inside: int
    failed: int
    outside: int
    chance: float

    def told(self) -> str:
        """What was seen, in words."""
        folder = self.place.removesuffix("/**")
        return (
            f"helped in {self.helped} of {self.inside} tasks in {folder}, "
            f"failed in {self.failed} of {self.outside} elsewhere"
        )


def narrowing_of(store: MemoryStore, one: Rule) -> Narrowing | None:
    """The folder in which a rule helps while it fails elsewhere; None when the uses show none."""
    place = one.scope.place
    if one.state != "admitted" or not (place == EVERYWHERE or place.endswith("/**")):
        return None
    uses = _uses(store, one.id)
    found = [_weighed(one.id, folder, uses) for folder in _folders_that_helped(place, uses)]
    best = min(found, key=lambda each: (each.chance, each.place.count("/"), each.place), default=None)
    return best if best is not None and best.chance <= _CHANCE_TO_ASK else None


def narrow(store: MemoryStore, one: Rule, *, cause: str) -> tuple[Narrowing, str] | None:
    """Narrow a rule on evidence, or say how; None when there is nothing to say.

    Args:
        store: the memory file.
        one: the rule, as it is now.
        cause: an id for the ledger.

    Returns:
        What was seen, and a sentence for the user: what was done, or the command that does it.
    """
    found = narrowing_of(store, one)
    if found is None:
        return None
    if one.source == "user":
        folder = found.place.removesuffix("/**")
        said = f"`hal9 rules set {one.id} --for {folder}` lets it hold there alone"
        return found, f"rule {one.id} {found.told()} ({one.rule[:80]}): {said}"
    if found.chance > _CHANCE_TO_MOVE:
        return None
    scope = MemoryScope(one.scope.workspace, place=found.place, work=one.scope.work)
    try:
        moved = set_rule_scope(store, one.id, scope, cause=cause, actor="learning")
    except MemoryInvalid:
        return None  # the same rule holds there already
    return found, f"{moved}: it {found.told()}; `hal9 rollback` takes that back"


_Use = tuple[bool, tuple[str, ...]]
"""Whether it helped, and the files that the task touched."""


def _uses(store: MemoryStore, number: int) -> list[_Use]:
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT outcome, paths FROM uses WHERE mitigation_id = ? "
            "AND outcome IN ('helped', 'failed', 'hurt')",
            (number,),
        ).fetchall()
    found = [(row["outcome"] == "helped", tuple(json.loads(row["paths"]))) for row in rows]
    return [use for use in found if use[1]]


def _folders_that_helped(place: str, uses: Sequence[_Use]) -> set[str]:
    """Folders below a place that hold something of every helped task's, or of several."""
    around = "" if place == EVERYWHERE else place.removesuffix("/**")
    found = set()
    for helped, paths in uses:
        for path in paths if helped else ():
            folder = path.rstrip("/") if path.endswith("/") else posixpath.dirname(path)
            while folder and folder != around:
                found.add(f"{folder}/**")
                folder = posixpath.dirname(folder)
    return {one for one in found if not around or one.startswith(f"{around}/")}


def _weighed(number: int, place: str, uses: Sequence[_Use]) -> Narrowing:
    inside = [helped for helped, paths in uses if covers_place(place, paths)]
    outside = [helped for helped, paths in uses if not covers_place(place, paths)]
    chance = _chance(sum(inside), len(inside), sum(outside), len(outside))
    failed = len(outside) - sum(outside)
    return Narrowing(number, place, sum(inside), len(inside), failed, len(outside), chance)


def _chance(helped: int, inside: int, elsewhere: int, outside: int) -> float:
    """One-sided Fisher: as many helped inside, or more, if the place made no difference."""
    total, good = inside + outside, helped + elsewhere
    most = min(inside, good)
    ways = sum(comb(inside, k) * comb(outside, good - k) for k in range(helped, most + 1))
    return ways / comb(total, good) if total else 1.0
