"""The command line against a server: the same commands, errors and exit codes as at home, from another process."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hal9.cluster import Home
from tests.support.commands import ROOT, run_hal9
from tests.support.waiting import eventually_now


class Far:
    """Runs `hal9` somewhere that has no home, with a token."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = run_hal9(*arguments, environ=self.environ, folder=self.folder)
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@contextmanager
def served(home: Home, script: str) -> Iterator[str]:
    """A daemon with its server, as a process of its own; gives the server's URL."""
    at_home = ("--home", str(home.root))
    environ = {**os.environ, "HAL9_MODEL": f"scripted:tests.support.scripts:{script}"}
    up = run_hal9(*at_home, "up", "--detach", environ=environ)
    assert up.returncode == 0, up.stderr
    try:
        yield json.loads((home.state / "api.json").read_text())["url"]
    finally:
        run_hal9(*at_home, "stop", "--force")


def make_token(home: Home, name: str, *scopes: str) -> str:
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    done = run_hal9("--home", str(home.root), "token", "create", name, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["token"])


def test_a_day_with_a_cluster_far_away(home: Home, tmp_path: Path, workspace: Path) -> None:
    with served(home, "adder") as url:
        a_day(url, Far(tmp_path / "far"), make_token(home, "far", "read", "submit", "feedback"), workspace)


def a_day(url: str, far: Far, token: str, workspace: Path) -> None:
    assert "401" not in far("login", url, "--token", token).stdout
    kept = far.folder / "config" / "hal9" / "servers.yaml"
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

    patch = far("patch", "last").stdout
    subprocess.run(["git", "apply", "-"], cwd=workspace, input=patch, text=True, check=True)
    assert "def add" in (workspace / "adder.py").read_text(), "what was made far away is here"
    assert far("diff", "last").stdout == patch
    assert far("diff", "last", "--stat").stdout.split() == ["created", "adder.py"]
    assert "git apply" in far("apply", "last", code=2).stderr
    assert "feedback" in far("requests").stdout
    assert "no difference" in far("diff", "l2-implementer").stdout

    unknown = far("show", "nosuch", code=7)
    assert "no task 'nosuch'" in unknown.stderr
    assert "scope 'admin'" in far("learning", "pause", code=1).stderr
    assert "works on the machine" in far("--url", url, "doctor", code=2).stderr
    assert "valid token" in far("--url", url, "--token", "hal9_x_y", "status", code=1).stderr
    assert "no answer from" in far("status", "--url", "http://127.0.0.1:9", code=4).stderr
    assert "no profile 'other'" in far("status", "--profile", "other", code=3).stderr


def test_rules_and_hosts_of_a_cluster_far_away(home: Home, tmp_path: Path) -> None:
    with served(home, "adder") as url:
        far = Far(tmp_path / "far")
        far.environ |= {"HAL9_URL": url, "HAL9_TOKEN": make_token(home, "reader", "read")}
        assert "no rules yet" in far("rules").stdout
        assert "scope 'approve'" in far("remember", "always add type hints", code=1).stderr
        far.environ["HAL9_TOKEN"] = make_token(home, "owner", "read", "approve")
        told = json.loads(far("remember", "always add type hints", "--json").stdout)
        assert "understood" in told["said"][0]
        number = str(told["rule"])
        assert "always add type hints" in far("rules").stdout
        assert "out of use" in far("forget", number).stdout
        assert "always add" not in far("rules").stdout
        assert json.loads(far("rules", "--all", "--json").stdout)["rules"][0]["state"] == "retired"
        assert "no rule" in far("forget", "99", code=None).stderr
        assert "works on the machine" in far("rules", "set", number, "--for", "src", code=2).stderr

        assert "scope 'admin'" in far("drain", "any", code=1).stderr
        far.environ["HAL9_TOKEN"] = make_token(home, "admin", "read", "admin")
        assert "on PostgreSQL" in far("drain", "no/such host", code=1).stderr


def test_what_a_person_says_to_tasks_far_away(home: Home, tmp_path: Path, workspace: Path) -> None:
    with served(home, "asks_first") as url:
        far = Far(tmp_path / "far")
        scopes = ("read", "submit", "feedback", "approve")
        far.environ |= {"HAL9_URL": url, "HAL9_TOKEN": make_token(home, "far", *scopes)}
        given = far("submit", "Write it.", "--workspace", str(workspace), "--json").stdout
        task = json.loads(given)["id"]
        assert "is still" in far("reply", task, "and then?", code=None).stderr

        question = asked(far)
        assert question["text"] == "Which name?"
        unknown = far("answer", "nosuch", "yes", code=None)
        assert question["id"] in unknown.stderr, "what is open is told"
        assert unknown.returncode == far("answer", "no such", "yes", code=None).returncode != 0
        assert "goes on" in far("answer", question["id"][:8], "total").stdout
        assert "already" in far("answer", question["id"], "other", code=None).stderr
        assert "written" in far("result", task, "--wait").stdout

        steps = far("show", task, "--steps").stdout
        assert "Which name?" in steps
        assert "total.txt" in steps
        logged = json.loads(far("show", task, "--steps", "--json").stdout)
        assert {one["kind"] for one in logged} >= {"reply", "result"}

        new = json.loads(far("reply", task, "and another", "--json").stdout)["id"]
        told = json.loads(far("show", new, "--json").stdout)
        assert told["objective"] == "and another"
        assert asked(far)["task_id"] == new, "it works on"
        again = far("retry", task, "another name, please").stdout.split()[0]
        assert json.loads(far("show", again, "--json").stdout)["objective"] == "Write it."

        assert "no task 'nosuch'" in far("reply", "nosuch", "x", code=7).stderr
        assert "no task 'nosuch'" in far("show", "nosuch", "--steps", code=7).stderr
        far.environ["HAL9_TOKEN"] = make_token(home, "other", "read", "submit")
        assert "scope 'approve'" in far("answer", question["id"], "x", code=1).stderr
        assert "scope 'feedback'" in far("retry", task, "why not", code=1).stderr
        assert str(home.root / "uploads") in far("reply", task, "mine now", code=None).stderr, (
            "what one client brought along is not another's to change"
        )


def asked(far: Far) -> Any:
    """The newest question that waits, as soon as there is one."""

    def questions() -> list[Any]:
        waiting = json.loads(far("approvals", "--json").stdout)
        return [one for one in waiting if one.get("type") == "question"]

    return eventually_now(questions, "a question waits")[-1]
