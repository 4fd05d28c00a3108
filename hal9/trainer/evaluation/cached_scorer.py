"""One case's scores under many parameter sets, recomputing only what a change touches.

The ranker itself ranks; it is handed a memory of its signals (`hal9.ripmap.ranking.feature_table`), so that
changing weights alone costs a few vector sums. `faithful` checks a case against a ranking without memory.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.evaluation.evaluation import PreparedCase
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.feature_table import Memory
from hal9.ripmap.ranking.ranker import Ranking, rank_prepared

__all__ = ["CachedScorer", "faithful"]

Array = NDArray[np.float64]


@dataclass(eq=False, slots=True)
class CachedScorer:
    """A prepared case that remembers its signals; `exact` ranks without remembering anything."""

    item: PreparedCase
    exact: bool = False
    _memory: Memory = field(default_factory=dict)
    _gold: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        paths = self.item.evidence.index_data.paths
        file_indexes = {
            path: file_index for file_index, path in enumerate(paths) if path in self.item.case.gold
        }
        self._gold = [(path, file_indexes[path]) for path in self.item.case.gold if path in file_indexes]

    def _ranking(self, parameters: Parameters) -> Ranking:
        return rank_prepared(self.item.evidence, parameters, None if self.exact else self._memory)

    def scores(self, parameters: Parameters) -> Array:
        """Score of every file, shape (files,)."""
        return self._ranking(parameters).scores

    def ranks(self, parameters: Parameters) -> dict[str, int]:
        """0-based ranks of the wanted files among the candidates."""
        values = np.where(self.item.candidates, self.scores(parameters), -np.inf)
        return {
            path: int((values > values[file_index]).sum() + (values[:file_index] == values[file_index]).sum())
            for path, file_index in self._gold
        }

    def signals(self, parameters: Parameters) -> dict[str, Array]:
        """Every signal that speaks, times its weight; each has shape (files,)."""
        ranking = self._ranking(parameters)
        return {name: ranking.signal(name) for name in ranking.signals}


def faithful(case: CachedScorer, parameters: Parameters) -> bool:
    """Whether a case is scored from memory exactly as without."""
    return bool(np.array_equal(case.scores(parameters), rank_prepared(case.item.evidence, parameters).scores))
