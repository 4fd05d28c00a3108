"""A home on a file system that is mounted read-only: every command says so, and none ends as unexpected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hal9.cluster import Home
from tests.conftest import running_cluster

pytestmark = pytest.mark.bubblewrap
FRESH = ("status", "doctor", "rules")
USED = ("up --detach", "status", "doctor", "submit hello", "stop")


def said(home: Home, command: str) -> subprocess.CompletedProcess[str]:
    mounted = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(home.root), str(home.root)]
    return subprocess.run(
        [*mounted, sys.executable, "-m", "hal9", "--home", str(home.root), *command.split()],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HAL9_MODEL": "scripted:tests.learning.scripts:designs"},
        cwd=Path(__file__).parents[2],
    )


def everything(home: Home) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
async def test_a_read_only_home_is_told(home: Home, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if used:
        monkeypatch.setenv("HAL9_MODEL", "scripted:tests.learning.scripts:designs")
        async with running_cluster(home) as (_, cluster):
            await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
    before = everything(home)
    for command in USED if used else FRESH:
        done = said(home, command)
        # Where a line is broken depends on how long the home's path is.
        told = " ".join((done.stdout + done.stderr).split())
        assert done.returncode != 0, command
        assert "unexpected" not in told, told
        assert command == "stop" or "cannot be written" in told or "cannot be used" in told, (command, told)
    assert everything(home) == before
