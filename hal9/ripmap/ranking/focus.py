"""Focus: from the files that match the focus words outward along the graph."""

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.postings.symbols import resolve
from hal9.ripmap.storage.sparse import CsrMatrix, csr_matrix

__all__ = ["adjacency", "spread_focus"]

Array = NDArray[np.float64]
_WEAK = 0.05


def adjacency(index_data: IndexData, parameters: Parameters) -> CsrMatrix:
    """Files x files, both ways: how surely references (shadow pass) or imports link them, at most 1.

    Shape (files, files).
    """
    strategy = tuple(value for name, value in parameters.items() if name.startswith("shadow_"))

    def build() -> CsrMatrix:
        candidates, symbols, imports = index_data.candidates, index_data.symbols, index_data.imports
        confidence, weight = resolve(candidates, parameters, "shadow")
        certain = np.minimum(1.0, np.minimum(confidence, 1.0) * np.minimum(weight, 1.0)).astype(np.float64)
        shape = (len(index_data.paths), len(index_data.paths))
        links = csr_matrix(
            index_data.file_of_node(candidates.source), symbols.file_index[candidates.target], certain, shape
        )
        source = np.concatenate([links.row_of_entry, imports.row_of_entry])
        target = np.concatenate([links.indices, imports.indices]).astype(np.intp)
        sure = np.minimum(np.concatenate([links.data, imports.data]), 1.0)
        live = (sure > _WEAK) & (source != target)
        source, target, sure = source[live], target[live], sure[live]
        return csr_matrix(
            np.concatenate([source, target]),
            np.concatenate([target, source]),
            np.concatenate([sure, sure]),
            shape,
            twice="largest",
        )

    found: CsrMatrix = index_data.cached(("adjacency", strategy), build)
    return found


def spread_focus(index_data: IndexData, match: Array, parameters: Parameters) -> Array:
    """The best path from a match to each file: `focus_decay` per hop times the links' certainty.

    A fractional `focus_max_hops` counts the last hop in part. Shape (files,), at most 1.
    """
    reach = match.copy()
    if not match.any():
        return reach
    links = adjacency(index_data, parameters)
    row = links.row_of_entry
    hops = parameters["focus_max_hops"]
    step, decay = reach, parameters["focus_decay"]
    for hop in range(1, int(np.ceil(hops)) + 1):
        share = min(1.0, hops - (hop - 1))
        following = np.zeros(len(match))
        np.maximum.at(following, links.indices, step[row] * links.data * decay * share)
        reach = np.maximum(reach, following)
        step = following
    return reach
