"""A neuron on another machine works on a workspace that it cannot see: it is fetched, and the changes come back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hal9.cluster import Cluster, Daemon, Home, init_home
from hal9.workbench.patches import find_changes
from tests.cluster.test_nodes import reachable
from tests.conftest import Script, edit_settings, running_cluster
from tests.support.waiting import eventually

pytestmark = pytest.mark.bubblewrap
ROOT = Path(__file__).parents[2]
OBJECTIVE = "Write add(a, b) in adder.py"
CHECK = "python check.py"


@pytest.fixture
def far(tmp_path: Path) -> Home:
    """A home on another machine: it shares no file with the first."""
    far = init_home(tmp_path / "far" / "home")
    edit_settings(far, "isolation: auto ", "isolation: none ")
    return far


@asynccontextmanager
async def far_neuron(
    daemon: Daemon, far: Home, hidden: Path, *, script: str
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """L2 on a machine where `hidden` is empty, logged in to the cluster's broker."""
    assert daemon.broker is not None
    address = daemon.broker.address("l2-implementer")
    url = f"mqtt://{address.username}:{address.password}@{address.host}:{address.port}"
    with (far.root / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *("bwrap", "--dev-bind", "/", "/", "--tmpfs", str(hidden), "--die-with-parent", "--"),
                *(sys.executable, "-m", "hal9", "--home", str(far.root)),
                *("neuron", "l2-implementer", "--broker", url),
            ],
            cwd=ROOT,
            env={**os.environ, "HAL9_MODEL": f"scripted:tests.support.scripts:{script}"},
            stdout=log,
            stderr=log,
        )
    try:
        await reachable(daemon, "l2-implementer")
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


@asynccontextmanager
async def apart(
    home: Home, far: Home, hidden: Path, *, script: str = "adder"
) -> AsyncIterator[tuple[Daemon, Cluster]]:
    """A cluster whose implementer is on another machine."""
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (daemon, cluster), far_neuron(daemon, far, hidden, script=script):
        yield daemon, cluster


def left_over(far: Home) -> list[str]:
    """Files of workspaces that are still on the other machine."""
    below = [far.state / "nodes", far.state / "changes", far.state / "travelling"]
    return [
        str(path)
        for folder in below
        for path in folder.rglob("*")
        if path.name in ("adder.py", "check.py", "blobs")
    ]


async def test_the_workspace_is_fetched_and_the_changes_come_back(
    home: Home, far: Home, tmp_path: Path, script: Script
) -> None:
    script("adder")
    workspace = repository(tmp_path / "here" / "project")
    async with apart(home, far, tmp_path / "here") as (_, cluster):
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        assert task.state == "done", (task.result, (far.root / "node.log").read_text())
        assert (workspace / "adder.py").read_text() == "def add(a, b):\n    return a + b\n"
        assert os.access(workspace / "run.sh", os.X_OK)
        assert left_over(far) == []
        await eventually(lambda: not (home.travelling / task_id).exists(), "archives are gone")
    changes = find_changes(home.changes, task_id)
    assert changes.carried == "all"
    changes.take_back()
    assert not (workspace / "adder.py").exists()


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "check.py").write_text("from adder import add\nassert add(2, 3) == 5, add(2, 3)\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "latest").symlink_to("check.py")
    (folder / ".env").write_text("TOKEN=1234\n")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder))
    for line in (("init", "-q"), ("add", "check.py", "run.sh"), ("commit", "-q", "-m", "begin")):
        subprocess.run([*git, *line], check=True, capture_output=True)
    return folder


@pytest.mark.slow
async def test_a_machine_that_is_killed_in_the_middle_leaves_nothing_half(
    home: Home, far: Home, tmp_path: Path, script: Script
) -> None:
    script("adder")
    workspace = repository(tmp_path / "here" / "project")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    hidden = tmp_path / "here"
    async with running_cluster(home) as (daemon, cluster):
        async with far_neuron(daemon, far, hidden, script="slow") as process:
            task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
            await eventually(lambda: list(far.state.rglob("base.json")), "it is at work on its copy")
            process.kill()
            await asyncio.to_thread(process.wait, 30)
        assert not (workspace / "adder.py").exists()
        async with far_neuron(daemon, far, hidden, script="adder"):
            task = await cluster.wait(task_id, timeout_seconds=180)
        assert task.state == "done", (task.result, (far.root / "node.log").read_text())
    assert (workspace / "adder.py").exists()
    assert left_over(far) == []


@pytest.mark.slow
async def test_what_came_to_nothing_is_kept_at_home_as_a_diff(
    home: Home, far: Home, tmp_path: Path, script: Script
) -> None:
    script("adder")
    workspace = repository(tmp_path / "here" / "project")
    async with apart(home, far, tmp_path / "here", script="stubborn") as (_, cluster):
        failed = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(failed, timeout_seconds=180)
        assert task.state == "failed"
        assert left_over(far) == []
    assert not (workspace / "adder.py").exists()
    found = find_changes(home.changes, failed)
    assert found.carried == "none"
    assert "a - b" in "".join(found.kept.patch())
