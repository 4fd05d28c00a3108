"""`hal9 diff`, `apply`, `patch`: as a person uses them on a task, and what they say when something is wrong."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hal9.cli.app import cli
from hal9.cli.app import run as run_command
from hal9.cluster import Home, connect
from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot

Hal9 = Callable[..., tuple[str, str]]


@pytest.fixture
def hal9(home: Home, capfd: pytest.CaptureFixture[str]) -> Hal9:
    """Runs a command in this process; returns what it printed."""

    def call(*arguments: str, code: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        ended = run_command(cli, ["--home", str(home.root), *arguments])
        out, err = capfd.readouterr()
        assert ended == code, (arguments, out, err)
        return out, err

    return call


@pytest.fixture
def task(home: Home, workspace: Path) -> str:
    """A task whose turn was asked to keep its changes for review."""

    async def make() -> str:
        async with connect(home.root) as cluster:
            task_id = await cluster.submit("Write add(a, b)\nwith care", workspace=workspace, review=True)
        place = Place(workspace, home.snapshots / "turn", changes=home.changes / task_id / "turn")
        async with Snapshot(place, WorkbenchSettings(isolation="none")) as snapshot:
            await snapshot.write("adder.py", b"def add(a, b):\n    return a + b\n")
            await snapshot.run("mkfifo pipe; echo '# checked' >> check.py")
            await snapshot.keep()
            await snapshot.discard()
        return task_id

    return asyncio.run(make())


def test_shown_then_applied_then_taken_back(
    hal9: Hal9, task: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = hal9("diff", task[-8:])
    assert "+def add(a, b):" in out
    assert "left out pipe: a fifo" in err
    assert "`hal9 apply" in err
    assert hal9("diff", "last", "--stat")[0] == "created  adder.py\nmodified check.py\n"
    assert json.loads(hal9("diff", "last", "--json")[0])["carried"] == "none"
    assert not (workspace / "adder.py").exists()

    monkeypatch.setattr("click.confirm", lambda _: False)
    assert "nothing was changed" in hal9("apply", "last", "--review", code=1)[0]
    assert not (workspace / "adder.py").exists()
    monkeypatch.setattr("click.confirm", lambda _: True)
    assert "2 changed files in" in hal9("apply", "last", "--review")[0]
    assert (workspace / "adder.py").read_text() == "def add(a, b):\n    return a + b\n"
    assert "apply" not in hal9("diff", "last")[1]

    (workspace / "adder.py").write_text("mine\n")
    assert "adder.py: it was changed meanwhile" in hal9("apply", "last", "--undo", code=1)[1]
    (workspace / "adder.py").write_text("def add(a, b):\n    return a + b\n")
    hal9("apply", "last", "--undo")
    assert not (workspace / "adder.py").exists()


def test_a_patch_and_a_branch(hal9: Hal9, task: str, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "p").write_text(hal9("patch", task)[0])
    assert "not in a git repository" in hal9("apply", task, "--branch", "b", code=1)[1]
    for arguments in (
        ["init", "-q"],
        ["config", "user.name", "me"],
        ["config", "user.email", "me@example.org"],
        ["add", "-A"],
        ["commit", "-qm", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=workspace, check=True)
    subprocess.run(["git", "apply", "--check", tmp_path / "p"], cwd=workspace, check=True)
    assert "nothing was pushed" in hal9("apply", task, "--branch", "b")[0]
    log = subprocess.run(
        ["git", "log", "-1", "--format=%B", "b"], cwd=workspace, check=True, capture_output=True, text=True
    )
    assert log.stdout == f"Write add(a, b) with care\n\nTask: {task}\n\n"
    assert not (workspace / "adder.py").exists()


def test_what_is_wrong_is_said(hal9: Hal9, task: str, home: Home, workspace: Path) -> None:
    assert "no task" in hal9("diff", "zzz", code=7)[1]
    assert "goes with --branch" in " ".join(hal9("apply", task, "-m", "x", code=2)[1].split())
    assert "do not go together" in hal9("apply", task, "--undo", "--branch", "b", code=2)[1]
    hal9("submit", "another")
    assert "there are no changes of task" in hal9("patch", "last", code=1)[1]
    assert "no difference" in hal9("diff", "l2-implementer")[0]
    assert "cannot be a workspace" in hal9("submit", "x", "--workspace", "/etc", code=2)[1]
    assert "it is a HAL9 home" in hal9("submit", "x", "--workspace", str(home.root), code=2)[1]
    hal9("submit", "x", "--workspace", str(home.root), "--allow-home")
