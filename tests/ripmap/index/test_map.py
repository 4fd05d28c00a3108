"""Maps: the budget holds whatever is asked, and what is shown is what ranks."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.ripmap import BudgetTooSmall, SymbolUnknown, TokenizerUnusable
from hal9.ripmap import (
    Index,
    IndexSettings,
    MapOptions,
    MapRequest,
    MapService,
    Ranking,
    draw_map,
    explain_text,
    find_symbol,
    open_index,
    rank,
    render_map,
    token_counter,
)
from hal9.ripmap.rendering.badges import FileLife, badges_of, usual_of
from hal9.ripmap.rendering.budget import Detail
from hal9.ripmap.rendering.render import Format

from .conftest import write_files

ROOT = Path(__file__).parents[3]
DAY = 86_400.0
Asked = tuple[Index, Ranking]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The project's own tree, ranked for a task."""
    own = IndexSettings(
        cache_dir=tmp_path_factory.mktemp("cache"), use_git=False, subtree="hal9/ripmap", workers=1
    )
    index = open_index(ROOT, own)
    return index, rank(index, "the snapshot of a tree is damaged and open_index reads every file again")


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(48, 6000),
    form=st.sampled_from(["map", "md", "json", "paths"]),
    detail=st.sampled_from(["auto", "low", "medium", "high"]),
    calls=st.booleans(),
    why=st.booleans(),
)
def test_budget_is_never_exceeded(
    asked: Asked, tokens: int, form: Format, detail: Detail, calls: bool, why: bool
) -> None:
    index, ranking = asked
    count = token_counter("estimate")
    options = MapOptions(tokens=tokens, detail=detail, calls=calls, why=why)
    text = draw_map(index, ranking, options, form=form, counter=count)
    assert count(text) <= tokens
    if form == "json":
        json.loads(text)


def test_a_larger_budget_shows_more(asked: Asked) -> None:
    index, ranking = asked
    shown = [
        len(json.loads(draw_map(index, ranking, MapOptions(tokens=tokens), form="json"))["files"])
        for tokens in (200, 1000, 4000)
    ]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_best_file_comes_first_with_signatures_and_lines(asked: Asked) -> None:
    index, ranking = asked
    text = draw_map(index, ranking, MapOptions(tokens=3000))
    assert text.splitlines()[0] == ranking.paths[0]
    assert ": def " in text
    assert "of the ranked mass" in text.splitlines()[-1]
    paths = draw_map(index, ranking, MapOptions(tokens=3000), form="paths").splitlines()
    assert paths[:5] == ranking.paths[:5]


def test_details_and_limits(asked: Asked) -> None:
    index, ranking = asked
    low = draw_map(index, ranking, MapOptions(tokens=2000, detail="low"))
    assert ": def " not in low
    assert len(draw_map(index, ranking, MapOptions(tokens=2000, limit=3), form="paths").splitlines()) == 3
    assert "  why: " in draw_map(index, ranking, MapOptions(tokens=2000, why=True))
    called = draw_map(index, ranking, MapOptions(tokens=4000, calls=True))
    assert "← " in called
    assert "→ " in called


def test_too_small_a_budget_is_an_error(asked: Asked) -> None:
    index, ranking = asked
    with pytest.raises(BudgetTooSmall, match="at least 48"):
        draw_map(index, ranking, MapOptions(tokens=10))


def test_an_oversized_file_is_skipped_and_packing_goes_on(tmp_path: Path) -> None:
    long = "very_long_name_" * 14
    write_files(
        tmp_path / "r", {f"{long}/{long}.py": "def checkout(): ...\n", "b.py": "def checkout(): ...\n"}
    )
    index = open_index(tmp_path / "r", IndexSettings(use_cache=False))
    text = draw_map(
        index, rank(index, "checkout"), MapOptions(tokens=90), form="paths", counter=token_counter("estimate")
    )
    assert text == "b.py"


def test_map_of_nothing(tmp_path: Path) -> None:
    assert "0 of 0 files" in render_map(tmp_path, "anything", 100, settings=IndexSettings(use_cache=False))


def test_render_map_for_neurons(shop: Path, settings: IndexSettings) -> None:
    text = render_map(shop, "the cart has no items when I checkout", 400, settings=settings)
    assert text.startswith("shop/cart.py")
    assert token_counter("estimate")(text) <= 400


