"""The ledger: every change of what was learned, with cause, evidence, content before and after, and figures.

Rows are chained: each row's hash covers its facts and the hash of the row before it, so a changed or missing
row shows. Facts are never rewritten; what becomes of a change later is a row of its own, and `state` is
only the latest of these.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hal9.database import Connection, Row
from hal9.errors.learning import ChangeUnknown, LedgerBroken
from hal9.learning.state.change_facts import Details, Evidence, Figures, read_facts
from hal9.memory import MemoryStore
from hal9.signals import new_id

__all__ = ["Change", "ChangeState", "Ledger"]

ChangeState = Literal[
    "waiting", "candidate", "canary", "applied", "rejected", "rolled_back", "denied", "noted"
]
_FACTS = ("id", "time", "actor", "cause", "kind", "target", "before", "after", "evidence", "reverts")
_FIRST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row: what kind of change of what, with whole contents before and after."""

    id: str
    time: float
    actor: str
    cause: str
    kind: str
    target: str
    before: str
    after: str
    state: ChangeState
    evidence: Evidence = field(default_factory=Evidence)
    figures: Figures = field(default_factory=Figures)
    content_hash: str = ""
    reverts: str | None = None


def _chained(previous: str, row: Mapping[str, Any]) -> str:
    facts = json.dumps([previous, *[row[name] for name in _FACTS]], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(facts.encode()).hexdigest()


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))


class Ledger:
    """Writes and reads the ledger of a memory file. Safe to call from any thread, like the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def record(
        self,
        kind: str,
        target: str,
        *,
        change: tuple[str, str] = ("", ""),
        cause: str,
        actor: str,
        state: ChangeState = "noted",
        details: Details | None = None,
    ) -> Change:
        """Add a row; nests inside `store.writing()`.

        Args:
            kind: of change.
            target: neuron, rule or switch.
            change: content before and after.
            cause: id of the gradient, feedback or change behind it.
            actor: who decided: "user", "learning", "gate", a mind.
            state: where it stands.
            details: evidence, figures, and the id of what it undoes.
        """
        details = details or Details()
        now = self.store.clock.now()
        with self.store.writing() as tables:
            row: dict[str, Any] = {
                "id": new_id(now=now),
                "time": now,
                "actor": actor,
                "cause": cause,
                "kind": kind,
                "target": target,
                "before": change[0],
                "after": change[1],
                "evidence": _dump(details.get("evidence", {})),
                "figures": _dump(details.get("figures", {})),
                "state": state,
                "reverts": details.get("reverts"),
            }
            row["content_hash"] = _chained(self._last_hash(tables.conn), row)
            tables.table("adjustments").insert(row)
        return _change(row)

    def move(
        self,
        change_id: str,
        state: ChangeState,
        *,
        actor: str,
        cause: str,
        figures: Figures | None = None,
    ) -> Change:
        """Note what became of a change; returns the change as it stands now."""
        with self.store.writing() as tables:
            before = self.get(change_id)
            merged: Figures = {**before.figures, **(figures or Figures())}
            self.record(
                "state",
                change_id,
                change=(before.state, state),
                cause=cause,
                actor=actor,
                details={"figures": figures or Figures()},
            )
            tables.conn.execute(
                "UPDATE adjustments SET state = ?, figures = ? WHERE id = ?",
                (state, _dump(merged), before.id),
            )
            return self.get(before.id)

    def get(self, given: str) -> Change:
        """One change by its id or a unique end of it.

        Raises:
            ChangeUnknown: none, or several.
        """
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM adjustments "
                "WHERE id = ? OR (length(?) >= 4 AND substr(id, -length(?)) = ?) LIMIT 2",
                (given, given, given, given),
            ).fetchall()
        if len(rows) != 1:
            raise ChangeUnknown(change=given)
        return _change(rows[0])

    def rows(
        self,
        *,
        kinds: tuple[str, ...] = (),
        target: str | None = None,
        states: tuple[str, ...] = (),
        since: float = 0.0,
    ) -> list[Change]:
        """Changes in the order they were made."""
        with self.store.reading() as connection:
            found = connection.execute(
                "SELECT * FROM adjustments WHERE time >= ? AND (CAST(? AS TEXT) IS NULL OR target = ?) "
                "AND (? = '[]' OR kind IN (SELECT value FROM json_each(?))) "
                "AND (? = '[]' OR state IN (SELECT value FROM json_each(?))) ORDER BY rowid",
                (since, target, target, *[json.dumps(kinds)] * 2, *[json.dumps(states)] * 2),
            ).fetchall()
        return [_change(row) for row in found]

    def verify(self) -> int:
        """Check the whole chain; returns how many rows hold.

        Raises:
            LedgerBroken: a row was changed, inserted or removed.
        """
        previous, count = _FIRST, 0
        with self.store.reading() as connection:
            for row in connection.execute("SELECT * FROM adjustments ORDER BY rowid"):
                if _chained(previous, row) != row["content_hash"]:
                    raise LedgerBroken(
                        change=row["id"], detail="a row does not follow from the one before it"
                    )
                previous, count = row["content_hash"], count + 1
        return count

    def _last_hash(self, connection: Connection) -> str:
        row = connection.execute(
            "SELECT content_hash FROM adjustments ORDER BY rowid DESC LIMIT 1"
        ).fetchone()
        return _FIRST if row is None else str(row["content_hash"])


def _change(row: Mapping[str, Any] | Row) -> Change:
    evidence, figures = read_facts(row["id"], row["evidence"], row["figures"])
    return Change(
        id=row["id"],
        time=float(row["time"]),
        actor=row["actor"],
        cause=row["cause"],
        kind=row["kind"],
        target=row["target"],
        before=row["before"],
        after=row["after"],
        state=row["state"],
        evidence=evidence,
        figures=figures,
        content_hash=row["content_hash"],
        reverts=row["reverts"],
    )
