"""Message passing on graphs: one engine, and what becomes of it when the graph changes.

    h_i' = UPDATE(h_i, AGGREGATE(MESSAGE(h_j, h_i, e_ji)))

numpy at import, scipy on first use; nothing else is needed.
"""

from hal9.passing.factors import FactorGraph
from hal9.passing.graph import Graph
from hal9.passing.inference import Inference, Marginals
from hal9.passing.loopy import Loopy
from hal9.passing.pagerank import PageRank, forward_push, personalized_pagerank
from hal9.passing.propagate import aggregate, cavity, node_sum, propagate, propagate_edges
from hal9.passing.result import ConvergenceWarning, Passing
from hal9.passing.segments import Segments

__all__ = [
    "ConvergenceWarning",
    "FactorGraph",
    "Graph",
    "Inference",
    "Loopy",
    "Marginals",
    "PageRank",
    "Passing",
    "Segments",
    "aggregate",
    "cavity",
    "forward_push",
    "node_sum",
    "personalized_pagerank",
    "propagate",
    "propagate_edges",
]
