"""Data sets with known graphs: linear models on known and random graphs, and samples of conditional tables."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hal9.holograph.evaluation.graph_distance import random_dag
from hal9.holograph.evaluation.query_curves import known_graph
from hal9.holograph.model.graph import MixedGraph, topological_order


@dataclass(frozen=True)
class DataSet:
    """One table with its truth."""

    truth: MixedGraph
    values: np.ndarray
    discrete: bool


def linear(truth, rows, rng, latent_children=()):
    """x = W x + ε with |weights| in 0.5..2 and unit noise; each latent adds to its children."""
    matrix = truth.adjacency()
    weights = np.where(matrix, rng.uniform(0.5, 2.0, matrix.shape) * rng.choice([-1, 1], matrix.shape), 0.0)
    noise = rng.normal(size=(rows, len(truth.names)))
    for children in latent_children:
        hidden = rng.normal(size=rows)
        for child in children:
            noise[:, child] += rng.uniform(0.7, 1.5) * rng.choice([-1, 1]) * hidden
    values = np.zeros_like(noise)
    for node in topological_order(matrix):
        values[:, node] = values @ weights[:, node] + noise[:, node]
    return values


def sampled(name, rows, rng):
    """Rows from a shipped network's conditional probability tables, categories coded 0, 1, …"""
    truth, stored = known_graph(name)
    place = {node: k for k, node in enumerate(truth.names)}
    nodes = {}
    for child, table in stored["cpts"].items():
        parents = [place[parent] for parent in table["parents"]]
        sizes = [len(stored["cpts"][parent]["states"]) for parent in table["parents"]]
        nodes[place[child]] = (parents, np.array(table["table"]).reshape(-1, *sizes))
    return sampled_from(truth, nodes, rows, rng)


def sampled_from(truth, nodes, rows, rng):
    """Rows of a network of tables.

    Args:
        truth: its graph. nodes: per variable its parents, by number, and P(child | parents) with the child first.
        rows: how many. rng: of the draws.
    """
    values = np.zeros((rows, len(truth.names)), dtype=int)
    for node in topological_order(truth.adjacency()):
        parents, table = nodes[node]
        edges = np.cumsum(
            table[(slice(None), *(values[:, p] for p in parents))].reshape(len(table), -1), axis=0
        )
        values[:, node] = (rng.random(rows) * edges[-1] > edges).sum(axis=0)
    # A category that was never drawn would make a constant column.
    constant = np.ptp(values, axis=0) == 0
    values[0, constant] = 1 - np.minimum(values[0, constant], 1)
    return DataSet(truth, values.astype(float), True)


def with_latents(size, edges, latents, rows, rng):
    """A random DAG of which some variables also share hidden causes, three children each."""
    names = [f"x{k:02d}" for k in range(size)]
    dag = random_dag(names, edges, rng)
    groups = [rng.choice(size, size=3, replace=False) for _ in range(latents)]
    pairs = {frozenset((names[a], names[b])) for group in groups for a, b in combinations(group, 2)}
    truth = MixedGraph(dag.names, dag.directed, frozenset(pairs))
    return DataSet(truth, linear(dag, rows, rng, groups), False)


def make(problem, seed, rows=1000):
    """`problem`: NAME-linear, NAME-table, er20, er50, er20-latent, er50-latent; with a suffix -std when scaled."""
    rng = np.random.default_rng([seed, 77])
    kind = problem.removesuffix("-std")
    if kind.endswith("-table"):
        return sampled(kind.removesuffix("-table"), rows, rng)
    if kind.endswith("-linear"):
        truth, _ = known_graph(kind.removesuffix("-linear"))
        found = DataSet(truth, linear(truth, rows, rng), False)
    elif kind in ("er20", "er50"):
        size, edges = (20, 43) if kind == "er20" else (50, 193)
        truth = random_dag([f"x{k:02d}" for k in range(size)], edges, rng)
        found = DataSet(truth, linear(truth, rows, rng), False)
    else:
        size, edges, latents = (20, 43, 3) if kind == "er20-latent" else (50, 193, 8)
        found = with_latents(size, edges, latents, rows, rng)
    values = found.values - found.values.mean(axis=0)
    if problem.endswith("-std"):
        values = values / values.std(axis=0)
    return DataSet(found.truth, values, found.discrete)
