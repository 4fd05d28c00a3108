"""A whole cluster whose mind is a command-line agent: it works in the copy, its events are steps."""

import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from hal9.cluster import Home
from tests.conftest import edit_settings, running_cluster

OBJECTIVE = "add(2, 3) gives a wrong result; repair it."
CHECK = "python check.py"
EVENTS = [
    {"type": "thread.started", "thread_id": "x"},
    {"type": "item.completed", "item": {"type": "file_change", "changes": [{"path": "adder.py", "kind": "update"}], "status": "completed"}},
    {"type": "item.completed", "item": {"type": "command_execution", "command": "python check.py", "aggregated_output": "", "exit_code": 0}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "I turned the sign."}},
    {"type": "turn.completed", "usage": {"input_tokens": 900, "cached_input_tokens": 800, "output_tokens": 40}},
]  # fmt: skip


@pytest.fixture
def agent(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `codex` that is wrong at first, and right once it is told how the first try ended."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = textwrap.dedent(
        f"""\
        #!{sys.executable} -I
        import pathlib, sys
        if sys.argv[1:] == ["--version"]:
            print("codex-cli 0.171.0"); sys.exit()
        prompt = sys.stdin.read()
        sign = "+" if "An earlier try" in prompt else "*"
        pathlib.Path("adder.py").write_text(f"def add(a, b):\\n    return a {{sign}} b\\n")
        print({chr(10).join(json.dumps(event) for event in EVENTS)!r})
        """
    )
    path = folder / "codex"
    path.write_text(program)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HAL9_MODEL", "agent:codex")
    edit_settings(home, "agent_usd_per_call: 0.5 ", "agent_usd_per_call: 0.1 ")
    return path


async def test_an_agent_repairs_a_fault_and_its_steps_are_kept(
    home: Home, workspace: Path, agent: Path
) -> None:
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    async with running_cluster(home) as (_daemon, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = [step for step in await cluster.steps(task_id) if step.layer == 2]
    assert task.state == "done", task.result
    assert task.result is not None
    assert task.result.answer == "I turned the sign."
    assert "a + b" in (workspace / "adder.py").read_text()
    assert [change.path for change in task.result.changes] == ["adder.py"]
    tools = [step for step in steps if step.kind == "tool" and step.tool != "says"]
    assert [(step.tool, step.paths) for step in tools[:2]] == [
        ("update", ["adder.py"]),
        ("command_execution", []),
    ]
    assert tools[1].programs == ["python"]
    thoughts = [step for step in steps if step.kind == "think"]
    assert thoughts[0].mode == "agent"
    assert [step.tally.prompt_tokens for step in thoughts] == [900, 900]
    assert task.result.tally.calls == 2


async def test_the_policy_judges_what_an_agent_left(home: Home, workspace: Path, agent: Path) -> None:
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    rule = "    - {name: own, verdict: refuse, paths: [adder.py], reason: adder.py is not yours}\n"
    edit_settings(home, "    - {name: no-push", rule + "    - {name: no-push")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "failed"
    assert task.result is not None
    assert task.result.error is not None
    assert "adder.py is not yours" in task.result.error.message
    assert "a + b" in task.result.changes[0].diff  # what it would have done can be looked at
    assert "a - b" in (workspace / "adder.py").read_text()


async def test_an_agent_that_fails_changes_nothing(home: Home, workspace: Path, agent: Path) -> None:
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    agent.write_text(agent.read_text().split("print({")[0] + "sys.exit('not logged in')\n")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "failed"
    assert task.result is not None
    assert task.result.error is not None
    assert task.result.error.reason == "mind_failed"
    assert "not logged in" in task.result.error.message
    assert "a - b" in (workspace / "adder.py").read_text()
