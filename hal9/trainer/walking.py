"""Where a run stands: what is kept, and a working point that may be some tentative steps ahead of it.

A step within the noise says little alone, and a run that takes each back cannot climb from a bad start, where
good steps gain a few thousandths each. So a step that leans the right way is gone on from, and the steps
since the last kept point are judged together, as one paired comparison with it. Choosing what to go on
from is a choice among all subsets, so each adds to what the whole must show (see `verdict`). A walk that
leads nowhere is taken back as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.trainer.changes import NOISE, verdict
from hal9.trainer.evaluator import Evaluation, Gain, paired_gain

__all__ = ["PATIENCE", "Judged", "Walk"]

PATIENCE = 12
"""Candidates measured from a tentative point, without a further step, until the walk is taken back."""
_LEAN = 0.5
"""Standard errors that a step must gain to be gone on from."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a candidate.

    Attributes:
        gain: the comparison that decided: with the kept point when it was kept, else with the working point.
        kept: it is the new kept point.
        leans: it is not, and gains enough to be gone on from.
        why: why it was not kept; empty when it was.
    """

    gain: Gain
    kept: bool
    leans: bool
    why: str

    def to_json(self) -> dict[str, Any]:
        """What a record holds of it; `tentative` and `returned` are filled in when the proposal is over."""
        return {
            "gain": self.gain.mean,
            "error": self.gain.error,
            "won": self.gain.won,
            "lost": self.gain.lost,
            "kept": self.kept,
            "tentative": False,
            "returned": False,
            "why": self.why,
        }


@dataclass(slots=True)
class Walk:
    """The kept point and the working point.

    Attributes:
        best: what is kept.
        noise: see `verdict`.
        patience: see `PATIENCE`; 0 allows no tentative step.
        point: what the next step begins from.
        depth: tentative steps between the two.
        idle: candidates since the working point moved.
    """

    best: Evaluation
    noise: float = NOISE
    patience: int = PATIENCE
    point: Evaluation = field(init=False)
    depth: int = field(default=0, init=False)
    idle: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.point = self.best

    def judge(self, made: Evaluation, *, tried: int) -> Judged:
        """Keep a candidate, or say why not.

        Args:
            made: the candidate, one step away from the working point.
            tried: candidates measured so far, this one included.
        """
        step = paired_gain(made, self.point)
        leans = step.beats(_LEAN) and step.won >= step.lost
        whole = step if not self.depth else paired_gain(made, self.best)
        why = verdict(whole, noise=self.noise, tried=tried, chained=self.depth)
        if not why and (leans or not self.depth):
            self.stand_on(made)
            return Judged(whole, kept=True, leans=False, why="")
        self.idle += 1
        told = verdict(step, noise=self.noise, tried=tried) or why
        return Judged(step, kept=False, leans=leans and self.patience > 0, why=told)

    def advance(self, made: Evaluation) -> None:
        """Go on from a candidate that leans the right way."""
        self.point, self.depth, self.idle = made, self.depth + 1, 0

    def give_up(self) -> bool:
        """Take the walk back as a whole if it led nowhere for too long; whether it did."""
        over = self.depth > 0 and self.idle >= self.patience
        if over:
            self.stand_on(self.best)
        return over

    def stand_on(self, evaluation: Evaluation) -> None:
        """Make this the kept and the working point."""
        self.best = self.point = evaluation
        self.depth = self.idle = 0

    def to_json(self) -> dict[str, Any]:
        """What a record needs beside the kept parameters to go on from here."""
        return {"params": self.point.parameters.changes(), "depth": self.depth, "idle": self.idle}

    def take_up(self, point: Evaluation, record: Mapping[str, Any]) -> None:
        """Go on where a record ends."""
        self.point, self.depth, self.idle = point, int(record["depth"]), int(record["idle"])
