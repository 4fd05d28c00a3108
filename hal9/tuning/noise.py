"""How much the same prompt's score on the same task varies, and what a gain is worth beside that."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from hal9.tuning.measurements import AnswerScores, Measurements

__all__ = ["Noise"]


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance of one measurement of one task; 0 when repeated ones agreed."""

    variance: float = 0.0

    @property
    def noisy(self) -> bool:
        """Whether repeated measurements differ."""
        return self.variance > 1e-12

    @classmethod
    def of(cls, shared: AnswerScores, measured: Iterable[Measurements]) -> Self:
        """Pooled over all that was measured more than once.

        Args:
            shared: verdicts by answer, which tell the judge's own wavering.
            measured: of every prompt; where one answers a task differently the second time, all that its
                repeated answers scored counts.
        """
        repeated = [
            (one.answers[task], scores)
            for one in measured
            for task, scores in one.scores.items()
            if len(scores) > 1
        ]
        if any(len(set(answers)) > 1 for answers, _ in repeated):
            freedom = sum(len(scores) - 1 for _, scores in repeated)
            variance = sum(_squares(scores) for _, scores in repeated) / freedom
        else:
            variance = shared.variance()
        return cls(0.0 if math.isnan(variance) else max(0.0, variance))

    def error_of_gain(self, ours: Measurements, theirs: Measurements, tasks: Iterable[str]) -> float:
        """Standard error of a mean paired gain that is due to noise alone; equal answers add none."""
        both = [task for task in tasks if ours.count(task) and theirs.count(task)]
        if not both:
            return 0.0
        parts = sum(
            1 / ours.count(task) + 1 / theirs.count(task) for task in both if not ours.same(theirs, [task])
        )
        return math.sqrt(self.variance * parts) / len(both)

    @property
    def flip(self) -> float:
        """Chance that a score is turned over, if that is what the noise is."""
        return (1 - math.sqrt(max(0.0, 1 - 4 * min(self.variance, 0.25)))) / 2

    def failing_share(self, average: float) -> float:
        """Share of tasks that truly fail, from a mean score that noise draws towards one half."""
        flip = min(self.flip, 0.45)
        return min(0.98, max(0.02, (1 - average - flip) / (1 - 2 * flip)))

    def failing_chance(self, evidence: Measurements, task: str, *, prior: float) -> float:
        """Chance that a task truly fails, given what it scored so far (Bayes' rule)."""
        if any(0.0 < score < 1.0 for score in evidence.scores[task]):
            return 1.0  # turned over or not, a score in part is not that of a right answer
        flip = min(max(self.flip, 0.01), 0.45)
        count = evidence.count(task)
        failed = count * (1 - evidence.mean(task))
        fails = prior * (1 - flip) ** failed * flip ** (count - failed)
        passes = (1 - prior) * flip**failed * (1 - flip) ** (count - failed)
        return float(fails / (fails + passes))

    def told(self) -> str:
        """In words."""
        if not self.noisy:
            return "repeated answers score the same"
        return f"repeated answers differ by {math.sqrt(self.variance):.2f}"


def _squares(scores: Sequence[float]) -> float:
    mean = sum(scores) / len(scores)
    return sum((score - mean) ** 2 for score in scores)
