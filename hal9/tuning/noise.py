"""How much the same prompt's score on the same task varies, and what a gain is worth beside that."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from hal9.belief import Evidence

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
    def of(cls, evidence: Evidence) -> Self:
        """Pooled over the tasks that were measured more than once."""
        variance = evidence.noise_variance()
        return cls(0.0 if math.isnan(variance) else max(0.0, variance))

    def error_of_gain(self, ours: Evidence, theirs: Evidence, tasks: Iterable[str]) -> float:
        """Standard error of a mean paired gain that is due to noise alone."""
        both = [task for task in tasks if ours.count(task) and theirs.count(task)]
        if not both:
            return 0.0
        parts = sum(1 / ours.count(task) + 1 / theirs.count(task) for task in both)
        return math.sqrt(self.variance * parts) / len(both)

    def told(self) -> str:
        """In words."""
        if not self.noisy:
            return "repeated answers score the same"
        return f"repeated answers differ by {math.sqrt(self.variance):.2f}"
