import asyncio
import multiprocessing
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hal9.database import Connection, Place, open_database
from hal9.errors.journal import JournalClosed, JournalInUse, JournalUnwritable
from hal9.journal import Journal


@pytest.fixture
async def journal(places: Callable[[str], Place]) -> AsyncIterator[Journal]:
    async with Journal(places("journal")) as opened:
        await opened.write(lambda c: c.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
        yield opened


def adding(number: int) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (number,))

    return write


async def numbers(journal: Journal) -> list[int]:
    return await journal.read(lambda c: [row[0] for row in c.execute("SELECT n FROM t ORDER BY n")])


async def test_a_write_returns_its_value_and_is_readable(journal: Journal) -> None:
    def write(connection: Connection) -> str:
        connection.execute("INSERT INTO t VALUES (1)")
        return "value"

    assert await journal.write(write) == "value"
    assert await numbers(journal) == [1]


async def test_writes_that_wait_are_committed_together(journal: Journal) -> None:
    before = journal.commits
    await asyncio.gather(*(journal.write(adding(n)) for n in range(500)))
    assert len(await numbers(journal)) == 500
    assert journal.commits - before < 250


async def test_a_failing_write_takes_back_only_itself(journal: Journal) -> None:
    def bad(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1000)")
        raise RuntimeError("on purpose")

    results = await asyncio.gather(
        *(journal.write(bad if n % 10 == 3 else adding(n)) for n in range(100)),
        return_exceptions=True,
    )
    assert [n for n, result in enumerate(results) if isinstance(result, RuntimeError)] == list(
        range(3, 100, 10)
    )
    assert await numbers(journal) == [n for n in range(100) if n % 10 != 3]


