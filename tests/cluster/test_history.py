"""Why tasks fail: from the journal to a graph."""

import random
from pathlib import Path

import pytest

from hal9.cluster import Home, connect
from hal9.cluster.history import FACTORS, failure_rows, kinds_of_failure, parse_age
from hal9.cluster.submission import new_task
from hal9.database import Connection, atomic
from hal9.holograph import causes
from hal9.journal import tasks
from hal9.learning.detection.outcomes import TaskOutcome, save_outcome
from hal9.memory import MemoryScope, MemoryStore
from hal9.signals import ErrorDetail, ResultPayload, StepRecord, Tally, TaskPayload
from tests.cli.test_commands import Shell

NOW = 1_800_000_000.0


def fill(connection: Connection, *, count: int = 120, now: float = NOW) -> None:
    """Tasks that fail when the careless neuron implements them, whatever their length."""
    with atomic(connection):
        for number in range(count):
            careless = number % 2 == 0
            failed = careless if number % 10 else not careless
            words = "word " * (3 + number * 7 % 11)
            task = new_task(TaskPayload(objective=words), now=now + number, timeout_seconds=60)
            tasks.insert_task(connection, task)
            step = StepRecord(
                id=f"s{number}", task_id=task.id, signal_id="x", layer=2, kind="think", started_at=now, ended_at=now,
                neuron="careless" if careless else "careful", promptgram_version=1, mind="m",
            )  # fmt: skip
            tasks.insert_steps(connection, [step])
            error = ErrorDetail(reason="check_failed", message="no") if failed else None
            result = ResultPayload(ok=not failed, error=error)
            tasks.finish_task(
                connection, task.id, state="failed" if failed else "done", result=result, now=now + number
            )


async def test_the_cause_of_failures_is_found_and_drawn(home: Home) -> None:
    async with connect(home.root) as cluster:
        await cluster.read(fill)
        rows = await failure_rows(cluster, since=0)
        assert len(await failure_rows(cluster, since=NOW + 100)) == 20
    assert len(rows) == 120
    found = await causes(rows, outcomes=("failed",), resamples=20)
    strongest = found.of("failed")[0]
    assert strongest.cause.startswith("implementer=")
    assert strongest.probability > 0.8
    assert found.svg().startswith("<svg")


async def test_kinds_of_failure_are_outcomes_and_users_words_count(home: Home) -> None:
    async with connect(home.root) as cluster:
        await cluster.read(fill)
        rows = await failure_rows(cluster, since=0, kinds=True)
        assert kinds_of_failure(rows) == {}  # all failed in the same way
        done = [task for task in await cluster.tasks(limit=200) if task.state == "done"][:12]
        with MemoryStore(home.memory) as store:
            for task in done:
                outcome = TaskOutcome(
                    task_id=task.id, task_class="text", scope=MemoryScope(), state="done", passed=False,
                    score=None, judged_by="user", error_type="user_rejection", seconds=1.0, usd=0.0,
                    prompts={}, routes=(), recalled=(),
                )  # fmt: skip
                assert save_outcome(store, outcome)
        rejected = await failure_rows(cluster, since=0, kinds=True)
    assert sum(row["failed"] for row in rejected) == sum(row["failed"] for row in rows) + 12
    assert sum(row["error_user_rejection"] for row in rejected) == 12
    assert kinds_of_failure(rejected) == {
        "error_check_failed": "whether the task ended with the error check failed",
        "error_user_rejection": "whether the task ended with the error user rejection",
    }
    found = await causes(rejected, outcomes=("failed", *kinds_of_failure(rejected)), resamples=10)
    assert not any(edge.cause in found.outcomes for edge in found.edges)


def test_the_command_says_what_it_found_or_lacks(home: Home, tmp_path: Path) -> None:
    import time

    from hal9.database import open_database
    from hal9.journal import MIGRATIONS

    shell = Shell(home.root)
    assert "at least 12 are needed" in shell("causes", code=3).stderr
    assert "is no age" in shell("causes", "--since", "soon", code=2).stderr
    connection = open_database(home.journal, MIGRATIONS)
    fill(connection, now=time.time() - 3600)
    connection.close()
    picture = tmp_path / "causes.svg"
    said = shell("causes", "--svg", str(picture)).stdout
    assert "implementer=" in said
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("7d", 604800), ("1.5h", 5400)])
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "7", "7y", "xd"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_age(text)


def retried(connection: Connection, seed: int, *, planted: bool = False) -> None:
    """Tasks that fail by chance, or with the shell; a failing check is tried three times, with other neurons."""
    rng = random.Random(seed)
    with atomic(connection):
        for number in range(150):
            tool = rng.choice(["sh check.sh", "python3 -m pytest"])
            failed = rng.random() < ((0.75 if tool.startswith("sh") else 0.15) if planted else 0.4)
            payload = TaskPayload(objective="word " * rng.randint(3, 60), check=tool, workspace=".")
            created = NOW + 3600 * rng.randrange(24 * 7)
            task = new_task(payload, now=created, timeout_seconds=60)
            tasks.insert_task(connection, task)
            steps = [
                StepRecord(
                    id=f"{number}-{attempt}", task_id=task.id, signal_id="x", layer=2, kind="think", started_at=1,
                    ended_at=2, neuron="implementer" if attempt == 0 else "second", mind="m",
                    promptgram_version=1 + (attempt > 0), recalled=["rule"] if attempt else [],
                    tally=Tally(calls=1, prompt_tokens=500 + rng.randrange(100), completion_tokens=200),
                )
                for attempt in range(3 if failed else 1)
            ]  # fmt: skip
            tasks.insert_steps(connection, steps)
            error = ErrorDetail(reason="check_failed", message="no") if failed else None
            result = ResultPayload(ok=not failed, error=error)
            tasks.finish_task(
                connection, task.id, state="failed" if failed else "done", result=result, now=created + 9
            )


async def test_what_only_a_failure_brings_about_is_never_its_cause(home: Home) -> None:
    """Three attempts spend more tokens, end with another neuron and recall more: all that follows from failing."""
    async with connect(home.root) as cluster:
        await cluster.read(lambda connection: retried(connection, 1))
        rows = await failure_rows(cluster, since=0)
    assert set(rows[0]) == {*FACTORS}
    assert {row["implementer"] for row in rows} == {"implementer"}
    assert not any(row["recalled"] for row in rows)
    found = await causes(rows, outcomes=("failed",), resamples=10)
    assert not [edge for edge in found.of("failed") if edge.probability >= 0.8]


async def test_of_two_tools_the_one_that_fails_is_named(home: Home) -> None:
    async with connect(home.root) as cluster:
        await cluster.read(lambda connection: retried(connection, 2, planted=True))
        rows = await failure_rows(cluster, since=0)
    strongest = (await causes(rows, outcomes=("failed",), resamples=10)).of("failed")[0]
    assert strongest.cause == "tool=sh"
    assert strongest.effect_size > 0
    assert strongest.probability > 0.9
