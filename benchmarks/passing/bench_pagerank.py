"""Personalised PageRank, 100,000 nodes and 1,000,000 edges, against the packages people install for it."""

import fast_pagerank
import igraph
import networkx as nx
import numpy as np
from paired import paired, report
from scipy.sparse import csr_matrix
from sknetwork.ranking import PageRank as Ranking

from hal9.passing import Graph, personalized_pagerank

NODES, EDGES, TOLERANCE = 100_000, 1_000_000, 1e-10


def main() -> None:
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, NODES, (EDGES, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    src, dst = pairs.T
    restart = np.zeros(NODES)
    restart[rng.integers(0, NODES, 20)] = 1.0
    graph = Graph(src, dst, NODES)
    adjacency = csr_matrix((np.ones(len(src)), (src, dst)), shape=(NODES, NODES))
    wide = nx.DiGraph()
    wide.add_nodes_from(range(NODES))
    wide.add_edges_from(pairs.tolist())
    chosen = {int(v): 1.0 for v in np.flatnonzero(restart)}
    native = igraph.Graph(n=NODES, edges=pairs.tolist(), directed=True)
    weights = restart.tolist()

    def sknetwork():
        return Ranking(damping_factor=0.85, solver="piteration", n_iter=200, tol=TOLERANCE).fit_predict(
            adjacency, weights=restart
        )

    runs = {
        "hal9": lambda: personalized_pagerank(graph, restart, tol=TOLERANCE).scores,
        "igraph (PRPACK)": lambda: np.array(native.personalized_pagerank(reset=weights, damping=0.85)),
        "scikit-network": sknetwork,
        "fast-pagerank power": lambda: fast_pagerank.pagerank_power(
            adjacency, p=0.85, personalize=restart, tol=TOLERANCE
        ),
        "networkx": lambda: nx.pagerank(wide, personalization=chosen, tol=TOLERANCE / NODES, max_iter=500),
    }
    exact = personalized_pagerank(graph, restart, tol=1e-14).scores
    notes = {}
    for name, run in runs.items():
        got = run()
        if isinstance(got, dict):
            got = np.array([got[v] for v in range(NODES)])
        notes[f"L1 error of {name}"] = float(np.abs(got - exact).sum())
    batch = np.stack([np.roll(restart, i) for i in range(16)], axis=1)
    tables = {
        "one restart, 1e-10": paired(runs, rounds=7, warm=1),
        "16 restarts": paired(
            {
                "hal9, one call": lambda: personalized_pagerank(graph, batch, tol=TOLERANCE),
                "hal9, 16 calls": lambda: [
                    personalized_pagerank(graph, batch[:, i], tol=TOLERANCE) for i in range(16)
                ],
            },
            rounds=3,
        ),
    }
    report("pagerank", tables, notes, "networkx", "igraph", "scikit-network", "fast-pagerank")


main()
