"""Tasks, steps and answers as rich text."""

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from hal9.journal.tasks import TaskRow
from hal9.signals import StepRecord, Tally
from hal9.signals.tracing import parse_traceparent, span_id_of
from hal9.text import span_in_words, split_lines

__all__ = [
    "answer_panel",
    "event_line",
    "save_svg",
    "short_id",
    "state_mark",
    "task_line",
    "task_table",
    "trace_tree",
]

_MARKS = {"queued": "[dim]…[/]", "running": "[cyan]▶[/]", "done": "[green]✔[/]", "failed": "[red]✘[/]",
          "cancelled": "[yellow]■[/]"}  # fmt: skip
_STEP_MARKS = {"ok": "[green]✔[/]", "failed": "[red]✘[/]", "cancelled": "[yellow]■[/]"}
_SHOWN_OF_CALL = 90
_RAISED = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt|Warning)\b(?::|$)")
_LAYER_NAMES = {4: "strategy", 3: "design", 2: "implementation"}


def short_id(task_id: str) -> str:
    """The part of an id that is unique enough for a person: its random end."""
    return task_id[-12:]


def state_mark(state: str) -> str:
    """A coloured sign for a state."""
    return _MARKS.get(state, state)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 0.1 else f"{value * 1000:.0f} ms"


def _cost(tally: Tally) -> str:
    tokens = tally.prompt_tokens + tally.completion_tokens
    text = f"{tokens} tokens{_cached(tally)}" if tokens else ""
    return f"{text}, ${tally.usd:.4f}" if tally.usd else text


def _cached(tally: Tally) -> str:
    """How much of the prompts the provider had in its cache."""
    if not tally.cached_tokens or not tally.prompt_tokens:
        return ""
    return f" ({tally.cached_tokens / tally.prompt_tokens:.0%} of the prompts cached)"


def task_line(task: TaskRow) -> str:
    """State, id and the beginning of the objective."""
    objective = " ".join(task.payload.objective.split())
    return f"{state_mark(task.state)} [bold]{short_id(task.id)}[/]  {escape(objective[:90])}"


_NARROW_COLUMNS, _SLIM_COLUMNS = 100, 56


def task_table(rows: Sequence[TaskRow], *, width: int = 80) -> Table:
    """A list of tasks; on a narrow screen (`width` columns) objective and reason of failure stay readable."""
    narrow, slim = width < _NARROW_COLUMNS, width < _SLIM_COLUMNS
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False, show_header=not slim)
    columns = ("", "id", "age") if narrow else ("", "id", "age", "took", "tokens", "reason")
    for column in ("",) if slim else (*columns, "objective"):
        table.add_column(column, no_wrap=column not in ("", "objective") and not slim, overflow="fold")
    now = time.time()
    for task in rows:
        end = task.finished_at or now
        took = _seconds(end - task.started_at) if task.started_at else ""
        tally = task.result.tally if task.result else Tally()
        reason = task.stop_reason if task.stop_reason not in (None, "done") else ""
        objective = " ".join(task.payload.objective.split())
        about = escape(objective[:80])
        head = (
            state_mark(task.state),
            short_id(task.id),
            span_in_words(max(0.0, now - task.created_at), decimals=0),
        )
        if slim:
            # No room beside each other: the objective stands below.
            table.add_row(f"{head[0]} {head[1]}  {head[2]} [dim]{reason}[/]")
            table.add_row(Padding(about, (0, 0, 0, 2)))
        elif narrow:
            table.add_row(*head, f"{about} [dim]{reason}[/]" if reason else about)
        else:
            tokens = str(tally.prompt_tokens + tally.completion_tokens or "")
            table.add_row(*head, took, tokens, reason or "", about)
    return table


def trace_tree(task: TaskRow, steps: Sequence[StepRecord], *, live: dict[str, str] | None = None) -> Tree:
    """The path of a task, layers nested, each step with its cost; `live` adds what goes on now."""
    tree = Tree(task_line(task), guide_style="dim")
    branches: dict[int, Tree] = {}
    by_signal: dict[str, Tree] = {}
    by_span: dict[str, Tree] = {}
    for step in steps:
        branch = by_signal.get(step.signal_id)
        if branch is None:
            # Who gave the work; parts that run side by side each stay below their own. Old steps do not tell.
            above = next((branches[layer] for layer in sorted(branches) if layer > step.layer), tree)
            asked = parse_traceparent(step.traceparent)
            parent = by_span.get(asked[1], above) if asked is not None else above
            label = _LAYER_NAMES.get(step.layer, "")
            branch = parent.add(f"[bold]L{step.layer}[/] {escape(step.neuron)} [dim]{label}[/]")
            by_signal[step.signal_id] = by_span[span_id_of(step.signal_id)] = branch
            branches[step.layer] = branch
        branch.add(_step_line(step))
    for neuron, text in (live or {}).items():
        tree.add(Text.from_markup(f"[cyan]●[/] {escape(neuron)}: ") + Text(text, style="dim"))
    return tree


