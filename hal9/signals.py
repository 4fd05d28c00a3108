"""What neurons say to each other: one envelope, a closed set of payloads, one wire format.

A `Signal` travels forward (tasks down, results up), backward (error gradients) or laterally (the
promptgram population). `encode` and `decode` are the only way to and from bytes; `decode` refuses what a
receiver must not act on, each refusal a typed `SignalError` whose `reason` ends up in the dead-letter table.
"""

import os
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hal9.errors import SignalExpired, SignalForged, SignalInvalid, SignalOverHopped, SignalOversize

__all__ = [
    "ERROR_TYPES",
    "MAX_HOPS",
    "MAX_SIGNAL_BYTES",
    "SCHEMA_VERSION",
    "AckPayload",
    "Adjustment",
    "CancelPayload",
    "CheckReport",
    "CommunicationError",
    "ErrorContext",
    "ErrorDetail",
    "ErrorGradient",
    "ErrorType",
    "FileChange",
    "ForkPayload",
    "Grant",
    "IncorrectOutput",
    "InlineFile",
    "LowQuality",
    "MergePayload",
    "MetricPayload",
    "NeedPayload",
    "Payload",
    "ProgressPayload",
    "ResourceExhausted",
    "ResultPayload",
    "Scope",
    "Signal",
    "StatusPayload",
    "StepRecord",
    "StopReason",
    "SuggestionPayload",
    "Tally",
    "TaskFailed",
    "TaskPayload",
    "TimedOut",
    "ToolExecutionFailed",
    "UserRejection",
    "VetoPayload",
    "decode",
    "encode",
    "new_id",
]

SCHEMA_VERSION = 1
MAX_SIGNAL_BYTES = 256 * 1024
MAX_HOPS = 64

Direction = Literal["forward", "backward", "lateral"]
StopReason = Literal[
    "done",
    "check_failed",
    "cancelled",
    "expired",
    "timeout",
    "budget_exhausted",
    "loop_detected",
    "repeated_step",
    "too_deep",
    "mind_failed",
    "tool_failed",
    "no_route",
    "invalid_output",
    "workspace_unreachable",
    "undeliverable",
    "internal_error",
]


