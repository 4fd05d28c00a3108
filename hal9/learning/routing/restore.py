"""Connection weights as they were at a moment: hand-overs learned since are taken out, verdicts put back.

Nothing is deleted. A hand-over that is taken out loses its number, its earlier state is kept in
`route_changes`, and so a later restore can lead forward again. What follows from the hand-overs (weights,
counts, probabilities) is computed from those that count then, in the very order in which they were learned.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hal9.database import Connection, Row
from hal9.learning.routing.weights import WeightStore, first_counted, keep_image
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings

__all__ = ["restore_weights", "weights_document"]

Group = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Then:
    """A hand-over as it is, and as it was: without a number it did not count."""

    row: Row
    number: int | None
    success: float
    usd: float

    @property
    def changed(self) -> bool:
        return (self.number, self.success, self.usd) != (
            self.row["number"],
            self.row["success"],
            self.row["usd"],
        )


def weights_document(store: MemoryStore) -> list[list[object]]:
    """All edges with counts, what still weighs, and the weight: equal knowledge gives equal lists."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT from_neuron, to_neuron, task_class, success_count, failure_count, weight, state "
            "FROM weights ORDER BY from_neuron, task_class, to_neuron"
        ).fetchall()
    return [[*row[:6], json.loads(row["state"])] for row in rows]


def restore_weights(store: MemoryStore, settings: RoutingSettings, moment: float) -> list[str]:
    """Bring the connection weights back to a moment, forward as well; nests inside `store.writing()`.

    Args:
        store: the memory file.
        settings: in force now; weights are computed with these.
        moment: seconds since the epoch.

    Returns:
        What was done, in sentences; nothing when nothing had changed. A group of edges whose hand-overs of
        that time are not kept any more stays as it is, and a sentence says so.
    """
    said = []
    with store.writing() as tables:
        connection = tables.conn
        now = store.clock.now()
        book = WeightStore(store, lambda: settings)
        touched = []
        for group, events in sorted(_then(connection, moment).items()):
            changes = [one for one in events if one.changed]
            if not changes:
                continue
            source, task_class = group
            if not _whole(connection, group, events):
                said.append(f"weights of {source} ({task_class}): too long ago, they stay as they are")
                continue
            for one in changes:
                keep_image(connection, one.row, now=now)
                connection.execute(
                    "UPDATE route_events SET number = ?, success = ?, usd = ? WHERE id = ?",
                    (one.number, one.success, one.usd, one.row["id"]),
                )
                if one.row["kind"] == "outcome":
                    _recount(connection, one)
            touched.append(group)
            out = sum(1 for one in changes if one.number is None)
            said.append(
                f"weights of {source} ({task_class}): {out} hand-overs taken out, "
                f"{len(changes) - out} put back or judged as before"
            )
        if touched:
            connection.execute("UPDATE memory_meta SET value = value + 1 WHERE key = 'route_epoch'")
        for source, task_class in touched:
            book.rewrite(connection, source, task_class)
            connection.execute(
                "DELETE FROM weights WHERE from_neuron = ? AND task_class = ? "
                "AND success_count = 0 AND failure_count = 0",
                (source, task_class),
            )
    return said


def _then(connection: Connection, moment: float) -> Mapping[Group, list[_Then]]:
    """Every hand-over of the groups that have changed since, as it was."""
    images = {
        int(row["event"]): row
        for row in connection.execute(
            "SELECT event, number, success, usd FROM route_changes WHERE at > ? ORDER BY id DESC", (moment,)
        )
    }
    found: dict[Group, list[_Then]] = {}
    for row in connection.execute("SELECT * FROM route_events WHERE success IS NOT NULL ORDER BY id"):
        image = images.get(int(row["id"]), row)
        number = None if row["at"] > moment else image["number"]
        then = _Then(row, number, float(image["success"]), float(image["usd"]))
        found.setdefault((row["from_neuron"], row["task_class"]), []).append(then)
    return found


def _whole(connection: Connection, group: Group, events: list[_Then]) -> bool:
    """Whether every hand-over that counted then is still kept, and none of the counts is older."""
    numbers = [one.number for one in events if one.number is not None]
    if numbers:
        return min(numbers) <= first_counted(max(numbers))
    counted = connection.execute(
        "SELECT total(success_count + failure_count) FROM weights WHERE from_neuron = ? AND task_class = ?",
        group,
    ).fetchone()[0]
    kept = sum(1 for one in events if one.row["kind"] == "outcome" and one.row["number"] is not None)
    return int(counted) == kept


def _recount(connection: Connection, one: _Then) -> None:
    edge = (one.row["from_neuron"], one.row["to_neuron"], one.row["task_class"])
    for column, by in _differences(one):
        connection.execute(
            f"INSERT INTO weights (from_neuron, to_neuron, task_class, {column}) VALUES (?, ?, ?, ?) "  # noqa: S608
            f"ON CONFLICT (from_neuron, to_neuron, task_class) DO UPDATE SET "
            f"{column} = weights.{column} + ?",
            (*edge, by, by),
        )


def _differences(one: _Then) -> Iterator[tuple[str, int]]:
    if one.row["number"] is not None:
        yield ("success_count" if one.row["success"] else "failure_count"), -1
    if one.number is not None:
        yield ("success_count" if one.success else "failure_count"), 1
