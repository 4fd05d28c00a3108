"""What is changed with the leading file: by history, by folder and name, by calls, and tests with their source."""

from pathlib import Path

import pytest

from hal9.ripmap import Index, open_index
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.ranker import Task, rank

from .conftest import commit, git, settings

TREE = {
    "src/parse_header.py": "from src.quote import unquote\n\n\ndef parse_header(value):\n    return unquote(value)\n",
    "src/parse_trailer.py": "def trailing(value):\n    return value\n",
    "src/quote.py": "def unquote(value):\n    return value\n",
    "src/zebra.py": "def unrelated(value):\n    return value\n",
    "web/view.py": "from src.parse_header import parse_header\n\n\ndef show(value):\n    return parse_header(value)\n",
    "web/wire.py": "def wired(value):\n    return value\n",
    "tests/test_header.py": "from src.parse_header import parse_header\n\n\ndef test_one():\n    assert parse_header('a')\n",
}
TASK = "parse_header drops the second value"


@pytest.fixture
def tree(tmp_path: Path) -> Index:
    """Three commits change `parse_header.py` and `wire.py` together, a fourth touches `zebra.py`."""
    root = tmp_path / "tree"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, "Start", TREE, 0)
    for day in range(1, 4):
        both = ("src/parse_header.py", "web/wire.py")
        commit(root, f"Work {day}", {name: f"{TREE[name]}# {day}\n" for name in both}, day)
    commit(root, "Other", {"src/zebra.py": "def unrelated(value):\n    return None\n"}, 4)
    return open_index(root, settings(tmp_path, git=True))


def shares(index: Index, signal: str, weight: float, time: float | None = None) -> dict[str, float]:
    ranking = rank(index, Task(TASK, time=time), Parameters({f"weight_{signal}": weight}))
    values = ranking.signal(signal)
    return {path: float(value) for path, value in zip(index.paths, values, strict=True) if value > 0}


def test_what_past_commits_changed_with_the_leader_rises(tree: Index) -> None:
    found = shares(tree, "together", 1.0)
    assert max(found, key=lambda path: found[path]) == "web/wire.py"
    assert found["web/wire.py"] > 3 * found.get("src/zebra.py", 0.0)


def test_history_after_the_task_has_no_say(tree: Index) -> None:
    first = min(float(item.time) for item in tree.history.commits)
    assert "web/wire.py" not in shares(tree, "together", 1.0, time=first)


def test_mates_of_the_folder_rise_most_those_named_alike(tree: Index) -> None:
    found = shares(tree, "beside", 0.5)
    assert "web/wire.py" not in found
    assert "tests/test_header.py" not in found
    assert found["src/parse_trailer.py"] > found["src/quote.py"] == pytest.approx(found["src/zebra.py"])


def test_callers_callees_and_tests_of_the_leaders_definition_rise(tree: Index) -> None:
    found = shares(tree, "calls", 0.5)
    assert set(found) == {"src/parse_header.py", "src/quote.py", "web/view.py", "tests/test_header.py"}


@pytest.mark.parametrize("signal", ["beside", "calls"])
def test_the_leader_stays_ahead_of_those_it_brought_up(tree: Index, signal: str) -> None:
    without = rank(tree, TASK, Parameters({"weight_together": 0, "weight_beside": 0, "weight_calls": 0}))
    ranking = rank(tree, TASK, Parameters({f"weight_{signal}": 1.0}))
    assert ranking.paths[0] == without.paths[0] == "src/parse_header.py"


def test_a_task_that_finds_nothing_has_no_companions(tree: Index) -> None:
    ranking = rank(
        tree, "qqqq wwww", Parameters({"weight_together": 1, "weight_beside": 1, "weight_calls": 1})
    )
    assert not {"together", "beside", "calls"} & set(ranking.signals)
