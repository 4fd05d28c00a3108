"""How each finished task was judged, and what that says about the memories it was given.

A task is judged once by its check (or a judge), and possibly again by the user, whose word counts more. Every
recalled rule is credited once per task; a changed verdict moves the credit instead of adding one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hal9.journal.tasks import TaskRow
from hal9.learning.detection.detect import Detection
from hal9.learning.detection.quality import Score
from hal9.learning.state.ledger import Ledger
from hal9.learning.task_path import TaskPath
from hal9.memory import MemoryScope, MemoryStore, Outcome, RuleStore, record_mind, scope_of
from hal9.memory.rules.place import repository_paths
from hal9.signals import Route, StepRecord, TaskPayload
from hal9.signals.labels import DIVIDE

__all__ = [
    "TaskOutcome",
    "credit",
    "outcome_of",
    "remember_task",
    "save_outcome",
    "scope_after",
    "scope_of_task",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """A judged task.

    `passed` is None while nobody judged; `routes` are the hand-overs with their probabilities; `prompts` are
    the hashes of the prompts that a mind was shown: a layer that handed the task down as it is has none;
    `charged` are the recalled rules that a failure concerns, None for all of them; `mind` is who was shown
    them; `paths` are the files and folders of the repository that the task touched; `divided` says that a
    layer above the implementers thought about it.
    """

    task_id: str
    task_class: str
    scope: MemoryScope
    state: str
    passed: bool | None
    score: float | None
    judged_by: str
    error_type: str
    seconds: float
    usd: float
    prompts: dict[str, str] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    recalled: tuple[int, ...] = ()
    revises: bool = False
    charged: tuple[int, ...] | None = None
    mind: str = ""
    paths: tuple[str, ...] = ()
    divided: bool = False


def scope_of_task(payload: TaskPayload) -> MemoryScope:
    """What is known about a task's scope, and else what its own words say."""
    given = payload.scope
    return scope_of(
        payload.objective,
        workspace=given.workspace,
        module=given.module or None,
        family=given.task_family or None,
        paths=[*given.paths, *payload.targets],
    )


def scope_after(task: TaskRow) -> MemoryScope:
    """The scope of a finished task: it touched the files that it changed, too."""
    scope = scope_of_task(task.payload)
    changed = [change.path for change in task.result.changes] if task.result else []
    touched = [*scope.paths, *repository_paths(task.payload.workspace or "", changed)]
    return replace(scope, paths=tuple(dict.fromkeys(touched)))


def outcome_of(
    task: TaskRow, steps: Sequence[StepRecord], *, score: Score | None, detection: Detection | None
) -> TaskOutcome:
    """The outcome of a task as its result tells it, before the user has said anything."""
    result = task.result
    routes = [route for step in steps for route in step.routes]
    path = TaskPath.recorded(steps)
    passed: bool | None = None
    if detection is not None:
        passed = False
    elif result is not None and result.ok and score is not None:
        passed = True
    asked = {step.neuron for step in steps if step.kind not in ("pass", "check")}
    recalled = {int(one) for step in steps for one in step.recalled if one.isdecimal()}
    return TaskOutcome(
        task_id=task.id,
        task_class=routes[0].task_class if routes else "general",
        scope=scope_of_task(task.payload),
        state=task.state,
        passed=passed if task.state != "cancelled" else None,
        score=score.value if score else None,
        judged_by=(score.by if score else "result") if passed is not None else "",
        error_type=detection.error.type if detection else "",
        seconds=max(0.0, (task.finished_at or 0.0) - (task.started_at or task.created_at)),
        usd=result.tally.usd if result else 0.0,
        prompts={name: hop.content_hash for name, hop in path.hops.items() if name in asked},
        routes=tuple(routes),
        recalled=tuple(sorted(recalled)),
        mind=next((step.mind for step in reversed(steps) if step.kind == "think" and step.recalled), ""),
        paths=scope_after(task).paths if recalled else (),
        divided=any(step.kind == "split" for step in steps),
    )


_MOST_PATHS = 40


