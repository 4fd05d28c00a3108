"""Message passing on graphs: one engine, and what becomes of it when the graph changes.

    h_i' = UPDATE(h_i, AGGREGATE(MESSAGE(h_j, h_i, e_ji)))

numpy at import, scipy on first use; nothing else is needed.

Engine: `Graph`, `aggregate`, `propagate` (states on nodes), `propagate_edges` (states on edges, nothing told
back to where it came from). On it: `FactorGraph` and `BayesNet` (belief propagation, exact when it can be),
`GaussianGraph`, `PredictiveCoding`, `GapJunctions`, `attention`, `personalized_pagerank`, relevance gates.
"""

from hal9.passing.graph import Graph
from hal9.passing.instances.attention import attention, edge_scores, multi_head_attention
from hal9.passing.instances.bioelectric import GapJunctions, VoltageGate, turing_pattern
from hal9.passing.instances.gaussian import GaussianBeliefs, GaussianGraph
from hal9.passing.instances.pagerank import PageRank, Restart, forward_push, personalized_pagerank
from hal9.passing.instances.predictive import PredictiveCoding, Relaxation
from hal9.passing.instances.relevance import (
    Hierarchy,
    Routes,
    hierarchical_attention,
    relevance_gate,
    relevance_passing,
    sparse_routes,
)
from hal9.passing.loopy.loopy import Loopy
from hal9.passing.models.bayes import BayesNet, NetMarginals
from hal9.passing.models.bif import load_bif
from hal9.passing.models.factor_graph import FactorGraph
from hal9.passing.propagate import aggregate, cavity, node_sum, propagate, propagate_edges
from hal9.passing.result import ApproximateWarning, ConvergenceWarning, Passing
from hal9.passing.segments import Segments
from hal9.passing.tables.inference import Inference, Marginals

__all__ = [
    "ApproximateWarning",
    "BayesNet",
    "ConvergenceWarning",
    "FactorGraph",
    "GapJunctions",
    "GaussianBeliefs",
    "GaussianGraph",
    "Graph",
    "Hierarchy",
    "Inference",
    "Loopy",
    "Marginals",
    "NetMarginals",
    "PageRank",
    "Passing",
    "PredictiveCoding",
    "Relaxation",
    "Restart",
    "Routes",
    "Segments",
    "VoltageGate",
    "aggregate",
    "attention",
    "cavity",
    "edge_scores",
    "forward_push",
    "hierarchical_attention",
    "load_bif",
    "multi_head_attention",
    "node_sum",
    "personalized_pagerank",
    "propagate",
    "propagate_edges",
    "relevance_gate",
    "relevance_passing",
    "sparse_routes",
    "turing_pattern",
]
