"""What the last messages say beyond single marginals: factor marginals, free energies, a best state."""

from collections.abc import Callable

import numpy as np

from hal9.passing.result import Array
from hal9.passing.tables.inference import Mode
from hal9.passing.tables.potentials import Local, Potentials, score_group

__all__ = ["Bethe"]


def _expected(share: Array, logs: Array) -> Array:
    """Sum of share x logs over all axes but the batch, shape (..., batch, N) → (batch,); 0 x -inf is 0."""
    with np.errstate(invalid="ignore"):
        product = np.where(share > 0, share * logs, 0.0)
    axes = tuple(i for i in range(product.ndim) if i != product.ndim - 2)
    out: Array = product.sum(axis=axes)
    return out


def _entropy(share: Array) -> Array:
    """Entropy of each distribution, shape (k1, ..., kr, batch, N) → (batch, N)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(share > 0, -share * np.log(share), 0.0)
    out: Array = terms.sum(axis=tuple(range(share.ndim - 2)))
    return out


class Bethe:
    """Figures that are only computed when asked for."""

    def __init__(
        self,
        potentials: Potentials,
        local: Local,
        marginals: dict[int, Array],
        joint: Callable[[int, Array], Array],
        *,
        rho: Array | None,
        mode: Mode,
    ) -> None:
        """Wrap the beliefs.

        Args:
            potentials: The factors.
            local: Log potentials of single variables.
            marginals: Number of states → shape (states, batch, variables).
            joint: From a group's index and places in it to unnormalised log joints, (k1, ..., kr, batch, F).
            rho: Appearance shares of the factors, or None for plain belief propagation.
            mode: Sum- or max-product.
        """
        self._potentials = potentials
        self._local = local
        self._marginals = marginals
        self._joint = joint
        self._rho = rho
        self._mode = mode

    def _share(self, group: int, places: Array) -> Array:
        logs = self._joint(group, places)
        axes = tuple(range(logs.ndim - 2))
        share = np.exp(logs - logs.max(axis=axes, keepdims=True))
        out: Array = share / share.sum(axis=axes, keepdims=True)
        return out

    def factor(self, factor: int) -> Array:
        """Normalised joint of a factor's variables, shape (batch, k1, ..., kr)."""
        group, place = self._potentials.find(factor)
        if group.arity == 1:
            v = int(group.variables[place, 0])
            return self._marginals[group.shape[0]][:, :, self._potentials.position[v]].T
        index = next(i for i, g in enumerate(self._potentials.groups) if g is group)
        return np.moveaxis(self._share(index, np.array([place]))[..., 0], -1, 0)

    def log_z(self) -> Array:
        """Bethe approximation (or tree-reweighted bound); in mode "max" the score of the assignment.

        Shape (batch,), a scalar without one.
        """
        if self._mode == "max":
            return self._score(self.assignment())
        total: Array = np.zeros(self._local.batch)
        counts = np.zeros(self._potentials.n)
        for i, group in enumerate(self._potentials.groups):
            rho = np.ones(len(group.ids)) if self._rho is None else self._rho[group.ids]
            share = self._share(i, np.arange(len(group.ids)))
            total += _expected(share, group.table[..., None, :]) + (rho * _entropy(share)).sum(axis=1)
            for slot in range(group.arity):
                np.add.at(counts, group.variables[:, slot], rho)
        for k, share in self._marginals.items():
            own = counts[self._potentials.members[k]]
            total += _expected(share, self._local.blocks[k]) + ((1.0 - own) * _entropy(share)).sum(axis=1)
        return total

    def assignment(self) -> Array:
        """The best state of each variable by itself, shape (batch, n); ties go to the lowest state."""
        states: Array = np.zeros((self._local.batch, self._potentials.n), dtype=np.intp)
        for k, share in self._marginals.items():
            states[:, self._potentials.members[k]] = share.argmax(axis=0)
        return states

    def _score(self, states: Array) -> Array:
        total: Array = np.zeros(len(states))
        for group in self._potentials.groups:
            total += score_group(group, states)
        for k, members in self._potentials.members.items():
            rows = np.take_along_axis(self._local.blocks[k], states[:, members][None], axis=0)[0]
            total += rows.sum(axis=1)
        return total
