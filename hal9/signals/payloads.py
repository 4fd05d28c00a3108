"""The closed set of payloads, one for each kind of signal."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hal9.signals.common_payloads import (
    CheckReport,
    ErrorDetail,
    FileChange,
    Grant,
    InlineFile,
    StepRecord,
    Tally,
    TaskScope,
)
from hal9.signals.error_types import Adjustment, ErrorContext, ErrorType, SignalModel

__all__ = [
    "AckPayload",
    "CancelPayload",
    "ErrorGradient",
    "ForkPayload",
    "MergePayload",
    "MetricPayload",
    "NeedPayload",
    "Payload",
    "ProgressPayload",
    "ResultPayload",
    "StatusPayload",
    "SuggestionPayload",
    "TaskPayload",
    "VetoPayload",
]


class TaskPayload(SignalModel):
    """Work to be done by the target."""

    kind: Literal["task"] = "task"
    objective: str
    design: str = ""
    check: str | None = None
    workspace: str | None = None
    targets: list[str] = Field(default_factory=list)
    files: list[InlineFile] = Field(default_factory=list)
    scope: TaskScope = Field(default_factory=TaskScope)
    grant: Grant = Field(default_factory=Grant)
    depth: int = 0
    ancestry: list[str] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)


class ResultPayload(SignalModel):
    """What came of a task; goes to the neuron (or scheduler) that asked."""

    kind: Literal["result"] = "result"
    ok: bool
    answer: str = ""
    changes: list[FileChange] = Field(default_factory=list)
    check: CheckReport | None = None
    error: ErrorDetail | None = None
    tally: Tally = Field(default_factory=Tally)
    steps: list[StepRecord] = Field(default_factory=list)


class ErrorGradient(SignalModel):
    """An error travelling backward to the neuron that should learn from it."""

    kind: Literal["gradient"] = "gradient"
    error_type: ErrorType
    magnitude: Annotated[float, Field(ge=0, le=1)]
    source_neuron: str
    target_neuron: str
    timestamp: float
    context: ErrorContext = Field(default_factory=ErrorContext)
    suggested_adjustments: list[Adjustment] = Field(default_factory=list)
    critique: str = ""
    depth: int = 0
    promptgram_version: int = 0
    promptgram_hash: str = ""


class AckPayload(SignalModel):
    """End-to-end receipt: these signals are committed in the receiver's journal."""

    kind: Literal["ack"] = "ack"
    ids: list[str]


class StatusPayload(SignalModel):
    """Retained state of a node."""

    kind: Literal["status"] = "status"
    state: Literal["starting", "ready", "draining", "offline"]
    boot_id: str
    neurons: dict[str, int] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)


class ProgressPayload(SignalModel):
    """A sign of life; may be lost."""

    kind: Literal["progress"] = "progress"
    event: str
    detail: dict[str, Any] = Field(default_factory=dict)


class CancelPayload(SignalModel):
    """Stop working on the envelope's task."""

    kind: Literal["cancel"] = "cancel"
    reason: str = ""


class MetricPayload(SignalModel):
    """How a belief performed, per item (never a mean alone)."""

    kind: Literal["metric"] = "metric"
    belief_id: str
    belief_version: int
    scores: dict[str, float]


class NeedPayload(SignalModel):
    """What a node lacks in order to decide."""

    kind: Literal["need"] = "need"
    belief_id: str
    belief_version: int
    text: str


class SuggestionPayload(SignalModel):
    """A proposed edit of the receiver's belief."""

    kind: Literal["suggestion"] = "suggestion"
    belief_id: str
    belief_version: int
    edit: dict[str, Any]
    evidence_items: list[str] = Field(default_factory=list)
    expected_gain: float = 0.0


class ForkPayload(SignalModel):
    """A node splits into variants."""

    kind: Literal["fork"] = "fork"
    belief_id: str
    belief_version: int
    variants: list[str]


class MergePayload(SignalModel):
    """Two variants should become one."""

    kind: Literal["merge"] = "merge"
    belief_id: str
    belief_version: int
    other_id: str


class VetoPayload(SignalModel):
    """A measured regression on named items speaks against an edit."""

    kind: Literal["veto"] = "veto"
    belief_id: str
    belief_version: int
    edit_hash: str
    items: dict[str, float]


Payload = Annotated[
    TaskPayload
    | ResultPayload
    | ErrorGradient
    | AckPayload
    | StatusPayload
    | ProgressPayload
    | CancelPayload
    | MetricPayload
    | NeedPayload
    | SuggestionPayload
    | ForkPayload
    | MergePayload
    | VetoPayload,
    Field(discriminator="kind"),
]
