"""Finished tasks and their steps as the journal would hold them, made by hand for tests of the logic."""

from collections.abc import Sequence
from typing import Any, Literal

from hal9.journal.tasks import TaskRow, TaskState
from hal9.promptgram import Promptgram
from hal9.signals import CheckReport, ErrorDetail, ResultPayload, StepRecord, TaskPayload, TaskScope, new_id

DEFAULT_EVIDENCE = "Traceback (most recent call last):\nAssertionError: 2026-4-3"


def finished(
    objective: str = "In module billing, write the function f(day) that formats a date.",
    *,
    reason: str | None = "check_failed",
    evidence: str = DEFAULT_EVIDENCE,
    check: str | None = "python check.py",
    neuron: str = "l2-craftsman",
    now: float = 1_700_000_000.0,
    seconds: float = 2.0,
    **payload: Any,
) -> TaskRow:
    error = None
    if reason is not None:
        error = ErrorDetail(reason=reason, message=f"{reason} happened", neuron=neuron, evidence=evidence)  # type: ignore[arg-type]
    state: TaskState = "done" if error is None else "failed"
    if reason == "cancelled":
        state = "cancelled"
    report = None
    if check is not None and reason in (None, "check_failed", "repeated_step"):
        report = CheckReport(command=check, passed=reason is None, output=evidence)
    return TaskRow(
        id=new_id(now=now),
        payload=TaskPayload(
            objective=objective, check=check, scope=TaskScope(workspace="/ws"), workspace="/ws", **payload
        ),
        state=state,
        created_at=now,
        started_at=now,
        finished_at=now + seconds,
        deadline=now + 900,
        result=ResultPayload(ok=error is None, answer="def f(): ...", error=error, check=report),
    )


def step(
    task: TaskRow,
    prompt: Promptgram,
    layer: int,
    kind: Literal["think", "pass", "split", "check"],
    *,
    to: Sequence[str] = (),
    outcome: Literal["ok", "failed"] = "ok",
    signal_id: str = "",
    **rest: Any,
) -> StepRecord:
    route: dict[str, Any] = {}
    if len(to) == 1:
        route = {
            "from": prompt.id,
            "to": to[0],
            "odds": {to[0]: 1.0},
            "policy": "static",
            "task_class": "code",
        }
    elif to:
        route = {"parts": [{"from": prompt.id, "to": name, "task_class": "code"} for name in to]}
    return StepRecord(
        id=new_id(now=task.created_at),
        task_id=task.id,
        signal_id=signal_id or f"signal-{prompt.id}",
        neuron=prompt.id,
        layer=layer,
        kind=kind,
        started_at=task.created_at,
        ended_at=task.created_at,
        outcome=outcome,
        promptgram_version=prompt.version,
        promptgram_hash=prompt.content_hash,
        route=route,
        **rest,
    )


def straight(
    task: TaskRow, prompts: dict[str, Promptgram], *, recalled: Sequence[int] = ()
) -> list[StepRecord]:
    """L4 → L3 → L2, the usual way of a small task."""
    ok: Literal["ok", "failed"] = "ok" if task.state == "done" else "failed"
    known = [str(one) for one in recalled]
    return [
        step(task, prompts["l4-strategist"], 4, "pass", to=["l3-designer"]),
        step(task, prompts["l3-designer"], 3, "pass", to=["l2-craftsman"]),
        step(task, prompts["l2-craftsman"], 2, "think", reply="```python\ndef f(): ...\n```", recalled=known),
        step(task, prompts["l2-craftsman"], 2, "check", outcome=ok, recalled=known),
    ]
