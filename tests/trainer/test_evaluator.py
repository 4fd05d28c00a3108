"""The evaluator ranks as the ranker does; splits don't mix; noise and liveness are measured."""

from pathlib import Path

import numpy as np
import pytest

from hal9.errors.trainer import CorpusUnavailable, EvaluationFailed, TrainerSettingInvalid
from hal9.ripmap.evaluation.evaluation import Evaluator
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.corpus import Corpus, find_corpus, localization_corpus
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator, paired_gain
from hal9.trainer.evaluation.ranking_pool import ForkedPool
from hal9.trainer.record.runs import EvaluationData, paired_p
from hal9.trainer.search.space import Change, apply_changes, liveness, space_of


def random_parameters(seed: int) -> Parameters:
    rng = np.random.default_rng(seed)
    return Parameters({name: item.from_unit(float(rng.random())) for name, item in PARAMETERS.items()})


def test_equals_the_ranker_on_every_case_and_parameter_set(corpus: Corpus) -> None:
    prepared = corpus.prepare("train")
    real = Evaluator(prepared)
    with TrainingEvaluator(prepared) as fast:
        assert fast.mode == "fast"
        for parameters in (Parameters(), *(random_parameters(seed) for seed in range(6))):
            theirs, ours = real.evaluate(parameters), fast.evaluate(parameters)
            assert [result.ranks for result in theirs.results] == list(ours.ranks)
            assert ours.score == pytest.approx(theirs.score, abs=1e-12)
            assert ours.figures()["mrr"] == pytest.approx(theirs.figures.mrr, abs=1e-12)
            assert ours.figures()["acc@1"] == pytest.approx(theirs.figures.accuracy[1], abs=1e-12)


def test_signals_kept_from_before_do_not_leak_into_the_next_parameters(corpus: Corpus) -> None:
    prepared = corpus.prepare("train")
    warm = TrainingEvaluator(prepared)
    for name in ("weight_words", "chunk_k", "stem_weight", "interaction_mixing", "query_title"):
        item = PARAMETERS[name]
        changed = Parameters({name: item.low if item.default != item.low else item.high})
        fresh = TrainingEvaluator(prepared).evaluate(changed)
        assert warm.evaluate(changed).ranks == fresh.ranks


def test_two_workers_give_what_one_gives(corpus: Corpus) -> None:
    prepared = corpus.prepare("train")
    with TrainingEvaluator(prepared) as one, TrainingEvaluator(prepared, workers=2) as two:
        for seed in range(3):
            parameters = random_parameters(seed)
            assert np.array_equal(one.evaluate(parameters).ndcg, two.evaluate(parameters).ndcg)


def test_a_killed_worker_is_an_error_and_the_next_evaluation_works(corpus: Corpus) -> None:
    with TrainingEvaluator(corpus.prepare("train"), workers=2) as evaluator:
        evaluator.evaluate()
        pool = evaluator._opened
        assert isinstance(pool, ForkedPool)
        pool._crew[0][0].kill()
        with pytest.raises(EvaluationFailed, match="--workers 1"):
            evaluator.evaluate(random_parameters(1))
        assert evaluator.evaluate(random_parameters(1)).score > 0


def test_splits_share_no_repository_and_late_is_later(corpus: Corpus) -> None:
    trees = {name: set(facts["trees"]) for name, facts in corpus.describe().items()}
    assert trees["train"] == trees["late"] == {"alpha-1.0", "delta-1.0"}
    assert trees["validation"] == {"bravo-1.0", "carol-1.0"}
    assert trees["test"] == {"echo-1.0"}
    number = {
        name: [int(case.id.rpartition(":")[2], 16) for case in corpus.cases[name] if case.tree == "alpha-1.0"]
        for name in ("train", "late")
    }
    assert max(number["train"]) < min(number["late"])
    assert len(number["train"]) + len(number["late"]) == 8


def test_a_missing_corpus_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CorpusUnavailable, match="HAL9_SHARED"):
        find_corpus({"HAL9_SHARED": str(tmp_path)})


