"""What somebody stumbles over who has never seen the commands."""

import asyncio
import io
import json
import shlex
import time
from pathlib import Path

import pytest
from rich.console import Console

from hal9.api.views import VIEWS, WeightsQuery
from hal9.cli.app import HERE, cli, run
from hal9.cli.common import console
from hal9.cli.tasks.render import trace_tree
from hal9.clock import SystemClock
from hal9.cluster import Cluster, Home, init_home
from hal9.database import look_into
from hal9.journal.tasks import TaskRow, list_tasks
from hal9.learning.reporting.metrics import measure
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.signals import StepRecord, TaskPayload
from tests.support.commands import ROOT

PYTEST = """\
>       assert add(2, 3) == 5, "2 and 3"
E       AssertionError: 2 and 3
E       assert 6 == 5

test_add.py:4: AssertionError
=========================== short test summary info ============================
FAILED test_add.py::test_add - AssertionError: 2 and 3
============================== 1 failed in 0.02s ===============================
"""
UNITTEST = """\
Traceback (most recent call last):
  File "/w/test_add.py", line 5, in test_add
    self.assertEqual(add(2, 3), 5)
AssertionError: 6 != 5

Ran 1 test in 0.000s

FAILED (failures=1)
"""


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (PYTEST, "test_add.py::test_add - AssertionError: 2 and 3"),
        (UNITTEST, "AssertionError: 6 != 5"),
        (
            "collected 1 item\nE   ModuleNotFoundError: No module named 'adder'\n1 error\n",
            "No module named 'adder'",
        ),
        ("make: *** [all] Fehler 2\n", "make: *** [all] Fehler 2"),
        ("", "check"),
    ],
)
def test_a_failed_step_shows_the_error_and_not_the_last_line(evidence: str, told: str) -> None:
    now = time.time()
    step = StepRecord(
        id="s", task_id="t", signal_id="g", neuron="l2", layer=2, kind="check", outcome="failed",
        started_at=now, ended_at=now, evidence=evidence,
    )  # fmt: skip
    task = TaskRow(id="t", payload=TaskPayload(objective="add"), state="failed", created_at=now, deadline=now)
    out = Console(width=200, record=True)
    out.print(trace_tree(task, [step]))
    shown = out.export_text()
    assert told in shown
    assert "1 failed in" not in shown
    assert "FAILED (failures" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace", "last", "--svg"),
        ("causes", "--svg"),
        ("memory", "export"),
        ("rules", "export", "--agents-md"),
    ],
)
def test_a_file_in_a_missing_folder_is_refused_before_any_work(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    missing = tmp_path / "none"
    assert run(cli, ["--home", str(home.root), *arguments, str(missing / "file.yaml")]) == 2
    assert f"there is no folder '{missing}'" in capsys.readouterr().err


async def test_weights_and_the_next_choice_agree(home: Home) -> None:
    home.make_state()
    with MemoryStore(home.memory, clock=SystemClock()) as store:
        settings = home.settings().routing
        book = WeightStore(store, lambda: settings)
        given = HandOver(source="l3-designer", target="l2-craftsman", task_class="general", success=True)
        book.observe("a task", [given])
        chances = book.probabilities("l3-designer", ["l2-craftsman", "l2-implementer"], task_class="general")
    async with Cluster(home) as cluster:
        rows = await VIEWS["weights"][0](cluster, WeightsQuery())
    assert {one["target"]: one["odds"] for one in rows} == pytest.approx(chances)
    unused = next(one for one in rows if one["target"] == "l2-implementer")
    assert unused["weight"] is None, "what was never used has no weight"
    assert await asyncio.to_thread(run, cli, ["--home", str(home.root), "weights"]) == 0


async def test_a_workload_that_fails_is_no_failure_of_the_neurons(home: Home) -> None:
    async with Cluster(home) as cluster:
        await cluster.submit("say hello")
        await cluster.submit("run_name: mine", workload="ripmap-train")
        assert len(await cluster.read(lambda connection: list_tasks(connection, limit=9, state=None))) == 2
    with MemoryStore(home.memory) as store, look_into(home.journal) as journal:
        assert measure(store, journal=journal).tasks == {"queued": 1}


def test_commands_of_the_machine_itself_are_named_in_the_docs() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = text[text.index("On the machine that has the home") :].partition("\n\n")[0]
    missing = {name for name in HERE if f"`{name}`" not in named} - {"login", "completion"}
    assert missing == set()


async def test_everything_at_a_glance_of_a_home_without_a_history(home: Home) -> None:
    view, query, _ = VIEWS["overview"]
    async with Cluster(home) as cluster:
        found = await view(cluster, query())
    assert found["status"]["state"] == "down"
    assert (found["tasks"], found["spent"], found["questions"], found["approvals"]) == ([], None, 0, 0)


def test_what_git_ignored_in_a_project_stays_when_it_becomes_a_home(tmp_path: Path) -> None:
    ignored = tmp_path / ".gitignore"
    ignored.write_text("*.pyc\n.hal9/\nsecrets.env")
    init_home(tmp_path)
    assert ignored.read_text() == "*.pyc\n.hal9/\nsecrets.env\nuploads/\n"


@pytest.mark.parametrize(("where", "told"), [("file", "File exists"), ("file/below", "Not a directory")])
def test_a_path_that_the_system_refuses_is_named_and_no_fault_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, told: str
) -> None:
    (tmp_path / "file").write_text("x")
    assert run(cli, ["init", str(tmp_path / where)]) == 3
    said = capsys.readouterr().err
    assert told in said
    assert "unexpected" not in said
    assert "Name another path" in said


