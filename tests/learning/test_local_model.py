"""The design's example flow with the real local model: it fails, is told, and gets it right."""

import json
from pathlib import Path

import pytest

from hal9.cluster import Cluster, Home
from hal9.journal.tasks import TaskRow
from tests.conftest import edit_settings, running_cluster
from tests.learning.test_example_flow import one_attempt, rows, say, until

NAMES = ("speed", "torque", "current", "voltage", "angle")
RULE = "Limits are kept with grip.hold(value, low, high), after `import grip`"
CHECK = """import grip

called = []
plain = grip.hold


def watched(*given):
    called.append(given)
    return plain(*given)


grip.hold = watched
from {name} import limit_{name} as limit

right = limit(500) == 100 and limit(-3) == 0
assert right and called, "limits must be kept with grip.hold"
"""
GRIP = "def hold(value, low, high):\n    return max(low, min(high, value))\n"


def objective(name: str) -> str:
    return (
        f"In module motor, write the Python function limit_{name}(value) that keeps value within 0 and 100."
    )


def right(name: str) -> str:
    return f"import grip\n\n\ndef limit_{name}(value):\n    return grip.hold(value, 0, 100)\n"


async def do(cluster: Cluster, workspace: Path, name: str) -> TaskRow:
    (workspace / f"check_{name}.py").write_text(CHECK.format(name=name))
    task_id = await cluster.submit(
        objective(name), workspace=workspace, check=f"python check_{name}.py", targets=(f"{name}.py",)
    )
    return await cluster.wait(task_id, timeout_seconds=170)


@pytest.mark.slow
@pytest.mark.local_model
@pytest.mark.timeout(900)
async def test_the_example_flow_with_the_local_model(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAL9_MODEL", "local:qwen2.5-coder-0.5b")
    one_attempt(home)
    # A map of the repository would give the convention away.
    edit_settings(home, "tokens: {L4: 0, L3: 1024, L2: 1024}", "tokens: {L4: 0, L3: 0, L2: 0}")
    workspace = tmp_path / "plant"
    workspace.mkdir()
    (workspace / "grip.py").write_text(GRIP)
    async with running_cluster(home) as (_, cluster):
        failed = [await do(cluster, workspace, name) for name in NAMES[:3]]
        assert {task.stop_reason for task in failed} == {"check_failed"}
        gradients = await until(home, "SELECT * FROM gradients ORDER BY rowid", 9)
        told = await say(cluster, failed[0].id, verdict="reject", why=f"{RULE}.", expected=right(NAMES[0]))
        passed = [await do(cluster, workspace, name) for name in NAMES[3:]]
        thinks = [
            next(step for step in await cluster.steps(task.id) if step.kind == "think") for task in passed
        ]
        await until(home, "SELECT 1 FROM uses", 2)
    first = [row for row in gradients if row["task_id"] == failed[0].id]
    assert [(row["layer"], round(row["magnitude"], 2)) for row in first] == [(2, 0.7), (3, 0.63), (4, 0.57)]
    assert len({json.loads(row["body"])["gradient"]["critique"] for row in first}) == 3
    assert rows(home, "SELECT occurrences FROM patterns")[0]["occurrences"] >= 3
    assert told["mitigation_state"] == "admitted"
    for think in thinks:
        assert think.recalled == [str(told["mitigation"])]
        assert f"In module motor: {RULE}." in think.prompt
    # Measured for this convention with rule and example: 20 of 20.
    assert "done" in {task.state for task in passed}
