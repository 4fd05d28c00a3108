"""Every change of a task and every step has one number, in commit order, never used twice."""

from collections.abc import Callable, Iterator

import pytest

from hal9.database import Connection, Place, atomic, open_database
from hal9.database.sqlite import migrate
from hal9.journal import MIGRATIONS, tasks
from hal9.journal.events import events_after, last_event, m006_events
from hal9.journal.tasks import TaskRow
from hal9.signals import ResultPayload, StepRecord, TaskPayload


@pytest.fixture
def db(places: Callable[[str], Place]) -> Iterator[Connection]:
    connection = open_database(places("journal"), MIGRATIONS)
    yield connection
    connection.close()


def task(name: str, at: float = 1.0) -> TaskRow:
    return TaskRow(
        id=name, payload=TaskPayload(objective="x"), state="queued", created_at=at, deadline=at + 100
    )


def step(name: str, task_id: str) -> StepRecord:
    return StepRecord(
        id=name,
        task_id=task_id,
        signal_id="s",
        neuron="n",
        layer=2,
        kind="think",
        started_at=1.0,
        ended_at=2.0,
    )


def run(db: Connection, name: str) -> None:
    with atomic(db):
        tasks.insert_task(db, task(name))
        tasks.start_task(db, name, root_signal="r", now=2.0)
        tasks.insert_steps(db, [step(f"{name}-1", name), step(f"{name}-2", name), step(f"{name}-1", name)])
        assert tasks.finish_task(db, name, state="done", result=ResultPayload(ok=True), now=3.0)
        assert not tasks.finish_task(db, name, state="failed", result=ResultPayload(ok=False), now=4.0)
        assert not tasks.start_task(db, name, root_signal="r", now=5.0)


def shown(db: Connection, seq: int = 0, **rest: object) -> list[tuple[int, str, str]]:
    return [
        (one.seq, one.task_id, one.state or (one.step.id if one.step else ""))
        for one in events_after(db, seq, **rest)  # type: ignore[arg-type]
    ]


WHOLE = [(1, "a", "queued"), (2, "a", "running"), (3, "a", "a-1"), (4, "a", "a-2"), (5, "a", "done")]


def test_what_happened_is_told_once_and_in_order(db: Connection) -> None:
    assert last_event(db) == 0
    run(db, "a")
    assert shown(db) == WHOLE
    run(db, "b")
    assert [one[1:] for one in shown(db, 0, task_id="b")] == [
        ("b", "queued"), ("b", "running"), ("b", "b-1"), ("b", "b-2"), ("b", "done"),
    ]  # fmt: skip
    assert shown(db, 3, until=6) == [*WHOLE[3:], (6, "b", "queued")]
    assert shown(db, 4, task_id="a", limit=1) == [(5, "a", "done")]
    assert last_event(db) == 10


def test_a_number_is_never_used_twice(db: Connection) -> None:
    run(db, "a")
    with atomic(db):
        assert tasks.purge(db, tasks_before=10.0, requests_before=0.0) > 0
    assert shown(db) == []
    run(db, "b")
    assert shown(db)[0] == (6, "b", "queued")


def test_a_journal_from_before_gets_its_numbers() -> None:
    db = open_database(":memory:", MIGRATIONS)
    run(db, "a")
    for later in ("events", "hosts", "leases", "frames"):
        db.execute(f"DROP TABLE {later}")
    db.execute("DROP INDEX tasks_by_state")
    db.execute(f"PRAGMA user_version={MIGRATIONS.index(m006_events)}")
    migrate(db, MIGRATIONS, path=":memory:")
    assert shown(db) == WHOLE
    db.close()