def test_a_command_that_is_printed_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "my homé"
    assert run(cli, ["init", str(root)]) == 0
    command = capsys.readouterr().out.partition("then `")[2].partition("`")[0]
    assert shlex.split(command) == ["hal9", "--home", str(root), "up", "--detach"]


@pytest.mark.parametrize("option", ["--home", "--debug"])
def test_options_of_all_commands_say_where_they_stand(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(cli, ["status", option]) == 2
    said = capsys.readouterr().err
    assert f"{option} stands before the command" in said
    assert "Did you mean" not in said


def test_a_task_for_a_cluster_that_is_down_says_that_it_waits(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["--home", str(home.root), "submit", "say hello", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == "queued"
    assert "`hal9 up --detach`" in err
    assert str(home.root) in err


def test_a_folder_without_runs_says_so(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    assert run(cli, ["--home", str(home.root), "learn", str(tmp_path / "none")]) == 0
    assert "no runs of a known kind" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "told"), [(None, "No such file"), (b"\xff\xfe\x00", "is no UTF-8 text")])
def test_a_file_that_cannot_be_given_is_told_in_words(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, told: str
) -> None:
    given = tmp_path / "given"
    if content is not None:
        given.write_bytes(content)
    assert run(cli, ["--home", str(home.root), "submit", "--file", str(given), "x"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "Errno" not in said
    assert "codec" not in said


def test_a_check_that_failed_before_the_work_is_no_success(home: Home) -> None:
    step = StepRecord(
        id="s", task_id="t", signal_id="g", neuron="l2", layer=2, kind="check", outcome="ok", mode="first",
        started_at=1.0, ended_at=1.1, evidence="before anything was done it failed\nImportError: words",
    )  # fmt: skip
    task = TaskRow(id="t", payload=TaskPayload(objective="add"), state="done", created_at=1.0, deadline=9.0)
    out = Console(width=200, record=True)
    out.print(trace_tree(task, [step]))
    shown = out.export_text()
    assert "check before anything was done: failed" in shown
    assert "✔ check" not in shown


def test_a_reader_that_has_seen_enough_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(BrokenPipeError):
        console().print("more than is read")


def test_the_dashboard_s_address_is_printed_where_no_browser_opens(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`xdg-open` without a browser complains by itself and is not told as a failure."""
    opened = list[str]()

    def launch(address: str) -> int:
        opened.append(address)
        return 0

    monkeypatch.setattr("hal9.api.place.served_at", lambda _: "http://127.0.0.1:1")
    monkeypatch.setattr("click.launch", launch)
    assert run(cli, ["--home", str(home.root), "dashboard"]) == 0
    assert capsys.readouterr().out.split() == opened
