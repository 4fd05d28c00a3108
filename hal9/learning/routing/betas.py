"""Which of several Beta-distributed success rates is the largest: probabilities by a small fixed quadrature.

With x = sin² t the spread of Beta(a, b) in t is about 1/(2 sqrt(a + b)) wherever its mean lies, so one evenly
spaced grid suits all of them, and sums over it converge quickly. Distribution functions at the nodes follow
from the densities' sums with the first Euler-Maclaurin correction.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_arm_probability"]

Array = NDArray[np.float64]

_NODES = 160
_ANGLES = (np.arange(_NODES) + 0.5) * (np.pi / 2 / _NODES)
# Without a single failure (or success) the density ends as a straight line to zero: midpoint rule's h² term.
_EDGE = 11.0 / 12.0
_LOG_SIN, _LOG_COS = np.log(np.sin(_ANGLES)), np.log(np.cos(_ANGLES))


def best_arm_probability(a: Array, b: Array) -> Array:
    """Probability of each Beta(a, b) draw to be the largest of its row.

    Args:
        a: first parameters, at least 1, shape (rows, arms).
        b: second parameters, at least 1, the same shape.

    Returns:
        Shape (rows, arms); rows sum to 1. Within 1e-3 of the exact integral for a + b up to 2000.
    """
    density = (2.0 * a - 1.0)[..., None] * _LOG_SIN
    density += (2.0 * b - 1.0)[..., None] * _LOG_COS
    density -= density.max(axis=-1, keepdims=True)
    np.exp(density, out=density)
    density[..., [0, -1]] *= _EDGE
    density /= density.sum(axis=-1, keepdims=True)
    below = density.cumsum(axis=-1)
    below -= 0.5 * density
    below[..., 1:-1] -= (density[..., 2:] - density[..., :-2]) / 24.0
    arms = a.shape[1]
    probabilities = np.empty_like(a)
    for arm in range(arms):
        product = density[:, arm].copy()
        for other in range(arms):
            if other != arm:
                product *= below[:, other]
        probabilities[:, arm] = product.sum(axis=-1)
    np.maximum(probabilities, 0.0, out=probabilities)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities
