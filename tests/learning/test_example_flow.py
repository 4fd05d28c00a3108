"""The design's example flow through a whole cluster: real broker, real SQLite, real checks."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hal9.cluster import Cluster, Home
from hal9.journal.tasks import TaskRow
from tests.conftest import edit_settings, running_cluster
from tests.learning.scripts import RULE

ROOT = Path(__file__).parents[2]
RIGHT = "def invoice_date(day, month, year):\n    return f'{day:02d}.{month:02d}.{year:04d}'\n"
NAMES = ("invoice", "reminder", "receipt", "contract", "offer")


def objective(name: str) -> str:
    return f"In module billing, write the function {name}_date(day, month, year) that formats a date."


def make_check(workspace: Path, name: str) -> str:
    (workspace / f"check_{name}.py").write_text(
        f"from dates import {name}_date as f\n\ndef check():\n"
        "    assert f(3, 4, 2026) == '03.04.2026', f(3, 4, 2026)\n\ncheck()\n"
    )
    return f"python check_{name}.py"


def one_attempt(home: Home) -> None:
    edit_settings(
        home, "attempts: 4                 # tries to pass", "attempts: 1                 # tries to pass"
    )


async def do(cluster: Cluster, workspace: Path, name: str) -> TaskRow:
    check = make_check(workspace, name)
    task_id = await cluster.submit(objective(name), workspace=workspace, check=check, targets=("dates.py",))
    return await cluster.wait(task_id, timeout_seconds=180)


async def say(cluster: Cluster, task_id: str, **body: Any) -> dict[str, Any]:
    number = await cluster.request("feedback", body, task_id=task_id)
    answer: dict[str, Any] = json.loads(await cluster.answer(number, timeout_seconds=60))
    return answer


def rows(home: Home, query: str, *values: object) -> list[sqlite3.Row]:
    connection = sqlite3.connect(home.state / "memory.db")
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


async def until(home: Home, query: str, count: int = 1) -> list[sqlite3.Row]:
    """The rows of a query, once there are so many of them."""
    found: list[sqlite3.Row] = []
    for _ in range(1200):
        found = rows(home, query)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(found)} rows instead of {count}: {query}")


@pytest.fixture
def mind(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def choose(name: str) -> None:
        monkeypatch.setenv("HAL9_MODEL", f"scripted:tests.learning.scripts:{name}")

    return choose


async def test_failed_checks_become_a_pattern_and_the_users_word_a_rule_that_helps(
    home: Home, workspace: Path, mind: Callable[[str], None]
) -> None:
    mind("obeys_rules")
    one_attempt(home)
    async with running_cluster(home) as (_, cluster):
        failed = [await do(cluster, workspace, name) for name in NAMES[:3]]
        assert {task.stop_reason for task in failed} == {"check_failed"}
        gradients = await until(home, "SELECT * FROM gradients ORDER BY rowid", 9)
        told = await say(cluster, failed[0].id, verdict="reject", why=f"{RULE}.")
        passed = await do(cluster, workspace, NAMES[3])
        steps = await cluster.steps(passed.id)
        used = await until(home, "SELECT helped, failed FROM mitigations WHERE helped > 0")

    first = [row for row in gradients if row["task_id"] == failed[0].id]
    assert [row["layer"] for row in first] == [2, 3, 4]
    assert [round(row["magnitude"], 3) for row in first] == [0.7, 0.63, 0.567]
    assert {row["error_type"] for row in first} == {"incorrect_output"}
    assert {row["state"] for row in gradients} == {"applied"}
    critiques = [json.loads(row["body"])["gradient"]["critique"] for row in first]
    assert len(set(critiques)) == 3
    assert all("AssertionError: 2026-4-3" in text for text in critiques)
    assert "implementation" in critiques[0]
    assert "design" in critiques[1]
    assert "strategy" in critiques[2]

    pattern = rows(home, "SELECT * FROM patterns")[0]
    assert (pattern["occurrences"], pattern["module"]) == (3, "billing")
    assert {row["layer"] for row in rows(home, "SELECT layer FROM memories WHERE kind = 'error'")} == {
        2,
        3,
        4,
    }

    assert told["mitigation_state"] == "admitted"
    assert passed.state == "done"
    think = next(step for step in steps if step.kind == "think")
    assert think.recalled == [str(told["mitigation"])]
    assert f"[user]\nIn module billing: {RULE}.\n\n{objective(NAMES[3])}" in think.prompt
    assert (used[0]["helped"], used[0]["failed"]) == (1, 0)


async def test_one_rejection_without_a_check_makes_the_users_rule_known(
    home: Home, mind: Callable[[str], None]
) -> None:
    mind("obeys_rules")
    async with running_cluster(home) as (_, cluster):
        answers = []
        task_id = await cluster.submit(objective(NAMES[0]))
        await cluster.wait(task_id, timeout_seconds=180)
        answers.append(await say(cluster, task_id, verdict="reject", why=f"{RULE}."))
        task_id = await cluster.submit(objective(NAMES[3]))
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert [answer["mitigation_state"] for answer in answers] == ["admitted"]
    assert "holds for" in answers[0]["said"][2]
    assert task.state == "done"
    think = next(step for step in steps if step.kind == "think")
    assert think.recalled
    assert ":02d}.{" in think.reply
    gradients = rows(home, "SELECT magnitude FROM gradients WHERE layer = 2")
    assert [row["magnitude"] for row in gradients] == [0.9]


async def test_a_corrected_answer_is_verified_by_the_check_and_shown_as_an_example(
    home: Home, workspace: Path, mind: Callable[[str], None]
) -> None:
    mind("never_right")
    one_attempt(home)
    right = "def invoice_date(day, month, year):\n    return f'{day:02d}.{month:02d}.{year:04d}'\n"
    async with running_cluster(home) as (_, cluster):
        task = await do(cluster, workspace, "invoice")
        wrong = await say(
            cluster, task.id, verdict="reject", expected="def invoice_date(*a):\n    return 1\n"
        )
        told = await say(cluster, task.id, verdict="reject", expected=right)
        again = await do(cluster, workspace, "offer")
        steps = await cluster.steps(again.id)
        other_id = await cluster.submit(
            "In module motor, write the function spin_date(day, month, year) today."
        )
        await cluster.wait(other_id, timeout_seconds=180)
        other = await cluster.steps(other_id)
    assert wrong["mitigation_state"] == "quarantined"
    assert told["mitigation_state"] == "admitted"
    prompt = next(step for step in steps if step.kind == "think").prompt
    assert f"[user]\n{objective('invoice')}\n\n[assistant]\n```python\n{right.rstrip()}\n```" in prompt
    assert next(step for step in other if step.kind == "think").recalled == []


async def test_a_neuron_in_a_process_of_its_own_learns_too(
    home: Home, workspace: Path, mind: Callable[[str], None]
) -> None:
    mind("obeys_rules")
    one_attempt(home)
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (daemon, cluster):
        process = subprocess.Popen(
            [sys.executable, "-m", "hal9", "--home", str(home.root), "neuron", "l2-implementer"], cwd=ROOT
        )
        try:
            async with asyncio.timeout(120):
                while "l2-implementer" not in daemon.directory.reachable():
                    await asyncio.sleep(0.05)
            task = await do(cluster, workspace, NAMES[0])
            gradients = await until(home, "SELECT * FROM gradients ORDER BY layer", 3)
            told = await say(cluster, task.id, verdict="reject", why=f"{RULE}.", expected=RIGHT)
            passed = await do(cluster, workspace, NAMES[1])
            steps = await cluster.steps(passed.id)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
    assert [(row["target"], row["state"]) for row in gradients] == [
        ("l2-implementer", "applied"), ("l3-designer", "applied"), ("l4-strategist", "applied"),
    ]  # fmt: skip
    assert next(step for step in steps if step.kind == "think").recalled == [str(told["mitigation"])]
    assert passed.state == "done"
