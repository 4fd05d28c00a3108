"""Where rankings fail, with the evidence: wanted files and the distractors above them, signal by signal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.signals import Adjustment, ErrorContext, ErrorGradient, LowQuality
from hal9.trainer.evaluation.cached_scorer import CachedScorer
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator

__all__ = ["FAILING", "Failure", "FileStanding", "find_failures", "gradient_of", "slopes_of"]

FAILING = 0.8
"""Cases below this NDCG@10 fail."""
_CUT = 10
_RIVALS = 60
_NEAR = 0.1
"""Files whose scores differ by less are near; with this the slopes agree best with measured small steps."""
_DISTRACTORS = 2
_SIGNALS = 6


@dataclass(frozen=True, slots=True)
class FileStanding:
    """A file in a ranking: rank from 1, and each signal's part of its score."""

    path: str
    rank: int
    score: float
    signals: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """One case that ranks badly.

    Attributes:
        case: its id.
        tree: its repository.
        query: the task, shortened.
        wanted: the files that were wanted.
        distractors: the best files that stand above the last wanted one and are not wanted.
        lack: signal to how much more of it the distractors have than the wanted files, on average.
    """

    case: str
    tree: str
    query: str
    ndcg: float
    wanted: tuple[FileStanding, ...]
    distractors: tuple[FileStanding, ...]
    lack: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What is kept in the scratchpad."""
        return {
            "case": self.case,
            "ndcg": round(self.ndcg, 4),
            "wanted": {s.path: s.rank for s in self.wanted},
            "distractors": [s.path for s in self.distractors],
            "lack": {name: round(value, 3) for name, value in self.lack.items()},
        }


def find_failures(
    evaluator: TrainingEvaluator, evaluation: Evaluation, *, count: int, seed: int, threshold: float = FAILING
) -> tuple[list[Failure], int]:
    """Some of the worst cases, drawn by how much they lose so that successive episodes see different ones.

    Args:
        evaluator: holds the cases.
        evaluation: of the parameters that fail.
        count: how many to describe.
        seed: fixes the draw.
        threshold: cases at or above this NDCG@10 are no failures.

    Returns:
        The failures, worst first, and how many there are in all.
    """
    loss = np.where(evaluation.ndcg < threshold, (1.0 - evaluation.ndcg) * evaluation.weights, 0.0)
    total = int((loss > 0).sum())
    if not total:
        return [], 0
    rng = np.random.default_rng([seed, 23])
    drawn = rng.choice(len(loss), min(count, total), replace=False, p=loss / loss.sum())
    ordered = sorted((int(number) for number in drawn), key=lambda number: float(evaluation.ndcg[number]))
    return [_describe(evaluator.cases[number], evaluation, number) for number in ordered], total


def _describe(case: CachedScorer, evaluation: Evaluation, number: int) -> Failure:
    paths = case.item.evidence.index_data.paths
    signals = case.signals(evaluation.parameters)
    scores = np.where(case.item.candidates, case.scores(evaluation.parameters), -np.inf)
    order = np.argsort(-scores, kind="stable")
    rank_of = {int(file_index): rank for rank, file_index in enumerate(order[:200].tolist(), 1)}
    gold = set(case.item.case.gold)
    ranks = evaluation.ranks[number]

    def standing(file_index: int, rank: int) -> FileStanding:
        parts = {
            name: float(values[file_index]) for name, values in signals.items() if values[file_index] > 0.005
        }
        top = dict(sorted(parts.items(), key=lambda pair: -pair[1])[:_SIGNALS])
        return FileStanding(paths[file_index], rank, float(scores[file_index]), top)

    file_indexes = {path: file_index for file_index, path in enumerate(paths) if path in gold}
    wanted = sorted(
        (standing(file_indexes[path], ranks[path] + 1) for path in ranks), key=lambda found: found.rank
    )
    last = max((found.rank for found in wanted), default=1)
    above = [
        file_index for file_index, rank in rank_of.items() if rank < last and paths[file_index] not in gold
    ][:_DISTRACTORS]
    lack = {
        name: float(
            np.mean([values[file_index] for file_index in above])
            - np.mean([values[file_indexes[path]] for path in ranks])
        )
        for name, values in signals.items()
        if above and ranks
    }
    strongest = dict(sorted(lack.items(), key=lambda pair: -abs(pair[1]))[:_SIGNALS])
    return Failure(
        case.item.case.id,
        case.item.case.tree,
        " ".join(case.item.case.text.split())[:240],
        float(evaluation.ndcg[number]),
        tuple(wanted[:3]),
        tuple(standing(file_index, rank_of[file_index]) for file_index in above),
        strongest,
    )


def slopes_of(evaluator: TrainingEvaluator, evaluation: Evaluation) -> dict[str, float]:
    """Signal to the estimated change of NDCG@10, over all cases, if the signal's weight were doubled.

    Failing cases alone mislead: whatever stands above a wanted file has more of nearly every signal, so they
    speak for lowering all weights, and that loses what other cases have. So every pair of a wanted file and
    another counts in every case: by what their exchange would change in NDCG@10, and by how near they are to
    each other (the derivative of a logistic of their distance in score).

    Source:
        The weights of pairs are those of Burges, "From RankNet to LambdaRank to LambdaMART: an overview",
        Microsoft Research 2010.
    """
    slopes: dict[str, float] = {}
    share = evaluation.weights / evaluation.weights.sum()
    for case, part in zip(evaluator.cases, share.tolist(), strict=True):
        signals = case.signals(evaluation.parameters)
        for name, value in _case_slopes(case, signals, evaluation).items():
            slopes[name] = slopes.get(name, 0.0) + part * value
    return slopes


def _case_slopes(
    case: CachedScorer, signals: dict[str, NDArray[np.float64]], evaluation: Evaluation
) -> dict[str, float]:
    paths, gold = case.item.evidence.index_data.paths, case.item.case.gold
    scores = np.where(case.item.candidates, case.scores(evaluation.parameters), -np.inf)
    order = np.argsort(-scores, kind="stable")[:_RIVALS]
    worth = {int(file_index): 1.0 / np.log2(rank + 2.0) for rank, file_index in enumerate(order[:_CUT])}
    rivals = np.array([file_index for file_index in order.tolist() if paths[file_index] not in gold], np.intp)
    wanted = [
        file_index
        for file_index, path in enumerate(paths)
        if path in gold and np.isfinite(scores[file_index])
    ]
    if not len(rivals) or not wanted:
        return {}
    theirs = np.array([worth.get(int(file_index), 0.0) for file_index in rivals])
    ideal = float((1.0 / np.log2(np.arange(min(_CUT, len(wanted))) + 2.0)).sum())
    found: dict[str, float] = {}
    for file_index in wanted:
        ahead = 1.0 / (1.0 + np.exp(-np.clip((scores[file_index] - scores[rivals]) / _NEAR, -30.0, 30.0)))
        pull = np.abs(worth.get(file_index, 0.0) - theirs) / ideal * ahead * (1.0 - ahead) / _NEAR
        for name, values in signals.items():
            found[name] = found.get(name, 0.0) + float(pull @ (values[file_index] - values[rivals]))
    return found


def gradient_of(
    failure: Failure, *, timestamp: float, adjustments: Sequence[Adjustment] = ()
) -> ErrorGradient:
    """The failure as the error signal that every other neuron learns from; magnitude is the lost NDCG."""
    missed = ", ".join(f"{found.path} at {found.rank}" for found in failure.wanted)
    above = ", ".join(found.path for found in failure.distractors)
    return ErrorGradient(
        error_type=LowQuality(score=max(0.0, min(1.0, failure.ndcg))),
        magnitude=max(0.0, min(1.0, 1.0 - failure.ndcg)),
        source_neuron="ripmap",
        target_neuron="l1-ranker-tuner",
        timestamp=timestamp,
        context=ErrorContext(
            original_task=failure.query,
            attempted_solution=above,
            failure_point=missed,
        ),
        suggested_adjustments=list(adjustments),
    )
