"""What an error gradient carries of its task beside the error itself: one record, written and read here.

It rides in `ErrorContext.environmental_factors`, an open mapping on the wire. Signals of earlier versions,
and of nodes that say less, lack some of it; what is missing or of another type reads as unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hal9.errors.learning import GradientRefused
from hal9.learning.task_path import TaskPath
from hal9.memory import MemoryScope
from hal9.signals import ErrorGradient

__all__ = ["GradientFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFacts:
    """Facts of the task in which an error arose.

    Attributes:
        recorded_path: the task's path as plain values (see `path`).
        scope: where the task belongs: workspace, module, family.
        evidence: output, or the user's words, that show the error.
        check: command that tells whether the task is done; empty without one.
        root: id of the task or feedback from which all gradients of this error follow.
        expected: the right answer as the user gave it; None when nobody was asked.
    """

    recorded_path: Any = None
    scope: MemoryScope = field(default_factory=MemoryScope)
    evidence: str = ""
    check: str = ""
    root: str = ""
    expected: str | None = None

    def as_factors(self) -> dict[str, Any]:
        """The form on the wire."""
        scope = self.scope
        factors = {
            "path": self.recorded_path,
            "scope": [scope.workspace, scope.module, scope.task_family],
            "evidence": self.evidence,
            "check": self.check,
            "root": self.root,
        }
        return factors if self.expected is None else {**factors, "expected": self.expected}

    @classmethod
    def of(cls, gradient: ErrorGradient) -> Self:
        """Facts that a gradient carries."""
        return cls.read(gradient.context.environmental_factors)

    @classmethod
    def read(cls, factors: Mapping[str, Any]) -> Self:
        """Facts from the form on the wire, whichever version wrote it."""
        scope = factors.get("scope")
        parts = [str(part) for part in scope] if isinstance(scope, list | tuple) else []
        expected = factors.get("expected")
        return cls(
            recorded_path=factors.get("path"),
            scope=MemoryScope.of(parts),
            evidence=str(factors.get("evidence") or ""),
            check=str(factors.get("check") or ""),
            root=str(factors.get("root") or ""),
            expected=None if expected is None else str(expected),
        )

    @property
    def path(self) -> TaskPath:
        """The path that the task took.

        Raises:
            GradientRefused: none is carried, or one that cannot be read.
        """
        try:
            return TaskPath.from_json(self.recorded_path)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise GradientRefused(reason="forged", detail=f"its path cannot be read ({error})") from error