class _Randomness:
    """The system's randomness in blocks: a system call for each id costs more than all the rest of it."""

    _BLOCK = 4096

    def __init__(self) -> None:
        self._left: Iterator[bytes] = iter(())
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A child process must not hand out what its parent will hand out."""
        self._left = iter(())

    def take(self) -> bytes:
        """Ten bytes that nobody else gets."""
        piece = next(self._left, None)  # one step of the interpreter, so threads never share a piece
        if piece is None:
            block = os.urandom(self._BLOCK)
            fresh = [block[start : start + 10] for start in range(10, self._BLOCK - 9, 10)]
            self._left = iter(fresh)
            piece = block[:10]
        return piece


_randomness = _Randomness()


def new_id(*, now: float | None = None) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then randomness; ids sort by creation time."""
    milliseconds = int((time.time() if now is None else now) * 1000) & 0xFFFFFFFFFFFF
    value = (milliseconds << 80) | int.from_bytes(_randomness.take(), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


# --- the eight kinds of error -------------------------------------------------------------


class TaskFailed(_Model):
    """The task could not be carried out."""

    type: Literal["task_failed"] = "task_failed"
    reason: str


class IncorrectOutput(_Model):
    """An answer came, but not the right one."""

    type: Literal["incorrect_output"] = "incorrect_output"
    expected: str
    actual: str


class TimedOut(_Model):
    """The work took longer than it was allowed to."""

    type: Literal["timeout"] = "timeout"
    duration_seconds: float


class ResourceExhausted(_Model):
    """A budget, the memory or the disk ran out."""

    type: Literal["resource_exhausted"] = "resource_exhausted"
    resource: str


class LowQuality(_Model):
    """The quality score fell below the threshold."""

    type: Literal["low_quality"] = "low_quality"
    score: Annotated[float, Field(ge=0, le=1)]


class UserRejection(_Model):
    """A person said no."""

    type: Literal["user_rejection"] = "user_rejection"
    feedback: str


class ToolExecutionFailed(_Model):
    """A command or file operation failed."""

    type: Literal["tool_execution_failed"] = "tool_execution_failed"
    tool: str
    error: str


class CommunicationError(_Model):
    """A neuron could not be reached, or its signal could not be read."""

    type: Literal["communication_error"] = "communication_error"
    target: str


ErrorType = Annotated[
    TaskFailed
    | IncorrectOutput
    | TimedOut
    | ResourceExhausted
    | LowQuality
    | UserRejection
    | ToolExecutionFailed
    | CommunicationError,
    Field(discriminator="type"),
]
ERROR_TYPES = (
    "task_failed",
    "incorrect_output",
    "timeout",
    "resource_exhausted",
    "low_quality",
    "user_rejection",
    "tool_execution_failed",
    "communication_error",
)


class ErrorContext(_Model):
    """Where and under which circumstances the error arose."""

    original_task: str = ""
    attempted_solution: str = ""
    failure_point: str = ""
    environmental_factors: dict[str, Any] = Field(default_factory=dict)


class Adjustment(_Model):
    """A proposed change of one parameter of a neuron."""

    parameter: str
    current_value: Any = None
    suggested_value: Any = None
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    rationale: str = ""


# --- parts shared by payloads -------------------------------------------------------------


class Scope(_Model):
    """What a task belongs to; learned memories apply only inside their scope."""

    workspace: str = ""
    module: str = ""
    task_family: str = ""


class Grant(_Model):
    """What a task may still spend. None means: no limit of this kind."""

    tokens: int | None = None
    usd: float | None = None
    deadline: float | None = None


class Tally(_Model):
    """What was spent."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def plus(self, other: "Tally") -> "Tally":
        """Sum of both."""
        return Tally(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            usd=self.usd + other.usd,
            seconds=self.seconds + other.seconds,
        )


class InlineFile(_Model):
    """A small text file carried inside a signal."""

    path: str
    content: str


class FileChange(_Model):
    """A file that was written; `diff` is a unified diff against what was there."""

    path: str
    action: Literal["created", "modified", "deleted"]
    diff: str = ""
    content: str | None = None


class CheckReport(_Model):
    """One run of the task's check."""

    command: str
    passed: bool
    exit_code: int | None = None
    output: str = ""
    seconds: float = 0.0
    timed_out: bool = False


class ErrorDetail(_Model):
    """Why a result is not a success."""

    reason: StopReason
    message: str
    neuron: str = ""
    evidence: str = ""


class StepRecord(_Model):
    """One thing a neuron did for a task: what the trace, the accounts and learning need to know."""

    id: str
    task_id: str
    signal_id: str
    neuron: str
    layer: int
    kind: Literal["think", "pass", "split", "check", "synthesise", "workload"]
    started_at: float
    ended_at: float
    outcome: Literal["ok", "failed", "cancelled"] = "ok"
    mind: str = ""
    promptgram_version: int = 0
    promptgram_hash: str = ""
    recalled: list[str] = Field(default_factory=list)
    route: dict[str, Any] = Field(default_factory=dict)
    tally: Tally = Field(default_factory=Tally)
    prompt: str = ""
    reply: str = ""
    evidence: str = ""


# --- payloads -----------------------------------------------------------------------------


class TaskPayload(_Model):
    """Work to be done by the target."""

    kind: Literal["task"] = "task"
    objective: str
    design: str = ""
    check: str | None = None
    workspace: str | None = None
    targets: list[str] = Field(default_factory=list)
    files: list[InlineFile] = Field(default_factory=list)
    scope: Scope = Field(default_factory=Scope)
    grant: Grant = Field(default_factory=Grant)
    depth: int = 0
    ancestry: list[str] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)


class ResultPayload(_Model):
    """What came of a task; goes to the neuron (or task book) that asked."""

    kind: Literal["result"] = "result"
    ok: bool
    answer: str = ""
    changes: list[FileChange] = Field(default_factory=list)
    check: CheckReport | None = None
    error: ErrorDetail | None = None
    tally: Tally = Field(default_factory=Tally)
    steps: list[StepRecord] = Field(default_factory=list)


class ErrorGradient(_Model):
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


class AckPayload(_Model):
    """End-to-end receipt: these signals are committed in the receiver's journal."""

    kind: Literal["ack"] = "ack"
    ids: list[str]


class StatusPayload(_Model):
    """Retained state of a node."""

    kind: Literal["status"] = "status"
    state: Literal["starting", "ready", "draining", "offline"]
    boot_id: str
    neurons: dict[str, int] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)


class ProgressPayload(_Model):
    """A sign of life; may be lost."""

    kind: Literal["progress"] = "progress"
    event: str
    detail: dict[str, Any] = Field(default_factory=dict)


class CancelPayload(_Model):
    """Stop working on the envelope's task."""

    kind: Literal["cancel"] = "cancel"
    reason: str = ""


class MetricPayload(_Model):
    """How a belief performed, per item (never a mean alone)."""

    kind: Literal["metric"] = "metric"
    belief_id: str
    belief_version: int
    scores: dict[str, float]


class NeedPayload(_Model):
    """What a node lacks in order to decide."""

    kind: Literal["need"] = "need"
    belief_id: str
    belief_version: int
    text: str


class SuggestionPayload(_Model):
    """A proposed edit of the receiver's belief."""

    kind: Literal["suggestion"] = "suggestion"
    belief_id: str
    belief_version: int
    edit: dict[str, Any]
    evidence_items: list[str] = Field(default_factory=list)
    expected_gain: float = 0.0


