"""What came of a correction, and where a rule comes from."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Origin", "RuleOutcome", "Source"]

Source = Literal["user", "retry", "mind"]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What was learned, or why nothing was."""

    rule_id: int | None
    state: str
    reason: str
    holds_for: str = ""
    replaced: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule comes from: who says it, who vouches, for which reason, and the task it was taught on."""

    source: Source
    trusted_by: str
    cause: str
    task_id: str
    objective: str
