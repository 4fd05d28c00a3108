"""Columns that repeat others: numbers of rows, copies in other words, units or scales, exact sums."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hal9.holograph.model.state import FloatArray

__all__ = ["determined_by", "nested", "numbering"]

_EXACT = 1e-4
"""Share of a column's spread up to which the rest is rounding, whatever the digits given."""
_COARSE = 0.05
"""Share of a column's spread above which the digits given are too few to tell rounding from a rest."""
_DIGITS = 6
_LOOKED_AT = 40
"""Rows that show in most cases that two columns are not in one order."""
_FEW = 8
"""Values up to which two numbers may be in one order by chance."""
_NUMBERING = re.compile(r"(^|[^a-z])(id|ids|no|nr|num|number|index|idx|key|row|rowid|uid)$|[a-z](Id|ID|Nr)$")
_MOMENT = re.compile(r"(^|[^a-z])(time|timestamp|ts|unix|epoch|date|when)([^a-z]|$)", re.IGNORECASE)
_EPOCH = 3e8
"""Seconds from 1970 to 1979: whole numbers from there on in a column of that name are moments."""


def numbering(name: str, values: FloatArray) -> str:
    """Why a column of different whole numbers measures nothing; "" when it may measure something.

    Args:
        name: of the column.
        values: shape (rows,), all different and whole.
    """
    if np.ptp(values) == values.size - 1:
        return "numbers the rows"
    if _NUMBERING.search(name) or (name.lower() != name and _NUMBERING.search(name.lower())):
        return "is an id (every row has its own)"
    return "is a date or a time" if _MOMENT.search(name) and values.min() > _EPOCH else ""


def determined_by(
    matrix: FloatArray, column: int, others: Sequence[int], categories: Sequence[bool]
) -> tuple[list[int], str]:
    """Columns that a column repeats, and how; none when it says something of its own.

    Args:
        matrix: shape (rows, columns), without missing values.
        column: which is asked about.
        others: columns it may repeat.
        categories: per column, whether it is codes.
    """
    makers = _summed(matrix, column, list(others))
    if len(makers) == 1:
        return makers, "says the same as"
    for other in others:
        if categories[column] and categories[other]:
            if _renamed(matrix[:, column], matrix[:, other]):
                return [other], "says the same as"
        elif not (categories[column] or categories[other]) and _rescaled(matrix[:, column], matrix[:, other]):
            return [other], "rises and falls exactly with"
    return makers, "is an exact sum of"


def _renamed(first: FloatArray, second: FloatArray) -> bool:
    """Whether codes are each other's, level by level."""
    size = np.unique(first).size
    return size == np.unique(second).size == _joint(first, second)


def _joint(first: FloatArray, second: FloatArray) -> int:
    """How many pairs of codes occur."""
    return int(np.unique(first * (second.max() + 1.0) + second).size)


def _rescaled(first: FloatArray, second: FloatArray) -> bool:
    """Whether numbers have one order, the same or the opposite: logarithms, units, ranks."""
    some = np.diff(second[:_LOOKED_AT][np.argsort(first[:_LOOKED_AT])])
    if not ((some >= 0).all() or (some <= 0).all()) and np.unique(first[:_LOOKED_AT]).size == some.size + 1:
        return False
    ranks, other = rankdata(first), rankdata(second)
    if np.unique(ranks).size <= _FEW:
        return False
    return bool(np.array_equal(ranks, other) or np.array_equal(ranks, rankdata(-second)))


def _summed(matrix: FloatArray, column: int, others: list[int]) -> list[int]:
    """Columns of which the column is a weighted sum, up to the rounding of their digits."""
    if not others:
        return []
    scaled = matrix - matrix.mean(axis=0)
    length = np.linalg.norm(scaled, axis=0)
    own, design = scaled[:, column] / length[column], scaled[:, others] / length[others]
    slopes = np.linalg.lstsq(design, own, rcond=None)[0]
    left = float(np.linalg.norm(own - design @ slopes))
    makers = np.flatnonzero(np.abs(slopes) > 10 * _EXACT)
    rounding = _rounding(matrix[:, column]) ** 2 + sum(
        (float(slopes[m]) * _rounding(matrix[:, others[m]])) ** 2 for m in makers
    )
    most = max(_EXACT, 1.3 * rounding**0.5) if rounding**0.5 < _COARSE else _EXACT
    if left >= most:
        return []
    # What rounding alone can explain makes nothing.
    makers = makers[np.abs(slopes[makers]) > most]
    return [others[m] for m in makers]


def _rounding(values: FloatArray) -> float:
    """Share of a column's spread that the rounding to its digits is; 0 where digits are not cut."""
    for digits in range(_DIGITS + 1):
        if np.array_equal(np.round(values, digits), values):
            return float(10.0**-digits / np.sqrt(12.0) / values.std())
    return 0.0


def _fixes(first: FloatArray, second: FloatArray) -> bool:
    """Whether each level of the first category has one level of the second, and not the other way round."""
    size = np.unique(first).size
    return size > np.unique(second).size and size == _joint(first, second)


def nested(matrix: FloatArray, categories: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs of categories of which each level of the first has one level of the second.

    Args:
        matrix: shape (rows, columns).
        categories: which columns are codes, shape (columns,).
    """
    codes = np.flatnonzero(categories)
    return [(int(a), int(b)) for a in codes for b in codes if a != b and _fixes(matrix[:, a], matrix[:, b])]
