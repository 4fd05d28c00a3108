"""What a run gives back."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from hal9.belief.policy import StopReason

__all__ = ["Outcome", "RankedNode"]

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedNode(Generic[B]):
    """A node at the end: its belief, the items it answers for, its mean score on all items and on its own.

    `measured` tells how many of all items `score` rests on.
    """

    node: str
    belief: B
    niche: tuple[str, ...]
    score: float
    own_score: float
    token: Fraction
    measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[B]):
    """How a run ended; `standings` hold the living nodes, the best single belief first."""

    reason: StopReason
    standings: tuple[RankedNode[B], ...]
    spent: int
    steps: int

    @property
    def converged(self) -> bool:
        """Only an equilibrium is convergence; stagnation and budget are not."""
        return self.reason == "equilibrium"

    @property
    def winner(self) -> RankedNode[B]:
        """The best single belief."""
        return self.standings[0]
