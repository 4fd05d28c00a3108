"""Abbreviations are learned from what a repository's definitions say beside their names."""

import pytest

from hal9.ripmap import Index, open_index, rank
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.abbreviations import learned_abbreviations, spellings

from .conftest import settings, write_tree

FILES = {
    "shop/cfg.py": "".join(
        f'def {verb}_cfg(path):\n    """{verb} the configuration."""\n    return path\n\n\n'
        for verb in ("load", "save", "merge", "check")
    ),
    "shop/late.py": "def cfg_default():\n    return {}\n",
    "shop/pages.py": "".join(
        f'def {verb}_pg(page):\n    """{verb} it."""\n    return page\n\n\n'
        for verb in ("show", "hide", "turn")
    ),
    "shop/other.py": "".join(f"def other_{number}(value):\n    return value\n\n\n" for number in range(30)),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = write_tree(tmp_path_factory.mktemp("abbreviated"), FILES)
    return open_index(root, settings(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("word", "form", "expected"),
    [("configuration", "cfg", True), ("configuration", "conf", True), ("format", "fmt", True), ("message", "msg", True),
     ("regexp", "rgx", True), ("authentication", "auth", True), ("configuration", "fg", False), ("order", "rd", False)],
)  # fmt: skip
def test_how_words_are_shortened(word: str, form: str, expected: bool) -> None:
    assert (form in spellings(word)) is expected


@pytest.mark.parametrize("word", ["item", "http2", "straße", "", "a_b_c_d"])
def test_short_words_and_names_have_no_short_form(word: str) -> None:
    assert spellings(word) == ()


def test_only_what_the_repository_says_is_learned(tree: Index) -> None:
    postings = index_data_of(tree).postings
    found = list(learned_abbreviations(postings, ["configuration", "others", "vertical"]))
    assert found == [(0, postings.vocabulary.get("cfg"))]


def test_a_file_that_only_abbreviates_is_found(tree: Index) -> None:
    task = "the configuration is wrong"
    with_it = rank(tree, task, Parameters({"abbreviation_weight": 0.3}))
    without = rank(tree, task, Parameters({"abbreviation_weight": 0.0}))
    late = tree.file_index("shop/late.py")
    assert with_it.scores[late] > without.scores[late] == 0.0
