import pytest

from hal9.errors.learning import FeedbackInvalid
from hal9.learning import Detection, detect, detect_feedback, magnitude, parse_feedback
from hal9.learning.detection.detect import severity_of_check
from hal9.settings import ErrorWeights, QualitySettings
from hal9.signals import ERROR_TYPES
from tests.learning.world import finished

QUALITY = QualitySettings()
WEIGHTS = ErrorWeights()


@pytest.mark.parametrize(
    ("reason", "kind", "fields", "strength"),
    [
        ("check_failed", "incorrect_output", {"expected": "AssertionError: 2026-4-3"}, 0.7),
        ("repeated_step", "incorrect_output", {}, 0.7),
        ("timeout", "timeout", {"duration_seconds": 2.0}, 0.25),
        ("expired", "timeout", {}, 0.25),
        ("budget_exhausted", "resource_exhausted", {"resource": "budget_exhausted happened"}, 0.6),
        ("tool_failed", "tool_execution_failed", {"tool": "make all"}, 0.4),
        ("workspace_unreachable", "tool_execution_failed", {}, 0.4),
        ("no_route", "communication_error", {"target": "l2-craftsman"}, 0.5),
        ("undeliverable", "communication_error", {}, 0.5),
        ("mind_failed", "task_failed", {"reason": "mind_failed: mind_failed happened"}, 0.8),
        ("invalid_output", "task_failed", {}, 0.8),
        ("too_deep", "task_failed", {}, 0.8),
    ],
)
def test_every_way_of_failing_has_its_type_and_fields(
    reason: str, kind: str, fields: dict[str, object], strength: float
) -> None:
    evidence = "$ make all\nno rule" if reason == "tool_failed" else "AssertionError: 2026-4-3"
    found = detect(finished(reason=reason, evidence=evidence), quality=QUALITY)
    assert found is not None
    assert found.error.type == kind
    assert found.error.model_dump().items() >= fields.items()
    assert found.evidence == evidence
    assert magnitude(found.error, found.severity, WEIGHTS) == pytest.approx(strength)


def test_all_eight_types_can_be_detected() -> None:
    found: list[Detection | None] = [
        detect(finished(reason=reason), quality=QUALITY)
        for reason in (
            "mind_failed",
            "check_failed",
            "timeout",
            "budget_exhausted",
            "tool_failed",
            "no_route",
        )
    ]
    found.append(detect(finished(reason=None, check=None), quality=QUALITY, score=0.2))
    found.append(
        detect_feedback(
            parse_feedback({"verdict": "reject", "why": "no"}), finished(reason=None), quality=QUALITY
        )
    )
    assert {one.error.type for one in found if one} == set(ERROR_TYPES)


def test_what_is_fine_or_was_cancelled_is_no_error() -> None:
    assert detect(finished(reason=None), quality=QUALITY) is None
    assert detect(finished(reason="cancelled"), quality=QUALITY) is None


def test_a_slow_answer_is_an_error_although_it_is_right() -> None:
    found = detect(finished(reason=None, seconds=900.0), quality=QUALITY)
    assert found is not None
    assert (found.error.type, found.severity) == ("timeout", 0.5)


def test_severity_follows_the_share_of_failed_tests() -> None:
    assert severity_of_check("== 9 passed, 1 failed in 2 s ==") == 0.5
    assert severity_of_check("== 1 passed, 3 failed ==") == 0.75
    assert severity_of_check("2 errors in 0.1s") == 1.0
    assert severity_of_check("AssertionError") == 1.0


@pytest.mark.parametrize(
    ("body", "kind", "severity"),
    [
        ({"verdict": "reject", "why": "wrong"}, "user_rejection", 1.0),
        ({"verdict": "reject", "why": "wrong", "expected": "42"}, "user_rejection", 1.0),
        ({"expected": "42"}, "incorrect_output", 1.0),
        ({"score": 0.1}, "low_quality", 0.8),
    ],
)
def test_feedback_is_an_error_of_its_kind(body: dict[str, object], kind: str, severity: float) -> None:
    found = detect_feedback(parse_feedback(body), finished(reason=None), quality=QUALITY)
    assert found is not None
    assert found.error.type == kind
    assert found.severity == pytest.approx(severity)


def test_contentment_is_none() -> None:
    given = {"expected": " def f(): ... \n"}  # what the answer is already
    for body in ({"verdict": "accept"}, {"score": 0.9}, {"note": "use tabs"}, given):
        assert detect_feedback(parse_feedback(body), finished(reason=None), quality=QUALITY) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "says nothing"),
        ({"verdict": "accept", "expected": "x"}, "needs no expected"),
        ({"score": 1.5}, "less than or equal"),
        ({"score": float("nan")}, "score"),
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": "reject", "surprise": 1}, "surprise"),
        ({"note": "x" * 30_000}, "note"),
    ],
)
def test_feedback_that_cannot_be_understood_is_refused(body: dict[str, object], words: str) -> None:
    with pytest.raises(FeedbackInvalid, match=words):
        parse_feedback(body)
