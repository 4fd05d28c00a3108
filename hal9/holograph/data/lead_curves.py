"""Curves that turn leads of a score into probabilities, learned on graphs found in simulated tables.

Values are log-odds at some leads, straight between them over the logarithm of the lead;
`benchmarks/holograph/reliability --learn` fits them anew.
"""

import numpy as np

from hal9.holograph.model.state import FloatArray

__all__ = ["CURVES", "JOINED_AT", "TURNED_AT", "log_odds", "on_scale"]

JOINED_AT = (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0)
TURNED_AT = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0)
"""Where the curves have their values: signed log(1 + lead in nats)."""

CURVES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "linear": ((-5.46, -2.35, -0.63, 0.8, 1.84, 3.06, 4.17, 5.73), (0.0, 0.39, 1.29, 2.5, 3.12, 3.56, 3.56)),
    "equal variances": (
        (-6.68, -2.6, -0.29, 2.04, 3.94, 5.24, 6.06, 6.8),
        (0.0, 1.31, 2.64, 3.91, 5.18, 6.35, 8.47),
    ),
    "categories": (
        (-2.48, -0.27, 1.23, 2.53, 3.06, 3.34, 4.79, 8.27),
        (0.0, 1.02, 1.78, 2.38, 2.92, 2.92, 2.92),
    ),
    "shaped": ((-6.85, -3.71, -1.87, 0.3, 2.46, 4.38, 6.24, 9.49), (0.0, 0.71, 1.98, 3.58, 5.04, 5.99, 6.68)),
    "curved": ((-2.26, -0.76, 0.09, 0.93, 1.96, 3.5, 4.96, 7.57), (0.0, 0.75, 1.81, 3.37, 4.66, 5.28, 5.54)),
    "mixed": ((-4.51, -2.3, -1.02, 0.46, 2.13, 3.75, 5.14, 7.66), (0.0, 0.7, 1.6, 2.69, 3.45, 3.62, 3.7)),
    "mixed, a category": (
        (-1.74, -0.03, 0.59, 1.38, 2.34, 3.1, 4.44, 7.1),
        (0.0, 0.74, 1.82, 2.87, 3.44, 3.64, 3.64),
    ),
}
"""Per family of scores: log-odds of an edge, and of its direction where two variables are joined."""


def on_scale(leads: FloatArray) -> FloatArray:
    """Leads in nats on the scale of the curves, in the same shape."""
    return np.asarray(np.sign(leads) * np.log1p(np.abs(leads)), dtype=np.float64)


def log_odds(leads: FloatArray, at: tuple[float, ...], curve: tuple[float, ...]) -> FloatArray:
    """Log-odds by a curve; beyond its ends they stay as they are there.

    Args:
        leads: in nats, of any shape.
        at: where the curve has its values.
        curve: its values.
    """
    return np.asarray(np.interp(on_scale(leads), at, curve), dtype=np.float64)
