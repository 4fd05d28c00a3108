"""Random states shared by the tests of this room."""

import numpy as np

from hal9.holograph.model.state import State


def random_state(
    size: int, seed: int, *, acyclic: bool = True, prefix: str = "v", scale: float = 0.4
) -> State:
    rng = np.random.default_rng(seed)
    weights = np.tril(
        rng.normal(0, scale, (size, size)) * (rng.random((size, size)) < min(1.0, 3 / size)), -1
    )
    if not acyclic:
        weights = weights + np.triu(rng.normal(0, 0.08, (size, size)), 1)
    order = rng.permutation(size)
    weights = weights[np.ix_(order, order)]
    factor = np.tril(rng.normal(0, 0.2, (size, size)), -1) + np.diag(rng.uniform(0.7, 1.3, size))
    return State(tuple(f"{prefix}{k}" for k in range(size)), weights, factor)
