"""What a divided task teaches the layers that divided it: what the plan lacked, what the whole had to meet.

Only what was seen counts: a further part that was needed to bring the parts together and after which the
whole passed its check, or the error of the whole although its parts had met their own goals. Both become
candidates that a replay must confirm, through all layers, on tasks that these layers divide.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hal9.errors.memory import MemoryInvalid
from hal9.journal.tasks import TaskRow
from hal9.learning.detection.error_line import key_line
from hal9.learning.detection.outcomes import scope_after
from hal9.learning.replay_cases import ReplayCase
from hal9.learning.rules.cases import failed_cases
from hal9.learning.rules.outcome import Origin, RuleOutcome
from hal9.learning.rules.scope_proposal import shared_folder
from hal9.memory import EVERYWHERE, HeldBackCase, MemoryScope
from hal9.memory.rules.roles import ACCEPTANCE, PLANNING
from hal9.memory.rules.wording import hostile
from hal9.signals import StepRecord
from hal9.signals.labels import DIVIDE

if TYPE_CHECKING:
    from hal9.learning.rules.rules import RuleLearner

__all__ = ["LayerLesson", "learn_from_layers", "lesson_of"]

_MOST = 400


@dataclass(frozen=True, slots=True)
class LayerLesson:
    """A rule for the layers that divide, and whether it is about planning or about the whole."""

    rule: str
    work: str


def lesson_of(task: TaskRow, steps: Sequence[StepRecord]) -> LayerLesson | None:
    """What a finished task that was divided teaches; None for every other task.

    Args:
        task: the task with its result.
        steps: what was done for it, in order.
    """
    result = task.result
    if result is None or not any(step.kind == "split" for step in steps):
        return None
    if result.ok:
        if result.check is None or not result.check.passed:
            return None  # nothing says that the further part was right
        mended = _mended(steps)
        return LayerLesson(f"Plan for this from the start: {mended}", PLANNING) if mended else None
    whole = [step for step in steps if step.kind == "check" and step.mode == "parts"]
    if not whole or whole[-1].outcome != "failed":
        return None
    line = key_line(whole[-1].evidence)
    told = f"All parts together must meet this, which was missed before: {line[:_MOST]}"
    return LayerLesson(told, ACCEPTANCE) if line else None


def _mended(steps: Sequence[StepRecord]) -> str:
    """What the last further part had to do, in the words of the layer that asked for it."""
    merged: set[str] = set()
    found = ""
    for step in steps:
        if step.tool == "merge" and step.mode == "parts":
            merged.add(step.neuron)
        elif step.kind == "split" and step.neuron in merged and step.outcome == "ok":
            found = _objective(step.reply) or found
    return found


def _objective(reply: str) -> str:
    try:
        parts = json.loads(reply)["parts"]
        return " ".join(str(parts[0]["objective"]).split())[:_MOST]
    except (ValueError, LookupError, TypeError):
        return ""


async def learn_from_layers(
    learner: "RuleLearner", task: TaskRow, steps: Sequence[StepRecord], *, cause: str
) -> RuleOutcome | None:
    """Keep what a divided task teaches as a candidate and try it; None when it teaches nothing.

    Args:
        learner: stores it and has it tried.
        task: the task with its result.
        steps: what was done for it.
        cause: an id for the ledger.
    """
    lesson = lesson_of(task, steps)
    if lesson is None or hostile(lesson.rule):
        return None
    files = scope_after(task)
    place = shared_folder(files.paths) or EVERYWHERE
    scope = MemoryScope(files.workspace, place=place, work=lesson.work)
    origin = Origin("retry", "check", cause, task.id, task.payload.objective)
    try:
        number = await asyncio.to_thread(learner.propose, lesson.rule, scope, None, origin)
    except MemoryInvalid as error:
        return RuleOutcome(None, "none", str(error))
    one = await asyncio.to_thread(learner.book.get, number)
    if one.state != "candidate":
        return RuleOutcome(number, one.state, one.state_reason)
    cases = await asyncio.to_thread(failed_cases, learner.store, one, task.id)
    if task.payload.check and task.result is not None and not task.result.ok:
        payload = task.payload.model_copy(update={"labels": {**task.payload.labels, DIVIDE: "yes"}})
        cases = [HeldBackCase(task.id, task.payload.objective, ReplayCase(payload)), *cases]
    return await learner.replay(number, cases, cause=cause)
