"""A first graph where all errors have one variance: the order of the variables then shows in theirs."""

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray

__all__ = ["ordered_by_variance"]


def ordered_by_variance(values: FloatArray) -> NDArray[np.bool_]:
    """A DAG, [source, target], shape (variables, variables).

    Variables are put in order one by one, each time the one with the least variance given those before it
    (Chen, Drton & Wang 2019); its parents are those before it whose coefficients stand out from chance.
    Searches that start from no edges take far causes for near ones where variances grow along the order.

    Args:
        values: shape (rows, variables).
    """
    rows, size = values.shape
    covariance = np.cov(values.T, bias=True).reshape(size, size)
    left, rest = covariance.copy(), list(range(size))
    order: list[int] = []
    found = np.zeros((size, size), dtype=bool)
    while rest:
        node = min(rest, key=lambda k: float(left[k, k]))
        if order:
            before = np.array(order, dtype=np.intp)
            spread, axes = np.linalg.eigh(covariance[np.ix_(before, before)])
            kept = (
                spread > 1e-15 * len(before) * spread[-1]
            )  # copies of one another have no spread of their own
            spread, axes = spread[kept], axes[:, kept]
            slopes = axes @ (axes.T @ covariance[before, node] / spread)
            noise = max(float(left[node, node]), 1e-12) / rows
            error = np.sqrt(np.maximum((axes**2 / spread).sum(axis=1) * noise, 1e-300))
            found[before[np.abs(slopes) > np.sqrt(2.0 * np.log(rows)) * error], node] = True
        if left[node, node] > 1e-12:
            left = left - np.outer(left[:, node], left[node]) / left[node, node]
        order.append(node)
        rest.remove(node)
    return found
