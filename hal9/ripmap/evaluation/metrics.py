"""Figures of a ranking and paired comparisons of two.

`ranks` are those of the gold files, 0-based. Accuracy at k asks for *all* gold files within the first k.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, log2

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CUTS",
    "Comparison",
    "accuracy_at",
    "bootstrap_interval",
    "compare",
    "mcnemar",
    "ndcg_at",
    "reciprocal_rank",
]

CUTS = (1, 3, 5, 10)


def accuracy_at(ranks: Sequence[int], k: int) -> float:
    """1 when every gold file is among the first k, else 0."""
    return float(bool(ranks) and max(ranks) < k)


def reciprocal_rank(ranks: Sequence[int]) -> float:
    """One over the first gold file's rank, counted from 1."""
    return 1.0 / (1 + min(ranks)) if ranks else 0.0


def ndcg_at(gains: Mapping[int, float], k: int = 10) -> float:
    """Normalised discounted cumulative gain with linear graded gains.

    Args:
        gains: rank (0-based) to grade, one entry per relevant file.
        k: only the first k ranks count.

    Source:
        Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    ideal = sum(grade / log2(rank + 2) for rank, grade in enumerate(sorted(gains.values(), reverse=True)[:k]))
    found = sum(grade / log2(rank + 2) for rank, grade in gains.items() if rank < k)
    return found / ideal if ideal > 0 else 0.0


def bootstrap_interval(
    values: Sequence[float],
    rng: np.random.Generator,
    *,
    weights: Sequence[float] | None = None,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the (weighted) mean over resampled cases."""
    data = np.asarray(values, np.float64)
    if not len(data):
        return (0.0, 0.0)
    weight = np.ones(len(data)) if weights is None else np.asarray(weights, np.float64)
    drawn = rng.integers(0, len(data), (samples, len(data)))
    means: NDArray[np.float64] = (data[drawn] * weight[drawn]).sum(axis=1) / weight[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p of a paired win/loss count under a fair coin."""
    total = wins + losses
    if total == 0:
        return 1.0
    tail: int = sum(comb(total, i) for i in range(min(wins, losses) + 1))
    return min(1.0, float(2 * tail / 2**total))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same cases.

    Attributes:
        cuts: k to (wins, losses, p) for accuracy at k.
        ndcg_difference: mean of ours minus theirs.
        interval: its bootstrap interval.
    """

    cuts: dict[int, tuple[int, int, float]]
    ndcg_difference: float
    interval: tuple[float, float]


def compare(
    ours: Sequence[Sequence[int]],
    theirs: Sequence[Sequence[int]],
    our_ndcg: Sequence[float],
    their_ndcg: Sequence[float],
    rng: np.random.Generator,
) -> Comparison:
    """Compare paired results; the cases must be the same, in the same order."""
    cuts: dict[int, tuple[int, int, float]] = {}
    for k in CUTS:
        pairs = [(accuracy_at(a, k), accuracy_at(b, k)) for a, b in zip(ours, theirs, strict=True)]
        wins = sum(a > b for a, b in pairs)
        losses = sum(a < b for a, b in pairs)
        cuts[k] = (wins, losses, mcnemar(wins, losses))
    differences = [a - b for a, b in zip(our_ndcg, their_ndcg, strict=True)]
    mean = float(np.mean(differences)) if differences else 0.0
    return Comparison(cuts, mean, bootstrap_interval(differences, rng))
