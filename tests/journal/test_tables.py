"""Outbox, inbox and dead letters over a real database."""

from collections.abc import Callable, Iterator

import pytest

from hal9.database import Connection, Place, atomic, open_database
from hal9.journal import MIGRATIONS, counts, dead_letters, inbox, outbox, tasks
from hal9.signals import ResultPayload, TaskPayload


@pytest.fixture
def db(places: Callable[[str], Place]) -> Iterator[Connection]:
    connection = open_database(places("journal"), MIGRATIONS)
    yield connection
    connection.close()


def entry(number: int, *, target: str = "l2", expires_at: float = 100.0) -> outbox.Entry:
    return outbox.Entry(f"id{number}", "book", target, "task", "t1", b"{}", 1.0, expires_at, 1)


def arrival(number: int, *, target: str = "l2") -> inbox.Arrival:
    return inbox.Arrival(f"id{number}", "book", target, "task", "t1", b"body%d" % number, 1.0)


def test_the_outbox_takes_a_signal_once(db: Connection) -> None:
    with atomic(db):
        outbox.insert(db, [entry(n) for n in range(600)])
        outbox.insert(db, [entry(5)._replace(body=b"other")])
        outbox.insert(db, [])
    assert outbox.count(db) == 600
    assert outbox.load(db, ["id5", "gone", "id2"]) == [entry(2), entry(5)]
    assert outbox.oldest(db) == 1.0


def test_only_the_target_can_confirm(db: Connection) -> None:
    with atomic(db):
        outbox.insert(db, [entry(1), entry(2), entry(3, target="l3")])
        assert set(outbox.clear(db, [("id1", "l3"), ("id2", "l2"), ("id3", "l3"), ("id9", "l2")])) == {
            "id2",
            "id3",
        }
    assert [row[0] for row in outbox.due(db)] == ["id1"]


def test_a_confirmed_signal_cannot_expire(db: Connection) -> None:
    with atomic(db):
        outbox.insert(db, [entry(1)])
        assert outbox.remove(db, "id1")
        assert not outbox.remove(db, "id1")
    assert outbox.oldest(db) is None


def test_attempts_are_kept(db: Connection) -> None:
    with atomic(db):
        outbox.insert(db, [entry(1)])
        outbox.set_attempts(db, [("id1", 2, b"again")])
    assert outbox.load(db, ["id1"])[0][5:] == (b"again", 1.0, 100.0, 2)


def test_the_inbox_tells_new_from_known(db: Connection) -> None:
    with atomic(db):
        assert inbox.insert(db, [arrival(n) for n in range(300)]) == {f"id{n}" for n in range(300)}
        assert inbox.insert(db, [arrival(1), arrival(300)]) == {"id300"}
        assert inbox.insert(db, []) == set()


def test_work_is_leased_to_one_run_only(db: Connection) -> None:
    with atomic(db):
        inbox.insert(db, [arrival(1), arrival(2)])
        assert inbox.claim(db, ["id1", "id2"], owner="a", lease_until=50.0) == {
            "id1": inbox.Claim(1, 0, ""),
            "id2": inbox.Claim(1, 0, ""),
        }
        assert inbox.claim(db, ["id1"], owner="b", lease_until=50.0) == {}
        assert not inbox.finish(db, "id1", owner="b", now=10.0)
        assert inbox.finish(db, "id1", owner="a", now=10.0)
        assert not inbox.finish(db, "id1", owner="a", now=11.0)
        inbox.release(db, "id2", owner="a", not_before=20.0, refund=True)
    waiting, _ = inbox.take(db, "l2")
    assert waiting == [inbox.Waiting("id2", b"body2", 0, 20.0)]
    assert inbox.counts(db) == {"new": 1, "working": 0, "done": 1}


def test_a_new_run_takes_back_what_the_last_one_left(db: Connection) -> None:
    with atomic(db):
        inbox.insert(db, [arrival(1), arrival(2)])
        inbox.claim(db, ["id1"], owner="first", lease_until=1e12)
        inbox.claim(db, ["id2"], owner="second", lease_until=1e12)
        assert inbox.recover(db, owner="second", end=inbox.PreviousEnd()) == 1
    assert [row.id for row in inbox.take(db, "l2")[0]] == ["id1"]
    assert inbox.take(db, "l2")[0][0].attempts == 1


