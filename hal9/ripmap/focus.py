"""Focus: from the files that match the focus words outward along the graph."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hal9.ripmap.graph import resolve
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.terrain import Terrain

__all__ = ["adjacency", "spread_focus"]

Array = NDArray[np.float64]
_WEAK = 0.05


def adjacency(terrain: Terrain, parameters: Parameters) -> sp.coo_matrix:
    """Files x files, both ways: how surely references (shadow pass) or imports link them, at most 1."""
    strategy = tuple(value for name, value in parameters.items() if name.startswith("shadow_"))

    def build() -> sp.coo_matrix:
        candidates, symbols = terrain.candidates, terrain.symbols
        confidence, weight = resolve(candidates, parameters, "shadow")
        certain = np.minimum(1.0, np.minimum(confidence, 1.0) * np.minimum(weight, 1.0))
        source = terrain.file_of_node(candidates.source)
        links = sp.csr_matrix(
            (certain, (source, symbols.file[candidates.target])), shape=terrain.imports.shape
        )
        links.data = np.minimum(links.data, 1.0)
        linked = links.maximum(terrain.imports.astype(np.float64))
        both = linked.maximum(linked.T).tocoo()
        live = (both.data > _WEAK) & (both.row != both.col)
        return sp.coo_matrix((both.data[live], (both.row[live], both.col[live])), shape=both.shape)

    found: sp.coo_matrix = terrain.cached(("adjacency", strategy), build)
    return found


def spread_focus(terrain: Terrain, match: Array, parameters: Parameters) -> Array:
    """The best path from a match to each file: `focus_decay` per hop times the links' certainty.

    A fractional `focus_max_hops` counts the last hop in part. Shape (files,), at most 1.
    """
    reach = match.copy()
    if not match.any():
        return reach
    links = adjacency(terrain, parameters)
    hops = parameters["focus_max_hops"]
    step, decay = reach, parameters["focus_decay"]
    for hop in range(1, int(np.ceil(hops)) + 1):
        share = min(1.0, hops - (hop - 1))
        following = np.zeros(len(match))
        np.maximum.at(following, links.col, step[links.row] * links.data * decay * share)
        reach = np.maximum(reach, following)
        step = following
    return reach