def _step_line(step: StepRecord) -> RenderableType:
    mark = _STEP_MARKS.get(step.outcome, step.outcome)
    details = [_seconds(step.ended_at - step.started_at)]
    if step.kind == "workload":
        return f"{mark} {escape(step.evidence)}"
    if step.kind == "check" and step.mode == "first":
        ended = step.evidence.partition("\n")[0].removeprefix("before anything was done it ")
        return f"[dim]·[/] check before anything was done: {escape(ended)} [dim]{details[0]}[/]"
    if step.kind == "pass":
        targets = ", ".join(route.target for route in step.routes)
        policy = next((route.policy for route in step.routes), "") if "to" in step.route else "split"
        return f"{mark} passed on to {escape(targets)} [dim]({escape(policy)})[/]"
    if cost := _cost(step.tally):
        details.append(cost)
    if step.recalled:
        details.append(f"recalled {', '.join(step.recalled)}")
    if step.mode and step.kind == "think":
        details.append(f"works by {step.mode}")
    if step.decision:
        details.append(f"{step.decision.get('verdict', '')}: {step.decision.get('source', '')}")
    line = f"{mark} {step.kind}{_what(step)} [dim]{'; '.join(details)}[/]"
    if step.outcome == "failed" and step.evidence:
        line += f"\n  [red]{escape(_telling_line(step.evidence)[:160])}[/]"
    return line


def _telling_line(evidence: str) -> str:
    """The line that names the error: of a test run its summary or assertion, of a traceback its last line."""
    lines = [line.strip() for line in split_lines(evidence) if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR ")) and " - " in line]
    stated = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    raised = [line for line in lines if _RAISED.match(line)]
    return next(
        (found[at] for found, at in ((failed, 0), (stated, 0), (raised, -1), (lines, -1)) if found), ""
    )


def _what(step: StepRecord) -> str:
    """What a tool was called with, in a few words."""
    if step.tool == "merge":
        return f" merge: {escape(' '.join(step.observation.split())[:110])}"
    if not step.tool:
        return ""
    named = [
        str(step.arguments[key])
        for key in ("command", "path", "pattern", "question")
        if step.arguments.get(key)
    ]
    words = " ".join(" ".join(named).split())
    shown = words if len(words) <= _SHOWN_OF_CALL else words[: _SHOWN_OF_CALL - 1] + "…"
    code = "" if step.exit_code in (None, 0) else f" → exit code {step.exit_code}"
    return f" [bold]{escape(step.tool)}[/] {escape(shown)}{code}"


def answer_panel(task: TaskRow, *, diff: bool = True) -> RenderableType:
    """The answer, the check, the changes, what it cost."""
    result = task.result
    if result is None:
        return Text(f"{task.state}: no result yet")
    parts: list[RenderableType] = []
    if result.answer.strip():
        parts.append(Text(result.answer.strip()))
    for change in result.changes if diff else []:
        if change.diff:
            parts.append(Syntax(change.diff.rstrip(), "diff", background_color="default", word_wrap=True))
        else:
            parts.append(Text(f"{change.action} {change.path}"))
    if result.check is not None:
        mark = "[green]passed[/]" if result.check.passed else "[red]failed[/]"
        parts.append(Text.from_markup(f"check {mark}: {escape(result.check.command)}"))
    if result.error is not None:
        parts.append(Text(f"{result.error.reason}: {result.error.message}", style="red"))
        if result.error.evidence.strip():
            parts.append(Text(result.error.evidence.strip()[-1500:], style="dim"))
    took = (task.finished_at or 0) - task.created_at
    tally = result.tally
    parts.append(
        Text(
            f"{took:.1f} s, {tally.calls} model call{'' if tally.calls == 1 else 's'}, "
            f"{tally.prompt_tokens} + {tally.completion_tokens} tokens{_cached(tally)}, ${tally.usd:.4f}",
            style="dim",
        )
    )
    colour = {"done": "green", "failed": "red"}.get(task.state, "yellow")
    return Panel(Group(*parts), title=f"{short_id(task.id)} {task.state}", border_style=colour)


def save_svg(shown: RenderableType, path: Path, *, title: str) -> None:
    """What a terminal would show, as a picture."""
    recorder = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, highlight=False)
    recorder.print(shown)
    drawn = recorder.export_svg(title=title)
    # The exported style sheet fetches a font from elsewhere; the reader's own monospace font does.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")


def event_line(task_id: str, source: str, detail: dict[str, Any]) -> str:
    """One progress event of the whole cluster."""
    rest = ", ".join(
        f"{key} {value}" for key, value in detail.items() if key not in ("event", "neuron", "layer")
    )
    event = escape(str(detail.get("event", "")))
    return f"[dim]{short_id(task_id)}[/] {escape(source)} {event} [dim]{escape(rest[:120])}[/]"
