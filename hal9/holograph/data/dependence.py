"""What a score takes for granted and a table may not keep: independent rows, noise that ignores causes."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = ["row_worth", "spread_dependence", "taken_differently"]

_BATCHES = 40
_LEAST_ROWS = 200
_IN_RUNS = 0.1
"""Changes from row to row, of those that a random order has, below which rows are sorted by a column."""


def row_worth(values: FloatArray, adjacency: NDArray[np.bool_]) -> float:
    """How many independent rows a row counts for: 1, or less where rows that follow each other are alike.

    Experiments put together one after the other, patients visited several times and time series make a
    table look larger than it is, and every weak dependence sure. Covariances of what a graph leaves over are
    summed in batches of rows that follow each other; among independent rows these sums vary as single terms
    do (batch means; the mean ratio is the penalty factor of Takeuchi's information criterion).

    Args:
        values: shape (rows, n), in the order of the table.
        adjacency: a first graph, [source, target].

    Returns:
        1.0 too where there are fewer than 200 rows, or where a column sorts them, which says nothing.
    """
    rows, size = values.shape
    if rows < _LEAST_ROWS or size < 2 or _sorted_by_a_column(values):
        return 1.0
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
    starts = np.linspace(0, rows, _BATCHES + 1).astype(np.intp)[:-1]
    ratios = []
    for node in range(size):
        parents = np.flatnonzero(adjacency[:, node])
        left = scaled[:, node]
        if parents.size:
            design = scaled[:, parents]
            left = left - design @ np.linalg.lstsq(design, left, rcond=None)[0]
        terms = left[:, None] * np.delete(scaled, node, axis=1)
        terms = terms - terms.mean(axis=0)
        single = np.einsum("ij,ij->j", terms, terms)
        sums = np.add.reduceat(terms, starts, axis=0)
        ratios.append(np.einsum("ij,ij->j", sums, sums) / np.maximum(single, 1e-12))
    # Sums of deviations from the mean vary less by one part in the number of batches.
    ratio = float(np.mean(np.concatenate(ratios))) * _BATCHES / (_BATCHES - 1)
    pairs = size * (size - 1) / 2
    chance = 1.0 + 4.0 * np.sqrt(2.0 / _BATCHES / np.sqrt(pairs))
    return 1.0 / ratio if ratio > chance else 1.0


def _sorted_by_a_column(values: FloatArray) -> bool:
    """Whether some column hardly changes from row to row, or goes one way."""
    for column in values.T:
        steps = np.diff(column)
        changes = np.count_nonzero(steps)
        same = (
            float((np.unique(column, return_counts=True)[1].astype(np.float64) ** 2).sum()) / column.size**2
        )
        if changes < _IN_RUNS * (1.0 - same) * steps.size:
            return True
        if changes and max(np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)) > 0.95 * changes:
            return True
    return False


def spread_dependence(left: FloatArray, cause: FloatArray) -> float:
    """By how many nats the size of what is left over depends on a cause.

    In a model with additive noise it does not. Where it clearly does, the model is wrong, and what it says
    about the direction means nothing.

    Args:
        left: residuals of the effect, shape (rows,).
        cause: shape (rows,).
    """
    size = np.sqrt(np.abs(left))
    size = size - size.mean()
    place = 2.0 * (rankdata(cause) - 0.5) / cause.size - 1.0
    basis = np.polynomial.legendre.legvander(place, 3)[:, 1:]
    basis = basis - basis.mean(axis=0)
    rest = size - basis @ np.linalg.lstsq(basis, size, rcond=None)[0]
    total = float(size @ size)
    return 0.5 * size.size * float(np.log(total / max(float(rest @ rest), 1e-12))) if total > 1e-12 else 0.0


def taken_differently(given: Table, used: Table) -> list[str]:
    """What a reader should know of how a table was used otherwise than given, one sentence each."""
    notes = []
    if used.worth < given.worth:
        notes.append(
            f"rows that follow each other are alike (experiments one after the other, or a series in time): "
            f"{used.rows} rows count for about {used.effective:.0f} independent ones"
        )
    released = int(((given.targets >= 0) & (used.targets < 0)).sum())
    if released:
        why = "what they act upon still follows its causes, or other columns shift with them unexplained"
        notes.append(f"{released} rows with interventions are taken as observed: {why}")
    return notes
