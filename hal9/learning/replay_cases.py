"""Tasks as they can be done again, and answers as they can be shown."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

from hal9.memory import MemoryStore, Rule
from hal9.signals import StepRecord, TaskPayload
from hal9.signals.labels import DIVIDE

__all__ = [
    "Rehearse",
    "ReplayCase",
    "Verify",
    "answer_as_turn",
    "remembered_cases",
    "replay_case",
    "reply_as_turn",
    "wrong_and_right",
]

_BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LANGUAGES = {
    "py": "python",
    "js": "javascript",
    "ts": "typescript",
    "rs": "rust",
    "md": "markdown",
    "sh": "bash",
}


@dataclass(frozen=True, slots=True)
class ReplayCase:
    """A remembered task as it can be done again.

    Attributes:
        payload: the task.
        remove: files that it had created itself.
        whole: it is done by all layers, from where tasks enter, instead of by an implementer alone.
    """

    payload: TaskPayload
    remove: tuple[str, ...] = ()
    whole: bool = False


Verify = Callable[[TaskPayload, str], Awaitable[bool | None]]
"""Whether an answer passes the task's check in a copy of its workspace; None when that cannot be tried."""
Rehearse = Callable[[ReplayCase, Rule | None], Awaitable[bool | None]]
"""Whether the real mind passes the task in such a copy, bare or with a rule; None: impossible."""


def answer_as_turn(payload: TaskPayload, changed: Sequence[str], content: str) -> str:
    """A right answer as a neuron would write it: one fenced file, or just the text.

    The path stands above the block only where the task left it open. A small model copies a path out of an
    example into its own answer, and a block without one goes to the file that the task names.
    """
    paths = payload.targets or list(changed)
    if len(paths) != 1:
        return content
    suffix = PurePosixPath(paths[0]).suffix.removeprefix(".")
    block = f"```{_LANGUAGES.get(suffix, suffix)}\n{content.rstrip()}\n```"
    return block if _named(payload, paths[0]) else f"`{paths[0]}`\n{block}"


def reply_as_turn(payload: TaskPayload, changed: Sequence[str], reply: str) -> str:
    """A reply that passed, without the path where the task names it; several blocks stay as they are."""
    paths = payload.targets or list(changed)
    blocks = _BLOCK.findall(reply)
    if len(blocks) != 1 or len(paths) != 1 or not _named(payload, paths[0]):
        return reply
    return answer_as_turn(payload, changed, blocks[0])


def _named(payload: TaskPayload, path: str) -> bool:
    return path in payload.targets or path in payload.objective


def wrong_and_right(steps: Sequence[StepRecord]) -> tuple[str, str] | None:
    """The first reply whose check failed and the later one whose check passed, of one implementer's turn."""
    replies: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for step in steps:
        if step.kind == "think" and step.reply:
            replies[step.signal_id] = step.reply
        elif step.kind == "check" and step.signal_id in replies:
            if step.outcome == "failed":
                wrong.setdefault(step.signal_id, replies[step.signal_id])
            elif step.signal_id in wrong:
                return wrong[step.signal_id], replies[step.signal_id]
    return None


def replay_case(checks: str) -> ReplayCase:
    """What the `checks` column of a remembered task says."""
    kept = json.loads(checks)[0]
    return ReplayCase(TaskPayload.model_validate(kept["payload"]), tuple(kept["remove"]))


def remembered_cases(store: MemoryStore, most: int, *, divided: bool = False) -> list[ReplayCase]:
    """Remembered tasks with checks, solved and failed by turns, newest first.

    Args:
        store: the memory file.
        most: how many at most.
        divided: those come first in which a layer spoke that divides; many a task is handed down as it is,
            and says nothing of the prompts above.
    """
    order = "(checks LIKE ?) DESC, created DESC" if divided else "created DESC"
    values = [f'%"{DIVIDE}": "yes"%'] if divided else []
    with store.reading() as connection:
        found = [
            connection.execute(
                f"SELECT checks FROM tasks WHERE passed = ? ORDER BY {order} LIMIT ?",  # noqa: S608
                [passed, *values, most],
            ).fetchall()
            for passed in (1, 0)
        ]
    by_turns = [row for pair in zip_longest(*found) for row in pair if row is not None]
    return [replay_case(row["checks"]) for row in by_turns[:most]]
