"""The command line as a person uses it: real processes, real daemon, readable errors, documented exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.cluster import Home
from tests.support.commands import run_hal9


class Shell:
    """Runs `hal9` against one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {**os.environ, "HAL9_MODEL": "scripted:tests.support.scripts:adder", "COLUMNS": "200"}

    def __call__(
        self, *arguments: str, stdin: str = "", code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        done = run_hal9("--home", str(self.home), *arguments, environ=self.environ, stdin=stdin)
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def shell(home: Home) -> Iterator[Shell]:
    run = Shell(home.root)
    yield run
    run("stop", "--force", code=None)


def test_a_day_with_the_cluster(shell: Shell, workspace: Path) -> None:
    assert "is up" in shell("up", "--detach").stdout
    second = shell("up", "--detach", code=1)
    assert "already runs" in second.stderr
    assert shell("up", code=1).stderr.startswith("hal9: a cluster already runs")
    status = json.loads(shell("status", "--json").stdout)
    assert (status["state"], status["embedded"]) == ("ready", True)
    assert set(status["neurons"].values()) == {2, 3, 4}

    done = shell("submit", "Write add(a, b) in adder.py", "--workspace", str(workspace), "--check", "python check.py",
                 "--wait")  # fmt: skip
    assert "check passed" in done.stdout
    assert "L4" in done.stdout
    assert "+def add" in done.stdout
    answer = shell("submit", "-", "--wait", "--json", stdin="Say hello")
    task = json.loads(answer.stdout)
    assert task["state"] == "done"
    assert task["objective"] == "Say hello"

    assert len(json.loads(shell("tasks", "--json").stdout)) == 2
    assert "Say hello" in shell("tasks").stdout
    assert json.loads(shell("show", "last", "--json").stdout)["id"] == task["id"]
    assert "Say hello" in shell("show", task["id"][-12:]).stdout
    steps = json.loads(shell("trace", "last", "--json").stdout)
    assert [step["layer"] for step in steps] == [4, 3, 2]
    assert "implementation" in shell("trace", "last").stdout
    assert "Here it is." in shell("result", "last").stdout
    doctor = json.loads(shell("doctor", "--json", code=None).stdout)
    assert {finding["what"] for finding in doctor["findings"]} >= {
        "settings",
        "cluster",
        "mind",
        "sandbox",
        "journal.db",
    }
    assert doctor["dead_letters"]["total"] == 0
    assert "ready: 4 neurons" in shell("logs").stdout

    assert "has ended" in shell("stop").stdout
    assert shell("status", code=1).stdout.strip().startswith("● down")
    assert "no cluster runs" in shell("stop", code=1).stderr


def test_a_killed_daemon_is_noticed_and_replaced(shell: Shell) -> None:
    shell("up", "-d")
    shell("stop", "--force")
    assert json.loads(shell("status", "--json", code=1).stdout)["state"] == "down"
    shell("up", "-d")
    done = shell("submit", "Say hello", "--wait", "--json")
    assert json.loads(done.stdout)["state"] == "done"


def test_a_failed_task_has_an_exit_code_of_its_own(shell: Shell, workspace: Path) -> None:
    shell.environ["HAL9_MODEL"] = "scripted:tests.support.scripts:stubborn"
    shell("up", "-d")
    done = shell("submit", "Write add in adder.py", "--workspace", str(workspace), "--check", "python check.py", "--wait",
                 code=8)  # fmt: skip
    assert "repeated_step" in done.stdout
    assert "repeated_step" in shell("result", "last", code=8).stderr


def test_init_config_and_mistakes(tmp_path: Path) -> None:
    target = tmp_path / "fresh"
    shell = Shell(target)
    assert "no HAL9 home found" in shell("status", code=3).stderr
    assert "is a HAL9 home now" in shell("init", str(target)).stdout
    assert "never overwrites" in shell("init", str(target), code=3).stderr
    assert "are in order" in shell("config", "check").stdout
    assert "pattern_threshold: 3" in shell("config", "show").stdout
    assert json.loads(shell("config", "show", "--json").stdout)["cluster"]["name"] == "hal9"
    settings = target / "config" / "hal9.yaml"
    settings.write_text(settings.read_text().replace("learning_rate:", "lerning_rate:"))
    neuron = target / "neurons" / "l3-designer.md"
    neuron.write_text(neuron.read_text().replace("layer = 3", "layer = 7"))
    found = shell("config", "check", code=3).stderr
    assert "did you mean 'learning_rate'?" in found
    assert "l3-designer.md" in found
    assert "learning_rate" in shell("up", "--detach", code=3).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sumbit", "x"), 2, "Did you mean 'submit'?"),
        (("show", "nope"), 7, "no task 'nope'"),
        (("submit", "x", "--workspace", "/nonexistent"), 2, "is not a directory"),
        (("submit", "x", "--timeout", "soon"), 2, "is not a valid float"),
        (("watch",), 1, "no cluster runs"),
        (("neuron", "l2-implementer"), 1, "no cluster runs"),
        (("neuron", "l2-implementer", "--broker", "mqtt://192.0.2.1:1883"), 4, "TLS"),
        (("neuron", "nobody", "--broker", "mqtt://127.0.0.1:1"), 3, "no neuron 'nobody'"),
    ],
)
def test_errors_are_sentences_with_codes(
    home: Home, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = Shell(home.root)(*arguments, code=code)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_command_and_completion_is_printed(home: Home) -> None:
    from click.testing import CliRunner

    from hal9.cli.app import COMMANDS, cli

    shell = Shell(home.root)
    overview = shell("--help").stdout
    for name in COMMANDS:
        assert name in overview
        assert "Usage:" in CliRunner().invoke(cli, [name, "--help"]).output
    assert "complete" in shell("completion", "bash").stdout


def test_help_imports_nothing_heavy() -> None:
    heavy = "('pydantic', 'numpy', 'aiomqtt', 'rich', 'litellm', 'scipy')"
    code = f"import sys; from hal9.cli import cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
