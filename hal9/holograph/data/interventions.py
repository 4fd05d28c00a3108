"""Whether an intervention really set its variable.

A perfect intervention cuts a variable off from its causes, so its rows say nothing of what causes it. An
inhibitor or a nudge does not: in its rows the variable still follows its causes, and to leave these rows out
of its term would let any graph look good there. Such rows are taken as observed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.table import Table

__all__ = ["without_soft_interventions"]

_LEAST_ROWS = 20
_SOFT = 3.0
"""Nats by which causes explain a variable better than nothing does, in rows that are said to have set it."""

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
