"""An option that few files hold, and the part of the project that a title begins with."""

import pytest

from hal9.ripmap import Index, open_index
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.query.task_query import parse_task
from hal9.ripmap.ranking.clues import option_holders, scope_files, title_scope
from hal9.ripmap.ranking.ranker import rank

from .conftest import settings, write_tree

FILES = {
    "src/shop/runner.py": "def add_options(parser):\n    parser.add('--junit-prefix')\n    parser.add('--stepwise')\n",
    "src/shop/report.py": "def report():\n    prefix = 1\n    return prefix if junit else None\n",
    "src/shop/cache/store.py": "def keep(value):\n    return value\n",
    "src/shop/cache/drop.py": "def drop(value):\n    return value\n",
    **{f"src/shop/part_{number}.py": "def verbose():\n    return 'verbose'\n" for number in range(6)},
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = write_tree(tmp_path_factory.mktemp("clues"), FILES)
    return open_index(root, settings(tmp_path_factory.mktemp("cache")))


def told(index: Index, values: object) -> set[str]:
    return {path for path, value in zip(index.paths, values, strict=True) if value > 0}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("`--junit-prefix` is ignored", {"src/shop/runner.py"}),
        ("It hangs\n\n$ shop run --stepwise", {"src/shop/runner.py"}),
        ("--verbose prints nothing", set()),
        ("--nothing-of-the-kind is unknown", set()),
        ("a dash -- and junit-prefix as words", set()),
        ("see docs/--stepwise", set()),
    ],
)
def test_options_lead_to_the_few_that_hold_them(tree: Index, task: str, expected: set[str]) -> None:
    assert told(tree, option_holders(index_data_of(tree), parse_task(task))) == expected


@pytest.mark.parametrize(
    ("title", "scope"),
    [
        ("cache: keeps too much", "cache"),
        ("fix(cache): keeps too much", "cache"),
        ("feat(cache)!: keep less", "cache"),
        ("[cache] keeps too much", "cache"),
        ("printer/json: slow", "printer/json"),
        ("Fix: keeps too much", ""),
        ("Something is wrong: the cache", ""),
        ("", ""),
    ],
)
def test_the_scope_of_a_title(title: str, scope: str) -> None:
    assert title_scope(title) == scope


def test_a_scope_is_a_folder_and_not_most_of_the_project(tree: Index) -> None:
    index_data = index_data_of(tree)
    files = {"src/shop/cache/store.py", "src/shop/cache/drop.py"}
    assert told(tree, scope_files(index_data, parse_task("Cache: keeps too much"))) == files
    assert not scope_files(index_data, parse_task("shop: keeps too much")).any()
    assert not scope_files(index_data, parse_task("nowhere: keeps too much")).any()


def test_both_are_signals(tree: Index) -> None:
    ranking = rank(tree, "cache: --stepwise fails", Parameters({"weight_options": 0.5, "weight_scope": 0.5}))
    assert {"options", "scope"} <= set(ranking.signals)
    assert set(ranking.paths[:3]) == {
        "src/shop/runner.py",
        "src/shop/cache/store.py",
        "src/shop/cache/drop.py",
    }
