"""What can go wrong with a task: the eight kinds of error, where one happened, and what to change for it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from hal9.text import storable

__all__ = [
    "ERROR_TYPES",
    "Adjustment",
    "CommunicationError",
    "ErrorContext",
    "ErrorType",
    "IncorrectOutput",
    "LowQuality",
    "ResourceExhausted",
    "SignalModel",
    "TaskFailed",
    "TimedOut",
    "ToolExecutionFailed",
    "UserRejection",
]


class SignalModel(BaseModel):
    """Base of all that travels: frozen, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any, info: ValidationInfo) -> Any:
        # The border that all text crosses: half a surrogate pair, typed, replied or in a file's name, could
        # neither be sent nor stored.
        # JSON cannot hold one: the parser refuses it.
        return value if info.mode == "json" else storable(value)


class TaskFailed(SignalModel):
    """The task could not be carried out."""

    type: Literal["task_failed"] = "task_failed"
    reason: str


class IncorrectOutput(SignalModel):
    """An answer came, but not the right one."""

    type: Literal["incorrect_output"] = "incorrect_output"
    expected: str
    actual: str


class TimedOut(SignalModel):
    """The work took longer than it was allowed to."""

    type: Literal["timeout"] = "timeout"
    duration_seconds: float


class ResourceExhausted(SignalModel):
    """A budget, the memory or the disk ran out."""

    type: Literal["resource_exhausted"] = "resource_exhausted"
    resource: str


class LowQuality(SignalModel):
    """The quality score fell below the threshold."""

    type: Literal["low_quality"] = "low_quality"
    score: Annotated[float, Field(ge=0, le=1)]


class UserRejection(SignalModel):
    """A person said no."""

    type: Literal["user_rejection"] = "user_rejection"
    feedback: str


class ToolExecutionFailed(SignalModel):
    """A command or file operation failed."""

    type: Literal["tool_execution_failed"] = "tool_execution_failed"
    tool: str
    error: str


class CommunicationError(SignalModel):
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


class ErrorContext(SignalModel):
    """Where and under which circumstances the error arose."""

    original_task: str = ""
    attempted_solution: str = ""
    failure_point: str = ""
    environmental_factors: dict[str, Any] = Field(default_factory=dict)


class Adjustment(SignalModel):
    """A proposed change of one parameter of a neuron."""

    parameter: str
    current_value: Any = None
    suggested_value: Any = None
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    rationale: str = ""
