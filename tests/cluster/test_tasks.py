"""Tasks through a whole cluster: real broker, real SQLite, real subprocesses, a scripted mind."""

import asyncio
from pathlib import Path

import pytest

from hal9.cluster import Home
from hal9.database import Connection, look_into
from hal9.errors.cluster import TaskFinished, TaskInvalid, TaskUnknown
from tests.conftest import Script, edit_settings, running_cluster

OBJECTIVE = "Write add(a, b) in adder.py"
CHECK = "python check.py"


async def test_a_task_travels_down_and_its_answer_comes_up(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert task.result is not None
    assert task.result.check is not None
    assert task.result.check.passed
    assert [change.path for change in task.result.changes] == ["adder.py"]
    assert "a + b" in (workspace / "adder.py").read_text()
    assert [(step.layer, step.kind) for step in steps] == [
        (4, "pass"),
        (3, "pass"),
        (2, "check"),
        (2, "think"),
        (2, "check"),
    ]
    assert all(step.promptgram_hash and step.promptgram_version == 1 for step in steps)
    with look_into(home.journal) as journal:
        # What is handed on as it is, and what goes up as it came, was never delivered to anybody.
        assert [row[0] for row in journal.execute("SELECT target FROM inbox")] == [steps[2].neuron]


@pytest.mark.parametrize(("more", "when"), [("", 0), (" in plain Python" + 9 * " with care and", 1)])
async def test_the_check_s_file_is_kept_for_a_second_try_where_the_task_explains_itself(
    home: Home, workspace: Path, script: Script, more: str, when: int
) -> None:
    """Small models that see the check beside such a task write the check again in place of the new file."""
    script("learns_from_evidence")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE + more, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        prompts = [step.prompt for step in await cluster.steps(task_id) if step.kind == "think"]
    assert task.state == "done", task.result
    assert ["The file check.py now" in prompt for prompt in prompts] == [when == 0, True]


async def test_without_pass_through_every_layer_thinks(home: Home, workspace: Path, script: Script) -> None:
    script("adder")
    edit_settings(home, "enabled: true               # strategy", "enabled: false               # strategy")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert [(step.layer, step.kind) for step in steps] == [
        (4, "split"), (4, "pass"), (3, "split"), (3, "pass"), (2, "check"), (2, "think"), (2, "check"),
    ]  # fmt: skip


async def test_parts_fan_out_and_are_gathered_into_one_answer(home: Home, script: Script) -> None:
    script("two_parts")
    edit_settings(home, "enabled: true               # strategy", "enabled: false               # strategy")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("say one and then two")
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert task.result is not None
    assert task.result.answer == "one and two"
    kinds = [(step.layer, step.kind) for step in steps]
    assert kinds.count((4, "synthesise")) == 1
    assert kinds.count((3, "synthesise")) == 2
    assert kinds.count((2, "think")) == 4
    assert task.result.tally.calls == sum(step.tally.calls for step in steps) == 10


async def test_a_failing_check_is_answered_from_a_fresh_prompt_with_the_evidence(
    home: Home, workspace: Path, script: Script
) -> None:
    script("learns_from_evidence")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert [(step.kind, step.outcome) for step in steps if step.layer == 2] == [
        ("check", "ok"), ("think", "ok"), ("check", "failed"), ("think", "ok"), ("check", "ok"),
    ]  # fmt: skip
    assert "AssertionError: -1" in steps[-2].prompt
    assert steps[-2].prompt.count("[assistant]") == 0


async def test_a_file_that_the_mind_asks_for_is_shown(home: Home, workspace: Path, script: Script) -> None:
    script("asks_for_a_file")
    filler = "".join(f"NAME_{number} = {number}\n" for number in range(3000))
    (workspace / "rates.py").write_text(f"{filler}RATE = 3\n")
    (workspace / "check.py").write_text("import rates\nassert rates.RATE == 2\n")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Totals are too high.", workspace=workspace, check="python check.py")
        task = await cluster.wait(task_id, timeout_seconds=60)
        thoughts = [step for step in await cluster.steps(task_id) if step.layer == 2 and step.kind == "think"]
    assert task.state == "done", task.result
    assert (workspace / "rates.py").read_text() == f"{filler}RATE = 2\n"
    assert len(thoughts) == 2


@pytest.mark.parametrize(
    ("name", "reason", "tries"), [("always_wrong", "check_failed", 4), ("stubborn", "repeated_step", 3)]
)
async def test_a_failure_leaves_the_workspace_as_it_was(
    home: Home, workspace: Path, script: Script, name: str, reason: str, tries: int
) -> None:
    script(name)
    (workspace / "adder.py").write_text("# precious\n")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert (task.state, task.stop_reason) == ("failed", reason)
    assert task.result is not None
    assert task.result.tally.calls == tries
    assert task.result.error is not None
    assert "AssertionError" in task.result.error.evidence
    assert "+def add" in task.result.changes[0].diff
    assert (workspace / "adder.py").read_text() == "# precious\n"


async def test_a_running_task_can_be_cancelled(home: Home, script: Script) -> None:
    script("slow")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("take your time")
        while not any(neuron for neuron in await cluster.steps(task_id)):
            await asyncio.sleep(0.02)
        await cluster.cancel(task_id, reason="changed my mind")
        task = await cluster.wait(task_id, timeout_seconds=180)
        assert (task.state, task.stop_reason) == ("cancelled", "cancelled")
        assert task.result is not None
        assert task.result.error is not None
        assert task.result.error.message == "changed my mind"
        with pytest.raises(TaskFinished, match="cancelled already"):
            await cluster.cancel(task_id)
        for _ in range(100):
            if daemon.courier.unconfirmed == 0:
                break
            await asyncio.sleep(0.05)
        assert daemon.courier.unconfirmed == 0


async def test_a_deadline_ends_a_task_by_name(home: Home, script: Script) -> None:
    script("slow")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("take your time", timeout_seconds=0.6)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert (task.state, task.stop_reason) == ("failed", "timeout")


async def test_a_budget_ends_a_task_before_it_is_passed(home: Home, workspace: Path, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK, budget_tokens=100)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert (task.state, task.stop_reason) == ("failed", "budget_exhausted")
    assert task.result is not None
    assert task.result.tally.calls == 0


async def test_what_is_accepted_while_the_cluster_is_down_begins_when_it_comes_up(
    home: Home, workspace: Path, script: Script
) -> None:
    from hal9.cluster import connect

    script("adder")
    async with connect(home.root) as cluster:
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        dropped = await cluster.submit("never mind")
        await cluster.cancel(dropped)
        assert (await cluster.status())["state"] == "down"
    async with running_cluster(home) as (_, cluster):
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "done"
        assert (await cluster.wait(dropped, timeout_seconds=180)).state in ("cancelled", "done")


async def test_many_tasks_at_once_each_get_their_own_answer(home: Home, script: Script) -> None:
    script("echo")
    async with running_cluster(home) as (_, cluster):
        ids = [await cluster.submit(f"number {number}") for number in range(40)]
        rows = [await cluster.wait(task_id, timeout_seconds=180) for task_id in ids]
    assert [row.result.answer if row.result else "" for row in rows] == [f"number {n}" for n in range(40)]


@pytest.mark.parametrize(
    ("objective", "options", "words"),
    [
        ("  ", {}, "has no text"),
        ("x", {"workspace": Path("/nonexistent/place")}, "not a directory"),
        ("x", {"check": "true"}, "needs a workspace"),
        ("x", {"files": (Path("/nonexistent/file"),)}, "No such file"),
        ("x" * 200_000, {}, "the limit is"),
    ],
)
async def test_a_task_that_cannot_be_accepted_says_why(
    home: Home, objective: str, options: dict[str, object], words: str
) -> None:
    from hal9.cluster import connect

    async with connect(home.root) as cluster:
        with pytest.raises(TaskInvalid, match=words):
            await cluster.submit(objective, **options)  # type: ignore[arg-type]
        assert await cluster.tasks() == []


async def test_ids_may_be_shortened_but_not_guessed(home: Home) -> None:
    from hal9.cluster import connect

    async with connect(home.root) as cluster:
        first = await cluster.submit("one")
        second = await cluster.submit("two")
        assert await cluster.resolve(first[-12:]) == first
        assert await cluster.resolve("last") == second
        for wrong in ("nope", "%", "_", first[:4]):
            with pytest.raises(TaskUnknown):
                await cluster.resolve(wrong)


async def test_a_missing_workspace_at_run_time_is_a_typed_failure(
    home: Home, workspace: Path, script: Script
) -> None:
    import shutil

    from hal9.cluster import connect

    script("adder")
    async with connect(home.root) as cluster:
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
    shutil.rmtree(workspace)
    async with running_cluster(home) as (_, cluster):
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert (task.state, task.stop_reason) == ("failed", "workspace_unreachable")


async def test_without_a_workspace_code_is_part_of_the_answer(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task = await cluster.wait(await cluster.submit("Show me add in adder.py"), timeout_seconds=180)
    assert task.result is not None
    assert "return a + b" in task.result.answer
    assert task.result.changes == []


async def test_who_waits_in_the_daemons_own_process_is_woken_after_the_commit(
    home: Home, script: Script
) -> None:
    import time

    from hal9.cluster.submission import new_task
    from hal9.signals import TaskPayload

    script("echo")
    async with running_cluster(home) as (daemon, _):

        async def one(number: int) -> str:
            task = new_task(TaskPayload(objective=f"number {number}"), now=time.time(), timeout_seconds=60)
            await daemon.scheduler.submit(task)
            return (await daemon.scheduler.wait(task.id)).state

        async with asyncio.timeout(120):
            states = await asyncio.gather(*(one(number) for number in range(60)))
    assert states == ["done"] * 60


async def test_old_tasks_and_answered_requests_are_forgotten(home: Home) -> None:

    from hal9.cluster import connect
    from hal9.database import atomic
    from hal9.journal import tasks
    from tests.cluster.test_history import NOW, fill

    async with connect(home.root) as cluster:

        def work(connection: Connection) -> list[int]:
            fill(connection, count=20)
            with atomic(connection):
                request = tasks.add_request(connection, "x", {}, now=NOW)
                tasks.close_request(connection, request, outcome="ok", now=NOW)
                tasks.add_request(connection, "open", {}, now=NOW)
                gone = tasks.purge(connection, tasks_before=NOW + 10, requests_before=NOW + 1)
                again = tasks.purge(connection, tasks_before=NOW + 10, requests_before=NOW + 1)
            return [gone, again, len(tasks.list_tasks(connection)), len(tasks.open_request_kinds(connection))]

        assert await cluster.read(work) == [21, 0, 10, 1]
