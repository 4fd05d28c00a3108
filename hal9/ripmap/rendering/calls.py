"""Who calls what, as the symbol graph resolves it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.postings.symbols import resolve
from hal9.ripmap.ranking.ranker import Ranking
from hal9.ripmap.text.display import shown

__all__ = ["CallTable", "call_table"]

Rows = NDArray[Any]
Relations = tuple[tuple[str, ...], tuple[str, ...]]
_LEAST_CONFIDENCE = 0.3


def call_table(ranking: Ranking) -> "CallTable":
    """The table of the ranking's repository, made once per set of final-pass parameters."""
    strategy = tuple(value for name, value in ranking.parameters.items() if name.startswith("final_"))
    found: CallTable = ranking.index_data.cached(("calls", strategy), lambda: CallTable(ranking))
    return found


class CallTable:
    """Callers and callees of definitions, the most certain first."""

    def __init__(self, ranking: Ranking) -> None:
        index_data = ranking.index_data
        self._index_data = index_data
        self._confidence, self._weight = resolve(index_data.candidates, ranking.parameters, "final")
        self._known: dict[tuple[int, int, int], Relations] = {}
        self._by_target = np.argsort(index_data.candidates.target, kind="stable")
        self._targets = index_data.candidates.target[self._by_target]
        self._by_source = np.argsort(index_data.candidates.source, kind="stable")
        self._sources = index_data.candidates.source[self._by_source]

    def around(self, file_index: int, definition_index: int, limit: int) -> Relations:
        """Names of callers and callees of one definition, given by its file and its number in that file.

        Guesses are left out; each comes as ``name confidence``.
        """
        key = (file_index, definition_index, limit)
        if key not in self._known:
            self._known[key] = self._find(file_index, definition_index, limit)
        return self._known[key]

    def _find(self, file_index: int, definition_index: int, limit: int) -> Relations:
        symbols, candidates = self._index_data.symbols, self._index_data.candidates
        node = int(symbols.start[file_index]) + definition_index
        return (
            self._named(self._rows(self._by_target, self._targets, node), candidates.source, limit),
            self._named(self._rows(self._by_source, self._sources, node), candidates.target, limit),
        )

    @staticmethod
    def _rows(order: Rows, ends: Rows, node: int) -> Rows:
        # The key has the array's own type, or numpy would convert the whole array first.
        key = ends.dtype.type(node)
        return order[np.searchsorted(ends, key) : np.searchsorted(ends, key, "right")]

    def _named(self, rows: Rows, ends: Rows, limit: int) -> tuple[str, ...]:
        nodes = ends[rows]
        best: dict[int, tuple[float, float]] = {}
        for row, node in zip(rows.tolist(), nodes.tolist(), strict=True):
            found = (float(self._weight[row]), float(self._confidence[row]))
            if found[1] >= _LEAST_CONFIDENCE and found > best.get(node, (0.0, 0.0)):
                best[node] = found
        ordered = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:limit]
        return tuple(f"{self._name(node)} {min(confidence, 1.0):.2f}" for node, (_, confidence) in ordered)

    def _name(self, node: int) -> str:
        symbols = self._index_data.symbols
        count = len(symbols.name)
        return symbols.qualified(node) if node < count else shown(self._index_data.paths[node - count])
