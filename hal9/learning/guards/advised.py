"""What is said to an action before it is done; light, for quick hooks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hal9.tools.action import Action

if TYPE_CHECKING:
    from hal9.learning.runs.features import Feature

__all__ = ["Advised", "Effect"]

Effect = Literal["allow", "remind", "refuse", "rewrite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """What to do about an action.

    Attributes:
        effect: what is to happen.
        reason: for whoever acts.
        source: `guard:3`, or `runs:KIND` for what earlier runs foretell; empty with `allow`.
        action: what is done instead, for `rewrite`.
        features: of the action, so that its outcome can be learned.
    """

    effect: Effect = "allow"
    reason: str = ""
    source: str = ""
    action: Action | None = None
    features: "tuple[Feature, ...]" = ()