class ForkPayload(_Model):
    """A node splits into variants."""

    kind: Literal["fork"] = "fork"
    belief_id: str
    belief_version: int
    variants: list[str]


class MergePayload(_Model):
    """Two variants should become one."""

    kind: Literal["merge"] = "merge"
    belief_id: str
    belief_version: int
    other_id: str


class VetoPayload(_Model):
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

_DIRECTIONS: dict[str, Direction] = {
    "gradient": "backward",
    "metric": "lateral",
    "need": "lateral",
    "suggestion": "lateral",
    "fork": "lateral",
    "merge": "lateral",
    "veto": "lateral",
}


class Signal(_Model):
    """The envelope. Layers are 4, 3, 2; 0 stands for the user's side (task book, command line)."""

    v: int = SCHEMA_VERSION
    id: str
    task_id: str
    cause_id: str | None = None
    direction: Direction = "forward"
    source: str
    target: str
    layer_from: int = 0
    layer_to: int = 0
    created_at: float
    expires_at: float
    hops: int = 0
    attempt: int = 1
    payload: Payload

    @property
    def kind(self) -> str:
        """The payload's kind, as used in topics."""
        return self.payload.kind

    @classmethod
    def create(
        cls,
        payload: Payload,
        *,
        task_id: str,
        source: str,
        target: str,
        now: float,
        ttl_seconds: float = 3600.0,
        cause: "Signal | None" = None,
        layers: tuple[int, int] = (0, 0),
    ) -> Self:
        """A fresh signal; hops count on from the signal that caused it."""
        return cls(
            id=new_id(now=now),
            task_id=task_id,
            cause_id=cause.id if cause else None,
            direction=_DIRECTIONS.get(payload.kind, "forward"),
            source=source,
            target=target,
            layer_from=layers[0],
            layer_to=layers[1],
            created_at=now,
            expires_at=now + ttl_seconds,
            hops=cause.hops + 1 if cause else 0,
            payload=payload,
        )


# --- the wire -----------------------------------------------------------------------------


def encode(signal: Signal) -> bytes:
    """Signal to JSON bytes.

    Raises:
        SignalOversize: larger than MAX_SIGNAL_BYTES; large content goes by reference.
    """
    data = signal.model_dump_json(exclude_defaults=False).encode()
    if len(data) > MAX_SIGNAL_BYTES:
        raise SignalOversize(signal_id=signal.id, size=len(data), limit=MAX_SIGNAL_BYTES)
    return data


def decode(
    data: bytes,
    *,
    now: float,
    source: str | None = None,
    target: str | None = None,
    kind: str | None = None,
    max_hops: int = MAX_HOPS,
) -> Signal:
    """JSON bytes to a signal a receiver may act on.

    Args:
        data: what arrived.
        now: the receiver's wall clock, seconds.
        source: who really sent it (the topic's last level, which the broker enforces).
        target: whose inbox it arrived in.
        kind: the kind the topic claims.
        max_hops: signals that travelled further are refused.

    Raises:
        SignalOversize, SignalInvalid, SignalForged, SignalExpired, SignalOverHopped.
    """
    if len(data) > MAX_SIGNAL_BYTES:
        raise SignalOversize(signal_id=None, size=len(data), limit=MAX_SIGNAL_BYTES)
    try:
        signal = Signal.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(data, error) from error
    if signal.v != SCHEMA_VERSION:
        raise SignalInvalid(signal_id=signal.id, reason="unknown_version", detail=f"version {signal.v}")
    for claimed, actual, what in (
        (signal.source, source, "source"),
        (signal.target, target, "target"),
        (signal.kind, kind, "kind"),
    ):
        if actual is not None and claimed != actual:
            raise SignalForged(signal_id=signal.id, field=what, claimed=claimed, actual=actual)
    if signal.hops > max_hops:
        raise SignalOverHopped(signal_id=signal.id, hops=signal.hops, limit=max_hops)
    if signal.expires_at <= now:
        raise SignalExpired(signal_id=signal.id, seconds_ago=now - signal.expires_at)
    return signal


def _invalid(data: bytes, error: ValidationError) -> SignalInvalid:
    """Say which of the ways of being unreadable it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    detail = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if first["type"] == "json_invalid":
        return SignalInvalid(signal_id=None, reason="bad_json", detail=detail)
    if first["type"].startswith("union_tag"):
        return SignalInvalid(signal_id=None, reason="unknown_kind", detail=detail)
    version = _peek_version(data)
    if version is not None and version != SCHEMA_VERSION:
        return SignalInvalid(signal_id=None, reason="unknown_version", detail=f"version {version}")
    return SignalInvalid(signal_id=None, reason="bad_shape", detail=detail)


class _Version(BaseModel):
    v: int


def _peek_version(data: bytes) -> int | None:
    try:
        return _Version.model_validate_json(data).v
    except ValidationError:
        return None