def test_explain_tells_shares(shop: Path, settings: IndexSettings) -> None:
    maps = MapService(settings)
    index = maps.index(shop)
    ranking = maps.ranking(index, MapRequest("Cart.checkout fails"))
    told = explain_text(index, ranking, "shop/cart.py")
    assert "shop/cart.py: rank 1 of" in told
    assert "%" in told
    assert "method Cart.checkout, shop/cart.py:12" in explain_text(index, ranking, "Cart.checkout")
    with pytest.raises(SymbolUnknown, match="checkout"):
        explain_text(index, ranking, "Cart.chekout")


def test_find_symbol(shop: Path, settings: IndexSettings) -> None:
    index = open_index(shop, settings)
    assert [found.name for found in find_symbol(index, "checkout")] == ["Cart.checkout"]
    assert find_symbol(index, "shop/cart.py::Cart.checkout")[0].line == 12
    assert find_symbol(index, "CART")[0].kind == "class"


def test_mapper_keeps_a_tree_warm_and_follows_it(shop: Path, settings: IndexSettings) -> None:
    maps = MapService(settings)
    first = maps.index(shop)
    assert maps.index(shop) is first
    write_files(shop, {"shop/new.py": "x = 1\n"})
    assert "shop/new.py" in maps.index(shop)


def test_badges() -> None:
    now = 1_000 * DAY
    assert badges_of(FileLife(now - 5 * DAY, now - 2 * DAY, 3), now) == ("2d ago", "emergent")
    assert badges_of(FileLife(now - 300 * DAY, now - 1, 40), now) == ("today", "40 commits", "rotting")
    assert badges_of(FileLife(now - 300 * DAY, now - 100 * DAY, 2), now) == ("crystal",)
    assert badges_of(FileLife(now - 100 * DAY, now - 20 * DAY, 2), now) == ()


@pytest.mark.usefixtures("commit")
def test_badges_are_drawn(shop: Path, settings: IndexSettings) -> None:
    maps = MapService(settings)
    index = maps.index(shop)
    assert "[today]" in maps.draw(index, maps.ranking(index, MapRequest("cart")), MapOptions(tokens=500))


def test_unknown_tokenizer_is_named() -> None:
    with pytest.raises(TokenizerUnusable, match=r"nowhere\.json"):
        token_counter("nowhere.json")


def test_badges_tell_only_what_sets_a_file_apart() -> None:
    day = 86_400.0
    old = [FileLife(0.0, 10 * day, 3)] * 8
    busy, young = FileLife(0.0, 399 * day, 50), FileLife(390 * day, 399 * day, 2)
    usual = usual_of([*old, busy, young], 400 * day)
    assert badges_of(old[0], 400 * day, usual) == ()
    assert badges_of(busy, 400 * day, usual) == ("1d ago", "50 commits", "rotting")
    assert badges_of(young, 400 * day, usual) == ("1d ago", "emergent")
    assert badges_of(old[0], 400 * day) == ("crystal",)


def test_without_a_task_detail_comes_before_bare_names(tmp_path: Path) -> None:
    for number in range(120):
        name = f"module_{number:03}"
        (tmp_path / f"{name}.py").write_text(
            f"def {name}_first(a, b):\n    return a\n\n\ndef {name}_second():\n    return 1\n"
        )
    index = open_index(tmp_path, IndexSettings(use_cache=False, use_git=False, workers=1))
    text = draw_map(index, rank(index, ""), MapOptions(tokens=2000))
    bare = [
        one
        for one, following in pairwise(text.splitlines())
        if one.endswith(".py") and not following.startswith(" ")
    ]
    assert len(bare) <= 21
    paths = draw_map(index, rank(index, ""), MapOptions(tokens=2000), form="paths")
    assert len(paths.splitlines()) == 120


OVERLOADED = """\
from typing import overload


@overload
def load(path: str) -> str: ...
@overload
def load(path: bytes) -> bytes: ...
def load(path):
    return path


def total(
    items,  # what is summed
    start="# no comment",  # where it begins
):
    return start, items
"""


def test_overloads_are_one_line_and_comments_are_no_part_of_a_signature(tmp_path: Path) -> None:
    write_files(
        tmp_path / "tree",
        {"m.py": OVERLOADED, "m.ts": "function summing(a: number, // left\n b: number) {}\n"},
    )
    own = IndexSettings(cache_dir=tmp_path / "cache", use_git=False, workers=1)
    index = open_index(tmp_path / "tree", own)
    drawn = draw_map(index, rank(index, "load and total and summing"), MapOptions(tokens=2000))
    assert "8: def load(path)  (3 overloads)" in drawn
    assert drawn.count("def load") == 1
    assert 'def total(items, start="# no comment")' in drawn
    assert "function summing(a: number, b: number)" in drawn
