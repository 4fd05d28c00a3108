"""A task's spans, made from its recorded steps by OpenTelemetry's GenAI semantic conventions, version 1.44.

    invoke_workflow hal9                     the task, from being accepted to its result
    └── invoke_agent l4-strategist           a neuron's turn; its parent is the turn that asked for it
        ├── chat MODEL                       a model call
        └── execute_tool TOOL                a tool call, or a check

Ids are derived from those of the journal, so a span that is sent twice is the same span, and what different
processes and hosts know of one task fits together.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hal9.journal.tasks import TaskRow
from hal9.signals import StepRecord
from hal9.signals.tracing import TRACEPARENT_LABEL, parse_traceparent, span_id_of, trace_id_of

__all__ = ["CONVENTIONS", "SpanRecord", "model_of", "spans_of"]

CONVENTIONS = "1.44.0"
Value = str | int | float | bool | list[str]
_TEXT = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """One span. Ids are hexadecimal; times in epoch seconds."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: Literal["internal", "client", "server"] = "internal"
    start: float
    end: float
    failed: str | None = None
    attributes: dict[str, Value] = field(default_factory=dict)


def spans_of(task: TaskRow, steps: Sequence[StepRecord], *, content: bool = False) -> list[SpanRecord]:
    """All spans of a finished task.

    Args:
        task: with its result.
        steps: everything that was recorded for it.
        content: whether prompts, replies and results go along.
    """
    given = task.payload.labels.get(TRACEPARENT_LABEL, "")
    trace = trace_id_of(task.id, given)
    parent = parse_traceparent(given)
    spans = [_task_span(task, trace, parent[1] if parent else None, content=content)]
    turns: dict[str, list[StepRecord]] = {}
    for step in steps:
        turns.setdefault(step.signal_id, []).append(step)
    known = {span_id_of(signal) for signal in turns} | {spans[0].span_id}
    for signal, inside in turns.items():
        spans.append(_turn_span(task, trace, signal, inside, known))
        spans += [
            one for step in inside if (one := _step_span(trace, signal, step, content=content)) is not None
        ]
    return spans


def _task_span(task: TaskRow, trace: str, parent: str | None, *, content: bool) -> SpanRecord:
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "hal9",
        "gen_ai.conversation.id": task.id,
        "hal9.workload": task.workload,
        "hal9.task.state": task.state,
    }
    if task.result is not None:
        attributes["gen_ai.usage.input_tokens"] = task.result.tally.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = task.result.tally.completion_tokens
        attributes["hal9.cost.usd"] = task.result.tally.usd
    if content:
        attributes["gen_ai.input.messages"] = _messages("user", task.payload.objective)
        if task.result is not None:
            attributes["gen_ai.output.messages"] = _messages("assistant", task.result.answer)
    failed = None if task.state == "done" else (task.stop_reason or task.state)
    if failed is not None:
        attributes["error.type"] = failed
    return SpanRecord(
        trace_id=trace,
        span_id=span_id_of(task.id),
        parent_id=parent,
        name="invoke_workflow hal9",
        kind="server" if parent else "internal",
        start=task.created_at,
        end=task.finished_at or task.created_at,
        failed=failed,
        attributes=attributes,
    )


def _turn_span(
    task: TaskRow, trace: str, signal: str, steps: Sequence[StepRecord], known: set[str]
) -> SpanRecord:
    first, last = steps[0], steps[-1]
    asked = next((found for step in steps if (found := parse_traceparent(step.traceparent))), None)
    # A turn whose asker left no step (or an older record without a context) hangs on the task itself.
    parent = asked[1] if asked is not None and asked[1] in known else span_id_of(task.id)
    failed = last.outcome if last.outcome != "ok" else None
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": first.neuron,
        "gen_ai.agent.id": f"{first.neuron}@{first.promptgram_hash[:12]}",
        "gen_ai.agent.version": str(first.promptgram_version),
        "gen_ai.conversation.id": task.id,
        "hal9.layer": first.layer,
    }
    if recalled := [one for step in steps for one in step.recalled]:
        attributes["hal9.rules.recalled"] = sorted(set(recalled))
    if failed is not None:
        attributes["error.type"] = failed
    return SpanRecord(
        trace_id=trace,
        span_id=span_id_of(signal),
        parent_id=parent,
        name=f"invoke_agent {first.neuron}",
        start=min(step.started_at for step in steps),
        end=max(step.ended_at for step in steps),
        failed=failed,
        attributes=attributes,
    )


def _step_span(trace: str, signal: str, step: StepRecord, *, content: bool) -> SpanRecord | None:
    """A model call or a tool call; other steps (passing on, splitting without a model) are the turn's own."""
    failed = step.outcome if step.outcome != "ok" else None
    if step.mind and step.tally.calls:
        name, kind, attributes = _model_call(step, content=content)
    elif step.kind in ("check", "tool", "workload"):
        name, kind, attributes = _tool_call(step, content=content)
    else:
        return None
    if failed is not None:
        attributes["error.type"] = failed
    return SpanRecord(
        trace_id=trace,
        span_id=span_id_of(step.id),
        parent_id=span_id_of(signal),
        name=name,
        kind=kind,
        start=step.started_at,
        end=step.ended_at,
        failed=failed,
        attributes=attributes,
    )


def model_of(mind: str) -> tuple[str, str]:
    """Provider and model of a mind's name, such as `local:qwen` or `openai/gpt`."""
    provider, _, model = mind.partition(":") if ":" in mind else mind.partition("/")
    return provider, model or mind


def _model_call(
    step: StepRecord, *, content: bool
) -> tuple[str, Literal["internal", "client"], dict[str, Value]]:
    provider, model = model_of(step.mind)
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.agent.name": step.neuron,
        "gen_ai.usage.input_tokens": step.tally.prompt_tokens,
        "gen_ai.usage.output_tokens": step.tally.completion_tokens,
        "hal9.cost.usd": step.tally.usd,
    }
    if content:
        attributes["gen_ai.input.messages"] = _messages("user", step.prompt)
        attributes["gen_ai.output.messages"] = _messages("assistant", step.reply)
    return f"chat {model}", "client", attributes


def _tool_call(
    step: StepRecord, *, content: bool
) -> tuple[str, Literal["internal", "client"], dict[str, Value]]:
    tool = step.tool or step.kind
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": step.id,
    }
    if content:
        attributes["gen_ai.tool.call.result"] = step.evidence[:_TEXT]
    return f"execute_tool {tool}", "internal", attributes


def _messages(role: str, text: str) -> str:
    parts = [{"type": "text", "content": text[:_TEXT]}]
    return json.dumps([{"role": role, "parts": parts}], ensure_ascii=False)
