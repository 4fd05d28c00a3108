"""The continuous belief θ = (W, L) over an acyclic directed mixed graph, and its latent projection.

One orientation everywhere: the structural equations are ``x = W x + ε`` with ``ε ~ N(0, M)`` and ``M = L
Lᵀ``, so ``weights[target, source]`` is the effect of *source* on *target*. Under it the covariance is
``Σ = (I - W)⁻¹ M (I - W)⁻ᵀ`` and the projection of Richardson & Spirtes (2002) reads
``A = W_OH (I - W_HH)⁻¹``, ``W̃ = W_OO + A W_HO``, ``M̃ = M_OO + A M_HH Aᵀ + M_OH Aᵀ + A M_HO``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import NotStable, UnknownVariable

__all__ = ["FloatArray", "Projection", "State", "covariance", "initial_state", "project", "project_arrays"]

FloatArray = NDArray[np.float64]
MIN_FACTOR_DIAGONAL = 0.05
"""Smallest diagonal entry of L that a step may reach; below it M is numerically singular."""


@dataclass(frozen=True, slots=True)
class State:
    """A belief over named variables.

    Attributes:
        names: the variables, in the order of rows and columns.
        weights: W, shape (n, n), ``weights[target, source]``.
        factor: L, shape (n, n), lower triangular with positive diagonal.
    """

    names: tuple[str, ...]
    weights: FloatArray
    factor: FloatArray

    @property
    def size(self) -> int:
        """How many variables."""
        return len(self.names)

    @property
    def noise(self) -> FloatArray:
        """M = L Lᵀ, shape (n, n)."""
        return self.factor @ self.factor.T

    def index(self, name: str) -> int:
        """Row of a variable.

        Raises:
            UnknownVariable: it is not among the names.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise UnknownVariable(name=name, where="belief state", known=self.names) from None

    def indices(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Rows of several variables, in the order asked. Shape (names,)."""
        return np.array([self.index(name) for name in names], dtype=np.intp)


def initial_state(
    names: Sequence[str], *, rng: np.random.Generator | None = None, scale: float = 0.0
) -> State:
    """A belief with no edges and unit noise, optionally jittered to break ties.

    Args:
        names: the variables.
        rng: source of the jitter; needed when scale > 0.
        scale: standard deviation of the jitter on off-diagonal W.
    """
    size = len(names)
    weights = np.zeros((size, size))
    if rng is not None and scale > 0:
        weights = rng.normal(0.0, scale, (size, size))
        np.fill_diagonal(weights, 0.0)
    return State(tuple(names), weights, np.eye(size))


def covariance(state: State) -> FloatArray:
    """Marginal covariance Σ of all variables, shape (n, n).

    Raises:
        NotStable: I - W is singular.
    """
    try:
        total = np.linalg.solve(np.eye(state.size) - state.weights, state.factor)
    except np.linalg.LinAlgError:
        raise NotStable(what="covariance", variables=state.names) from None
    return np.asarray(total @ total.T)


@dataclass(frozen=True, slots=True)
class Projection:
    """A latent projection with what its adjoint needs.

    Attributes:
        weights: W̃, shape (k, k).
        noise: M̃, shape (k, k).
        keep: kept rows. hide: marginalised rows.
        absorb: A = W_OH (I - W_HH)⁻¹, shape (k, h).
    """

    weights: FloatArray
    noise: FloatArray
    keep: NDArray[np.intp]
    hide: NDArray[np.intp]
    absorb: FloatArray
    source_weights: FloatArray
    source_noise: FloatArray

    def pull_back(self, grad_weights: FloatArray, grad_noise: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Adjoint of the projection.

        Args:
            grad_weights: ∂f/∂W̃, shape (k, k).
            grad_noise: ∂f/∂M̃, shape (k, k), symmetric.

        Returns:
            ∂f/∂W and ∂f/∂M of the unprojected state, shape (n, n).
        """
        size = self.source_weights.shape[0]
        full_w = np.zeros((size, size))
        full_m = np.zeros((size, size))
        keep, hide, absorb = self.keep, self.hide, self.absorb
        row, column = keep[:, None], hide[:, None]
        full_w[row, keep] = grad_weights
        full_m[row, keep] = grad_noise
        if hide.size == 0:
            return full_w, full_m
        weights, noise = self.source_weights, self.source_noise
        w_ho = weights[column, keep]
        w_hh = weights[column, hide]
        mixed = absorb @ noise[column, hide] + noise[row, hide]
        grad_absorb = grad_weights @ w_ho.T + 2.0 * grad_noise @ mixed
        grad_oh = np.linalg.solve(np.eye(hide.size) - w_hh, grad_absorb.T).T
        full_w[row, hide] = grad_oh
        full_w[column, keep] = absorb.T @ grad_weights
        full_w[column, hide] = absorb.T @ grad_oh
        cross = grad_noise @ absorb
        full_m[row, hide] = cross
        full_m[column, keep] = cross.T
        full_m[column, hide] = absorb.T @ cross
        return full_w, full_m

    def push_forward(self, d_weights: FloatArray, d_noise: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Tangent of the projection at this point; arguments have shape (..., n, n)."""
        keep, hide, absorb = self.keep, self.hide, self.absorb
        row, column = keep[:, None], hide[:, None]
        tangent_w = d_weights[..., row, keep]
        tangent_m = d_noise[..., row, keep]
        if hide.size == 0:
            return tangent_w, tangent_m
        weights, noise = self.source_weights, self.source_noise
        inner = d_weights[..., row, hide] + absorb @ d_weights[..., column, hide]
        system = np.eye(hide.size) - weights[column, hide]
        d_absorb = np.swapaxes(np.linalg.solve(system.T, np.swapaxes(inner, -1, -2)), -1, -2)
        tangent_w = tangent_w + d_absorb @ weights[column, keep] + absorb @ d_weights[..., column, keep]
        half = d_absorb @ (noise[column, hide] @ absorb.T + noise[column, keep])
        cross = absorb @ d_noise[..., column, keep]
        tangent_m = tangent_m + half + np.swapaxes(half, -1, -2)
        tangent_m = tangent_m + cross + np.swapaxes(cross, -1, -2)
        return tangent_w, tangent_m + absorb @ d_noise[..., column, hide] @ absorb.T


def project_arrays(weights: FloatArray, noise: FloatArray, keep: NDArray[np.intp]) -> Projection:
    """Latent projection of (W, M) onto the rows in `keep`, in that order.

    `weights` and `noise` have shape (n, n), `keep` (kept,).

    Raises:
        numpy.linalg.LinAlgError: I - W_HH is singular.
    """
    mask = np.ones(weights.shape[0], dtype=bool)
    mask[keep] = False
    hide = np.flatnonzero(mask)
    row, column = keep[:, None], hide[:, None]
    projected_w: FloatArray = weights[row, keep]
    projected_m: FloatArray = noise[row, keep]
    absorb: FloatArray = np.zeros((keep.size, hide.size))
    if hide.size:
        system = np.eye(hide.size) - weights[column, hide]
        absorb = np.asarray(np.linalg.solve(system.T, weights[row, hide].T).T, dtype=np.float64)
        projected_w = projected_w + absorb @ weights[column, keep]
        half = noise[row, hide] + 0.5 * absorb @ noise[column, hide]
        cross = half @ absorb.T
        projected_m = projected_m + cross + cross.T
    return Projection(projected_w, projected_m, keep, hide, absorb, weights, noise)


def project(state: State, names: Sequence[str]) -> State:
    """The belief that is left about some variables when the others are not observed.

    Raises:
        UnknownVariable: a name is not in the state.
        NotStable: the hidden part has a unit feedback loop, or M̃ is not positive definite.
    """
    try:
        projection = project_arrays(state.weights, state.noise, state.indices(names))
        factor: FloatArray = np.asarray(np.linalg.cholesky(projection.noise), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise NotStable(what="latent projection", variables=tuple(names)) from None
    return State(tuple(names), projection.weights, factor)
