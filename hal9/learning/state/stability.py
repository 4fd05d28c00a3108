"""Is learning going round in circles, or losing what it could do? Is anything unusual going on?

An adjustment that is made, unmade and made again is oscillating: after so many changes of sign it is held
still. A family of tasks that used to be solved and is not any more is being forgotten. And people are told
when the last tasks together went worse than those before them, or one type of error suddenly crowds in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb

from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Change, Ledger
from hal9.memory import MemoryStore

__all__ = ["Forgotten", "Stability", "Unusual", "flips"]

_KINDS = ("prompt", "parameter", "model")
_KEPT = 3
_HISTORY = 2_000
_LATELY, _BEFORE = 20, 100
_FEWEST = 20
_UNLIKELY = 0.001
_WORTH_TELLING = 0.2


def flips(signs: Sequence[int]) -> int:
    """How often the sign changes along a sequence of +1 and -1."""
    return sum(1 for earlier, later in pairwise(signs) if earlier * later < 0)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Tasks of one scope that were solved before and failed lately."""

    scope: str
    solved: int
    failed_lately: int


@dataclass(frozen=True, slots=True)
class Unusual:
    """Something a person should look at; `key` says whether it was told before."""

    key: str
    text: str


def at_least(seen: int, of: int, rate: float) -> float:
    """Probability of `seen` or more successes of so many independent tries with this rate."""
    return float(sum(comb(of, k) * rate**k * (1.0 - rate) ** (of - k) for k in range(seen, of + 1)))


class Stability:
    """Looks at the ledger and at outcomes. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.ledger = Ledger(store)
        self.key_values = KeyValueStore(store)

    def signs(self, neuron: str, key: str) -> list[int]:
        """The directions in which one thing was moved, in order; undoing a change moves it back."""
        found: list[int] = []
        for change in self.ledger.rows(kinds=_KINDS, target=neuron):
            sign = _sign(change, key)
            if sign and change.state not in ("rejected", "denied", "waiting"):
                found.append(sign)
                if change.state == "rolled_back":
                    found.append(-sign)
        return found

    def still(self, neuron: str, key: str) -> bool:
        """Whether an adjustment is held still because it oscillated."""
        return self.key_values.get(f"still:{neuron}:{key}") is not None

    def hold_if_oscillating(self, neuron: str, key: str, *, limit: int, cause: str) -> bool:
        """Hold an adjustment still from `limit` changes of sign on; whether it was just held. Nests."""
        if self.still(neuron, key):
            return False
        count = flips(self.signs(neuron, key))
        if count < limit:
            return False
        with self.store.writing():
            self.key_values.put(f"still:{neuron}:{key}", {"flips": count})
            self.ledger.record(
                "switch",
                neuron,
                change=("", f"still:{key}"),
                cause=cause,
                actor="learning",
                details={"evidence": {"why": "oscillation"}, "figures": {"flips": count}},
            )
        return True

    def forgotten(self) -> list[Forgotten]:
        """Scopes whose last three judged tasks all failed although three or more were solved before."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT workspace, module, task_family, passed FROM outcomes WHERE passed IS NOT NULL "
                "AND (module != '' OR task_family != '') ORDER BY at DESC LIMIT ?",
                (_HISTORY,),
            ).fetchall()
        history: dict[str, list[bool]] = {}
        for row in reversed(rows):
            # A module's tasks share their rules whatever they are about; others go by their family.
            scope = f"{row['workspace'] or '-'}/{row['module'] or '-'}"
            scope += "" if row["module"] else f"/{row['task_family']}"
            history.setdefault(scope, []).append(bool(row["passed"]))
        found = []
        for scope, passed in history.items():
            before, lately = passed[:-_KEPT], passed[-_KEPT:]
            if sum(before) >= _KEPT and not any(lately):
                found.append(Forgotten(scope, sum(before), len(lately)))
        return found

    def unusual(self) -> list[Unusual]:
        """A fall of the whole system's success rate, and types of error that come much more often.

        The last twenty judged tasks are compared with up to a hundred before them. Told is what chance would
        bring once in a thousand looks, and for the success rate only a fall of a fifth or more.
        """
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT passed, error_type FROM outcomes WHERE passed IS NOT NULL ORDER BY at DESC LIMIT ?",
                (_LATELY + _BEFORE,),
            ).fetchall()
        lately, before = rows[:_LATELY], rows[_LATELY:]
        if len(before) < _FEWEST:
            return []
        found = []
        failed, earlier = sum(not row["passed"] for row in lately), sum(not row["passed"] for row in before)
        if _crowds(failed, earlier, len(before)) and failed / len(lately) >= (
            earlier / len(before) + _WORTH_TELLING
        ):
            found.append(
                Unusual(
                    "performance",
                    f"performance: {failed} of the last {len(lately)} tasks failed, "
                    f"{earlier} of the {len(before)} before them",
                )
            )
        for kind in sorted({str(row["error_type"]) for row in lately if row["error_type"]}):
            now = sum(row["error_type"] == kind for row in lately)
            was = sum(row["error_type"] == kind for row in before)
            if _crowds(now, was, len(before)):
                found.append(
                    Unusual(
                        f"error:{kind}",
                        f"unusual: {now} of the last {len(lately)} tasks ended with {kind}, "
                        f"{was} of the {len(before)} before them",
                    )
                )
        return found


def _crowds(now: int, was: int, before: int) -> bool:
    return at_least(now, _LATELY, (was + 1) / (before + 2)) <= _UNLIKELY


def _sign(change: Change, key: str) -> int:
    return change.evidence.get("signs", {}).get(key, 0)
