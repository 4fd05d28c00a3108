"""How probable the levels of a category are, given numbers and categories beside it.

The odds of the levels are those of a linear discriminant (Fisher 1936): they follow from means per level and
one common covariance, so that sums over the rows, which a search has at hand, suffice; nothing is iterated.
What counts is the likelihood of the levels. The determinant of their indicators, as if these were numbers
(degenerate Gaussian score, Andrews et al. 2019), is on another scale than densities of numbers: it makes
wrong directions sure by hundreds of nats.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray

__all__ = ["Levels", "level_likelihood"]

_RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of a category, the one without an indicator last.

    Attributes:
        codes: per row, the number of its level. shares: of the levels among the rows.
    """

    codes: NDArray[np.intp]
    shares: FloatArray

    @classmethod
    def of(cls, column: FloatArray) -> tuple["Levels", FloatArray]:
        """The levels of a column, and their indicators as columns.

        The rarest of several has no indicator, so that none is nearly constant.

        Args:
            column: codes, shape (rows,).
        """
        found, codes, counts = np.unique(column, return_inverse=True, return_counts=True)
        last = int(np.argmin(counts)) if found.size > 2 else 0
        order = np.r_[np.delete(np.arange(found.size), last), last]
        place = np.empty_like(order)
        place[order] = np.arange(found.size)
        codes = place[codes].astype(np.intp)
        indicators = codes[:, None] == np.arange(found.size - 1)
        return cls(codes, counts[order] / column.size), indicators.astype(np.float64)

    @property
    def entropy(self) -> float:
        """Nats per row that are not known while nothing else is."""
        return -float(self.shares @ np.log(self.shares))


def level_likelihood(
    levels: Levels, features: FloatArray, within: FloatArray, across: FloatArray, codes: NDArray[np.intp]
) -> float:
    """Mean log-likelihood of a category's levels, in nats per row.

    Args:
        levels: of the category.
        features: standardised columns that they are told from, shape (rows looked at, columns).
        within: correlations of these columns in all rows, shape (columns, columns).
        across: their correlations with the indicators, shape (indicators, columns).
        codes: levels of the rows looked at, shape (rows looked at,).
    """
    shares = levels.shares
    told = shares[:-1]
    means = np.empty((shares.size, features.shape[1]))
    means[:-1] = across * np.sqrt((1.0 - told) / told)[:, None]
    means[-1] = -(told @ means[:-1]) / shares[-1]
    common = within - (means * shares[:, None]).T @ means + _RIDGE * np.eye(features.shape[1])
    slopes = np.linalg.solve(common, means.T)
    odds = features @ slopes + (np.log(shares) - 0.5 * np.einsum("kd,dk->k", means, slopes))
    odds -= odds.max(axis=1, keepdims=True)
    chosen = odds[np.arange(codes.size), codes]
    return float(np.mean(chosen - np.log(np.exp(odds).sum(axis=1))))
