"""Strategy and design look, divide by files, and merge what the parts made; the workspace changes once."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from hal9.cli.tasks.render import trace_tree
from hal9.cluster import Home
from hal9.cluster.client import Cluster
from hal9.journal import turns
from hal9.journal.tasks import TaskRow
from hal9.memory import RuleStore
from hal9.signals import StepRecord
from hal9.workbench.patches import find_changes
from tests.conftest import Script, edit_settings, running_cluster

CHECK = "cat one.txt two.txt three.txt && ! grep -q '<<<' *.txt"


async def divided(cluster: Cluster, workspace: Path, **options: object) -> TaskRow:
    task_id = await cluster.submit("Write all of it.", workspace=workspace, divide=True, **options)  # type: ignore[arg-type]
    return await cluster.wait(task_id, timeout_seconds=180)


def files(workspace: Path) -> dict[str, str]:
    return {
        path.relative_to(workspace).as_posix(): path.read_text() for path in sorted(workspace.rglob("*.txt"))
    }


def told(steps: list[StepRecord], tool: str) -> list[str]:
    return [step.observation for step in steps if step.tool == tool]


@pytest.fixture
def one_strategist(home: Home) -> Home:
    """Only design divides: strategy hands the task on."""
    path = home.neurons / "l4-strategist.md"
    path.write_text(
        path.read_text().replace('tools = ["read"]', "tools = []").replace("width = 3", "width = 1")
    )
    return home


async def test_parts_on_different_files_are_done_apart_and_merged(
    home: Home, workspace: Path, script: Script
) -> None:
    script("divides")
    async with running_cluster(home) as (daemon, cluster):
        task = await divided(cluster, workspace, check=CHECK)
        steps = await cluster.steps(task.id)
        left = await daemon.journal.read(lambda c: c.execute("SELECT count(*) FROM parts").fetchone()[0])
    assert task.state == "done", task.result
    assert task.result is not None
    assert files(workspace) == {
        "one.txt": "1\n", "two.txt": "2\n", "sub/two.txt": "2\n", "three.txt": "1\n2\n"
    }  # fmt: skip
    assert {(one.action, one.path) for one in task.result.changes} == {
        ("created", path) for path in files(workspace)
    }
    assert task.result.answer == "everything is written"
    assert left == 0
    assert not list(home.snapshots.iterdir())
    # Strategy looked and planned; the part's own check saw that part alone.
    assert [step.tool for step in steps if step.layer == 4 and step.kind == "tool"] == [
        "read",
        "plan",
        "merge",
    ]
    looked = next(step for step in steps if step.kind == "split")
    assert (looked.mode, looked.layer) == ("tools", 4)
    found = find_changes(home.changes, task.id)
    assert found.carried == "all"
    assert len([change for change in found.kept.changes if change.path.endswith(".txt")]) == 4


async def test_a_conflict_goes_back_with_both_diffs_and_is_brought_together(
    one_strategist: Home, workspace: Path, script: Script
) -> None:
    script("divides_badly")
    (workspace / "shared.txt").write_text("old\n")
    async with running_cluster(one_strategist) as (daemon, cluster):
        task = await divided(cluster, workspace, check=CHECK)
        steps = await cluster.steps(task.id)
        prompts = [
            step.prompt for step in steps if step.kind == "split" and "do not go together" in step.prompt
        ]
        logs = await daemon.journal.read(lambda c: turns.entries_of_task(c, task.id))
        book = RuleStore(daemon.learner.store)
        async with asyncio.timeout(60):
            while not book.all():
                await asyncio.sleep(0.02)
        (lesson,) = book.all()
    assert (lesson.rule, lesson.state, lesson.scope.work) == (
        "Plan for this from the start: Write part together.", "candidate", "planning"
    )  # fmt: skip
    assert task.state == "done", task.result
    assert files(workspace) == {
        "one.txt": "1\n", "two.txt": "2\n", "three.txt": "1\n2\n", "shared.txt": "ours and theirs\n"
    }  # fmt: skip
    assert len(prompts) == 1
    assert "+ours" in prompts[0]
    assert "+theirs" in prompts[0]
    assert told(steps, "merge")[0].endswith("shared.txt: both changed the same lines")
    openings = [
        entry.body["messages"][-1]["content"] for entry in logs if entry.body.get("what") == "opening"
    ]
    assert sum("+theirs" in text for text in openings) == 1  # the part that mends was told too


async def test_what_cannot_be_mended_leaves_the_workspace_and_keeps_the_merged_diff(
    one_strategist: Home, workspace: Path, script: Script
) -> None:
    script("divides_badly")
    edit_settings(one_strategist, "mends: 2 ", "mends: 0 ")
    (workspace / "shared.txt").write_text("old\n")
    async with running_cluster(one_strategist) as (_, cluster):
        task = await divided(cluster, workspace, check=CHECK)
    assert task.state == "failed"
    assert task.result is not None
    assert task.result.error is not None
    assert task.result.error.reason == "conflict"
    assert "+theirs" in task.result.error.evidence
    assert files(workspace) == {"shared.txt": "old\n"}
    assert {one.path for one in task.result.changes} == {"one.txt", "two.txt"}
    assert find_changes(one_strategist.changes, task.id).carried == "none"


async def test_a_plan_that_does_not_hold_is_answered_in_words(
    one_strategist: Home, workspace: Path, script: Script
) -> None:
    script("plans_what_is_refused")
    async with running_cluster(one_strategist) as (_, cluster):
        task = await divided(cluster, workspace)
        steps = await cluster.steps(task.id)
    assert task.state == "done", task.result
    answers = [*told(steps, "plan"), *told(steps, "bash")][:6]
    for words, answer in zip(
        (
            "parts 1 and 2 both write a.txt", "not a path inside", "part 1 comes after part 1", "at most 3 are possible",
            "nothing is pushed from here",
        ),
        answers,
        strict=False,
    ):  # fmt: skip
        assert words in answer
    assert any("there is no tool 'bash'" in text or "no tool" in text for text in told(steps, "bash"))
    assert files(workspace)["one.txt"] == "1\n"


async def test_changes_for_review_and_a_cancelled_plan_touch_nothing(
    one_strategist: Home, workspace: Path, script: Script
) -> None:
    script("divides")
    async with running_cluster(one_strategist) as (_, cluster):
        task = await divided(cluster, workspace, check=CHECK, review=True)
    assert task.state == "done", task.result
    assert files(workspace) == {}
    found = find_changes(one_strategist.changes, task.id)
    assert found.carried == "none"
    found.apply()
    assert files(workspace)["three.txt"] == "1\n2\n"
    with sqlite3.connect(one_strategist.state / "journal.db") as journal:
        assert journal.execute("SELECT count(*) FROM work").fetchone() == (0,)


async def test_in_the_trace_each_part_stands_below_who_gave_it(
    home: Home, workspace: Path, script: Script
) -> None:
    script("divides")
    async with running_cluster(home) as (_, cluster):
        task = await divided(cluster, workspace, check=CHECK)
        steps = await cluster.steps(task.id)
    (strategy,) = trace_tree(task, steps).children
    designs = [branch for branch in strategy.children if branch.children]
    assert len(designs) == 3
    for design in designs:
        (implementation,) = [branch for branch in design.children if branch.children]
        assert "L2" in str(implementation.label)
    assert any("merge: 3 parts" in str(line.label) for line in strategy.children)
