"""What every solver of this room returns, and how it says that it did not converge."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from hal9.errors.passing import PassingDiverged

__all__ = [
    "ApproximateWarning",
    "Array",
    "ConvergenceWarning",
    "OnFailure",
    "Passing",
    "fixed_point",
    "report_failure",
]

Array: TypeAlias = npt.NDArray[Any]
OnFailure: TypeAlias = Literal["warn", "raise", "ignore"]


class ApproximateWarning(UserWarning):
    """Exact inference needs more memory than allowed; the figures are approximations."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped at its limit; the result is the last iterate, not a fixed point."""


@dataclass(frozen=True, kw_only=True)
class Passing:
    """The outcome of an iteration.

    Attributes:
        state: The last iterate.
        converged: True or False when a tolerance was asked for, None when only a number of rounds was.
        iterations: Rounds run.
        residuals: Largest absolute change of any entry, one figure per round.
    """

    state: Array
    converged: bool | None
    iterations: int
    residuals: Array


def report_failure(what: str, iterations: int, residual: float, on_failure: OnFailure) -> None:
    """Warn or raise about an iteration that stopped before its tolerance was reached."""
    if on_failure == "ignore":
        return
    error = PassingDiverged(what=what, iterations=iterations, residual=residual)
    if on_failure == "raise":
        raise error
    warnings.warn(error.message(), ConvergenceWarning, stacklevel=3)


def largest_change(new: Array, old: Array) -> float:
    """Largest absolute difference; equal infinities count as no change, anything undefined as infinite.

    Both arrays have one shape, whichever it is.
    """
    if new.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(new - old)
        largest = float(gap.max())
        if np.isnan(largest):
            gap = np.where(new == old, 0.0, gap)
            largest = float(gap.max())
    return float("inf") if np.isnan(largest) else largest


def fixed_point(
    step: Callable[[Array], Array],
    state: Array,
    *,
    tol: float | None,
    max_iter: int,
    what: str,
    on_failure: OnFailure = "warn",
) -> Passing:
    """Apply `step` until the largest change is at most `tol` (`tol=None`: exactly `max_iter` times).

    `step` keeps the state's shape, whichever it is.
    """
    residuals: list[float] = []
    converged = None if tol is None else False
    for _ in range(max_iter):
        new = step(state)
        residuals.append(largest_change(new, state))
        state = new
        if tol is not None and residuals[-1] <= tol:
            converged = True
            break
    if converged is False:
        report_failure(what, len(residuals), residuals[-1] if residuals else float("inf"), on_failure)
    return Passing(
        state=state,
        converged=converged,
        iterations=len(residuals),
        residuals=np.array(residuals, dtype=float),
    )
