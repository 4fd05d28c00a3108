"""Turns with tools, step by step, and the questions they put to a person, as rich text."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from hal9.journal.turns import Question, TurnEntry

__all__ = ["question_panel", "turn_steps"]


def turn_steps(entries: Sequence[TurnEntry]) -> RenderableType:
    """The logs of a task's turns, everything that was said, done and seen."""
    parts: list[RenderableType] = []
    signal = ""
    for entry in entries:
        if entry.signal_id != signal:
            signal = entry.signal_id
            parts.append(Text(f"turn {signal}", style="bold"))
        body = entry.body
        if entry.kind == "reply":
            parts.append(Text(f"{entry.position} {body['mind']}: {body['text']}".rstrip(), style="cyan"))
            parts += [Text(f"    calls {call['name']} {call['arguments']}") for call in body["tool_calls"]]
        elif entry.kind == "result":
            seen = body["observation"]
            parts.append(
                Text(
                    f"{entry.position} {body['tool']} → {seen['summary']}",
                    style="green" if seen["ok"] else "red",
                )
            )
            parts.append(Text(seen["full"] or seen["text"]))
        elif body["what"] == "words":
            parts.append(Text(f"{entry.position} told: {body['text']}", style="yellow"))
    return Group(*parts)


def question_panel(question: Question) -> RenderableType:
    """A question or approval that waits for a person."""
    action = question.detail
    lines = [question.text]
    if question.kind == "approval":
        lines += [
            f"{action.get('tool')}: {action.get('text')}".strip(),
            *[f"path {path}" for path in action.get("paths", [])],
        ]
    how = f"hal9 answer {question.id} " + ("yes|no" if question.kind == "approval" else '"…"')
    title = f"{question.kind} of {question.neuron}, task {question.task_id[-12:]}"
    return Panel(Text("\n".join(lines)), title=title, subtitle=how, title_align="left")
