"""A task that goes on where another ended: what was done, said and changed before, the same options."""

from collections.abc import Sequence

from hal9.errors.cluster import TaskInvalid, TaskUnfinished
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.journal.turns import TurnEntry
from hal9.signals import Grant, TaskPayload
from hal9.signals.labels import FOLLOWS

__all__ = ["follow_up", "retried"]

_MOST_ACTIONS = 40
_MOST_DIFF = 12_000
_MOST_ANSWER = 4000


def follow_up(task: TaskRow, words: str, entries: Sequence[TurnEntry]) -> TaskPayload:
    """What `hal9 reply` submits: the person's words, with the earlier task as background.

    Raises:
        TaskInvalid: no words.
        TaskUnfinished: the earlier task still goes on.
    """
    if not words.strip():
        raise TaskInvalid(problem="a reply needs words")
    _over(task)
    return _again(task, objective=words, background=_background(task, entries))


def retried(task: TaskRow, reason: str, entries: Sequence[TurnEntry]) -> TaskPayload:
    """What `hal9 retry` submits: the same task, with why its result was not good enough.

    Raises:
        TaskUnfinished: the earlier task still goes on.
    """
    _over(task)
    if not reason.strip():
        return _again(task, objective=task.payload.objective, background="")
    told = f"An earlier result of this task was rejected: {reason}\n\n{_background(task, entries)}"
    return _again(task, objective=task.payload.objective, background=told)


def _over(task: TaskRow) -> None:
    if task.state not in TERMINAL:
        raise TaskUnfinished(task_id=task.id, state=task.state)


def _again(task: TaskRow, *, objective: str, background: str) -> TaskPayload:
    old = task.payload
    return old.model_copy(
        update={
            "objective": objective,
            "design": background,
            "grant": Grant(tokens=old.grant.tokens, usd=old.grant.usd),
            "labels": {**old.labels, FOLLOWS: task.id},
            "depth": 0,
            "ancestry": [],
        }
    )


def _background(task: TaskRow, entries: Sequence[TurnEntry]) -> str:
    """The earlier task in words: what it was, what was done, what was answered, what was changed."""
    from hal9.tools.conversation import action_line  # noqa: PLC0415 - only what follows up needs it

    parts = [f"This follows an earlier task:\n{task.payload.objective}"]
    done = [action_line(entry).split(" (read ", 1)[0] for entry in entries if entry.kind == "result"]
    if done:
        listed = "\n".join(f"- {line}" for line in done[-_MOST_ACTIONS:])
        parts.append(f"What was done for it:\n{listed}")
    result = task.result
    if result is not None:
        if result.answer:
            parts.append(f"What was answered:\n{result.answer[:_MOST_ANSWER]}")
        if result.error is not None:
            parts.append(f"It failed: {result.error.message}\n{result.error.evidence[-1500:]}".rstrip())
        diff = "\n".join(change.diff for change in result.changes if change.diff)
        if diff:
            stands = "stands in the workspace" if result.ok else "does not stand in the workspace"
            parts.append(f"What it changed (this {stands}):\n```diff\n{diff[:_MOST_DIFF]}\n```")
    return "\n\n".join(parts)
