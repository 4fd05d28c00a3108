"""Contingency tables of categories, counted for all candidates of a node at once and kept.

The codes of a set of parents' joint states are made once per set, from those of the set without its last
member; log-gamma values are looked up by count.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = ["Counts", "GammaTables"]

_CODES = 8_000_000
"""Codes that are kept at most, 64 MB; then it starts anew."""

Set = tuple[int, ...]
Codes = NDArray[np.intp]


class GammaTables:
    """log-gamma of alpha + n, less that of alpha, for whole n, by alpha."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[float, FloatArray] = {}

    def of(self, alpha: float) -> FloatArray:
        """The values for n = 0…most."""
        found = self._known.get(alpha)
        if found is None:
            found = np.asarray(gammaln(alpha + np.arange(self._most + 1)) - gammaln(alpha), dtype=np.float64)
            self._known[alpha] = found
        return found


class _Rows:
    """Codes of some rows, and joint codes of sets of columns."""

    def __init__(self, codes: Codes, sizes: Codes) -> None:
        self.codes, self.sizes = codes, sizes
        self.count = codes.shape[1]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        self.placed = codes + self.starts[:-1, None]
        self._joint: dict[Set, tuple[Codes, int]] = {(): (np.zeros(self.count, dtype=np.intp), 1)}
        self._kept = 0

    def joint(self, members: Set) -> tuple[Codes, int]:
        """A number per row for the members' joint state, and how many states occur."""
        found = self._joint.get(members)
        if found is None:
            before, states = self.joint(members[:-1])
            size = int(self.sizes[members[-1]])
            code = before * size + self.codes[members[-1]]
            if self._kept > _CODES:
                self._joint, self._kept = {(): self._joint[()]}, 0
            found = _dense(code, states * size)
            self._joint[members] = found
            self._kept += self.count
        return found


def _dense(codes: Codes, states: int) -> tuple[Codes, int]:
    """Codes renumbered so that each occurs."""
    if states <= 4 * codes.size + 64:
        seen = np.bincount(codes, minlength=states) > 0
        places = np.cumsum(seen) - 1
        return places[codes], int(places[-1]) + 1
    levels, found = np.unique(codes, return_inverse=True)
    return found.astype(np.intp), int(levels.size)


class Counts:
    """Counts of a table of categories.

    Attributes:
        sizes: categories per variable, shape (n,). rows: how many.
    """

    def __init__(self, table: Table) -> None:
        coded = [np.unique(column, return_inverse=True) for column in table.values.T]
        codes = np.array([found[1].ravel() for found in coded], dtype=np.intp)
        self.sizes = np.array([found[0].size for found in coded], dtype=np.intp)
        self.rows = table.rows
        self._all = _Rows(codes, self.sizes)
        self._own = {
            int(node): _Rows(np.ascontiguousarray(codes[:, table.targets != node]), self.sizes)
            for node in np.unique(table.targets[table.targets >= 0])
        }
        self.gammas = GammaTables(table.rows)

    def _of(self, node: int) -> _Rows:
        return self._own.get(node, self._all)

    def marginal(self, node: int, members: Set, equivalent: float) -> float:
        """Log marginal likelihood of a node given its parents."""
        rows = self._of(node)
        codes, states = rows.joint(members)
        levels = int(self.sizes[node])
        counts = np.bincount(codes * levels + rows.codes[node], minlength=states * levels)
        cells = self._cells(members)
        cell = self.gammas.of(equivalent / (cells * levels))[counts].sum()
        row = self.gammas.of(equivalent / cells)[counts.reshape(states, levels).sum(axis=1)].sum()
        return float(cell - row)

    def additions(self, node: int, members: Set, equivalent: float) -> FloatArray:
        """Log marginal likelihoods of a node given its parents and each other variable, shape (n,)."""
        rows = self._of(node)
        codes, states = rows.joint(members)
        levels, total = int(self.sizes[node]), int(rows.starts[-1])
        joint = (codes * levels + rows.codes[node]) * total
        flat = (joint[None, :] + rows.placed).ravel()
        counts = np.bincount(flat, minlength=states * levels * total).reshape(states, levels, total)
        cells = self._cells(members)
        found = np.empty(self.sizes.size)
        for size in np.unique(self.sizes):
            chosen = np.flatnonzero(self.sizes == size)
            places = (rows.starts[chosen][:, None] + np.arange(size)).ravel()
            part = counts[:, :, places]
            cell = self.gammas.of(equivalent / (cells * int(size) * levels))[part].sum(axis=(0, 1))
            row = self.gammas.of(equivalent / (cells * int(size)))[part.sum(axis=1)].sum(axis=0)
            found[chosen] = (cell - row).reshape(chosen.size, int(size)).sum(axis=1)
        return found

    def _cells(self, members: Set) -> int:
        cells = 1
        for member in members:
            cells *= int(self.sizes[member])
        return cells
