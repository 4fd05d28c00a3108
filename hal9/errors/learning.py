"""Errors of learning."""

from dataclasses import dataclass

from hal9.errors.base import LearningError, install_hint

__all__ = [
    "ApprovalStale",
    "ArchiveInvalid",
    "ChangeNotWaiting",
    "ChangeUnknown",
    "FeedbackInvalid",
    "FeedbackTooEarly",
    "GradientRefused",
    "GuardInvalid",
    "GuardUnknown",
    "LedgerBroken",
    "NeuronUnknown",
    "ReportExtraMissing",
    "ReportUnwritable",
    "RollbackBlocked",
    "RollbackToFuture",
]


@dataclass(eq=False, kw_only=True)
class FeedbackInvalid(LearningError):
    """Feedback that says nothing, or contradicts itself."""

    exit_code = 2
    problem: str

    def message(self) -> str:
        return f"This feedback was not taken: {self.problem}."


@dataclass(eq=False, kw_only=True)
class FeedbackTooEarly(LearningError):
    """The task has no result yet."""

    task_id: str
    state: str

    def message(self) -> str:
        return f"Task {self.task_id} is {self.state}; feedback needs its result. `hal9 watch` follows it."


@dataclass(eq=False, kw_only=True)
class GradientRefused(LearningError):
    """A gradient that may not teach anything."""

    reason: str
    detail: str

    def message(self) -> str:
        return f"Gradient refused ({self.reason}): {self.detail}."


@dataclass(eq=False, kw_only=True)
class ChangeUnknown(LearningError):
    """The ledger has no such change."""

    exit_code = 7
    change: str

    def message(self) -> str:
        return f"The ledger has no change {self.change!r}. `hal9 ledger` lists them."


@dataclass(eq=False, kw_only=True)
class ChangeNotWaiting(LearningError):
    """The change does not wait for approval (any more)."""

    change: str
    state: str

    def message(self) -> str:
        return f"Change {self.change} does not wait for approval, it is {self.state}."


@dataclass(eq=False, kw_only=True)
class ApprovalStale(LearningError):
    """The content is not the one that was shown."""

    change: str
    shown: str
    found: str

    def message(self) -> str:
        return (
            f"Change {self.change} has content {self.found[:12]}, the approval was given for "
            f"{self.shown[:12]}. Look at it again with `hal9 approvals`."
        )


@dataclass(eq=False, kw_only=True)
class RollbackToFuture(LearningError):
    """There is no state of a moment that has not been yet."""

    moment: float
    now: float

    def message(self) -> str:
        return (
            f"There is nothing to go back to at {self.moment:.0f}: that is {self.moment - self.now:.0f} s from now. "
            "Name a task, or a time that has passed."
        )


@dataclass(eq=False, kw_only=True)
class RollbackBlocked(LearningError):
    """Later changes stand on this one."""

    change: str
    detail: str

    def message(self) -> str:
        return (
            f"Change {self.change} cannot be undone alone: {self.detail}. "
            "`hal9 rollback --to` a moment before it undoes the later ones too."
        )


@dataclass(eq=False, kw_only=True)
class LedgerBroken(LearningError):
    """The chain of the ledger does not hold."""

    change: str
    detail: str

    def message(self) -> str:
        return (
            f"The ledger is not as it was written: {self.detail} (at {self.change}). "
            "`hal9 memory audit` looks at the file."
        )


@dataclass(eq=False, kw_only=True)
class NeuronUnknown(LearningError):
    """Learning knows no such neuron."""

    exit_code = 2
    neuron: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"There is no neuron {self.neuron!r} here; there are {', '.join(self.known)}."


@dataclass(eq=False, kw_only=True)
class ArchiveInvalid(LearningError):
    """An archive of learned state that cannot be trusted or read."""

    exit_code = 3
    file: str
    problem: str

    def message(self) -> str:
        return f"{self.file}: {self.problem}. Nothing was imported."


@dataclass(eq=False, kw_only=True)
class ReportExtraMissing(LearningError):
    """matplotlib is not installed."""

    def message(self) -> str:
        return (
            "PNG charts need matplotlib; the SVG charts were written without it. "
            f"Install it with: {install_hint('pictures')}"
        )


@dataclass(eq=False, kw_only=True)
class ReportUnwritable(LearningError):
    """The report's folder cannot be written."""

    folder: str
    detail: str

    def message(self) -> str:
        return f"the report cannot be written into {self.folder}: {self.detail}. Name another folder"


@dataclass(eq=False, kw_only=True)
class GuardInvalid(LearningError):
    """A guard that cannot be understood, or would fire on everything."""

    exit_code = 2
    problem: str

    def message(self) -> str:
        return f"This guard was not taken: {self.problem}. `docs/learning.md` shows what a guard may say."


@dataclass(eq=False, kw_only=True)
class GuardUnknown(LearningError):
    """No guard has this number."""

    exit_code = 7
    number: int

    def message(self) -> str:
        return f"There is no guard {self.number}. `hal9 rules guards` lists them."
