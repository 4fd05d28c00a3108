"""Whether an intervention really set its variable, and that one alone.

A perfect intervention cuts a variable off from its causes, so its rows say nothing of what causes it. An
inhibitor or a nudge does not: in its rows the variable still follows its causes, and to leave these rows out
of its term would let any graph look good there. Such rows are taken as observed. And where variables that
were not set shift from experiment to experiment more than their causes explain, the experiments acted on more
than they name: then all rows are taken as observed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.table import Table

__all__ = ["shift_elsewhere", "without_false_interventions", "without_soft_interventions"]

_LEAST_ROWS = 20
_SOFT = 3.0
"""Nats by which causes explain a variable better than nothing does, in rows that are said to have set it."""

_ELSEWHERE = 0.05
"""Share of what causes leave over that may lie between experiments which did not name the variable."""

Score = Callable[[Table, int, NDArray[np.intp]], float]


def without_soft_interventions(table: Table, adjacency: NDArray[np.bool_], score: Score) -> Table:
    """The table with the rows of interventions that cut nothing off taken as observed.

    `adjacency` has shape (variables, variables).

    Args:
        table: data with targets.
        adjacency: a first graph, [source, target].
        score: of a table's variable with the given parents, in nats.
    """
    targets = table.targets.copy()
    for node in np.unique(targets[targets >= 0]).tolist():
        parents = np.flatnonzero(adjacency[:, node])
        mine = targets == node
        if mine.sum() < _LEAST_ROWS or not parents.size:
            continue
        values = table.values[mine]
        if np.ptp(values[:, node]) == 0:
            continue
        varied = parents[np.ptp(values[:, parents], axis=0) > 0]
        rows = replace(table, values=values, targets=np.full(int(mine.sum()), -1, dtype=np.intp))
        alone = score(rows, node, np.zeros(0, dtype=np.intp))
        # One cause that still acts is enough.
        best = max((score(rows, node, np.array([parent])) for parent in varied), default=alone)
        if best > alone + _SOFT:
            targets[mine] = -1
    return replace(table, targets=targets) if (targets != table.targets).any() else table


def shift_elsewhere(table: Table, adjacency: NDArray[np.bool_]) -> float:
    """Share of the variance left over by causes that lies between experiments on other variables; the mean.

    `adjacency` has shape (variables, variables).

    Args:
        table: data with targets.
        adjacency: a first graph, [source, target].
    """
    shares = []
    for node in range(len(table.names)):
        kept = table.targets != node
        values, groups = table.values[kept], table.targets[kept]
        if len(values) < 2 * _LEAST_ROWS:
            continue
        centred = values - values.mean(axis=0)
        left, parents = centred[:, node], np.flatnonzero(adjacency[:, node])
        if parents.size:
            left = left - centred[:, parents] @ np.linalg.lstsq(centred[:, parents], left, rcond=None)[0]
        levels, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
        means = np.bincount(place, left, levels.size) / counts
        total = float(left @ left)
        # So many groups share some of the variance by chance alone.
        chance = (levels.size - 1) / len(values)
        shares.append(float(counts @ means**2) / total - chance if total > 1e-12 else 0.0)
    return float(np.mean(shares)) if shares else 0.0


def without_false_interventions(table: Table, adjacency: NDArray[np.bool_], score: Score) -> Table:
    """The table with rows taken as observed that their experiment did not set, or not alone.

    Arguments are those of `without_soft_interventions`.

    `adjacency` has shape (variables, variables).
    """
    checked = without_soft_interventions(table, adjacency, score)
    if (checked.targets < 0).all() or checked.discrete or shift_elsewhere(table, adjacency) <= _ELSEWHERE:
        return checked
    return replace(checked, targets=np.full(checked.rows, -1, dtype=np.intp))
