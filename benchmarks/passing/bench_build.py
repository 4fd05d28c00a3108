"""Building a graph of 100,000 nodes, 1,000,000 edges: time and memory, beside scipy, networkx, igraph."""

import subprocess
import sys
import tracemalloc
from importlib.util import find_spec

import numpy as np
from paired import paired, report
from scipy.sparse import coo_array

from hal9.passing import Graph

NODES, EDGES = 100_000, 1_000_000


def main() -> None:
    rng = np.random.default_rng(0)
    src, dst = rng.integers(0, NODES, (2, EDGES))
    runs = {
        "hal9 Graph": lambda: Graph(src, dst, NODES),
        "hal9 Graph + reverse": lambda: Graph(src, dst, NODES).reverse,
        "scipy coo -> csr (no order kept)": lambda: coo_array(
            (np.ones(EDGES), (dst, src)), shape=(NODES, NODES)
        ).tocsr(),
    }
    if find_spec("igraph"):
        import igraph

        pairs = np.stack([src, dst], 1)
        runs["igraph (numpy edge list)"] = lambda: igraph.Graph(n=NODES, edges=pairs, directed=True)
    if find_spec("networkx"):
        import networkx as nx

        listed = np.stack([src, dst], 1).tolist()
        runs["networkx (list of pairs)"] = lambda: nx.MultiDiGraph(listed) and None
    tables = {"build": paired(runs, rounds=5)}
    graph = Graph(src, dst, NODES)
    notes = {"bytes held per edge": graph.nbytes / EDGES, "MiB held": graph.nbytes / 2**20}
    tracemalloc.start()
    Graph(src, dst, NODES)
    notes["MiB at the peak of building"] = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    command = [sys.executable, "-X", "importtime", "-c", "import hal9.passing"]
    times = []
    for _ in range(9):
        line = (
            subprocess.run(command, capture_output=True, text=True, check=True)
            .stderr.strip()
            .splitlines()[-1]
        )
        times.append(int(line.split("|")[1]) / 1e3)
    notes["import hal9.passing, ms (median of 9)"] = sorted(times)[4]
    report("build", tables, notes, "networkx", "igraph")


main()
