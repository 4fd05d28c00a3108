"""How far from Gaussian what is left over of a number is, and which numbers have such a shape at all."""

import functools

import numpy as np
from scipy.special import digamma, ndtri

from hal9.holograph.model.state import FloatArray

__all__ = ["NARROW", "WIDE", "departure_from_gaussian", "has_density", "negentropy"]

_DENSEST = 10.0
"""Density per standard deviation that is believed at most; atoms would have an infinite one."""
WIDE, NARROW = 4.0, 1.0
"""Points between the ends of a spacing, in square roots of the number of rows: wide ones vary less from one
residual to the next, narrow ones smooth the shape less."""
_ATOM = 0.2
"""Share of rows with one value from which a number is no draw from a density: counts, many zeros."""


def has_density(column: FloatArray) -> bool:
    """Whether a number's values look drawn from a density, so that its noise has a shape.

    Args:
        column: shape (rows,).
    """
    _, counts = np.unique(column, return_counts=True)
    return bool(counts.size > 2 and counts.max() <= _ATOM * column.size)


def departure_from_gaussian(residual: FloatArray) -> float:
    """Negentropy by moments (Hyvärinen 1998), in nats: steady near the Gaussian, too large far from it.

    It says whether noise has a shape to speak of; how much of one is for `negentropy`.

    Args:
        residual: shape (rows,).
    """
    spread = residual.std()
    if spread < 1e-12:
        return 0.0
    u = (residual - residual.mean()) / spread
    peaked = float(np.mean(np.logaddexp(u, -u)) - np.log(2.0)) - 0.374567
    skewed = float(np.mean(u * np.exp(-0.5 * u * u)))
    # Constants of the maximum-entropy approximation, halved to nats of a density.
    return 79.047 * peaked**2 + 7.4129 * skewed**2


def negentropy(residual: FloatArray, window: float = WIDE) -> float:
    """How far a distribution is from the Gaussian, in nats; about 0 for a Gaussian one.

    The entropy is taken from spacings of the sorted values (Vasicek 1976), less what a Gaussian sample of
    this size would show by the smoothing alone. Approximations by moments (Hyvärinen 1998) are right near the
    Gaussian only: for skewed noise or long tails they give several times the truth, and an edge would
    be left out because it makes noise less odd.

    Args:
        residual: shape (rows,).
        window: points between the ends of a spacing, in square roots of the number of rows.
    """
    spread = residual.std()
    if spread < 1e-12 or residual.size < 8:
        return 0.0
    ordered = _apart(np.sort((residual - residual.mean()) / spread))
    return _ordered_negentropy(ordered, window) - _of_gaussian(ordered.size, window)


def _ordered_negentropy(ordered: FloatArray, roots: float) -> float:
    """Negentropy of standardised values in rising order."""
    count = ordered.size
    window = max(1, min(count // 4, round(roots * count**0.5)))
    spacings = ordered[window:] - ordered[:-window]
    # Rounding to no width at all, as where many values are one, is bounded by the density that is believed.
    spacings = np.maximum(spacings, window / (count * _DENSEST))
    entropy = float(np.mean(np.log(spacings))) + float(digamma(count + 1) - digamma(window))
    return 0.5 * float(np.log(2.0 * np.pi * np.e)) - entropy


@functools.lru_cache(maxsize=256)
def _of_gaussian(count: int, roots: float) -> float:
    """What a Gaussian sample seems to have, since spacings smooth the density."""
    ordered = ndtri((np.arange(count) + 0.5) / count)
    return _ordered_negentropy(np.asarray(ordered / ordered.std(), dtype=np.float64), roots)


def _apart(ordered: FloatArray) -> FloatArray:
    """Values in rising order, with ties spread evenly to half way to the next: rounding is no density."""
    if (np.diff(ordered) > 0).all():
        return ordered
    levels, counts = np.unique(ordered, return_counts=True)
    if levels.size < 2:
        return ordered
    half = 0.5 * np.diff(levels)
    edges = np.concatenate([[levels[0] - half[0]], levels[:-1] + half, [levels[-1] + half[-1]]])
    places = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(np.interp(np.arange(ordered.size) + 0.5, places, edges), dtype=np.float64)
