"""The command line against a server: the same commands, errors and exit codes as at home, from another process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.cluster import Home

ROOT = Path(__file__).parents[2]


class Far:
    """Runs `hal9` somewhere that has no home, with a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hal9", *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=90,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def served_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("HAL9_MODEL", "scripted:tests.support.scripts:adder")
    at_home = [sys.executable, "-m", "hal9", "--home", str(home.root)]
    up = subprocess.run([*at_home, "up", "--detach"], cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert up.returncode == 0, up.stderr
    yield home
    subprocess.run([*at_home, "stop", "--force"], cwd=ROOT, capture_output=True, timeout=90)


def make_token(home: Home, name: str, *scopes: str) -> str:
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    done = subprocess.run(
        [sys.executable, "-m", "hal9", "--home", str(home.root), "token", "create", name, *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return str(json.loads(done.stdout)["token"])


def test_a_day_with_a_cluster_far_away(served_home: Home, tmp_path: Path, workspace: Path) -> None:
    url = json.loads((served_home.state / "api.json").read_text())["url"]
    folder = tmp_path / "far"
    folder.mkdir()
    far = Far(folder)
    token = make_token(served_home, "far", "read", "submit", "feedback")

    assert "401" not in far("login", url, "--token", token).stdout
    kept = folder / "config" / "hal9" / "servers.yaml"
    assert kept.stat().st_mode & 0o077 == 0
    far.environ["HAL9_PROFILE"] = "default"
    assert json.loads(far("status", "--json").stdout)["state"] == "ready"
    done = far("submit", "Write add(a, b) in adder.py", "--workspace", str(workspace), "--check", "python check.py",
               "--wait")  # fmt: skip
    assert "check passed" in done.stdout
    assert "L4" in done.stdout
    assert not (workspace / "adder.py").exists(), "the server worked on its own copy"
    assert "adder" in far("tasks").stdout
    assert "passed" in far("why", "last").stdout
    assert "recorded" in far("feedback", "last", "--reject", "add type hints").stdout
    assert json.loads(far("weights", "--json").stdout)
    assert far("ledger").stdout

    unknown = far("show", "nosuch", code=7)
    assert "no task 'nosuch'" in unknown.stderr
    assert "scope 'admin'" in far("learning", "pause", code=1).stderr
    assert "works on the machine" in far("--url", url, "doctor", code=2).stderr
    assert "valid token" in far("--url", url, "--token", "hal9_x_y", "status", code=1).stderr
    assert "no answer from" in far("status", "--url", "http://127.0.0.1:9", code=4).stderr
    assert "no profile 'other'" in far("status", "--profile", "other", code=3).stderr