def test_missing_trees_are_told_when_fetching_is_off(
    corpus_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = localization_corpus(corpus_folders[0], trees=tmp_path, fetch=False)
    with pytest.raises(CorpusUnavailable, match="is missing"):
        corpus.prepare("train")


def test_paired_gain_counts_cases_and_noise(ground: EvaluationData) -> None:
    base = ground.train.evaluate()
    same = paired_gain(base, base)
    assert (same.mean, same.error, same.won, same.lost) == (0.0, 0.0, 0, 0)
    assert not same.beats(0.0)
    assert paired_p(base, base) == 1.0
    worse = ground.train.evaluate(
        Parameters({name: 0.0 for name in PARAMETERS if name.startswith("weight_")})
    )
    gain = paired_gain(worse, base)
    assert gain.mean < 0
    assert gain.lost > gain.won
    assert paired_p(worse, base) < 0.05


def test_the_noise_counts_repositories_that_disagree() -> None:
    def evaluation(ndcg: list[float]) -> Evaluation:
        count = len(ndcg)
        trees = tuple("a" if number < count // 2 else "b" for number in range(count))
        return Evaluation(Parameters(), np.array(ndcg), ({},) * count, np.ones(count), trees)

    base = evaluation([0.5] * 40)
    alike = paired_gain(evaluation([0.6, 0.5] * 20), base)
    split = paired_gain(evaluation([0.6] * 20 + [0.5] * 20), base)
    assert alike.mean == pytest.approx(split.mean) == pytest.approx(0.05)
    assert alike.error == pytest.approx(0.05 / np.sqrt(39))  # independent cases
    assert split.error == pytest.approx(0.05)  # two repositories: one gains, one does not
    assert alike.beats(1.0)
    assert not split.beats(1.0)


def test_liveness_tells_the_living_from_the_dead(ground: EvaluationData) -> None:
    found = liveness(ground.train.cases)
    assert found["weight_words"] == "alive"
    assert found["shadow_weight_import"] in ("with companions", "dead")
    assert found["git_recency_decay_days"] == "dead"  # these trees have no history
    assert set(found) == set(PARAMETERS)
    assert "git_recency_decay_days" not in ground.space.names


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(TrainerSettingInvalid, match="weights, seed, live, all"):
        space_of("everything")


@pytest.mark.parametrize("name", ["weight_words", "role_test", "words_k"])
def test_steps_are_shares_of_the_range_on_its_own_scale(name: str) -> None:
    item, space = PARAMETERS[name], space_of("all")
    applied = apply_changes(Parameters(), [Change(name, "increase", "medium")], space)
    assert item.to_unit(applied.parameters[name]) == pytest.approx(item.to_unit(item.default) + 0.15)
    back = apply_changes(applied.parameters, [Change(name, "decrease", "medium")], space)
    assert back.parameters[name] == pytest.approx(item.default)


def test_what_cannot_be_applied_is_told_and_does_nothing() -> None:
    space = space_of("weights")
    full = Parameters({"weight_words": 3.0})
    changes = [
        Change("weight_words", "increase", "small"),
        Change("weight_wordz", "increase", "small"),
        Change("weight_path", "increase", "small"),
        Change("weight_path", "decrease", "small"),
        *(
            Change(name, "decrease", "small")
            for name in ("weight_title", "weight_heads", "weight_pairs", "weight_tests")
        ),
    ]
    applied = apply_changes(full, changes, space)
    told = "\n".join(applied.problems)
    assert list(applied.moved) == ["weight_path", "weight_title", "weight_heads", "weight_pairs"]
    for part in ("upper end", "did you mean weight_words", "named twice", "weight_tests: left out"):
        assert part in told


def test_steps_beyond_the_range_are_clamped_and_told() -> None:
    applied = apply_changes(
        Parameters({"weight_words": 2.9}), [Change("weight_words", "increase", "large")], space_of("all")
    )
    assert applied.parameters["weight_words"] == 3.0
    assert "clamped to 3" in applied.problems[0]
