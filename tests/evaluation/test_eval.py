"""`hal9 eval`: combinations run on real clusters, judged, compared with the run before."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from hal9.cli.app import TASK_FAILED, cli, run
from hal9.cluster import Home
from hal9.errors.config import ConfigInvalid
from hal9.evaluation import Attempt, Cell, compare_runs, junit, load_suite
from tests.conftest import Script

GOOD, BAD = "scripted:tests.support.scripts:adder", "scripted:tests.support.scripts:stubborn"


def suite_in(folder: Path, workspace: Path, **more: object) -> Path:
    path = folder / "suite.yaml"
    tasks = [
        {"id": "adder", "input": "Write add(a, b) in adder.py", "workspace": str(workspace), "check": "python check.py"},
        {"id": "said", "input": "Show add", "expected": "return a + b", "match": "contains"},
    ]  # fmt: skip
    path.write_text(yaml.safe_dump({"tasks": tasks, "models": [GOOD, BAD], "timeout_seconds": 60, **more}))
    return path


def test_models_are_compared_on_real_clusters_and_with_the_run_before(
    home: Home, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Script
) -> None:
    script("adder")
    suite = suite_in(tmp_path, workspace, neurons=[None, "l2-implementer"])
    report = tmp_path / "out" / "report.xml"
    command = ["--home", str(home.root), "eval", str(suite), "--json"]
    assert run(cli, [*command, "--junit", str(report), "--least", "0.5"]) == TASK_FAILED
    told = json.loads(capsys.readouterr().out)
    passed = {(one["model"], one["neuron"]): one["passed"] for one in told["cells"]}
    assert passed == {(GOOD, ""): 2, (GOOD, "l2-implementer"): 2, (BAD, ""): 0, (BAD, "l2-implementer"): 0}
    assert told["compared"] == []
    cases = ET.parse(report).getroot()
    assert [one.get("failures") for one in cases] == ["0", "0", "2", "2"]
    assert "AssertionError" in str(cases.findtext(".//failure")), "with what the check said"
    assert not (workspace / "adder.py").exists(), "each attempt works on a copy"
    assert not (home.state / "journal.db").exists(), "the home's own tasks are not touched"
    suite_in(tmp_path, workspace, models=[GOOD])
    assert run(cli, command) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["won"], one["lost"]) for one in told["compared"]] == [([], [])]


def test_what_was_learned_is_used_or_left_out(
    home: Home,
    workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mind that is right only when the rule of its project stands in its prompt."""
    monkeypatch.chdir(workspace)
    assert run(cli, ["--home", str(home.root), "remember", "Sums are written with a plus."]) == 0
    model = "scripted:tests.support.scripts:heeds_a_rule"
    suite = suite_in(tmp_path, workspace, models=[model], learning=["with", "without"])
    capsys.readouterr()
    assert run(cli, ["--home", str(home.root), "eval", str(suite), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["learning"]: one["passed"] for one in told["cells"]} == {"with": 1, "without": 0}


def test_all_mistakes_of_a_suite_are_told(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("tasks: [{input: x}, {input: y, check: pytest}]\nmodel: [a]\nrepeats: 0\n")
    with pytest.raises(ConfigInvalid) as caught:
        load_suite(path)
    text = str(caught.value)
    assert "needs `check` or `expected`" in text
    assert "needs a `workspace`" in text
    assert "did you mean 'models'" in text
    assert "repeats" in text
    path.write_text(
        "tasks: [{input: x, expected: 1, id: a}, {input: y, expected: 2, id: a, workspace: nowhere}]\n"
    )
    with pytest.raises(ConfigInvalid, match="named 'a' like another") as caught:
        load_suite(path)
    assert "there is no workspace" in str(caught.value)


def test_an_unknown_neuron_is_told_before_anything_runs(
    home: Home, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = suite_in(tmp_path, workspace, neurons=["l2-implementr"])
    assert run(cli, ["--home", str(home.root), "eval", str(suite)]) == 2
    assert "did you mean 'l2-implementer'" in capsys.readouterr().err


def cell(*passed: bool) -> Cell:
    found = [
        Attempt(
            task=f"t{n}", repeat=0, passed=one, why="\x00 <bad> & odd\x1b", seconds=1.0, tokens=1, usd=0.0
        )
        for n, one in enumerate(passed)
    ]
    return Cell(model="m", neuron="", learning="with", attempts=found)


def test_a_fall_beyond_chance_is_a_regression() -> None:
    def before(*passed: bool) -> dict[str, object]:
        from hal9.evaluation.report import cell_as_json

        return {"cells": [cell_as_json(cell(*passed))]}

    (worse,) = compare_runs([cell(*[False] * 8)], before(*[True] * 8))
    assert worse.worse and worse.p < 0.01
    (chance,) = compare_runs([cell(False, True)], before(True, True))
    assert not chance.worse and chance.lost == ("t0",)
    assert compare_runs([cell(True)], None) == []


def test_junit_can_hold_any_text() -> None:
    root = ET.fromstring(junit([cell(False)]).split("\n", 1)[1])
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None and failure.text == "\ufffd <bad> & odd\ufffd"
