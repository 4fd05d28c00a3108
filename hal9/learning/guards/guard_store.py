"""Guards in the memory file: tested on remembered actions, counted, demoted when they are wrong."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hal9.database import Row
from hal9.errors.learning import GuardUnknown
from hal9.learning.guards.predicate import Guard, commands_of, fires, guard_as_json, guard_of
from hal9.memory import ANY, MemoryStore
from hal9.tools.action import Action

__all__ = ["GuardStore", "StoredGuard"]

GuardState = Literal["proposed", "holds", "reminds", "withdrawn"]
_LEAST_FIRED = 5
_MOST_WRONG = 0.2
"""Share of wrong firings from which a guard only reminds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGuard:
    """A guard and its record: how often it fired, was heeded, overridden, or wrong."""

    id: int
    rule_id: int | None
    workspace: str
    guard: Guard
    state: GuardState
    state_reason: str
    fired: int
    heeded: int
    overridden: int
    wrong: int


class GuardStore:
    """Writes and reads guards. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def add(
        self, guard: Guard, *, workspace: str, source: str, rule_id: int | None = None, cause: str
    ) -> int:
        """Store a guard as a proposal; it holds when `accept` has tested it."""
        with self.store.writing():
            number = self.store.insert(
                "guards",
                {
                    "mitigation_id": rule_id,
                    "workspace": workspace,
                    "content": json.dumps(guard_as_json(guard), ensure_ascii=False),
                    "effect": guard.effect,
                    "state": "proposed",
                    "source": source,
                    "created": self.store.clock.now(),
                },
            )
            self._note(number, "", "proposed", cause, guard.say)
        return number

    def would_fire(
        self, guard: Guard, remembered: Sequence[tuple[Action, bool]]
    ) -> list[tuple[Action, bool]]:
        """Remembered actions on which a guard would have fired."""
        return [(action, went_well) for action, went_well in remembered if fires(guard, action)]

    def accept(self, number: int, remembered: Sequence[tuple[Action, bool]], *, cause: str) -> StoredGuard:
        """Test a guard on remembered actions; it holds unless it would have stopped what went well.

        Args:
            number: the guard.
            remembered: actions with whether each went well.
            cause: an id for the ledger.
        """
        one = self.get(number)
        hits = [went_well for _, went_well in self.would_fire(one.guard, remembered)]
        wrong = sum(hits)
        told = f"would have fired on {len(hits)} of {len(remembered)} remembered actions; {wrong} went well"
        state: GuardState = "reminds" if wrong and wrong > _MOST_WRONG * len(hits) else "holds"
        self._set(one, state, told, cause)
        return self.get(number)

    def withdraw(self, number: int, *, cause: str) -> StoredGuard:
        """Take a guard back."""
        self._set(self.get(number), "withdrawn", "withdrawn by the user", cause)
        return self.get(number)

    def get(self, number: int) -> StoredGuard:
        """One guard.

        Raises:
            GuardUnknown: it is not stored.
        """
        with self.store.reading() as connection:
            row = connection.execute("SELECT * FROM guards WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise GuardUnknown(number=number)
        return _stored(row)

    def all(self, *, states: Sequence[GuardState] = ()) -> list[StoredGuard]:
        """Stored guards, oldest first."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT * FROM guards ORDER BY id").fetchall()
        found = [_stored(row) for row in rows]
        return [one for one in found if not states or one.state in states]

    def in_force(self, workspaces: Iterable[str]) -> list[StoredGuard]:
        """Guards that hold or remind in one of these workspaces."""
        return [_stored(row) for row in self._rows_in_force(workspaces)]

    def firing(self, workspaces: Iterable[str], action: Action) -> list[StoredGuard]:
        """Those of the guards in force that fire on an action."""
        commands = commands_of(action)
        rows = self._rows_in_force(workspaces)
        return [_stored(row) for row in rows if fires(_guard(row["content"]), action, commands)]

    def _rows_in_force(self, workspaces: Iterable[str]) -> list[Row]:
        names = json.dumps([*workspaces, ANY])
        with self.store.reading() as connection:
            return connection.execute(
                "SELECT * FROM guards WHERE workspace IN (SELECT value FROM json_each(?)) "
                "AND state IN ('holds', 'reminds') ORDER BY id",
                (names,),
            ).fetchall()

    def count(
        self, number: int, *, heeded: int = 0, overridden: int = 0, wrong: int = 0, fired: int = 0
    ) -> None:
        """Count what became of a firing; one that is wrong too often only reminds from then on."""
        with self.store.writing() as tables:
            tables.conn.execute(
                "UPDATE guards SET fired = fired + ?, heeded = heeded + ?, overridden = overridden + ?, "
                "wrong = wrong + ? WHERE id = ?",
                (fired, heeded, overridden, wrong, number),
            )
            one = self.get(number)
            if one.state == "holds" and one.fired >= _LEAST_FIRED and one.wrong > _MOST_WRONG * one.fired:
                self._set(one, "reminds", f"wrong in {one.wrong} of {one.fired} firings", f"guard {number}")

    def restore(self, number: int, state: str, *, cause: str) -> None:
        """Give a guard a state that it had before.

        Raises:
            GuardUnknown: it is not stored.
        """
        self._set(self.get(number), state, "rolled back", cause)  # type: ignore[arg-type] # out of the ledger

    def _set(self, one: StoredGuard, state: GuardState, reason: str, cause: str) -> None:
        with self.store.writing() as tables:
            tables.conn.execute(
                "UPDATE guards SET state = ?, state_reason = ? WHERE id = ?", (state, reason, one.id)
            )
            self._note(one.id, one.state, state, cause, reason)

    def _note(self, number: int, before: str, after: str, cause: str, reason: str) -> None:
        from hal9.learning.state.ledger import Ledger  # noqa: PLC0415 - hooks that only read are in a hurry

        Ledger(self.store).record(
            "guard",
            str(number),
            change=(before, after),
            cause=cause,
            actor="learning",
            details={"evidence": {"reason": reason}},
        )


@lru_cache(maxsize=16_384)
def _guard(content: str) -> Guard:
    return guard_of(json.loads(content))  # it is asked for before every action, and never changes


def _stored(row: Row) -> StoredGuard:
    return StoredGuard(
        id=int(row["id"]),
        rule_id=row["mitigation_id"],
        workspace=row["workspace"],
        guard=_guard(row["content"]),
        state=row["state"],
        state_reason=row["state_reason"],
        fired=int(row["fired"]),
        heeded=int(row["heeded"]),
        overridden=int(row["overridden"]),
        wrong=int(row["wrong"]),
    )
