"""The interventional metric: Gaussian Fisher information summed over all atomic interventions.

Under do(X_k) the parents of X_k are cut and X_k gets unit variance of its own: row k of W is zero, row and
column k of M are zero but for M_kk = 1. With T = (I - W)⁻¹ and whitening, ½ tr(Σ⁻¹ dΣ Σ⁻¹ dΣ) = ½ ‖Y‖² where
Y = P + Pᵀ + L⁻¹ dM L⁻ᵀ and P = L⁻¹ dW T L, all of the intervened system. The metric is the sum over k.

Parameters are ordered: the n(n-1) off-diagonal entries of W by row, then the n(n+1)/2 lower entries of L by
row.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs

from hal9.holograph.model.state import FloatArray, State

__all__ = ["InterventionalFisher", "Layout", "SolveReport", "conjugate_gradient"]


@dataclass(frozen=True)
class Layout:
    """Where W and L sit in a flat parameter vector of a section with n variables."""

    size: int

    @cached_property
    def off_diagonal(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the W entries. Both of shape (entries,)."""
        rows, columns = np.nonzero(~np.eye(self.size, dtype=bool))
        return rows, columns

    @cached_property
    def lower(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the L entries. Both of shape (entries,)."""
        rows, columns = np.tril_indices(self.size)
        return rows, columns

    @property
    def count_w(self) -> int:
        """How many W parameters."""
        return self.size * (self.size - 1)

    @property
    def count(self) -> int:
        """How many parameters."""
        return self.count_w + self.size * (self.size + 1) // 2

    def pack(self, weights: FloatArray, factor: FloatArray) -> FloatArray:
        """(W, L) or a gradient of both as one vector."""
        return np.concatenate([weights[self.off_diagonal], factor[self.lower]])

    def unpack(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The inverse of `pack`."""
        weights, factor = np.zeros((self.size, self.size)), np.zeros((self.size, self.size))
        weights[self.off_diagonal] = vector[: self.count_w]
        factor[self.lower] = vector[self.count_w :]
        return weights, factor


@dataclass(frozen=True, slots=True)
class SolveReport:
    """How a linear solve ended: iterations and relative residual (zero iterations for a direct solve)."""

    iterations: int
    residual: float
    converged: bool


def conjugate_gradient(
    fisher: "InterventionalFisher",
    vector: FloatArray,
    *,
    damping: float,
    tolerance: float = 1e-3,
    limit: int = 200,
) -> tuple[FloatArray, SolveReport]:
    """Solve (G + damping·I) x = vector by conjugate gradients with the block preconditioner.

    Args:
        fisher: the metric.
        vector: right-hand side, shape (p,).
        damping: Tikhonov damping, > 0.
        tolerance: relative residual at which to stop.
        limit: most iterations.
    """
    norm = float(np.linalg.norm(vector))
    solution = np.zeros_like(vector)
    if norm == 0.0:
        return solution, SolveReport(0, 0.0, converged=True)
    precondition = fisher.preconditioner(damping)
    residual = vector.copy()
    preconditioned = precondition(residual)
    direction = preconditioned.copy()
    product = float(residual @ preconditioned)
    for iteration in range(1, limit + 1):
        image = fisher.product(direction) + damping * direction
        step = product / float(direction @ image)
        solution += step * direction
        residual -= step * image
        relative = float(np.linalg.norm(residual)) / norm
        if relative < tolerance:
            return solution, SolveReport(iteration, relative, converged=True)
        preconditioned = precondition(residual)
        new_product = float(residual @ preconditioned)
        direction = preconditioned + (new_product / product) * direction
        product = new_product
    return solution, SolveReport(limit, relative, converged=False)


class InterventionalFisher:
    """The metric at one state: matrix-free products, the dense matrix, its diagonal, and a preconditioner."""

    def __init__(self, state: State) -> None:
        size = state.size
        self.layout = Layout(size)
        self.factor = state.factor
        self.keep = 1.0 - np.eye(size)
        eye = np.eye(size)
        mask = self.keep[:, :, None] * self.keep[:, None, :]
        self.noise = state.noise[None] * mask + np.einsum("ka,kb->kab", eye, eye)
        lower = np.linalg.cholesky(self.noise)
        # T and L⁻¹ are themselves the metric's coefficients, so they are solved for against the identity:
        # L⁻¹ by substitution; T from one factorisation, since cutting row k of W changes it by
        # T[:, k] (T[k] - e_k) / T_kk.
        self.whiten = np.stack([dtrtrs(factor, eye, lower=1)[0] for factor in lower])
        whole = np.linalg.solve(eye - state.weights, eye)
        turns = (whole - eye) / np.diag(whole)[:, None]
        self.total = whole[None] - whole.T[:, :, None] * turns[:, None, :]
        self.mixing = self.total @ lower
        self.spread = self.mixing @ np.swapaxes(self.mixing, 1, 2)
        self.precision = np.swapaxes(self.whiten, 1, 2) @ self.whiten

    def product(self, vector: FloatArray) -> FloatArray:
        """G v, shape (p,); memory and time of a few batches of n matrix products."""
        d_weights, d_factor = self.layout.unpack(vector)
        half = d_factor @ self.factor.T
        d_noise = half + half.T
        keep = self.keep
        left = self.whiten * keep[:, None, :]
        y = left @ (d_weights @ self.mixing)
        y += np.swapaxes(y, 1, 2)
        y += (left @ d_noise) @ np.swapaxes(left, 1, 2)
        # ½ Σ‖Y‖² has gradient Jᵀ Y; Y is symmetric, so P and Pᵀ contribute equally.
        back = np.swapaxes(left, 1, 2) @ y
        grad_w = np.matmul(back, np.swapaxes(self.mixing, 1, 2)).sum(axis=0)
        grad_m = 0.5 * (back @ left).sum(axis=0)
        return self.layout.pack(grad_w, 2.0 * grad_m @ self.factor)

    def dense(self) -> FloatArray:
        """G as a matrix, shape (p, p); for n up to about 20."""
        size, layout, keep = self.layout.size, self.layout, self.keep
        rows, columns = layout.off_diagonal
        w_w = np.einsum("ka,kc,kac,kbd->abcd", keep, keep, self.precision, self.spread, optimize=True)
        w_w += np.einsum("ka,kc,kbc,kda->abcd", keep, keep, self.total, self.total, optimize=True)
        block_ww = w_w[rows[:, None], columns[:, None], rows, columns]
        low_r, low_c = layout.lower
        basis = np.zeros((low_r.size, size, size))
        basis[np.arange(low_r.size), low_r, :] += self.factor.T[low_c]
        basis = basis + np.swapaxes(basis, 1, 2)
        left = self.whiten * keep[:, None, :]
        inner = np.einsum("kab,lbc,kdc->lkad", left, basis, left, optimize=True)
        flat = inner.reshape(low_r.size, -1)
        block_ll = 0.5 * flat @ flat.T
        back = np.einsum("kab,lkac,kdc->lbd", left, inner, self.mixing, optimize=True)
        block_lw = back[:, rows, columns]
        return np.block([[block_ww, block_lw.T], [block_lw, block_ll]])

    def diagonal(self) -> FloatArray:
        """Diag G, shape (p,)."""
        keep, layout = self.keep, self.layout
        rows, columns = layout.off_diagonal
        precision = np.einsum("kaa->ka", self.precision) * keep
        spread = np.einsum("kbb->kb", self.spread)
        diag_w = precision.T @ spread + np.einsum("ka,kba->ab", keep, self.total**2)
        # dM for L_ab is E_ab Lᵀ + L E_ba; ½ tr(M⁻¹ dM M⁻¹ dM) = (M⁻¹)_aa (Lᵀ M⁻¹ L)_bb + (M⁻¹ L)_ab²,
        # masked by do(X_k).
        masked = self.precision * keep[:, :, None] * keep[:, None, :]
        product = masked @ self.factor
        inner = np.einsum("kab,ab->kb", product, self.factor)
        diag_l = np.einsum("kaa,kb->ab", masked, inner) + (product**2).sum(axis=0)
        low_r, low_c = layout.lower
        return np.concatenate([diag_w[rows, columns], diag_l[low_r, low_c]])

    def preconditioner(self, damping: float) -> "_BlockSolve":
        """Block-diagonal approximation: one block per row of W, one per column of L."""
        return _BlockSolve(self, damping)


class _BlockSolve:
    """Row blocks of W ignore tr(P P) across rows; column blocks of L are exact within a column."""

    def __init__(self, fisher: InterventionalFisher, damping: float) -> None:
        self.layout = fisher.layout
        size, keep = self.layout.size, fisher.keep
        precision = np.einsum("kaa->ka", fisher.precision) * keep
        spread = np.tensordot(precision, fisher.spread, axes=(0, 0))
        cross = np.einsum("ka,kba,kda->abd", keep, fisher.total, fisher.total, optimize=True)
        blocks = spread + cross
        self.row_columns = [np.flatnonzero(np.arange(size) != a) for a in range(size)]
        self.row_factors = [_factor(blocks[a][np.ix_(c, c)], damping) for a, c in enumerate(self.row_columns)]
        masked = fisher.precision * keep[:, :, None] * keep[:, None, :]
        product = masked @ fisher.factor
        inner = np.einsum("kab,ab->kb", product, fisher.factor)
        self.column_factors = []
        for b in range(size):
            block = np.tensordot(inner[:, b], masked[:, b:, b:], axes=(0, 0))
            block += product[:, b:, b].T @ product[:, b:, b]
            self.column_factors.append(_factor(block, damping))

    def __call__(self, vector: FloatArray) -> FloatArray:
        """Apply the inverse of the preconditioner."""
        size = self.layout.size
        rows = vector[: self.layout.count_w].reshape(size, size - 1)
        weights = np.concatenate(
            [dpotrs(factor, row, lower=1)[0] for factor, row in zip(self.row_factors, rows, strict=True)]
        )
        _, lower = self.layout.unpack(vector)
        for b, factor in enumerate(self.column_factors):
            lower[b:, b] = dpotrs(factor, lower[b:, b], lower=1)[0]
        return np.concatenate([weights, lower[self.layout.lower]])


def _factor(block: FloatArray, damping: float) -> FloatArray:
    """Cholesky factor of a block with damping, as LAPACK keeps it, since it is applied very many times."""
    factor, failed = dpotrf(block + damping * np.eye(block.shape[0]), lower=1)
    if failed:
        raise np.linalg.LinAlgError(
            f"a block of the preconditioner is not positive definite (minor {failed})"
        )
    return np.asarray(factor, dtype=np.float64)
