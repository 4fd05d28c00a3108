"""Connection weights: what became of every hand-over, and whom a neuron should hand the next task to.

The memory file holds the hand-overs in the order in which they were learned (`route_events`); what a policy
knows is computed from the last of them. So a restart forgets nothing, the same task counts once however often
it is told, and a verdict that a user corrects later is corrected, not added. Success and failure counts per
edge and task class, with the weight, stand in `weights` for people to read.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hal9.database import Connection, Row
from hal9.learning.routing.policies import Policy, make_policy, with_floor
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings
from hal9.signals import RoutingDecision

__all__ = ["Edge", "HandOver", "WeightStore", "first_counted", "keep_image"]

_SPAN = 1024
# So many spans before those that count are kept, for `restore_weights`.
_KEPT_SPANS = 8
_REMEMBERED = 4096
_KEPT_PROBABILITIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """What became of work that one neuron gave to another. `probability` is how likely the choice was."""

    source: str
    target: str
    task_class: str
    success: bool
    probability: float | None = None
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One row of weights: counts are of all time, discounted ones are what still weighs."""

    source: str
    target: str
    task_class: str
    weight: float
    success_count: int
    failure_count: int
    discounted_success: float
    discounted_failure: float
    last_adjusted: float | None


@dataclass(slots=True)
class _Group:
    """What is known of all edges that leave one neuron with one class of tasks."""

    policy: Policy
    names: list[str]
    number: int
    probabilities: dict[tuple[str, ...], dict[str, float]] = field(default_factory=dict)
    """Computed since the last event, by candidates."""


