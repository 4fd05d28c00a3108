"""`hal9 learning report` and `hal9 weights` on a real home."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from hal9.cli.app import cli, run
from hal9.cluster import Home
from hal9.errors.learning import ReportExtraMissing
from hal9.learning.reporting.charts import Curve, _whole_ticks
from hal9.learning.reporting.metrics import judged_tasks
from hal9.learning.reporting.report import charts, write_report
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.learning.state.ledger import Ledger
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings
from tests.learning.test_metrics import outcome


def fill(home: Home, tasks: int = 60) -> None:
    home.make_state()
    rng = np.random.default_rng(2)
    with MemoryStore(home.memory) as store, store.writing():
        book = WeightStore(store, RoutingSettings)
        for number in range(tasks):
            passed = bool(rng.random() < 0.3 + 0.6 * number / tasks)
            outcome(store, number, passed=passed)
            target = "l2-a" if number % 2 else "l2-<b>"
            edge = HandOver(
                source="l3",
                target=target,
                task_class="code",
                success=passed,
                probability=0.5,
                policy="static",
            )
            book.observe(f"t{number}", [edge], usd=0.001)


def hal9(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.root), *arguments])


def test_the_report_has_a_page_and_valid_pictures(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(home)
    target = tmp_path / "out" / "report"
    assert hal9(home, "learning", "report", str(target)) == 0
    page = (target / "report.md").read_text(encoding="utf-8")
    assert "Error reduction rate | +" in page
    assert "judged: 60" in page
    for name in ("success", "errors", "weights"):
        assert f"({name}.svg)" in page
        drawn = ET.parse(target / f"{name}.svg").getroot()
        assert drawn.tag.endswith("svg")
        assert len(drawn) > 5
        assert (target / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "l2-<b>" in "".join(ET.parse(target / "weights.svg").getroot().itertext())
    assert str(target / "report.md") in capsys.readouterr().out


def test_an_empty_home_gives_a_page_that_says_what_is_missing(home: Home, tmp_path: Path) -> None:
    assert hal9(home, "learning", "report", str(tmp_path / "r")) == 0
    page = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert "needs 30 judged tasks, there are 0" in page
    assert list((tmp_path / "r").glob("*.svg")) == []


def test_without_matplotlib_the_svg_is_still_drawn(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home)
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with MemoryStore(home.memory) as store:
        done = write_report(store, tmp_path / "r")
    assert done.notice == str(ReportExtraMissing())
    assert {path.suffix for path in done.files} == {".md", ".svg"}


def test_a_folder_that_cannot_be_made_is_an_error_with_a_sentence(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert hal9(home, "learning", "report", str(tmp_path / "file" / "sub")) != 0
    assert "Name another folder" in capsys.readouterr().err


def test_weights_are_shown_and_explained(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert hal9(home, "weights") == 0
    assert "no connection was used yet" in capsys.readouterr().out
    fill(home, 12)
    assert hal9(home, "weights", "--json") == 0
    edges = json.loads(capsys.readouterr().out)
    assert {edge["target"] for edge in edges} == {"l2-a", "l2-<b>"}
    assert sum(edge["odds"] for edge in edges) == pytest.approx(1.0)
    assert hal9(home, "weights", "--explain", "l3", "l2-a") == 0
    text = capsys.readouterr().out
    assert "l3 → l2-a, code tasks: weight" in text
    assert "drawn with probability 50.0% (static)" in text
    assert hal9(home, "weights", "--explain", "l3", "nobody") == 1
    assert "Known: l3 → l2-<b>, l3 → l2-a" in capsys.readouterr().err


def test_the_curve_marks_when_something_came_into_force(home: Home, tmp_path: Path) -> None:
    fill(home)
    with MemoryStore(home.memory) as store:
        times = [row[0] for row in store.connection.execute("SELECT at FROM outcomes ORDER BY at")]
        ledger = Ledger(store)
        for before, after in (("", "candidate"), ("candidate", "admitted"), ("admitted", "retired")):
            ledger.record("mitigation", "1", change=(before, after), cause="t", actor="t")
        admitted = ledger.rows()[1].time
        curve = charts(store, judged_tasks(store))["success"]
        assert isinstance(curve, Curve)
        assert list(curve.marks) == [max(12.0, float(sum(at <= admitted for at in times)))]
        write_report(store, tmp_path / "r", pictures=False)
    assert "something learned came into force" in (tmp_path / "r" / "success.svg").read_text()


def test_counts_get_whole_ticks() -> None:
    for top in (1, 2, 3, 4, 5, 9, 40, 1001):
        ticks = _whole_ticks(top)
        assert (ticks[0], ticks[-1]) == (0, top)
        assert 2 <= len(ticks) <= 6
        assert all(isinstance(one, int) for one in ticks)
