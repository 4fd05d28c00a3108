"""Errors of belief."""

from dataclasses import dataclass

from hal9.errors.base import BeliefError

__all__ = [
    "BeliefEditRefused",
    "BeliefMergeConflict",
    "BeliefSignalInvalid",
    "EvaluationIncomplete",
    "NodeHostFailed",
    "PolicyInvalid",
    "ReplayDiverged",
]


@dataclass(eq=False, kw_only=True)
class BeliefEditRefused(BeliefError):
    """An edit does not apply to a belief; nothing was changed."""

    edit: str
    reason: str

    def message(self) -> str:
        return f"Edit {self.edit} does not apply: {self.reason}. Propose an edit of the current belief."


@dataclass(eq=False, kw_only=True)
class BeliefMergeConflict(BeliefError):
    """Two beliefs changed the same part differently since their common ancestor."""

    parts: tuple[str, ...]

    def message(self) -> str:
        return f"Both sides changed {', '.join(self.parts)}. Keep both nodes, or let measurement choose one."


@dataclass(eq=False, kw_only=True)
class BeliefSignalInvalid(BeliefError):
    """A signal or node state that came over a wire cannot be read."""

    what: str
    detail: str

    def message(self) -> str:
        return f"{self.what} cannot be read: {self.detail}. Both ends must run the same version of HAL9."


@dataclass(eq=False, kw_only=True)
class PolicyInvalid(BeliefError):
    """A setting of the population is outside its range."""

    name: str
    value: object
    allowed: str

    def message(self) -> str:
        return f"Population setting {self.name} = {self.value!r} is not possible; it must be {self.allowed}."


@dataclass(eq=False, kw_only=True)
class ReplayDiverged(BeliefError):
    """The run asked for a turn that its log does not hold at this place."""

    position: int
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"Log entry {self.position}: the log holds {self.expected}, the run asks for {self.found}. "
            "Replay with the same start, seed and policy that wrote the log."
        )


@dataclass(eq=False, kw_only=True)
class NodeHostFailed(BeliefError):
    """The process or connection that runs a node's turns is gone or answers nonsense."""

    host: str
    detail: str

    def message(self) -> str:
        return (
            f"Node host {self.host} failed: {self.detail}. Restart it; turns are repeatable, nothing is lost."
        )


@dataclass(eq=False, kw_only=True)
class EvaluationIncomplete(BeliefError):
    """An evaluator left out items that it was asked for, or gave no finite score."""

    items: tuple[str, ...]

    def message(self) -> str:
        return f"No finite score for items {', '.join(self.items[:5])}. The evaluator must score every item it gets."
