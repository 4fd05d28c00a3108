from pathlib import Path

import numpy as np
import pytest

from hal9.errors.ripmap import CasesInvalid, CasesUnwritable
from hal9.ripmap import Index
from hal9.ripmap.evaluation.evaluation import prepare_cases, read_cases
from hal9.ripmap.evaluation.git_cases import (
    CaseRules,
    cases_from_history,
    commit_quality,
    open_parents,
    write_cases,
)
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.commits import commit_index_of
from hal9.ripmap.ranking.ranker import Task, rank

from .conftest import settings

DAY = 86_400.0


def everything(path: str) -> bool:
    return path.endswith(".py")


def test_commits_with_like_messages_speak_for_their_files(history: Index) -> None:
    ranking = rank(history, "banker's halves")
    assert "commits" in ranking.signals
    assert ranking.signal("commits")[history.file_index("shop/storage.py")] > 0
    assert ranking.signal("commits")[history.file_index("shop/orders.py")] == 0


def test_only_history_before_the_task_counts(history: Index) -> None:
    start = commit_index_of(history).times.min()
    early = Task("pennies", time=float(start + 1.5 * DAY))
    assert "commits" not in rank(history, early).signals
    assert "commits" in rank(history, Task("pennies")).signals


def test_recency_churn_and_coupling(history: Index) -> None:
    commit_index = commit_index_of(history)
    recency, churn = commit_index.boosts(Parameters(), None)
    money, orders, views = (
        history.file_index(f"shop/{name}.py") for name in ("money", "orders", "web/views")
    )
    assert churn[money] > churn[orders] == 0
    assert recency[views] > recency[money] > 0
    together = commit_index.cochange(np.array([history.file_index("shop/storage.py")]), None)
    assert together[money] == pytest.approx(2 / 12)
    assert together[views] == pytest.approx(1 / 3)
    assert together[history.file_index("shop/storage.py")] == 0


def test_cases_ask_of_the_parent_and_mask_what_follows(history_root: Path, tmp_path: Path) -> None:
    cases = cases_from_history(history_root)
    texts = [case.text for case in cases]
    assert "Format with black" not in texts
    assert "Start the shop" not in texts
    assert texts[0] == "Add express delivery to views.py"
    assert cases[0].leak
    assert not cases[1].leak
    case = next(case for case in cases if "banker" in case.text)
    open_tree = open_parents(history_root, settings(tmp_path, git=True))
    index = open_tree(case.tree)
    assert "# 1" not in index.text("shop/money.py")
    assert [commit.message.strip() for commit in index.history.commits] == ["Start the shop"]
    prepared = prepare_cases([case], open_tree, everything)
    assert (
        prepared[0].evidence.commit_index is None or prepared[0].evidence.commit_index.times.max() < case.time
    )


def test_cases_are_written_and_read_back(history_root: Path, tmp_path: Path) -> None:
    cases = cases_from_history(history_root, rules=CaseRules(limit=3))
    write_cases(cases, tmp_path / "new" / "folder" / "cases.json")
    (tmp_path / "file").touch()
    with pytest.raises(CasesUnwritable, match="--output"):
        write_cases(cases, tmp_path / "file" / "cases.json")
    again = read_cases(tmp_path / "new" / "folder" / "cases.json")
    assert [(c.tree, c.text, c.gold, c.weight, c.time, c.leak) for c in again] == [
        (c.tree, c.text, c.gold, c.weight, c.time, c.leak) for c in cases
    ]


def test_a_range_without_cases_is_an_error(history_root: Path) -> None:
    with pytest.raises(CasesInvalid):
        cases_from_history(history_root, since="HEAD~1", rules=CaseRules(least_quality=2.0))


@pytest.mark.parametrize(
    ("message", "files", "quality"),
    [
        ("Fix a crash", ["a/b.py"], 1.8),
        ("Add a page", ["a/b.py"], 1.44),
        ("Refactor it", ["a/b.py"], 0.72),
        ("WIP", ["a/b.py"], 0.24),
        ("Format with black", ["a/b.py"], 0.0),
        ("Fix a crash", ["a/b.py", "README.md", "x/NOTES.md"], 1.08),
        ("Fix everything", [f"a{i}/b.py" for i in range(20)], 0.72),
    ],
)
def test_commit_quality(message: str, files: list[str], quality: float) -> None:
    assert commit_quality(message, files) == pytest.approx(quality)
