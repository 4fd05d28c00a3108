"""From a finished task, or from what the user says about it, to the typed error that is to be learned from.

All eight error types of the design are told apart here, each with its own fields. How grave an error is (its
severity, 0..1) is judged from the same facts; the gradient's magnitude is its weight times that.
"""

import re
from dataclasses import dataclass

from hal9.journal.tasks import TaskRow
from hal9.learning.detection.feedback import Feedback
from hal9.settings import ErrorWeights, QualitySettings
from hal9.signals import (
    CommunicationError,
    ErrorDetail,
    ErrorType,
    IncorrectOutput,
    LowQuality,
    ResourceExhausted,
    ResultPayload,
    TaskFailed,
    TimedOut,
    ToolExecutionFailed,
    UserRejection,
)
from hal9.text import first_line

__all__ = ["Detection", "detect", "detect_feedback", "magnitude", "severity_of_check"]

_TEXT = 4_000
_LEAST_SEVERITY = 0.1
_COUNTS = re.compile(r"(\d+) (passed|failed|errors?)\b")
_EXPECTED = re.compile(r"^(?:E\s+)?(?:assert .+|AssertionError.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """An error, how grave it is, what proves it, and (if known) which neuron it happened in."""

    error: ErrorType
    severity: float
    evidence: str
    failure_point: str = ""
    neuron: str = ""


def magnitude(error: ErrorType, severity: float, weights: ErrorWeights) -> float:
    """Weight of the error's type times its severity, clipped to 0..1."""
    weight: float = getattr(weights, error.type)
    return min(1.0, max(0.0, weight * severity))


def severity_of_check(output: str) -> float:
    """Share of failed tests when the output counts them (pytest's words), never below 0.5; else 1."""
    counts = {word.rstrip("s"): int(number) for number, word in _COUNTS.findall(output)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    total = failed + counts.get("passed", 0)
    return max(0.5, failed / total) if failed else 1.0


def detect(task: TaskRow, *, quality: QualitySettings, score: float | None = None) -> Detection | None:
    """What went wrong with a finished task; None when nothing did, or when it was cancelled.

    Args:
        task: a finished task.
        quality: thresholds.
        score: what a quality scorer gave for the answer, 0..1; None when nobody judged.
    """
    result = task.result
    if result is None or task.state == "cancelled":
        return None
    seconds = _seconds(task)
    if result.error is not None:
        return _of_failure(result, result.error, seconds, quality)
    if score is not None and score < quality.low_quality_threshold:
        gap = (quality.low_quality_threshold - score) / quality.low_quality_threshold
        return Detection(
            error=LowQuality(score=score),
            severity=max(_LEAST_SEVERITY, gap),
            evidence=f"quality score {score:.2f} is below {quality.low_quality_threshold:.2f}",
            failure_point="answer",
        )
    if seconds > quality.timeout_threshold_seconds:
        over = seconds / quality.timeout_threshold_seconds - 1.0
        return Detection(
            error=TimedOut(duration_seconds=seconds),
            severity=min(1.0, max(_LEAST_SEVERITY, over)),
            evidence=f"took {seconds:.0f} s, at most {quality.timeout_threshold_seconds:.0f} s are wanted",
            failure_point="duration",
        )
    return None


def detect_feedback(feedback: Feedback, task: TaskRow, *, quality: QualitySettings) -> Detection | None:
    """The error in what a user said; None when they are content."""
    answer = task.result.answer if task.result else ""
    words = feedback.words
    if feedback.verdict is None and feedback.expected is not None and _is_given(task, feedback.expected):
        return None
    if feedback.verdict == "reject":
        text = words or "the user rejected the answer without a reason"
        return Detection(
            error=UserRejection(feedback=text[:_TEXT]),
            severity=1.0,
            evidence=text[:_TEXT],
            failure_point="user",
        )
    if feedback.verdict is None and feedback.expected is not None:
        return Detection(
            error=IncorrectOutput(expected=feedback.expected[:_TEXT], actual=answer[:_TEXT]),
            severity=1.0,
            evidence=words[:_TEXT] or f"expected:\n{feedback.expected[:_TEXT]}",
            failure_point="user",
        )
    if (
        feedback.verdict is None
        and feedback.score is not None
        and (feedback.score < quality.low_quality_threshold)
    ):
        gap = (quality.low_quality_threshold - feedback.score) / quality.low_quality_threshold
        return Detection(
            error=LowQuality(score=feedback.score),
            severity=max(_LEAST_SEVERITY, gap),
            evidence=words[:_TEXT] or f"the user gave a score of {feedback.score:.2f}",
            failure_point="user",
        )
    return None


def _is_given(task: TaskRow, expected: str) -> bool:
    """Whether the answer, or the one file that was written, is what the user expects."""
    if task.result is None:
        return False
    given = [task.result.answer]
    if len(task.result.changes) == 1:
        given.append(task.result.changes[0].content or "")
    return any(one.strip() == expected.strip() for one in given)


def _of_failure(
    result: ResultPayload, failure: ErrorDetail, seconds: float, quality: QualitySettings
) -> Detection | None:
    """One of the closed set of stop reasons as an error type."""
    text = (failure.evidence.strip() or failure.message)[-_TEXT:]
    error: ErrorType
    severity = 1.0
    point: str = failure.reason
    check = result.check
    match failure.reason:
        case "cancelled" | "done":
            return None
        case "check_failed" | "repeated_step" if check is not None:
            error = IncorrectOutput(expected=_expected(check.command, text), actual=text)
            severity, point = severity_of_check(check.output), check.command
        case "timeout" | "expired":
            error = TimedOut(duration_seconds=seconds)
            severity = min(1.0, max(0.5, seconds / quality.timeout_threshold_seconds))
        case "budget_exhausted":
            error = ResourceExhausted(resource=failure.message)
        case "tool_failed" | "workspace_unreachable":
            error = ToolExecutionFailed(tool=_tool(text), error=text)
        case "no_route" | "undeliverable":
            error = CommunicationError(target=failure.neuron or failure.message)
        case _:
            error = TaskFailed(reason=f"{failure.reason}: {failure.message}")
    return Detection(
        error=error, severity=severity, evidence=text, failure_point=point, neuron=failure.neuron
    )


def _expected(command: str, output: str) -> str:
    """The assertion that failed, when the output shows one; else that the check passes."""
    found = _EXPECTED.findall(output)
    return found[-1].strip() if found else f"`{command}` ends with exit code 0"


def _tool(evidence: str) -> str:
    """The command behind a tool's failure, when the evidence begins with one."""
    first = first_line(evidence)
    return first.removeprefix("$ ").strip()[:200] if first.startswith("$ ") else "workspace"


def _seconds(task: TaskRow) -> float:
    if task.finished_at is None:
        return 0.0
    return max(0.0, task.finished_at - (task.started_at or task.created_at))
