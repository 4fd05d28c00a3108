"""Edge appearance shares for tree-reweighted passing."""

import numpy as np

from hal9.passing.result import Array
from hal9.passing.tables.potentials import Potentials

__all__ = ["spanning_tree_shares"]

_TREES = 32  # random spanning forests averaged at least
_MOST = 4000  # and at most, while some edge has not appeared in any


def spanning_tree_shares(potentials: Potentials, seed: int) -> Array:
    """For every pairwise factor the share of spanning forests that contain its edge, shape (factors,).

    Each forest prefers the edges that were used least so far, so the average covers every edge after few of
    them; an average of forests lies in the spanning-tree polytope, which the upper bound on log Z needs.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - importing the room must stay cheap
    from scipy.sparse.csgraph import minimum_spanning_tree  # noqa: PLC0415

    shares: Array = np.ones(potentials.factors)
    if not potentials.groups:
        return shares
    ids = np.concatenate([g.ids for g in potentials.groups])
    ends = np.sort(np.concatenate([g.variables for g in potentials.groups]), axis=1)
    pairs, which = np.unique(ends, axis=0, return_inverse=True)
    which = which.ravel()
    key = pairs[:, 0] * potentials.n + pairs[:, 1]
    rng = np.random.default_rng(seed)
    used = np.zeros(len(pairs))
    grown = 0
    while grown < _TREES or (grown < _MOST and (used == 0).any()):
        cost = 1.0 + used + rng.random(len(pairs))
        tree = minimum_spanning_tree(
            csr_array((cost, (pairs[:, 0], pairs[:, 1])), shape=(potentials.n, potentials.n))
        ).tocoo()
        low, high = np.minimum(tree.row, tree.col), np.maximum(tree.row, tree.col)
        used[np.searchsorted(key, low.astype(np.int64) * potentials.n + high)] += 1
        grown += 1
    # Parallel factors are parallel edges: a forest holds one of them, each as often as the others.
    shares[ids] = (np.maximum(used, 0.5) / grown / np.bincount(which))[which]
    return shares
