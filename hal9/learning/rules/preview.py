"""What a correction would be taken to mean, before it is sent; nothing is stored."""

from hal9.errors.memory import MemoryInvalid
from hal9.journal.tasks import TaskRow
from hal9.learning.detection.feedback import Feedback
from hal9.learning.detection.outcomes import scope_of_task
from hal9.learning.rules.scope_proposal import proposed_scope
from hal9.learning.rules.understanding import understand
from hal9.memory import RuleStore, template_rule
from hal9.signals.labels import DIVIDE

__all__ = ["preview_feedback"]


def preview_feedback(feedback: Feedback, task: TaskRow, book: RuleStore) -> list[str]:
    """Sentences for the person: the rule their words would become and where it would hold, or why none.

    Args:
        feedback: the words, not sent yet.
        task: what they are about.
        book: the rules it would join.
    """
    words = feedback.note.strip() or feedback.why
    meant = understand(words)
    if meant.kind == "withdrawal":
        return ["understood: a rule is taken back; whichever speaks of that goes out of use"]
    if meant.kind == "hostile":
        return [
            f"would be kept away from prompts: it reads like an instruction to do harm ({meant.detail!r})"
        ]
    if meant.kind == "nothing" and feedback.expected is None:
        return ["no rule: the words say that it is wrong, not what would be right"]
    changed = [change.path for change in task.result.changes] if task.result else []
    payload = task.payload
    try:
        scope = proposed_scope(
            scope_of_task(payload),
            words=words,
            wanted=feedback.holds_for,
            changed=changed,
            workspace=payload.scope.workspace or payload.workspace or "",
            objective=payload.objective,
            divided=payload.labels.get(DIVIDE) == "yes",
        )
        rule = template_rule(
            scope=scope,
            note="" if meant.kind == "nothing" else words,
            task=payload.objective,
            corrected=feedback.expected or "",
        )
        book.check(rule, None, scope)
    except MemoryInvalid as error:
        return [f"no rule: {error}"]
    said = [f"understood: {rule[:300]}", f"would hold for: {scope.label()}"]
    if meant.kind == "preference":
        said.append("about this answer only: it comes into force when it is said again")
    return said
