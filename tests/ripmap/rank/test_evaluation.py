import json
from pathlib import Path

import numpy as np
import pytest

from hal9.errors.ripmap import CasesInvalid, PresetInvalid
from hal9.ripmap import Index
from hal9.ripmap.evaluation.evaluation import Evaluator, RankingCase, is_candidate, prepare_cases, read_cases
from hal9.ripmap.evaluation.issue_like import issue_like, script_like
from hal9.ripmap.evaluation.metrics import accuracy_at, bootstrap_interval, mcnemar, ndcg_at, reciprocal_rank
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.query.task_query import parse_task
from hal9.ripmap.ranking.presets import FEATURES, features_of, list_presets, load_preset, save_preset

CASES = [
    RankingCase(
        "a", "shop-1.0", "Rounding of amounts", {"shop/money.py": 1.0}, ("shop/money.py::round_amount",)
    ),
    RankingCase("b", "shop-1.0", "Order totals and rows", {"shop/orders.py": 1.0, "shop/storage.py": 0.5}),
    RankingCase(
        "c", "shop-1.0", "Something unrelated entirely", {"shop/deep/a/b/c/d/helpers.py": 1.0}, weight=2.0
    ),
]


@pytest.fixture(scope="module")
def evaluator(shop: Index) -> Evaluator:
    return Evaluator(prepare_cases(CASES, lambda _: shop))


def test_metrics_agree_with_hand_calculation() -> None:
    assert accuracy_at([0, 4], 5) == 1.0
    assert accuracy_at([0, 5], 5) == 0.0
    assert reciprocal_rank([3, 1]) == 0.5
    assert ndcg_at({0: 1.0, 1: 0.5}) == pytest.approx(1.0)
    assert ndcg_at({2: 1.0}) == pytest.approx(0.5)
    assert ndcg_at({10: 1.0}) == 0.0
    assert ndcg_at({0: 0.5, 1: 1.0}) == pytest.approx((0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3)))


def test_mcnemar_agrees_with_published_binomials() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(8, 2) == pytest.approx(0.109375)
    assert mcnemar(3, 3) == 1.0


def test_bootstrap_interval_holds_the_mean_and_repeats() -> None:
    values = [0.0, 1.0] * 50
    low, high = bootstrap_interval(values, np.random.default_rng(1))
    assert low < 0.5 < high
    assert (low, high) == bootstrap_interval(values, np.random.default_rng(1))
    assert bootstrap_interval([], np.random.default_rng(1)) == (0.0, 0.0)


@pytest.mark.parametrize("path", ["a/b.py", "contest/x.py", "a/latest.py"])
def test_candidates(path: str) -> None:
    assert is_candidate(path)


@pytest.mark.parametrize("path", ["tests/a.py", "a/test_b.py", "a/testing/b.py", "README.md", "a/b_test.py"])
def test_no_candidates(path: str) -> None:
    assert not is_candidate(path)


def test_evaluation_weighs_cases_and_repeats(evaluator: Evaluator) -> None:
    report = evaluator.evaluate()
    assert report.results[0].ranks == {"shop/money.py": 0}
    single = [result.ndcg for result in report.results]
    assert report.score == pytest.approx((single[0] + single[1] + 2 * single[2]) / 4)
    assert evaluator.evaluate().score == report.score
    assert report.by_tree["shop-1.0"] == report.figures
    assert evaluator.calls == 2


def test_worse_parameters_lose_the_comparison(evaluator: Evaluator) -> None:
    words = (
        "weight_words",
        "weight_chunks",
        "weight_title",
        "weight_path",
        "weight_heads",
        "weight_pairs",
        "weight_identifiers",
    )
    others = ("weight_tests", "weight_test_names", "weight_imported", "weight_mentions")
    blind = evaluator.evaluate(Parameters(dict.fromkeys(words + others, 0.0)))
    paired = evaluator.evaluate().against(blind, np.random.default_rng(1))
    assert paired.ndcg_difference > 0
    assert paired.cuts[1][0] >= 1


