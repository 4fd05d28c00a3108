"""Parameters in, NDCG@10 out: the real ranker over prepared cases, on several processes, and what is noise.

Extraction and evidence are made once; who ranks the cases is a `RankingPool`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.evaluation.evaluation import PreparedCase
from hal9.ripmap.evaluation.metrics import CUTS, accuracy_at, ndcg_at, reciprocal_rank
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.cached_scorer import CachedScorer, faithful
from hal9.trainer.evaluation.ranking_pool import ForkedPool, RankingPool

__all__ = ["Evaluation", "Gain", "TrainingEvaluator", "paired_gain"]

Array = NDArray[np.float64]
_RELEVANT = 0.5
_CHECKED = 4
"""Cases on which the fast path is compared with the ranker before a run."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All cases under one parameter set.

    Attributes:
        ndcg: NDCG@10 per case.
        ranks: path to 0-based rank of each wanted file, per case.
        weights: what each case counts.
        trees: the repository of each case.
        relevant_ranks: ranks of the files that accuracy asks for, per case.
        seconds: how long it took.
    """

    parameters: Parameters
    ndcg: Array
    ranks: tuple[dict[str, int], ...]
    weights: Array
    trees: tuple[str, ...] = ()
    relevant_ranks: tuple[tuple[int, ...], ...] = ()
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """Case-weighted mean NDCG@10."""
        return float(self.ndcg @ self.weights / self.weights.sum())

    def only(self, rows: NDArray[np.bool_]) -> "Evaluation":
        """The same for some of the cases; `rows` says which. Its shape is (cases,)."""
        at = np.flatnonzero(rows).tolist()
        return replace(
            self,
            ndcg=self.ndcg[rows],
            ranks=tuple(self.ranks[i] for i in at),
            weights=self.weights[rows],
            trees=tuple(self.trees[i] for i in at) if self.trees else (),
            relevant_ranks=tuple(self.relevant_ranks[i] for i in at) if self.relevant_ranks else (),
        )

    def figures(self) -> dict[str, float]:
        """Weighted means: ndcg, acc@1/3/5/10, mrr."""
        share = self.weights / self.weights.sum()
        found = {"ndcg": self.score}
        for k in CUTS:
            found[f"acc@{k}"] = float(
                share @ np.array([accuracy_at(ranks, k) for ranks in self.relevant_ranks])
            )
        found["mrr"] = float(share @ np.array([reciprocal_rank(ranks) for ranks in self.relevant_ranks]))
        return found


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired comparison on the same cases: candidate minus base.

    `error` is the standard error: how much the gain would vary with other cases, or with other repositories,
    whichever is more.
    """

    mean: float
    error: float
    won: int
    lost: int

    def beats(self, z: float) -> bool:
        """Whether the gain is more than `z` standard errors."""
        return self.mean > 1e-12 and self.mean > z * self.error

    def to_json(self) -> dict[str, float]:
        """All fields."""
        return {"mean": self.mean, "error": self.error, "won": self.won, "lost": self.lost}


def paired_gain(candidate: Evaluation, base: Evaluation) -> Gain:
    """Weighted mean difference of NDCG@10 with its standard error.

    Cases of one repository are alike, and a step that suits one repository says little about the next. So the
    error is the larger of two: over cases, and over repositories as clusters.

    Source:
        Cameron, Miller, "A practitioner's guide to cluster-robust inference", J. Human Resources 2015.
    """
    difference = candidate.ndcg - base.ndcg
    share = base.weights / base.weights.sum()
    mean = float(share @ difference)
    scores = share * (difference - mean)
    error = _spread(scores)
    if base.trees:
        _, owner = np.unique(np.array(base.trees), return_inverse=True)
        if owner.max() > 0:
            error = max(error, _spread(np.bincount(owner, scores).astype(np.float64)))
    return Gain(mean, error, int((difference > 1e-9).sum()), int((difference < -1e-9).sum()))


def _spread(scores: Array) -> float:
    """Standard error of a sum of independent centred parts."""
    count = len(scores)
    return float(np.sqrt((scores**2).sum() * count / max(1, count - 1)))


@dataclass(eq=False)
class TrainingEvaluator:
    """Scores parameter sets; use `with` when there is more than one worker.

    Attributes:
        repositories: of each case, the repository it is about; a case's tree when not given.
        make_pool: who ranks instead of `workers` processes of this machine.
        mode: "fast" when the fast path agrees with the ranker on sample cases, else "exact" (the ranker).
        calls: evaluations so far, those answered from memory included in no count.
    """

    prepared: Sequence[PreparedCase]
    workers: int = 1
    seed: int = 0
    repositories: tuple[str, ...] = ()
    make_pool: "Callable[[TrainingEvaluator], RankingPool] | None" = None
    calls: int = field(default=0, init=False)
    mode: Literal["fast", "exact"] = field(default="fast", init=False)
    _cases: list[CachedScorer] = field(default_factory=list, init=False)
    _opened: RankingPool | None = field(default=None, init=False)
    _known: dict[Parameters, Evaluation] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._cases = [CachedScorer(item) for item in self.prepared]
        rng = np.random.default_rng([self.seed, 17])
        probe = _random_parameters(rng)
        chosen = rng.choice(len(self._cases), min(_CHECKED, len(self._cases)), replace=False)
        if not all(faithful(self._cases[i], at) for i in chosen for at in (Parameters(), probe)):
            self.mode = "exact"
            self._cases = [CachedScorer(item, exact=True) for item in self.prepared]
        self.repositories = self.repositories or tuple(item.case.tree for item in self.prepared)
        self._weights = np.array([item.case.weight for item in self.prepared], np.float64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _pool(self) -> RankingPool:
        if self._opened is None:
            make = self.make_pool
            self._opened = ForkedPool(self._cases, self.workers) if make is None else make(self)
        return self._opened

    @property
    def cases(self) -> Sequence[CachedScorer]:
        """The cases, in order."""
        return self._cases

    def evaluate(self, parameters: Parameters | None = None) -> Evaluation:
        """Rank every case; a parameter set seen before costs nothing.

        Raises:
            EvaluationFailed: a worker is gone.
        """
        chosen = parameters or Parameters()
        if chosen in self._known:
            return self._known[chosen]
        self.calls += 1
        started = time.perf_counter()
        ranks = self._pool().ranks(chosen)
        gold = [item.case.gold for item in self.prepared]
        ndcg = np.array(
            [
                ndcg_at({rank: wanted[path] for path, rank in found.items()})
                for wanted, found in zip(gold, ranks, strict=True)
            ]
        )
        relevant_ranks = tuple(
            tuple(rank for path, rank in found.items() if wanted[path] >= _RELEVANT)
            for wanted, found in zip(gold, ranks, strict=True)
        )
        made = Evaluation(
            chosen,
            ndcg,
            tuple(ranks),
            self._weights,
            self.repositories,
            relevant_ranks,
            time.perf_counter() - started,
        )
        self._known[chosen] = made
        return made


def _random_parameters(rng: np.random.Generator) -> Parameters:
    from hal9.ripmap.parameters import PARAMETERS  # noqa: PLC0415 - keeps the name out of this module's face

    return Parameters({name: item.from_unit(float(rng.random())) for name, item in PARAMETERS.items()})
