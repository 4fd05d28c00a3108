"""What a run can find out at all: how small a gain its cases can tell from noise, said before it begins."""

import math
from dataclasses import dataclass

import numpy as np

from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.evaluator import TrainingEvaluator, paired_gain
from hal9.trainer.search.space import DIRECTIONS, Change, Space, apply_changes

__all__ = ["Power", "power_of"]

_PROBES = 6
_MOST_DRAWS = 40
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Power:
    """What random medium steps from a start show.

    Attributes:
        cases: that were ranked.
        error: median standard error of a step's gain in NDCG@10.
        effect: median size of a step's gain.
        first, later: the gain that the first candidate must exceed to be kept, and the fiftieth.
    """

    cases: int
    error: float
    effect: float
    first: float
    later: float

    def told(self) -> str:
        """In a sentence."""
        if not self.error:
            return f"no random step moves a ranking of these {self.cases} cases: nothing can be learned"
        return (
            f"with {self.cases} cases a step's gain has a standard error of about {self.error:.4f}: "
            f"only gains above {self.first:.4f} (the first try) to {self.later:.4f} (the {_TRIES}th) "
            f"can be kept; random steps move it by {self.effect:.4f}"
        )


def power_of(evaluator: TrainingEvaluator, space: Space, *, noise: float, first: int, seed: int = 0) -> Power:
    """Measure a few random medium steps from the defaults.

    Args:
        evaluator: of the training cases.
        space: what may be moved.
        noise: as the run's rule for keeping a step has it (see `verdict`).
        first: as that rule counts tries.
        seed: fixes the draws.
    """
    rng = np.random.default_rng([seed, 53])
    base = evaluator.evaluate()
    errors: list[float] = []
    effects: list[float] = []
    for _ in range(_MOST_DRAWS):
        if len(errors) == _PROBES:
            break
        name, direction = str(rng.choice(space.names)), DIRECTIONS[int(rng.integers(2))]
        made = apply_changes(Parameters(), [Change(name, direction, "medium")], space)
        if not made.moved:
            continue
        gain = paired_gain(evaluator.evaluate(made.parameters), base)
        if gain.error > 0:
            errors.append(gain.error)
            effects.append(abs(gain.mean))
    error = float(np.median(errors)) if errors else 0.0
    effect = float(np.median(effects)) if effects else 0.0
    needed = [noise * math.sqrt(2 * math.log(tried + first)) * error for tried in (1, _TRIES)]
    return Power(len(evaluator.cases), error, effect, *needed)
