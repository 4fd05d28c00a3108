"""Remembered tasks on which a rule can be tried, and the candidate that is worth a trial."""

from hal9.journal.tasks import TaskRow
from hal9.learning.detection.error_line import key_line
from hal9.learning.detection.outcomes import scope_of_task
from hal9.learning.replay_cases import ReplayCase, replay_case
from hal9.learning.rules.withdrawing import ended_for_good
from hal9.memory import HeldBackCase, MemoryScope, MemoryStore, Rule, RuleStore, SearchFilter, search
from hal9.memory.rules.roles import ROLES
from hal9.signals.labels import DIVIDE

__all__ = ["candidate_to_try", "case_of", "failed_cases"]

_LIKE = 0.6
"""Search score from which an error is like one that a pack describes."""


def case_of(store: MemoryStore, task_id: str) -> ReplayCase | None:
    """A remembered task as it can be done again."""
    with store.reading() as connection:
        row = connection.execute("SELECT checks FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return None if row is None else replay_case(row["checks"])


def failed_cases(store: MemoryStore, one: Rule, task_id: str) -> list[HeldBackCase]:
    """Remembered tasks of a rule's scope that failed, newest first; never the one it was made from.

    A rule about dividing or about the whole is tried on tasks in which a layer spoke that divides.
    """
    made_from = one.provenance.get("task_id")
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id, text, workspace, module, task_family, checks FROM tasks WHERE passed = 0 "
            "AND id != ? AND id != ? ORDER BY created DESC LIMIT 200",
            (task_id, str(made_from)),
        ).fetchall()
    found = []
    for row in rows:
        scope = MemoryScope(row["workspace"], row["module"], row["task_family"], roles=ROLES)
        case = replay_case(row["checks"])
        divided = case.payload.labels.get(DIVIDE) == "yes"
        if one.scope.covers(scope) and (divided or one.scope.work not in ROLES):
            found.append(HeldBackCase(row["id"], row["text"], case))
    return found


def candidate_to_try(book: RuleStore, task: TaskRow) -> Rule | None:
    """The newest candidate learned for a task's scope, else one of a pack whose errors are like this one."""
    known = {one.id: one for one in book.in_scope(scope_of_task(task.payload), ("candidate",))}
    own = [
        number
        for number, one in known.items()
        if one.source != "pack" and one.provenance.get("task_id") != task.id and not ended_for_good(one)
    ]
    if own:
        return known[max(own)]
    error = key_line(task.result.error.evidence) if task.result and task.result.error else ""
    if not known or not error:
        return None
    for hit in search(book.store, error, where=SearchFilter(kinds=("learning",)), limit=30):
        number = hit.memory.meta.get("mitigation_id")
        if hit.score >= _LIKE and isinstance(number, int) and number in known:
            return known[number]
    return None
