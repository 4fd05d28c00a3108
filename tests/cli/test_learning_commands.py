"""The learning commands as a person uses them: right input, wrong input, cluster up and down."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hal9.cli.app import cli, run
from hal9.cluster import Home
from hal9.learning import PromptStore, RuleLearner
from hal9.memory import MemoryScope, MemoryStore, NewRule
from hal9.neurons import load_neurons
from hal9.promptgram import Edit
from tests.conftest import edit_settings
from tests.support.daemons import start, stop, wait_ready


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def hal9(home: Home, *arguments: str) -> Done:
    """The command line in this process: starting an interpreter for each would take a minute."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(cli, ["--home", str(home.root), *arguments])
    return Done(code, out.getvalue(), err.getvalue())


def fine(home: Home, *arguments: str) -> Any:
    done = hal9(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.fixture
def up(home: Home) -> Iterator[Home]:
    edit_settings(
        home, "attempts: 4                 # tries to pass", "attempts: 1                 # tries to pass"
    )
    process = start(home, HAL9_MODEL="scripted:tests.learning.scripts:obeys_rules")
    try:
        wait_ready(home, process)
        yield home
    finally:
        stop(process)


def test_a_person_teaches_looks_and_undoes(up: Home, tmp_path: Path) -> None:
    objective = "In module billing, write the function offer_date(day, month, year) that formats a date."
    task = fine(up, "submit", objective, "--wait")
    right = tmp_path / "right.py"
    right.write_text("def offer_date(d, m, y):\n    return f'{d:02d}.{m:02d}.{y}'\n")
    told = fine(
        up, "feedback", task["id"][-12:], "--reject", "Dates are written DD.MM.YYYY", "--expected", str(right)
    )
    assert told["mitigation_state"] == "admitted"
    assert any("gradient 0.90" in line for line in told["said"])

    again = fine(up, "submit", objective.replace("offer", "invoice"), "--wait")
    why = fine(up, "why", "last")
    assert why["task"]["id"] == again["id"]
    assert why["recalled"][0]["rule"].startswith("In module billing: Dates are written DD.MM.YYYY.")
    assert [step["layer"] for step in why["path"]] == [4, 3, 2]
    assert why["path"][0]["routes"][0]["odds"]
    first = fine(up, "why", task["id"])
    assert [one["layer"] for one in first["gradients"]] == [2, 3, 4]
    assert any(one["kind"] == "rule" and one["after"] == "admitted" for one in first["learned"])
    assert "gradients" in hal9(up, "why", task["id"]).stdout

    ledger = fine(up, "ledger", "--kind", "rule")
    assert " rule " in hal9(up, "ledger", "--kind", "rule").stdout
    assert [row["after"] for row in ledger] == ["candidate", "admitted"]
    undone = fine(up, "rollback", ledger[-1]["id"])
    assert undone["said"] == ["rule 1: admitted → candidate"]
    third = fine(up, "submit", objective.replace("offer", "bill"), "--wait")
    assert fine(up, "why", third["id"])["recalled"] == []

    assert fine(up, "learning", "pause")["said"] == ["learning is paused; recall goes on"]
    assert fine(up, "learning", "status")["learning"] is False
    paused = fine(up, "feedback", third["id"], "--reject", "no")
    assert "paused" in paused["said"][0]
    assert fine(up, "learning", "resume")
    assert fine(up, "learning", "freeze", "l3-designer")
    assert fine(up, "learning", "status")["frozen"] == ["l3-designer"]
    assert fine(up, "memory", "audit")["sound"] is True
    assert fine(up, "memory", "search", "date format")[0]["kind"] == "error"
    assert "memories" in fine(up, "memory", "sleep", "--dry-run")["said"][0]
    assert hal9(up, "memory", "export", str(tmp_path / "all.json")).returncode == 0
    assert hal9(up, "memory", "export", str(tmp_path / "pack.yaml")).returncode == 0
    taken = fine(up, "memory", "import", str(tmp_path / "all.json"), "--key", str(up.state / "learning.key"))
    assert taken["said"][0] == "signature checked"
    for wrong, words, code in (
        (("rollback", "nonsense"), "no change", 7),
        (("approve", "nonsense"), "no change", 7),
        (("learning", "freeze", "nobody"), "no neuron 'nobody'", 2),
        (("feedback", task["id"], "--accept", "--reject", "x"), "exclude each other", 2),
        (("feedback", task["id"]), "says nothing", 2),
        (("feedback", "nope", "--accept"), "nope", 7),
        (("memory", "import", str(right)), "right.py", 1),
        (("memory", "export", str(tmp_path / "x.txt")), ".yaml", 2),
        (("rollback",), "--to", 2),
    ):
        done = hal9(up, *wrong)
        assert (done.returncode, words in done.stderr + done.stdout) == (code, True), (wrong, done)


def test_while_the_cluster_is_down_wishes_are_kept_and_state_can_be_read(home: Home) -> None:
    files = {name: one.promptgram for name, one in load_neurons(home.neurons).items()}
    home.make_state()
    with MemoryStore(home.memory) as store:
        prompts = PromptStore(store, files)
        learned = files["l2-craftsman"].apply(Edit("Style", "append", content="- Be brief."))
        with store.writing():
            prompts.write_current("l2-craftsman", learned)
        RuleLearner(store).book.propose(
            NewRule(rule="x", scope=MemoryScope("*", "m", "*"), source="user", trusted_by="user")
        )

    def said(*arguments: str) -> str:
        done = hal9(home, *arguments)
        assert done.returncode == 0, done
        return done.stdout

    assert "+- Be brief." in said("diff", "l2-craftsman")
    assert "no difference" in said("diff", "l2-craftsman", "1", "file")
    assert "no patterns yet" in said("patterns")
    assert "nothing waits" in said("approvals")
    assert "nothing was changed" in said("ledger")
    assert "1 candidate" in said("learning", "status")
    assert "kept and done at the next" in said("learning", "pause")
    assert json.loads(said("learning", "freeze", "l2-craftsman", "--json")) == {"queued": True}
