"""`hal9 tune` as a user runs it: a real home, real checks, killed half way, rolled back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from hal9.cli.app import cli
from hal9.learning import PromptStore
from hal9.memory import MemoryStore
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.neurons import load_neurons
from hal9.tuning import SpecialistRouter, TuningTask
from tests.tuning.toy import WORDS, toy_tasks

MINDS = ("--mind", "scripted:tests.tuning.minds:follow", "--reflect", "scripted:tests.tuning.minds:reflect")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = CliRunner().invoke(cli, ["init", str(tmp_path / "home")])
    assert made.exit_code == 0, made.output
    return tmp_path / "home"


def check_of(task: TuningTask) -> str:
    """Names the first word that is missing."""
    return " && ".join(
        f"(grep -q {word} answer.txt || (echo 'missing: {word}'; exit 1))" for word in task.answers
    )


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.yaml"
    entries = [
        {"id": task.id, "input": task.input, "check": check_of(task)} for task in toy_tasks(15, rules=3)
    ]
    path.write_text(yaml.safe_dump({"tasks": entries}))
    return path


def process(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "hal9", "--home", str(home), *arguments]


def test_tune_promotes_what_is_certainly_better_and_rollback_undoes_it(home: Path, tasks: Path) -> None:
    done = CliRunner().invoke(
        cli, ["--home", str(home), "tune", "l2-implementer", str(tasks), *MINDS, "--budget", "60", "--json"]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["promoted"] and said["held_out"]["after"] == 1.0 and Path(said["report"]).is_file()
    files = {name: one.promptgram for name, one in load_neurons(home / "neurons").items()}
    with MemoryStore(home / ".hal9" / "memory.db") as store:
        assert "Always name" in PromptStore(store, files).current("l2-implementer").render()
    again = CliRunner().invoke(
        cli, ["--home", str(home), "tune", "l2-implementer", str(tasks), *MINDS, "--budget", "60", "--json"]
    )
    assert json.loads(again.output)["held_out"]["gain"] == 0.0, (
        "what is in force is where the next run begins"
    )


def test_killed_half_way_it_goes_on(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    entries = [
        {"id": task.id, "input": task.input, "check": f"sleep 0.05; {check_of(task)}"}
        for task in toy_tasks(15, rules=3)
    ]
    path.write_text(yaml.safe_dump({"tasks": entries}))
    command = process(
        home, "tune", "l2-implementer", str(path), *MINDS, "--budget", "60", "--run-name", "once"
    )
    record = home / ".hal9" / "tuning" / "once" / "run.sqlite"
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ}
    )
    while running.poll() is None and kept(record) < 4:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = kept(record)
    assert before >= 4
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert kept(record) >= before and json.loads(done.stdout)["held_out"]["after"] == 1.0


def test_a_limit_that_is_used_up_at_once_is_one_sentence_and_the_run_goes_on(home: Path, tasks: Path) -> None:
    command = process(
        home, "tune", "l2-implementer", str(tasks), *MINDS, "--budget", "60", "--run-name", "poor"
    )
    poor = subprocess.run([*command, "--limit-tokens", "10"], capture_output=True, text=True, check=False)
    assert poor.returncode == 6 and "the same command with a higher limit goes on" in poor.stderr, poor.stderr
    assert "unexpected" not in poor.stderr and "Group" not in poor.stderr
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["held_out"]["after"] == 1.0, done.stderr


def test_ctrl_c_says_that_the_run_goes_on(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    entries = [{"id": f"t{n}", "input": f"q{n}", "check": "sleep 0.2; exit 1"} for n in range(20)]
    path.write_text(yaml.safe_dump({"tasks": entries}))
    command = process(
        home, "tune", "l2-implementer", str(path), *MINDS, "--budget", "60", "--run-name", "once"
    )
    record = home / ".hal9" / "tuning" / "once" / "run.sqlite"
    # Who runs the tests in the background has SIGINT ignored, and children inherit that.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds_ctrl_c,  # noqa: PLW1509 - no threads here
    ) as running:
        while running.poll() is None and kept(record) < 2:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
    assert running.returncode == 130 and "the same command goes on" in said and str(record.parent) in said


def heeds_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kept(record: Path) -> int:
    import sqlite3

    if not record.is_file():
        return 0
    connection = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["l2-implementer"], 2, "give a file of tasks"),
        (["l2-nobody", "TASKS", *MINDS], None, "l2-nobody"),
        (["l2-implementer", "TASKS", *MINDS, "--run-name", "../evil"], 2, "letters"),
        (["l2-implementer", "TASKS", *MINDS, "--budget", "3"], 2, "--budget"),
        (["l2-implementer", "--from-journal", *MINDS], 2, "remembers 0 tasks"),
    ],
)
def test_wrong_input_is_one_sentence(
    home: Path, tasks: Path, arguments: list[str], code: int | None, said: str
) -> None:
    given = [str(tasks) if one == "TASKS" else one for one in arguments]
    done = subprocess.run(process(home, "tune", *given), capture_output=True, text=True, check=False)
    assert done.returncode == code if code is not None else done.returncode != 0
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (home / ".hal9" / "evil").exists()


def test_the_router_sends_new_tasks_to_the_right_specialist() -> None:
    kinds = {
        "sql": "Write a query that selects {} from the orders table",
        "poem": "Write two rhymed lines about {}",
    }
    tasks = [
        TuningTask(input=text.format(word), expected=kind) for kind, text in kinds.items() for word in WORDS
    ]
    scores = {kind: [1.0 if task.expected == kind else 0.0 for task in tasks] for kind in kinds}
    router = SpecialistRouter.fit(tasks, scores, HashingEmbedder())
    assert router.quality.worth_it and router.quality.routed >= 0.9 * router.quality.perfect
    new = [TuningTask(input=text.format("violets and rain"), expected=kind) for kind, text in kinds.items()]
    assert router.route(new, HashingEmbedder()) == list(kinds)
