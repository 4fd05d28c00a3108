"""Index data patched after edits ranks exactly as one made anew."""

from pathlib import Path

import numpy as np
import pytest

from hal9.ripmap import Index, open_index
from hal9.ripmap.index.index_data import IndexData, build_index_data, index_data_of
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.postings import incremental as patching_module
from hal9.ripmap.ranking.prepared_task import prepare_query
from hal9.ripmap.ranking.ranker import Ranking, Task, rank_prepared
from tests.ripmap.rank.conftest import FILES, settings, write_tree

TASKS = (
    "",
    "Rounding `round_amount` of an amount is off by a cent",
    "Order.total_price forgets the voucher\n\nValueError: amount must be a number of cents, not nothing",
    "delete_row of the store and the ledger entries",
    "from shop.orders import Order fails in the half cents test",
)
_SOURCES = tuple(path for path in FILES if path.endswith(".py") and "pb2" not in path)
_PIECES = (
    "\n\ndef ledger_entry_{n}(store):\n    return store.delete_row({n})\n",
    "\n\nclass Voucher{n}:\n    def total_price(self):\n        return round_amount({n})\n",
    "\n\nfrom shop.money import format_currency as shown_{n}\n",
    "\n\nMESSAGE_{n} = 'the voucher number {n} is not a number of cents'\n",
    "\n\ndef broken_{n}(:\n    pass\n",
)


def edited(rng: np.random.Generator, text: str, number: int) -> str:
    choice = int(rng.integers(8))
    if choice < len(_PIECES):
        return text + _PIECES[choice].format(n=number)
    if choice == 5:
        return ""
    lines = text.split("\n")
    if choice == 6:
        return "\n".join(lines[: max(1, len(lines) // 2)]) + "\n"
    return "\n".join(line for line in lines if rng.random() > 0.2) + "\n"


def ranked(index_data: IndexData, task: str, changes: dict[str, float]) -> Ranking:
    return rank_prepared(prepare_query(index_data, Task(task)), Parameters(changes))


def assert_alike(patched: IndexData, rebuilt: IndexData) -> None:
    mine, theirs = patched.postings, rebuilt.postings
    counts = [
        {
            word: float(count)
            for word, count in zip(postings.vocabulary, postings.document_count, strict=True)
            if count
        }
        for postings in (mine, theirs)
    ]
    assert counts[0] == counts[1]
    assert np.array_equal(mine.chunk_owner, theirs.chunk_owner)
    assert np.array_equal(patched.imports.data, rebuilt.imports.data)
    assert np.array_equal(patched.pairs, rebuilt.pairs)
    assert np.array_equal(patched.shingle_file, rebuilt.shingle_file)
    for name in ("source", "target", "reasons", "times", "group"):
        assert np.array_equal(getattr(patched.candidates, name), getattr(rebuilt.candidates, name))
    for task in TASKS:
        for changes in ({}, {"weight_callees": 1.0, "weight_structure": 0.3}):
            one, other = (ranked(index_data, task, changes) for index_data in (patched, rebuilt))
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-12)
            assert [symbol.id for symbol in one.symbols(20)] == [symbol.id for symbol in other.symbols(20)]


def count_patches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    done: list[bool] = []
    original = patching_module.patched

    def counted(*arguments: object) -> object:
        made = original(*arguments)  # type: ignore[arg-type]
        done.append(made is not None)
        return made

    monkeypatch.setattr(patching_module, "patched", counted)
    return done


@pytest.mark.parametrize("seed", range(4))
def test_edits_are_patched_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = write_tree(tmp_path / "shop")
    done = count_patches(monkeypatch)
    index_data_of(open_index(root, settings(tmp_path)))
    for step in range(6):
        for path in rng.choice(_SOURCES, size=int(rng.integers(1, 4)), replace=False):
            target = root / str(path)
            target.write_text(
                edited(rng, target.read_text(encoding="utf-8"), 10 * seed + step), encoding="utf-8"
            )
        index = open_index(root, settings(tmp_path))
        assert_alike(index_data_of(index), build_index_data(index))
    assert sum(done) >= 4


def test_what_was_undone_is_as_before(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "shop")
    before = index_data_of(open_index(root, settings(tmp_path)))
    money = root / "shop/money.py"
    original = money.read_text(encoding="utf-8")
    money.write_text(original + "\n\ndef sparkle():\n    return glitter()\n", encoding="utf-8")
    between = index_data_of(open_index(root, settings(tmp_path)))
    assert ranked(between, "sparkle glitter", {}).paths[0] == "shop/money.py"
    money.write_text(original + "\n", encoding="utf-8")
    after = index_data_of(open_index(root, settings(tmp_path)))
    # Nothing is left of the words that were there in between, so all is by importance, as before.
    for task in ("sparkle glitter", *TASKS[1:]):
        np.testing.assert_allclose(ranked(after, task, {}).scores, ranked(before, task, {}).scores, rtol=1e-9)


@pytest.mark.parametrize("change", ["added", "removed", "generated"])
def test_other_changes_join_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    root = write_tree(tmp_path / "shop")
    done = count_patches(monkeypatch)
    index_data_of(open_index(root, settings(tmp_path)))
    if change == "added":
        write_tree(root, {"shop/gifts.py": "def wrap():\n    return 1\n"})
    elif change == "removed":
        (root / "shop/cache.py").unlink()
    else:
        (root / "shop/cache.py").write_text("# @generated\n" + FILES["shop/cache.py"])
    index: Index = open_index(root, settings(tmp_path))
    assert_alike(index_data_of(index), build_index_data(index))
    assert done == [False]
