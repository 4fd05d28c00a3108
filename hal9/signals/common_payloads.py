"""Parts that payloads share: scope, grant, account, files, check reports, steps."""

from typing import Any, Literal

from pydantic import Field

from hal9.signals.error_types import SignalModel
from hal9.signals.routes import Route, read_routes

__all__ = [
    "CheckReport",
    "ErrorDetail",
    "FileChange",
    "Grant",
    "InlineFile",
    "StepRecord",
    "StopReason",
    "Tally",
    "TaskScope",
]

StopReason = Literal[
    "done",
    "check_failed",
    "step_limit",
    "conflict",
    "unanswered",
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


class TaskScope(SignalModel):
    """What a task belongs to; learned memories apply only inside their scope.

    `paths` are files and folders that it is known to touch, as its workspace names them.
    """

    workspace: str = ""
    module: str = ""
    task_family: str = ""
    paths: list[str] = Field(default_factory=list)


class Grant(SignalModel):
    """What a task may still spend. None means: no limit of this kind."""

    tokens: int | None = None
    usd: float | None = None
    deadline: float | None = None


class Tally(SignalModel):
    """What was spent. `cached_tokens` are those of the prompts that the provider had in its cache."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def plus(self, other: "Tally") -> "Tally":
        """Sum of both."""
        return Tally(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            usd=self.usd + other.usd,
            seconds=self.seconds + other.seconds,
        )


class InlineFile(SignalModel):
    """A small text file carried inside a signal."""

    path: str
    content: str


class FileChange(SignalModel):
    """A file that was written; `diff` is a unified diff against what was there."""

    path: str
    action: Literal["created", "modified", "deleted"]
    diff: str = ""
    content: str | None = None


class CheckReport(SignalModel):
    """One run of the task's check."""

    command: str
    passed: bool
    exit_code: int | None = None
    output: str = ""
    seconds: float = 0.0
    timed_out: bool = False


class ErrorDetail(SignalModel):
    """Why a result is not a success."""

    reason: StopReason
    message: str
    neuron: str = ""
    evidence: str = ""


class StepRecord(SignalModel):
    """One thing a neuron did for a task: what the trace, the accounts and learning need to know."""

    id: str
    task_id: str
    signal_id: str
    neuron: str
    layer: int
    kind: Literal["think", "tool", "pass", "split", "check", "synthesise", "workload"]
    started_at: float
    ended_at: float
    outcome: Literal["ok", "failed", "cancelled"] = "ok"
    mind: str = ""
    promptgram_version: int = 0
    promptgram_hash: str = ""
    recalled: list[str] = Field(default_factory=list)
    route: dict[str, Any] = Field(default_factory=dict)
    tally: Tally = Field(default_factory=Tally)
    traceparent: str = ""
    prompt: str = ""
    reply: str = ""
    evidence: str = ""
    # Of a step of the tool loop: where it stands in the turn's log; of a call what was done and seen.
    position: int | None = None
    mode: str = ""
    tool: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    programs: list[str] = Field(default_factory=list)
    paths: list[str] = Field(default_factory=list)
    exit_code: int | None = None
    observation: str = ""
    decision: dict[str, str] = Field(default_factory=dict)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Whom the work was handed to, in order: one hand-over, or one per part."""
        return read_routes(self.route)
