"""A whole cluster whose implementing neuron works with tools: submit, steps, trace, failures that keep the diff."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from hal9.cli.tasks.render import answer_panel
from hal9.cluster import Daemon, Home
from hal9.journal import tasks, turns
from hal9.journal.turns import Question
from hal9.signals import StepRecord
from hal9.tools.action import Action, ActionOutcome
from tests.conftest import Script, edit_settings, running_cluster
from tests.minds.fake_openai import FakeOpenAI, Handler, says

OBJECTIVE = "add(2, 3) gives a wrong result; repair it."
CHECK = "python check.py"


def kinds(steps: list[StepRecord]) -> list[tuple[str, str]]:
    return [(step.kind, step.tool) for step in steps if step.layer == 2]


async def test_a_fault_is_found_and_repaired_step_by_step(
    home: Home, workspace: Path, script: Script
) -> None:
    script("repairs_with_tools")
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
        log = await daemon.journal.read(lambda connection: turns.entries_of_task(connection, task_id))
    assert task.state == "done", task.result
    assert task.result is not None
    assert task.result.answer == "add added the wrong way"
    assert "a + b" in (workspace / "adder.py").read_text()
    assert [change.path for change in task.result.changes] == ["adder.py"]
    assert kinds(steps) == [
        ("check", ""), ("think", ""), ("tool", "search"), ("think", ""), ("tool", "edit"),
        ("think", ""), ("check", ""), ("tool", "finish"),
    ]  # fmt: skip
    first = next(step for step in steps if step.kind == "think")
    assert (first.mode, first.evidence) == ("tools", "the mind calls tools by itself")
    assert task.result.tally.calls == 3
    assert [entry.kind for entry in log].count("reply") == 3
    assert not list(home.snapshots.iterdir())


async def test_a_mind_that_takes_tools_and_calls_none_answers_at_once(
    home: Home, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a small model behind Ollama or the like does: the server takes the tools, the model writes words."""
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    call = {"thought": "t", "tool": "bash", "arguments": {"command": "ls"}}

    def behave(handler: Handler) -> None:
        body = handler.server.seen[-1].body
        as_json = "bash" in json.dumps(body.get("response_format", {}))
        words = "The two must be added, not subtracted."
        good = "Here it is.\n\n`adder.py`\n```python\ndef add(a, b):\n    return a + b\n```"
        says(words if "tools" in body else json.dumps(call) if as_json else good)(handler)

    with FakeOpenAI(behave) as server:
        monkeypatch.setenv("HAL9_MODEL", f"openai:{server.url}#small")
        async with running_cluster(home) as (_, cluster):
            tasks_done = []
            for _ in range(2):
                task_id = await cluster.submit(f"In adder.py {OBJECTIVE}", workspace=workspace, check=CHECK)
                tasks_done.append(await cluster.wait(task_id, timeout_seconds=180))
                steps = await cluster.steps(task_id)
                (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
                thoughts = [
                    (step.mode, step.outcome) for step in steps if step.kind == "think" and step.layer == 2
                ]
                if len(tasks_done) == 1:
                    assert thoughts == [("tools", "ok"), ("tools", "failed"), ("answer", "ok")]
                    told = next(step.evidence for step in steps if step.mode == "answer")
                    assert told == "the mind takes tools and calls none"
    assert [task.state for task in tasks_done] == ["done", "done"]
    assert [["tools" in one.body for one in server.seen]] == [[True, True, False, False, False]]
    first, second = (task.result for task in tasks_done)
    assert first is not None and second is not None
    assert (first.tally.calls, second.tally.calls) == (4, 1), "all that was paid for is in the tally"


async def test_a_turn_that_reaches_its_limit_keeps_its_diff(
    home: Home, workspace: Path, script: Script
) -> None:
    script("never_finishes")
    edit_settings(home, "  steps: 60 ", "  steps: 4 ")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "failed"
    assert task.result is not None
    assert task.result.error is not None
    assert task.result.error.reason == "step_limit"
    assert "4 steps" in task.result.error.message
    assert [change.path for change in task.result.changes] == ["notes.txt"]
    assert not (workspace / "notes.txt").exists()


async def test_a_mind_that_fails_half_way_leaves_diff_and_steps(
    home: Home, workspace: Path, script: Script
) -> None:
    script("breaks_half_way")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.result is not None
    assert task.result.error is not None
    assert task.result.error.reason == "mind_failed"
    assert [change.path for change in task.result.changes] == ["notes.txt"]
    assert ("tool", "write") in kinds(steps)


async def test_a_question_waits_over_a_restart_and_its_answer_reaches_the_neuron(
    home: Home, workspace: Path, script: Script
) -> None:
    script("asks_first")
    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Write it.", workspace=workspace, timeout_seconds=60)
        async with asyncio.timeout(120):
            while not await daemon.journal.read(turns.list_questions):
                await asyncio.sleep(0.02)
    async with running_cluster(home) as (daemon, cluster):
        (question,) = await daemon.journal.read(turns.list_questions)
        assert question.text == "Which name?"
        now = question.asked_at + 3600
        late, unfinished = await daemon.journal.read(
            lambda connection: tasks.past_deadline(connection, now=now)
        )
        assert unfinished
        assert late == []  # the task's own time does not run while it waits
        await daemon.journal.write(
            lambda connection: turns.answer_question(connection, question.id, "total", now=now)
        )
        task = await cluster.wait(task_id, timeout_seconds=180)
        assert task.state == "done", task.result
        assert task.deadline > question.asked_at + 3600
    assert (workspace / "total.txt").exists(), task.result


@pytest.mark.parametrize("copy", ["gone", "older than what another host did"])
async def test_a_turn_whose_copy_is_not_here_begins_anew(
    home: Home, workspace: Path, script: Script, copy: str
) -> None:
    """As on a host that takes over: what the log says was written must not be taken for written."""
    script("writes_then_asks")

    async def asked(daemon: Daemon, besides: str = "") -> Question:
        async with asyncio.timeout(120):
            while True:
                for one in await daemon.journal.read(turns.list_questions):
                    if one.id != besides:
                        return one
                await asyncio.sleep(0.02)

    async with running_cluster(home) as (daemon, cluster):
        task_id = await cluster.submit("Write it.", workspace=workspace)
        before = await asked(daemon)
    if copy == "gone":
        shutil.rmtree(home.snapshots)
    else:
        with closing(sqlite3.connect(home.state / "journal.db")) as journal, journal:
            other = json.dumps({"what": "mode", "mode": "tools", "why": "", "node": "daemon-of-another-host"})
            changed = journal.execute(
                "UPDATE turn_entries SET body = ? WHERE json_extract(body, '$.what') = 'mode'", (other,)
            )
            assert changed.rowcount == 1
    async with running_cluster(home) as (daemon, cluster):
        again = await asked(daemon, besides=before.id)
        now = again.asked_at
        await daemon.journal.write(
            lambda connection: turns.answer_question(connection, again.id, "total", now=now)
        )
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done", task.result
    assert task.result is not None
    assert {change.path for change in task.result.changes} == {"first.txt", "total.txt"}
    assert (workspace / "first.txt").exists()
    assert (workspace / "total.txt").exists()
    assert kinds(steps).count(("tool", "write")) == 3, "what was done before stays in the trace"


@pytest.mark.parametrize("mode", ["answer", "tools"])
async def test_the_mode_of_a_neurons_file_is_obeyed(
    home: Home, workspace: Path, script: Script, mode: str
) -> None:
    script("adder" if mode == "answer" else "repairs_with_tools")
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    for name in ("l2-implementer", "l2-craftsman"):
        path = home.neurons / f"{name}.md"
        path.write_text(path.read_text().replace("layer = 2\n", f'layer = 2\nmode = "{mode}"\n'))
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Repair add in adder.py", workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done", task.result
    noted = next(step for step in steps if step.kind == "think")
    assert (noted.mode, noted.evidence) == (mode, f"the neuron's file says mode = {mode}")


async def test_a_check_that_passes_before_anything_is_done_is_told(
    home: Home, workspace: Path, script: Script
) -> None:
    script("finds_nothing_to_do")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Repair it", workspace=workspace, check="true")
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "done"
    assert task.result is not None
    assert task.result.answer == "All is well.\n\n(The check passed already; nothing was changed.)"


async def test_what_came_from_the_providers_cache_is_counted_and_shown(
    home: Home, workspace: Path, script: Script
) -> None:
    script("answers_from_the_cache")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Say it.", workspace=workspace)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.result is not None
    assert (task.result.tally.prompt_tokens, task.result.tally.cached_tokens) == (200, 150)
    shown = Console(width=200, record=True)
    shown.print(answer_panel(task))
    assert "(75% of the prompts cached)" in shown.export_text()


async def test_guards_learn_how_the_commands_of_a_whole_answer_ended(
    home: Home, workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int | None]] = []

    async def after(
        self: object, action: Action, context: object, decision: object, outcome: ActionOutcome
    ) -> None:
        told.append((action.text, outcome.exit_code))

    monkeypatch.setattr("hal9.learning.guards.learned_gate.LearnedGate.after", after)
    script("answers_with_commands")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("Do it.", workspace=workspace)
        await cluster.wait(task_id, timeout_seconds=180)
    assert told[:2] == [("true one", 0), ("exit 3", 3)]
