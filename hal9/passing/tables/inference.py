"""What inference on a factor graph returns."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.result import Array

__all__ = ["Inference", "Marginals", "Method", "Mode"]

Method: TypeAlias = Literal["exact", "bp", "trw"]
Mode: TypeAlias = Literal["sum", "max"]


class Marginals(Sequence[Array]):
    """One distribution per variable: `marginals[v]` has shape (states,), or (batch, states) for a batch."""

    def __init__(
        self, blocks: dict[int, Array], cardinality: Array, position: Array, *, batched: bool
    ) -> None:
        """Wrap arrays of shape (states, batch, variables), one per number of states."""
        self._blocks = blocks
        self._cardinality = cardinality
        self._position = position
        self._batched = batched

    def __len__(self) -> int:
        return len(self._cardinality)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rows = self._blocks[int(self._cardinality[index])][:, :, self._position[index]].T
        return rows if self._batched else rows[0]

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def stack(self) -> Array:
        """All of them, shape (variables, states) or (batch, variables, states).

        Raises:
            PassingInvalid: The variables differ in their number of states.
        """
        if len(self._blocks) != 1:
            raise PassingInvalid(what="stack", detail="the variables differ in their number of states")
        (block,) = self._blocks.values()
        rows = np.moveaxis(block[:, :, self._position], 0, -1)
        return rows if self._batched else rows[0]


class Inference:
    """Beliefs and how they were obtained.

    Attributes:
        marginals: One distribution per variable (normalised max-marginals in mode "max").
        method: What produced them: "exact", "bp" (belief propagation) or "trw" (tree-reweighted, biased
            towards uniform, its `log_z` an upper bound).
        mode: "sum" or "max".
        exact: True when the figures are exact up to rounding.
        converged: Whether the messages reached the tolerance; None when only a number of rounds was asked
            for; True for exact inference.
        iterations: Rounds of message passing; 0 for exact inference.
        residuals: Largest message change per round.
        messages: The last messages, for a warm start; empty for exact inference.
        fallback: Why this method and not the one before it was used, "" when the first choice served.
    """

    def __init__(
        self,
        *,
        marginals: Marginals,
        method: Method,
        mode: Mode,
        log_z: Callable[[], Any],
        factor: Callable[[int], Array],
        assignment: Callable[[], Array],
        batched: bool,
    ) -> None:
        self.marginals = marginals
        self.method: Method = method
        self.mode: Mode = mode
        self.exact = method == "exact"
        self.converged: bool | None = True
        self.iterations = 0
        self.residuals: Array = np.zeros(0)
        self.messages: Array = np.zeros(0)
        self.fallback = ""
        self._log_z = log_z
        self._factor = factor
        self._assignment = assignment
        self._batched = batched

    def __repr__(self) -> str:
        how = f"method={self.method!r}, exact={self.exact}"
        return f"Inference({how}, converged={self.converged}, iterations={self.iterations})"

    @cached_property
    def log_z(self) -> Any:
        """Log of the normaliser, a float or shape (batch,).

        Exact, the Bethe approximation, or the tree-reweighted upper bound, depending on `method`; in mode
        "max" the log potential of `assignment`.
        """
        value = np.asarray(self._log_z(), dtype=float)
        return value if self._batched else float(value[0])

    @cached_property
    def assignment(self) -> Array:
        """The most probable joint state (mode "max"), shape (variables,) or (batch, variables)."""
        if self.mode != "max":
            raise PassingInvalid(
                what="assignment", detail="needs mode 'max'", remedy="Call infer(mode='max')"
            )
        states = self._assignment()
        return states if self._batched else states[0]

    def factor_marginal(self, factor: int) -> Array:
        """Joint distribution of a factor's variables, shape of its table (with a batch axis in front)."""
        table = self._factor(factor)
        return table if self._batched else table[0]