def save_outcome(store: MemoryStore, outcome: TaskOutcome) -> bool:
    """Record an outcome; nests. Returns whether it says something that was not recorded yet."""
    scope = outcome.scope.cleaned()
    with store.writing() as tables:
        known = tables.conn.execute(
            "SELECT passed, judged_by FROM outcomes WHERE task_id = ?", (outcome.task_id,)
        ).fetchone()
        passed = None if outcome.passed is None else int(outcome.passed)
        if known is not None and (known["passed"], known["judged_by"]) == (passed, outcome.judged_by):
            return False
        if known is not None and known["judged_by"] == "user" and outcome.judged_by != "user":
            return False
        row = {
            "task_id": outcome.task_id,
            "at": store.clock.now(),
            "task_class": outcome.task_class,
            "workspace": scope.workspace,
            "module": scope.module,
            "task_family": scope.task_family,
            "state": outcome.state,
            "passed": passed,
            "score": outcome.score,
            "judged_by": outcome.judged_by,
            "error_type": outcome.error_type,
            "seconds": outcome.seconds,
            "usd": outcome.usd,
            "prompts": json.dumps(outcome.prompts, sort_keys=True),
            "routes": json.dumps([route.as_json() for route in outcome.routes], sort_keys=True),
            "recalled": json.dumps(list(outcome.recalled)),
        }
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        changed = ", ".join(f"{name} = excluded.{name}" for name in row if name != "task_id")
        # In plain SQL: an upsert that first asks for the table's columns costs several times as much.
        tables.conn.execute(
            f"INSERT INTO outcomes ({names}) VALUES ({marks}) "  # noqa: S608 - fixed text
            f"ON CONFLICT (task_id) DO UPDATE SET {changed}",
            tuple(row.values()),
        )
        credit(store, outcome)
    return True


def credit(store: MemoryStore, outcome: TaskOutcome) -> None:
    """Count the outcome for every rule the task was given; a change of state goes into the ledger."""
    book, ledger = RuleStore(store), Ledger(store)
    with store.writing() as tables:
        for number in outcome.recalled:
            word = _word_for(number, outcome)
            known = tables.conn.execute("SELECT state FROM mitigations WHERE id = ?", (number,)).fetchone()
            if known is None:
                continue
            used = tables.conn.execute(
                "SELECT outcome FROM uses WHERE mitigation_id = ? AND task_id = ?", (number, outcome.task_id)
            ).fetchone()
            if used is not None and used["outcome"] == word:
                continue
            if used is not None:
                _take_back(store, number, used["outcome"])
            tables.conn.execute(
                "INSERT INTO uses (mitigation_id, task_id, outcome, paths) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (mitigation_id, task_id) DO UPDATE SET outcome = excluded.outcome",
                (number, outcome.task_id, word, json.dumps(outcome.paths[:_MOST_PATHS])),
            )
            after = book.record_outcome(number, word)
            if outcome.mind and word in ("helped", "failed"):
                record_mind(store, number, outcome.mind, helped=word == "helped")
            if after.state != known["state"]:
                ledger.record(
                    "mitigation",
                    str(number),
                    change=(known["state"], after.state),
                    cause=outcome.task_id,
                    actor="learning",
                    details={
                        "evidence": {"reason": after.state_reason, "rule": after.rule},
                        "figures": {"tried": after.tried, "helped": after.helped, "failed": after.failed},
                    },
                )


def _word_for(number: int, outcome: TaskOutcome) -> Outcome:
    if outcome.passed is None:
        return "neutral"
    if outcome.passed:
        return "helped"
    return "failed" if outcome.charged is None or number in outcome.charged else "neutral"


def _take_back(store: MemoryStore, number: int, word: str) -> None:
    column = {"neutral": "unjudged", "helped": "helped", "failed": "failed", "hurt": "hurt"}[word]
    tried = 0 if word == "neutral" else 1
    with store.writing() as tables:
        tables.conn.execute(
            f"UPDATE mitigations SET {column} = {column} - 1, tried = tried - ? WHERE id = ?",  # noqa: S608
            (tried, number),
        )


def remember_task(store: MemoryStore, task: TaskRow, outcome: TaskOutcome, *, neuron: str) -> None:
    """Keep a task that has a check, so that candidates can be tried on it later; nests."""
    payload = task.payload
    changes = task.result.changes if task.result else []
    solved = bool(outcome.passed)
    if not payload.check or payload.workspace is None:
        return
    if solved and any(change.action != "created" for change in changes):
        return  # its files are not as they were any more, so it cannot be done again
    kept = {
        "payload": {
            **payload.model_dump(mode="json", include=_REPLAYED),
            # Done again, it is looked at by the same layers, however short it is.
            "labels": {DIVIDE: "yes"} if outcome.divided else {},
        },
        "remove": [change.path for change in changes] if solved else [],
    }
    scope = outcome.scope.cleaned()
    with store.writing() as tables:
        tables.table("tasks").upsert(
            {
                "id": task.id,
                "text": payload.objective,
                "workspace": scope.workspace,
                "module": scope.module,
                "task_family": scope.task_family,
                "neuron": neuron,
                "answer": task.result.answer if task.result else None,
                "checks": json.dumps([kept]),
                "passed": int(solved),
                "created": store.clock.now(),
            }
        )


_REPLAYED = {"objective", "design", "check", "workspace", "targets", "files", "scope"}