async def test_a_lone_failing_write_is_taken_back_too(journal: Journal) -> None:
    def bad(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await journal.write(bad)
    assert await numbers(journal) == []


async def test_a_caller_that_gave_up_does_not_disturb_the_others(journal: Journal) -> None:
    task = asyncio.ensure_future(journal.write(lambda c: c.execute("INSERT INTO t VALUES (1)")))
    await asyncio.sleep(0)
    task.cancel()
    await journal.write(lambda c: c.execute("INSERT INTO t VALUES (2)"))
    assert 2 in await numbers(journal)


async def test_the_read_connection_cannot_write(journal: Journal) -> None:
    with pytest.raises(sqlite3.OperationalError, match="read-?only"):
        await journal.read(lambda c: c.execute("INSERT INTO t VALUES (1)"))


async def test_what_waits_at_closing_time_is_still_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        await journal.write(lambda c: c.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
        waiting = [asyncio.ensure_future(journal.write(adding(n))) for n in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    async with Journal(path) as journal:
        assert len(await numbers(journal)) == 50


async def test_outside_its_context_it_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(JournalClosed):
        await journal.write(lambda c: None)
    with pytest.raises(JournalClosed):
        await journal.read(lambda c: None)


async def test_a_full_disk_is_a_typed_error_and_writing_goes_on_afterwards(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db", max_pages=60) as journal:
        await journal.write(lambda c: c.execute("CREATE TABLE big (n INTEGER PRIMARY KEY, data BLOB)"))

        def fill(connection: Connection) -> None:
            connection.execute("INSERT INTO big (data) VALUES (zeroblob(20000))")

        results = await asyncio.gather(*(journal.write(fill) for _ in range(40)), return_exceptions=True)
        refused = [result for result in results if result is not None]
        assert refused
        assert all(isinstance(error, JournalUnwritable) for error in refused), refused
        kept = await journal.read(lambda c: c.execute("SELECT count(*) FROM big").fetchone()[0])
        assert kept == 40 - len(refused)
        assert "SQLITE_FULL" in str(refused[0])
        await journal.write(lambda c: c.execute("DELETE FROM big"))
        await journal.write(fill)


def _open_elsewhere(path: str, answers: "multiprocessing.Queue[str]") -> None:
    async def attempt() -> None:
        try:
            async with Journal(path):
                answers.put("opened")
        except JournalInUse as error:
            answers.put(str(error))

    asyncio.run(attempt())


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with Journal(path):
        context = multiprocessing.get_context("spawn")
        answers: multiprocessing.Queue[str] = context.Queue()
        process = context.Process(target=_open_elsewhere, args=(str(path), answers))
        process.start()
        answer = await asyncio.to_thread(answers.get, True, 30)
        process.join()
        answers.close()
        answers.join_thread()
    assert "another running process" in answer


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with Journal(path):
        assert path.stat().st_mode & 0o077 == 0


async def test_callbacks_run_after_the_commit_and_not_without_one(tmp_path: Path) -> None:
    seen: list[int] = []
    async with Journal(tmp_path / "journal.db") as journal:
        connection = sqlite3.connect(tmp_path / "journal.db")

        def count() -> None:
            seen.append(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])

        def write(inner: Connection) -> None:
            inner.execute(
                "INSERT INTO dead_letters (topic, stage, reason, detail, excerpt, size, at)"
                " VALUES ('t', 'send', 'r', 'd', x'', 0, 0)"
            )
            journal.after_commit(count)

        await asyncio.gather(*(journal.write(write) for _ in range(20)))

        def fail(inner: Connection) -> None:
            journal.after_commit(count)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await journal.write(fail)
        connection.close()
    assert len(seen) == 20
    assert seen[-1] == 20
    assert all(number > 0 for number in seen)


async def test_another_process_that_writes_is_waited_for_without_holding_the_loop_up(
    journal: Journal,
) -> None:
    other = open_database(journal.path)
    other.execute("BEGIN IMMEDIATE")
    try:
        writing = asyncio.gather(*(journal.write(adding(n)) for n in range(5)))
        for _ in range(20):
            await asyncio.sleep(0.005)  # it comes back each time: nobody waits inside the loop
        assert not writing.done()
        assert journal.read_now(lambda c: c.execute("SELECT count(*) FROM t").fetchone()[0]) == 0
    finally:
        other.execute("COMMIT")
        other.close()
    await writing
    assert await numbers(journal) == [0, 1, 2, 3, 4]


async def test_what_others_commit_is_told_from_its_own(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db") as journal:
        await journal.write(lambda c: c.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
        assert journal.changed_elsewhere()  # nobody knows what there was before
        await journal.write(adding(1))
        assert not journal.changed_elsewhere()
        await asyncio.gather(*(journal.write(adding(n)) for n in range(100, 200)))  # in the writer thread
        assert not journal.changed_elsewhere()
        other = open_database(journal.path)
        other.execute("INSERT INTO t VALUES (2)")
        other.close()
        assert journal.changed_elsewhere()
        assert not journal.changed_elsewhere()


async def test_order_holds_between_writes_in_the_loop_and_in_the_thread(journal: Journal) -> None:
    order: list[int] = []

    def noting(number: int) -> Callable[[Connection], None]:
        def write(connection: Connection) -> None:
            order.append(number)
            adding(number)(connection)

        return write

    async def some(first: int, count: int) -> None:
        await asyncio.gather(*(journal.write(noting(n)) for n in range(first, first + count)))

    # Few, many (for the thread), few again while the many are being written.
    tasks = []
    for first, count in ((0, 3), (3, 200), (203, 2), (205, 100), (305, 1)):
        tasks.append(asyncio.ensure_future(some(first, count)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == sorted(order)
    assert len(order) == 306


async def test_the_log_is_emptied_while_writing_goes_on(tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO blobs VALUES (zeroblob(20000))")

    path = tmp_path / "journal.db"
    async with Journal(path) as journal:
        await journal.write(lambda c: c.execute("CREATE TABLE blobs (b BLOB)"))
        longest = 0
        for _ in range(2500):
            await journal.write(fill)
            longest = max(longest, path.with_name("journal.db-wal").stat().st_size)
        assert longest < 32 * 1024 * 1024
        assert path.stat().st_size > 2500 * 20_000 / 3


async def test_two_checkpoints_that_end_together_give_the_loop_its_writing_back(journal: Journal) -> None:
    if journal.shared:
        return  # PostgreSQL has no log of ours to empty
    for _ in range(2):
        journal._finish_checkpoint()
    await journal.write(adding(1))
    async with asyncio.timeout(120):
        while journal._handed_over:
            await asyncio.sleep(0.005)
    assert await numbers(journal) == [1]
