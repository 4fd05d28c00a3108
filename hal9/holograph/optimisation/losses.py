"""Loss terms on one section, each with its analytic gradient with respect to W and M (or L).

Acyclicity: the exponential measure of NOTEARS (Zheng et al. 2018) and the log-determinant of DAGMA
(Bello et al. 2022). Stability: a hinge on the spectral radius of |W|, found by power iteration. Semantics:
the squared distance between the embedding of an answer and the embedding that the belief expects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.linalg.lapack import dgetrf, dgetrs

from hal9.holograph.model.state import FloatArray

__all__ = [
    "Claims",
    "acyclicity_exponential",
    "acyclicity_logdet",
    "semantic_energy",
    "spectral_penalty",
    "spectral_radius",
]


def acyclicity_exponential(weights: FloatArray) -> tuple[float, FloatArray]:
    """h(W) = tr exp(W∘W) - n, zero exactly on acyclic W; value and ∂h/∂W."""
    growth = expm(weights * weights)
    return float(np.trace(growth) - weights.shape[0]), 2.0 * weights * growth.T


def acyclicity_logdet(weights: FloatArray, *, bound: float = 1.0) -> tuple[float, FloatArray]:
    """h(W) = -log det(sI - W∘W) + n log s; value and ∂h/∂W.

    Args:
        weights: W, shape (n, n).
        bound: s; the measure exists where the spectral radius of W∘W is below it.

    Returns:
        (inf, zeros) outside the domain, so that a step there is never accepted.
    """
    size = weights.shape[0]
    system = bound * np.eye(size) - weights * weights
    outside = float("inf"), np.zeros_like(weights)
    factors, pivots, failed = dgetrf(system)
    if failed:
        return outside
    # The gradient of log det is the transposed inverse itself: solved for against the identity.
    inverse: FloatArray = np.asarray(dgetrs(factors, pivots, np.eye(size), trans=1)[0], dtype=np.float64)
    # Off the diagonal the system is not positive, so its eigenvalues have positive real parts exactly where
    # its inverse has no negative entry (Berman & Plemmons 1994, ch. 6).
    if inverse.min() < -1e-9 * np.abs(inverse).max():
        return outside
    logdet = float(np.log(np.abs(np.diag(factors))).sum())
    return float(size * np.log(bound) - logdet), 2.0 * weights * inverse


def spectral_radius(
    magnitude: FloatArray, *, iterations: int = 200, tolerance: float = 1e-10
) -> tuple[float, FloatArray, FloatArray]:
    """Perron root of a non-negative matrix with its left and right vectors, by power iteration.

    The matrix is shifted by the identity, which makes periodic (purely cyclic) matrices converge.

    Returns:
        (root, left, right); the vectors have unit 2-norm.
    """
    size = magnitude.shape[0]
    shifted = magnitude + np.eye(size)
    right = np.full(size, 1.0 / np.sqrt(size))
    left = right.copy()
    root = 1.0
    for _ in range(iterations):
        new_right, new_left = shifted @ right, left @ shifted
        new_root = float(np.linalg.norm(new_right))
        right, left = new_right / new_root, new_left / np.linalg.norm(new_left)
        if abs(new_root - root) < tolerance * new_root:
            root = new_root
            break
        root = new_root
    # A nilpotent matrix makes the iteration creep towards one; the quotient is right at either speed.
    overlap = float(left @ right)
    if overlap > 1e-8:
        root = float(left @ shifted @ right) / overlap
    return max(0.0, root - 1.0), left, right


def spectral_penalty(weights: FloatArray, *, margin: float = 0.1) -> tuple[float, FloatArray]:
    """max(0, radius(|W|) - 1 + margin)²; value and ∂/∂W. Zero, with zero gradient, for every stable W."""
    root, left, right = spectral_radius(np.abs(weights))
    excess = root - 1.0 + margin
    overlap = float(left @ right)
    if excess <= 0 or overlap <= 1e-8:
        return 0.0, np.zeros_like(weights)
    return excess**2, 2.0 * excess * np.outer(left, right) / overlap * np.sign(weights)


@dataclass(frozen=True, slots=True)
class Claims:
    """Answers about pairs, as the semantic energy reads them; all arrays have one entry per claim.

    Attributes:
        first, second: rows of the two variables.
        relation: 0 first causes second, 1 second causes first, 2 none, 3 confounded.
        sign: +1 raises or unclear, -1 lowers.
        weight: how much the claim counts, from the noise model.
        gram: inner products of the four statements' embeddings, shape (claims, 4, 4).
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    relation: NDArray[np.intp]
    sign: FloatArray
    weight: FloatArray
    gram: FloatArray

    @classmethod
    def empty(cls) -> "Claims":
        """No claims."""
        none, number = np.zeros(0, dtype=np.intp), np.zeros(0)
        return cls(none, none, none, number, number, np.zeros((0, 4, 4)))

    @classmethod
    def concatenate(cls, parts: Sequence["Claims"]) -> "Claims":
        """Several sets as one."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([p.first for p in parts]),
            np.concatenate([p.second for p in parts]),
            np.concatenate([p.relation for p in parts]),
            np.concatenate([p.sign for p in parts]),
            np.concatenate([p.weight for p in parts]),
            np.concatenate([p.gram for p in parts]),
        )


def semantic_energy(
    weights: FloatArray, noise: FloatArray, claims: Claims, *, sharpness: float = 8.0, rest: float = 0.25
) -> tuple[float, FloatArray, FloatArray]:
    """Σ weight · ‖φ(answer) - Ψ(W, M)‖² over claims.

    Ψ is the expected embedding of the four statements about the pair under a softmax of the belief: an effect
    of signed strength w has logit sharpness·sign·w, confounding of covariance m sharpness·sign·m, and "none"
    sharpness·rest. The logits are linear in W and M, so the gradient does not vanish at W = 0.

    Returns:
        Value, ∂/∂W and ∂/∂M (symmetric), shapes (n, n).
    """
    grad_w, grad_m = np.zeros_like(weights), np.zeros_like(noise)
    count = claims.first.size
    if count == 0:
        return 0.0, grad_w, grad_m
    first, second = claims.first, claims.second
    logits = np.empty((count, 4))
    logits[:, 0] = claims.sign * weights[second, first]
    logits[:, 1] = claims.sign * weights[first, second]
    logits[:, 2] = rest
    logits[:, 3] = claims.sign * noise[first, second]
    logits *= sharpness
    belief = np.exp(logits - logits.max(axis=1, keepdims=True))
    belief /= belief.sum(axis=1, keepdims=True)
    gap = -belief
    gap[np.arange(count), claims.relation] += 1.0
    # ‖φ - Ψ‖² = gapᵀ G gap, because φ and Ψ are both combinations of the four statements.
    pulled = np.einsum("qab,qb->qa", claims.gram, gap)
    value = float(np.sum(claims.weight * np.einsum("qa,qa->q", gap, pulled)))
    grad_belief = -2.0 * claims.weight[:, None] * pulled
    mean = np.sum(belief * grad_belief, axis=1, keepdims=True)
    grad_logits = sharpness * belief * (grad_belief - mean)
    np.add.at(grad_w, (second, first), claims.sign * grad_logits[:, 0])
    np.add.at(grad_w, (first, second), claims.sign * grad_logits[:, 1])
    half = 0.5 * claims.sign * grad_logits[:, 3]
    np.add.at(grad_m, (first, second), half)
    np.add.at(grad_m, (second, first), half)
    return value, grad_w, grad_m