def test_a_lease_that_is_not_renewed_lapses(db: Connection) -> None:
    with atomic(db):
        inbox.insert(db, [arrival(1), arrival(2)])
        inbox.claim(db, ["id1", "id2"], owner="a", lease_until=50.0)
        inbox.renew(db, ["id1"], owner="a", lease_until=90.0)
        inbox.renew(db, ["id2"], owner="someone else", lease_until=90.0)
        assert inbox.lapsed(db, now=60.0) == 1
    assert [row.id for row in inbox.take(db, "l2")[0]] == ["id2"]


def test_taking_goes_on_where_it_ended(db: Connection) -> None:
    with atomic(db):
        inbox.insert(db, [arrival(n, target="l2" if n % 2 else "l3") for n in range(10)])
    first, end = inbox.take(db, "l2", limit=3)
    second, _ = inbox.take(db, "l2", after=end)
    assert [row.id for row in first + second] == ["id1", "id3", "id5", "id7", "id9"]


def test_ids_are_forgotten_only_after_retention(db: Connection) -> None:
    with atomic(db):
        inbox.insert(db, [arrival(n) for n in range(4)])
        inbox.claim(db, ["id0", "id1", "id2"], owner="a", lease_until=50.0)
        for number, at in ((0, 10.0), (1, 20.0), (2, 30.0)):
            inbox.finish(db, f"id{number}", owner="a", now=at)
        assert inbox.purge(db, before=25.0, limit=1) == 1
        assert inbox.purge(db, before=25.0) == 1
        assert inbox.purge(db, before=25.0) == 0
        assert inbox.insert(db, [arrival(2), arrival(0)]) == {"id0"}


def test_open_work_is_found_through_an_index() -> None:
    db = open_database(":memory:", MIGRATIONS)
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT seq, id, body, attempts, not_before FROM inbox "
        "WHERE target = ? AND state <> 'done' AND state = 'new' AND seq > ? ORDER BY seq LIMIT ?",
        ("l2", 0, 10),
    ).fetchall()
    db.close()
    assert "inbox_open" in str([tuple(row) for row in plan])


def test_dead_letters_are_bounded(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "KEEP", 5)
    letters = [
        dead_letters.DeadLetter.of(
            b"x" * 5000, topic="t", stage="receive", reason="bad_json", detail=str(n), at=float(n)
        )
        for n in range(8)
    ]
    with atomic(db):
        dead_letters.insert(db, letters)
    assert dead_letters.count(db) == 5
    latest = dead_letters.latest(db, limit=2)
    assert [letter.detail for letter in latest] == ["7", "6"]
    assert (len(latest[0].excerpt), latest[0].size) == (2048, 5000)
    assert dead_letters.by_reason(db) == {"bad_json": 5}


def test_how_many_tasks_are_in_which_state_is_counted_as_it_changes(db: Connection) -> None:
    def agree(expected: dict[str, int]) -> None:
        assert tasks.task_counts(db) == expected
        seen = db.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall()
        assert {str(row[0]): int(row[1]) for row in seen} == expected

    for number in range(4):
        row = tasks.TaskRow(
            id=f"t{number}",
            workload="neurons",
            payload=TaskPayload(objective="o"),
            state="queued",
            created_at=1.0,
            deadline=9.0,
        )
        with atomic(db):
            tasks.insert_task(db, row)
    agree({"queued": 4})
    with atomic(db):
        assert tasks.start_task(db, "t0", root_signal="s", now=2.0)
        assert not tasks.start_task(db, "t0", root_signal="s", now=2.0)
    agree({"queued": 3, "running": 1})
    for name, state in (("t0", "done"), ("t1", "cancelled"), ("t0", "failed")):
        with atomic(db):
            tasks.finish_task(db, name, state=state, result=ResultPayload(ok=True), now=3.0)  # type: ignore[arg-type]
    agree({"queued": 2, "done": 1, "cancelled": 1})
    with atomic(db):
        tasks.purge(db, tasks_before=4.0, requests_before=4.0)
    agree({"queued": 2})
    with atomic(db):
        counts.recount_states(db)
    agree({"queued": 2})
