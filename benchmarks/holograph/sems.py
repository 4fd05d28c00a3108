"""Structural equation models with known graphs: linear Gaussian, Laplace noise, curved effects, mixed columns."""

import numpy as np

from benchmarks.holograph.datasets import DataSet
from hal9.holograph.evaluation.graph_distance import random_dag
from hal9.holograph.model.graph import topological_order

KINDS = ("gauss", "laplace", "curved", "mixed")


def sem(kind, size, degree, rows, seed, *, raw=False):
    """A random DAG and a table from it.

    Args:
        kind: gauss and laplace have linear effects; curved adds random smooth functions with Gaussian noise; mixed
            turns every third variable into categories of which effects depend.
        size: variables. degree: mean neighbours of a variable. rows: of the table. seed: of everything. raw: whether numbers keep the
            scale that the model gives them, which tells causes from effects to who looks at it; else standardised.
    """
    rng = np.random.default_rng([seed, size, KINDS.index(kind)])
    truth = random_dag([f"x{k:02d}" for k in range(size)], round(size * degree / 2), rng)
    matrix = truth.adjacency()
    values = np.zeros((rows, size))
    category = np.zeros(size, dtype=bool)
    for node in topological_order(matrix):
        parents = np.flatnonzero(matrix[:, node])
        noise = rng.laplace(size=rows) / np.sqrt(2) if kind == "laplace" else rng.normal(size=rows)
        total = np.zeros(rows)
        for parent in parents:
            x = values[:, parent]
            weight = rng.uniform(0.6, 1.6) * rng.choice([-1, 1])
            if category[parent]:
                total += rng.normal(size=3)[x.astype(int)] * 1.5
            elif kind == "curved":
                total += weight * _curve((x - x.mean()) / x.std(), rng)
            else:
                total += weight * (x - x.mean()) / max(x.std(), 1e-9) if kind == "mixed" else weight * x
        if kind == "mixed" and node % 3 == 0:
            category[node] = True
            scores = np.outer(total, rng.permutation([-1.0, 0.0, 1.0])) * 1.5 + rng.gumbel(size=(rows, 3))
            values[:, node] = scores.argmax(axis=1)
        else:
            scale = 0.6 if kind == "curved" else 1.0
            values[:, node] = total + scale * noise
    numbers = ~category
    if raw:
        values -= np.where(numbers, values.mean(0), 0.0)
        return DataSet(truth, values, False)
    values[:, numbers] = (values[:, numbers] - values[:, numbers].mean(0)) / values[:, numbers].std(0)
    return DataSet(truth, values, False)


def _curve(x, rng):
    """A random smooth function."""
    choice = rng.integers(4)
    if choice == 0:
        return np.sin(rng.uniform(1.0, 2.0) * x + rng.uniform(0, np.pi))
    if choice == 1:
        return np.tanh(2.0 * x)
    if choice == 2:
        return 0.7 * (x * x - 1.0)
    inner = rng.normal(size=(8, 2))
    return np.tanh(np.outer(x, inner[:, 0]) + inner[:, 1]) @ rng.normal(size=8) * 0.5
