"""`hal9 reply`, `retry`, `answer`, `approvals`, `show --steps`: what a person says to tasks."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from hal9.cli.app import cli
from hal9.cluster import Home
from hal9.errors.cluster import TaskUnfinished
from hal9.errors.tools import QuestionAnswered, QuestionUnknown
from hal9.journal import turns
from tests.conftest import Script, edit_settings, running_cluster

Run = Callable[..., str]


@pytest.fixture
def hal9(home: Home) -> Run:
    def call(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, ["--home", str(home.root), *arguments], standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return done.output

    return call


async def test_a_reply_goes_on_with_what_was_said_done_and_changed(
    home: Home, workspace: Path, script: Script
) -> None:
    script("repairs_with_tools")
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("add is wrong", workspace=workspace, check="python check.py")
        with pytest.raises(TaskUnfinished, match="is still"):
            await cluster.reply(task_id, "also handle None")
        assert (await cluster.wait(task_id, timeout_seconds=60)).state == "done"
        new = await cluster.reply(task_id, "also handle None")
        task = await cluster.task(new)
        assert task.payload.objective == "also handle None"
        assert task.payload.check == "python check.py"
        for told in ("add is wrong", "edit adder.py", "add added the wrong way", "+    return a + b"):
            assert told in task.payload.design, told
        again = await cluster.retry(task_id, "too slow")
        row = await cluster.task(again)
        assert row.payload.objective == "add is wrong"
        assert "rejected: too slow" in row.payload.design
        for one in (new, again):
            await cluster.cancel(one)


async def test_approval_is_given_and_refused_from_the_command_line(
    home: Home, workspace: Path, script: Script, hal9: Run
) -> None:
    script("removes_twice")
    (workspace / "a.txt").write_text("1")
    (workspace / "b.txt").write_text("1")
    rule = '    - {name: rm, verdict: ask, programs: [rm], reason: "removing"}\n'
    edit_settings(home, "    - {name: no-push,", f"{rule}    - {{name: no-push,")

    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("tidy up", workspace=workspace)

        async def waiting() -> str:
            async with asyncio.timeout(120):
                while True:
                    open_ones = await daemon.journal.read(turns.list_questions)
                    if open_ones:
                        return open_ones[0].id
                    await asyncio.sleep(0.02)

        first = await waiting()
        shown = await asyncio.to_thread(hal9, "approvals")
        assert "rm a.txt" in shown
        assert f"hal9 answer {first} yes|no" in shown
        with pytest.raises(QuestionUnknown, match=first):
            await asyncio.to_thread(hal9, "answer", "nonsense", "yes")
        assert "goes on" in await asyncio.to_thread(hal9, "answer", first, "yes")
        with pytest.raises(QuestionAnswered):
            await asyncio.to_thread(hal9, "answer", first, "no")
        second = await waiting()
        await asyncio.to_thread(hal9, "answer", second[-6:], "no", "keep", "b")
        task = await cluster.wait(task_id, timeout_seconds=180)
        assert task.state == "done", task.result
        steps = await asyncio.to_thread(hal9, "show", task_id, "--steps")
        trace = await asyncio.to_thread(hal9, "trace", task_id)
    assert not (workspace / "a.txt").exists()
    assert (workspace / "b.txt").exists()
    assert "a person said no: keep b" in steps
    assert "bash rm b.txt" in trace
    assert "works by tools" in trace
    assert "nothing waits" in await asyncio.to_thread(hal9, "approvals")