def test_comparing_different_cases_is_an_error(evaluator: Evaluator, shop: Index) -> None:
    other = Evaluator(prepare_cases(CASES[:1], lambda _: shop)).evaluate()
    with pytest.raises(CasesInvalid):
        evaluator.evaluate().against(other, np.random.default_rng(1))


def test_gold_must_be_a_candidate(shop: Index) -> None:
    with pytest.raises(CasesInvalid, match=r"tests/test_money\.py"):
        prepare_cases([RankingCase("x", "shop-1.0", "t", {"tests/test_money.py": 1.0})], lambda _: shop)


@pytest.mark.parametrize(
    "text", ["{", "[{}]", '[{"query": "x"}]', '[{"query":"x","gold_files":[],"commit":"c"}]']
)
def test_damaged_case_files_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "cases.json").write_text(text)
    with pytest.raises(CasesInvalid, match=r"cases\.json"):
        read_cases(tmp_path)


def test_missing_case_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CasesInvalid, match="no JSON files"):
        read_cases(tmp_path)


def test_issue_like_copies_are_seeded_and_hide_nothing_of_the_answer(shop: Index) -> None:
    copies = [issue_like(CASES[0], shop, np.random.default_rng(seed)) for seed in range(30)]
    assert copies[3].text == issue_like(CASES[0], shop, np.random.default_rng(3)).text
    assert len({copy.text for copy in copies}) > 10
    assert all(copy.text.startswith("Rounding of amounts") and copy.gold == CASES[0].gold for copy in copies)
    assert any("round_amount(0.125)" in copy.text for copy in copies)
    traces = [frames for copy in copies if (frames := parse_task(copy.text).frames)]
    innermost = sum("money.py" in frames[0].path for frames in traces)
    assert 0 < innermost < len(traces) < len(copies)


def test_shipped_presets_load() -> None:
    assert "debugging" in list_presets()
    for name in list_presets():
        assert load_preset(name).description


def test_presets_of_the_repository_come_first_and_apply(tmp_path: Path, shop: Index) -> None:
    folder = tmp_path / ".ripmap" / "presets"
    folder.mkdir(parents=True)
    values = {
        "parameters": {"focus_decay": 0.75},
        "heuristics": [{"when": [["files", "<", 1000]], "set": {"words_k": 2.0}, "because": "small"}],
        "warnings": [{"when": [["focus_decay", ">", 0.7]], "text": "too wide"}],
    }
    (folder / "debugging.json").write_text(json.dumps(values))
    preset = load_preset("debugging", tmp_path)
    features = features_of(index_data_of(shop))
    assert set(features) == set(FEATURES)
    chosen = preset.parameters_for(features)
    assert (chosen["words_k"], chosen["focus_decay"]) == (2.0, 0.75)
    assert preset.warnings_for(chosen) == ["too wide"]
    assert preset.warnings_for(Parameters()) == []
    copy = load_preset(save_preset(preset, tmp_path / "copy"))
    assert copy == preset


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"parameters": {"nothing_such": 1}}',
        '{"parameters": {"focus_decay": 9}}',
        '{"unknown": 1}',
        '{"heuristics": [{"when": [["moon", "<", 1]], "set": {}}]}',
        '{"warnings": [{"when": [["focus_decay", "~", 1]], "text": "x"}]}',
        '{"warnings": [{"when": [["focus_decay", "<"]], "text": "x"}]}',
    ],
)
def test_damaged_presets_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(PresetInvalid):
        load_preset(path)


def test_an_unknown_preset_names_those_known() -> None:
    with pytest.raises(PresetInvalid, match="debugging"):
        load_preset("nothing_such")


def test_script_like_copies_are_seeded_and_bring_their_imports(shop: Index) -> None:
    copies = [script_like(CASES[0], shop, np.random.default_rng(seed)).text for seed in range(40)]
    assert copies[3] == script_like(CASES[0], shop, np.random.default_rng(3)).text
    assert any("from shop." in text for text in copies)
    assert any(": in " in text for text in copies)
    assert any('File "shop/' in text for text in copies)
    assert 2 < sum("It seems to happen in" in text for text in copies) < 25