class WeightStore:
    """Learns from hand-overs and chooses. Safe to call from any thread, like the store.

    Args:
        store: the open memory file; other processes may write to it meanwhile.
        settings: in force now.
        narrow: limits the candidates before the choice (see `routing_relevance`); None lets all stand.
    """

    def __init__(
        self,
        store: MemoryStore,
        settings: Callable[[], RoutingSettings],
        *,
        narrow: Callable[[str, Sequence[str], str], Sequence[str]] | None = None,
    ) -> None:
        self.store = store
        self._settings = settings
        self._narrow = narrow
        self._groups: dict[tuple[str, str], _Group] = {}
        self._epoch = -1
        self._shape: RoutingSettings | None = None
        self._seen: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    # --- choosing -----------------------------------------------------------------------------

    def choose(
        self, source: str, candidates: Sequence[str], *, task_class: str, task_id: str
    ) -> RoutingDecision:
        """Choose one of the candidates (never empty).

        The same seed, task, state of knowledge and number of the choice within the task give the same choice.
        """
        settings = self._settings()
        among: Sequence[str] = sorted(candidates)
        if self._narrow is not None and settings.relevance_edges:
            among = self._narrow(source, among, task_class)
        probabilities = self.probabilities(source, among, task_class=task_class)
        place = self._draw(settings.seed, source, task_class, task_id)
        target = among[-1]
        for name, share in probabilities.items():
            place -= share
            if place < 0:
                target = name
                break
        return RoutingDecision(target, probabilities, settings.policy)

    def probabilities(self, source: str, candidates: Sequence[str], *, task_class: str) -> dict[str, float]:
        """The probability with which each candidate would be chosen now."""
        if len(candidates) == 1:
            return {candidates[0]: 1.0}
        settings = self._settings()
        with self.store.reading() as connection:
            group = self._group(connection, source, task_class)
            among = tuple(candidates)
            if among not in group.probabilities:
                columns = [self._column(group, name) for name in candidates]
                probabilities = group.policy.probabilities(columns)
                if settings.policy != "static":
                    probabilities = with_floor(probabilities, settings.exploration_floor)
                if len(group.probabilities) >= _KEPT_PROBABILITIES:
                    group.probabilities.clear()
                group.probabilities[among] = dict(zip(candidates, probabilities[0].tolist(), strict=True))
            return dict(group.probabilities[among])

    def _draw(self, seed: int, *key: str) -> float:
        """A number in [0, 1) made from the seed and what is decided; the next one at the next call."""
        source, task_class, task_id = key
        held = (source, task_class, task_id)
        count = self._seen.pop(held, 0)
        self._seen[held] = count + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        digest = hashlib.sha256(json.dumps([seed, *key, count]).encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56

    def decided(self, decision: RoutingDecision, source: str, *, task_class: str, task_id: str) -> None:
        """Write a choice down that no neuron's step records; it counts once the task is observed."""
        with self.store.writing() as tables:
            tables.conn.execute(
                "DELETE FROM route_events WHERE kind = 'choice' AND task_id = ? AND from_neuron = ?",
                (task_id, source),
            )
            tables.conn.execute(
                "INSERT OR IGNORE INTO route_events "
                "(kind, from_neuron, to_neuron, task_class, task_id, odds, policy, at) "
                "VALUES ('choice', ?, ?, ?, ?, ?, ?, ?)",
                (
                    source,
                    decision.target,
                    task_class,
                    task_id,
                    decision.probabilities[decision.target],
                    decision.policy,
                    self._now(),
                ),
            )

    def decisions(self, task_id: str, source: str) -> list[tuple[str, str, float, str]]:
        """Target, class, probability and policy of a source's choices that were written down for a task."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT to_neuron, task_class, odds, policy FROM route_events "
                "WHERE task_id = ? AND from_neuron = ? AND kind != 'promotion'",
                (task_id, source),
            ).fetchall()
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    # --- learning -----------------------------------------------------------------------------

    def observe(self, task_id: str, hand_overs: Iterable[HandOver], *, usd: float = 0.0) -> int:
        """Count a task's hand-overs, once per edge; another verdict on a known one replaces the first.

        Args:
            task_id: the task.
            hand_overs: what became of them; of several over one edge, one failure makes it a failure.
            usd: what the task cost.

        Returns:
            How many edges were counted or corrected.
        """
        return self.observe_all([(task_id, hand_overs, usd)])

    def observe_all(self, observed: Iterable[tuple[str, Iterable[HandOver], float]]) -> int:
        """`observe` for several tasks: task, hand-overs, US dollars; each group is rewritten once."""
        changed = 0
        with self.store.writing() as tables:
            touched: set[tuple[str, str]] = set()
            for task_id, hand_overs, usd in observed:
                for one in _merged(hand_overs):
                    if self._record(tables.conn, task_id, one, usd):
                        changed += 1
                        touched.add((one.source, one.task_class))
            for source, task_class in sorted(touched):
                self.rewrite(tables.conn, source, task_class)
        return changed

    def _record(self, connection: Connection, task_id: str, one: HandOver, usd: float) -> bool:
        edge = (one.source, one.target, one.task_class)
        known = connection.execute(
            "SELECT id, number, success, usd FROM route_events WHERE task_id = ? AND from_neuron = ? "
            "AND to_neuron = ? AND task_class = ? AND kind != 'promotion'",
            (task_id, *edge),
        ).fetchone()
        if known is not None and known["success"] is not None:
            if bool(known["success"]) == one.success and known["usd"] == usd:
                return False  # also when a rollback took it out: old news does not bring it back
            keep_image(connection, known, now=self._now())
            number = known["number"] or self._next(connection, one.source, one.task_class)
            connection.execute(
                "UPDATE route_events SET number = ?, success = ?, usd = ? WHERE id = ?",
                (number, float(one.success), usd, known["id"]),
            )
            if known["number"] is None:
                self._count(connection, edge, one.success, 1)
            elif bool(known["success"]) != one.success:
                self._count(connection, edge, one.success, 1)
                self._count(connection, edge, not one.success, -1)
            connection.execute("UPDATE memory_meta SET value = value + 1 WHERE key = 'route_epoch'")
            return True
        number = self._next(connection, one.source, one.task_class)
        if known is not None:
            connection.execute(
                "UPDATE route_events SET kind = 'outcome', number = ?, success = ?, usd = ?, at = ? "
                "WHERE id = ?",
                (number, float(one.success), usd, self._now(), known["id"]),
            )
        else:
            connection.execute(
                "INSERT INTO route_events (kind, from_neuron, to_neuron, task_class, number, task_id, "
                "success, usd, odds, policy, at) VALUES ('outcome', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*edge, number, task_id, float(one.success), usd, one.probability, one.policy, self._now()),
            )
        self._count(connection, edge, one.success, 1)
        return True

    def promoted(self, neuron: str) -> int:
        """A neuron's prompt has changed: trust what is known of its edges, to it and from it, less.

        Returns:
            How many edges were discounted.
        """
        factor = self._settings().promotion_discount
        with self.store.writing() as tables:
            rows = tables.conn.execute(
                "SELECT from_neuron, to_neuron, task_class FROM weights "
                "WHERE from_neuron = ? OR to_neuron = ?",
                (neuron, neuron),
            ).fetchall()
            for source, target, task_class in rows:
                number = self._next(tables.conn, source, task_class)
                tables.conn.execute(
                    "INSERT INTO route_events (kind, from_neuron, to_neuron, task_class, number, task_id, "
                    "success, at) VALUES ('promotion', ?, ?, ?, ?, '', ?, ?)",
                    (source, target, task_class, number, factor, self._now()),
                )
            for source, task_class in sorted({(row[0], row[2]) for row in rows}):
                self.rewrite(tables.conn, source, task_class)
        return len(rows)

    def _next(self, connection: Connection, source: str, task_class: str) -> int:
        row = connection.execute(
            "SELECT max(number) FROM route_events WHERE from_neuron = ? AND task_class = ?",
            (source, task_class),
        ).fetchone()
        number = int(row[0] or 0) + 1
        if number % _SPAN == 0:
            self._prune(connection, source, task_class, first_counted(number) - _KEPT_SPANS * _SPAN)
        return number

    def _prune(self, connection: Connection, source: str, task_class: str, lowest: int) -> None:
        """Drop what no computation starts from any more, nor a rollback would; rows without number by age."""
        group = (source, task_class)
        oldest = connection.execute(
            "SELECT min(id) FROM route_events WHERE from_neuron = ? AND task_class = ? AND number >= ?",
            (*group, lowest),
        ).fetchone()[0]
        connection.execute(
            "DELETE FROM route_events WHERE from_neuron = ? AND task_class = ? "
            "AND (number < ? OR (number IS NULL AND id < ?))",
            (*group, lowest, oldest or 0),
        )
        connection.execute("DELETE FROM route_changes WHERE event NOT IN (SELECT id FROM route_events)")

    def _count(self, connection: Connection, edge: tuple[str, str, str], success: bool, by: int) -> None:
        column = "success_count" if success else "failure_count"
        connection.execute(
            f"INSERT INTO weights (from_neuron, to_neuron, task_class, {column}) VALUES (?, ?, ?, ?) "  # noqa: S608
            f"ON CONFLICT (from_neuron, to_neuron, task_class) DO UPDATE SET "
            f"{column} = weights.{column} + ?",
            (*edge, by, by),
        )

    def rewrite(self, connection: Connection, source: str, task_class: str) -> None:
        """Bring every edge of a group in line with its events; a change of the world concerns all of them."""
        group = self._group(connection, source, task_class)
        worth = group.policy.worth()[0]
        won, lost = (counts[0] for counts in group.policy.evidence())
        for column, name in enumerate(group.names):
            state = {
                "discounted_success": round(float(won[column]), 6),
                "discounted_failure": round(float(lost[column]), 6),
            }
            connection.execute(
                "UPDATE weights SET weight = ?, last_adjusted = ?, state = ? "
                "WHERE from_neuron = ? AND to_neuron = ? AND task_class = ?",
                (float(worth[column]), self._now(), json.dumps(state), source, name, task_class),
            )

    # --- what the policy knows ------------------------------------------------------------------

    def _group(self, connection: Connection, source: str, task_class: str) -> _Group:
        """The group with every event in it that is in the file by now."""
        epoch = connection.execute("SELECT value FROM memory_meta WHERE key = 'route_epoch'").fetchone()[0]
        settings = self._settings()
        mark = f"routes-{id(self)}"
        if epoch != self._epoch or settings != self._shape or mark not in self.store.caches:
            # A verdict was corrected, the rules have changed, or a write was undone: compute anew.
            self._groups.clear()
            self._epoch, self._shape = epoch, settings
            self.store.caches[mark] = True
        group = self._groups.get((source, task_class))
        newest = connection.execute(
            "SELECT max(number) FROM route_events WHERE from_neuron = ? AND task_class = ?",
            (source, task_class),
        ).fetchone()[0]
        newest = int(newest or 0)
        if group is None or newest < group.number or first_counted(newest) > first_counted(group.number):
            group = _Group(make_policy(settings), [], first_counted(newest) - 1)
            self._groups[source, task_class] = group
        if newest > group.number:
            self._take_in(connection, group, source, task_class)
        return group

    def _take_in(self, connection: Connection, group: _Group, source: str, task_class: str) -> None:
        group.probabilities.clear()
        cost_weight = self._settings().cost_weight
        rows = connection.execute(
            "SELECT kind, to_neuron, number, success, usd FROM route_events "
            "WHERE from_neuron = ? AND task_class = ? AND number > ? ORDER BY number",
            (source, task_class, group.number),
        ).fetchall()
        for row in rows:
            column = self._column(group, row["to_neuron"])
            if row["kind"] == "promotion":
                group.policy.soften(column, row["success"])
            else:
                reward = min(1.0, max(0.0, row["success"] - cost_weight * row["usd"]))
                group.policy.learn(np.array([column]), np.array([reward]))
            group.number = row["number"]

    def _column(self, group: _Group, name: str) -> int:
        if name not in group.names:
            group.names.append(name)
            group.policy.grow(len(group.names))
        return group.names.index(name)

    # --- reading ------------------------------------------------------------------------------

    def edges(self, source: str | None = None, target: str | None = None) -> list[Edge]:
        """All edges, or those from or to a neuron."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM weights WHERE (CAST(? AS TEXT) IS NULL OR from_neuron = ?) "
                "AND (CAST(? AS TEXT) IS NULL OR to_neuron = ?) "
                "ORDER BY from_neuron, task_class, weight DESC, to_neuron",
                (source, source, target, target),
            ).fetchall()
        return [_edge(row) for row in rows]

    def events(self, source: str, target: str, *, limit: int = 20) -> list[Mapping[str, object]]:
        """The newest hand-overs and promotions of an edge."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT kind, task_class, task_id, success, usd, odds, policy, at FROM route_events "
                "WHERE from_neuron = ? AND to_neuron = ? AND number IS NOT NULL ORDER BY id DESC LIMIT ?",
                (source, target, limit),
            ).fetchall()
        return [dict(row) for row in rows]

    def _now(self) -> float:
        return self.store.clock.now()


def _merged(hand_overs: Iterable[HandOver]) -> Iterable[HandOver]:
    """One for each edge: of several, one failure makes it a failure."""
    merged: dict[tuple[str, str, str], HandOver] = {}
    for one in hand_overs:
        key = (one.source, one.target, one.task_class)
        if key not in merged or not one.success:
            merged[key] = one
    return merged.values()


def keep_image(connection: Connection, event: Row, *, now: float) -> None:
    """Keep an event as it is before it is changed, so that every earlier state can be told."""
    connection.execute(
        "INSERT INTO route_changes (event, at, number, success, usd) VALUES (?, ?, ?, ?, ?)",
        (event["id"], now, event["number"], event["success"], event["usd"]),
    )


def first_counted(newest: int) -> int:
    """Number of the event from which knowledge is computed: between one and two spans back."""
    return max(1, (newest // _SPAN - 1) * _SPAN)


def _edge(row: Row) -> Edge:
    state = json.loads(row["state"])
    return Edge(
        source=row["from_neuron"],
        target=row["to_neuron"],
        task_class=row["task_class"],
        weight=row["weight"],
        success_count=int(row["success_count"]),
        failure_count=int(row["failure_count"]),
        discounted_success=float(state.get("discounted_success", 0.0)),
        discounted_failure=float(state.get("discounted_failure", 0.0)),
        last_adjusted=row["last_adjusted"],
    )
