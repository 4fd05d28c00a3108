"""The one interval that ranking needs."""

import math

__all__ = ["wilson_lower"]


def wilson_lower(successes: float, trials: float, *, z: float = 1.96) -> float:
    """Lower bound of the Wilson score interval for a proportion, 0 without trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927),
    209-212.

    Args:
        successes: how often it went well.
        trials: how often it was tried, at least `successes`.
        z: standard normal quantile; 1.96 bounds at 97.5%.
    """
    if trials <= 0 or successes <= 0:
        return 0.0  # exactly, without what rounding leaves below
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - spread) / (1 + z * z / trials))
