"""The population's rules as numbers, and the reasons why a run stops."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hal9.errors.belief import PolicyInvalid

__all__ = ["Policy", "StopReason"]

StopReason = Literal["equilibrium", "stagnation", "budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a population behaves; docs/belief.md gives the reason for each rule.

    Attributes:
        cap: most nodes alive at any moment.
        damping: share of new evidence about an edit that is held back, 0..1.
        stages: race stages, in items; the last stage is always all of the node's items.
        drop: a race ends when gain + drop * standard error <= 0; it shrinks with the share of items seen.
        certainty: a commit needs gain > certainty * standard error of the measurement noise (and > 0).
        expected: standard deviation of an untried edit's gain, on the score scale.
        retry: least chance to help at which a refused edit is tried again after a commit.
        replicates: how often a node's own belief is measured per item when scores are noisy.
        proposals: ideas asked of the proposer at once.
        hops: how far a suggestion travels.
        similarity: an edit more alike than this to a refused one is not measured.
        merge_every: steps between attempts at merging or retiring nodes.
        forks: whether nodes may fork at all.
        min_share, min_wins: each side of a fork must win this share of items, and at least this many.
        alpha: a fork needs a sign test above this (neither side simply better).
        min_split: what two specialists together must gain over the better one, on the score scale.
        survival: a node stays only if it beats the others on its own items by this many standard errors.
        patience: learners' turns without an improvement until stagnation; 0 stands for 3 * cap.
        round_attempts: attempts that make a full round; 0 stands for "until the proposer has no more ideas".
        trips: explorations in place, without success, before a node comes to rest.
        leap_drift: how much of what was measured a supposed near miss puts in doubt, in units of `expected`.
        reach: refused trials in a row after which an exploration is brought to its end.
    """

    cap: int = 16
    damping: float = 0.3
    stages: tuple[int, ...] = (6, 12, 20, 30, 45)
    drop: float = 1.0
    certainty: float = 1.5
    expected: float = 0.1
    retry: float = 0.05
    replicates: int = 3
    proposals: int = 4
    hops: int = 3
    similarity: float = 0.95
    merge_every: int = 4
    forks: bool = True
    min_share: float = 0.2
    min_wins: int = 5
    alpha: float = 0.1
    min_split: float = 0.05
    survival: float = 1.64
    patience: int = 0
    round_attempts: int = 0
    trips: int = 6
    reach: int = 12
    leap_drift: float = 2.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("cap", 1, 4096),
            ("damping", 0, 1),
            ("replicates", 1, 1000),
            ("proposals", 1, 1000),
            ("hops", 0, 64),
            ("similarity", 0, 1),
            ("expected", 1e-9, 1e9),
            ("retry", 0, 1),
            ("merge_every", 1, 10**6),
            ("min_share", 0, 0.5),
            ("alpha", 0, 1),
            ("patience", 0, 10**9),
            ("round_attempts", 0, 10**9),
            ("trips", 0, 10**6),
            ("reach", 1, 10**6),
            ("leap_drift", 0, 1000),
        ):
            if not low <= getattr(self, name) <= high:
                raise PolicyInvalid(name=name, value=getattr(self, name), allowed=f"within {low}..{high}")
        if list(self.stages) != sorted(set(self.stages)) or min(self.stages, default=1) < 1:
            raise PolicyInvalid(name="stages", value=self.stages, allowed="rising whole numbers from 1")

    @property
    def stagnation(self) -> int:
        """Turns without improvement that end a run."""
        return self.patience or 3 * self.cap

    def to_json(self) -> dict[str, Any]:
        """All settings."""
        return asdict(self)
