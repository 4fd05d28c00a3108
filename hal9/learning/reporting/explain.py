"""Why an answer came out as it did, and what was learned from it: all the records say about one task."""

import json
from collections.abc import Sequence
from typing import Any

from hal9.errors.memory import MemoryMissing
from hal9.journal.tasks import TaskRow
from hal9.learning.gradients.facts import GradientFacts
from hal9.learning.state.ledger import Change, Ledger
from hal9.memory import MemoryStore, RuleStore
from hal9.signals import StepRecord

__all__ = ["change_as_json", "change_as_told", "explain", "improvement_score"]


def explain(store: MemoryStore, task: TaskRow, steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Path, prompts, recalled memories, hand-overs, gradients, what was learned: as plain values."""
    gradients = _gradients(store, task.id)
    causes = {
        task.id,
        *(one["id"] for one in gradients),
        *(one["cause"] for one in gradients if one["cause"]),
    }
    learned = [change for change in Ledger(store).rows() if change.cause in causes or _about(change, task.id)]
    return {
        "task": {
            "id": task.id,
            "state": task.state,
            "stop_reason": task.stop_reason,
            "objective": task.payload.objective,
        },
        "path": [_step(step) for step in steps],
        "recalled": [_rule(store, number) for number in _recalled(steps)],
        "outcome": _outcome(store, task.id),
        "gradients": gradients,
        "patterns": _patterns(store, task.id),
        "learned": [change_as_told(change) for change in learned],
    }


def change_as_json(change: Change) -> dict[str, Any]:
    """A ledger row as plain values."""
    return {
        "id": change.id,
        "time": change.time,
        "kind": change.kind,
        "target": change.target,
        "state": change.state,
        "actor": change.actor,
        "cause": change.cause,
        "before": change.before,
        "after": change.after,
        "evidence": dict(change.evidence),
        "figures": dict(change.figures),
        "hash": change.content_hash,
        "improvement_score": improvement_score(change),
    }


def change_as_told(change: Change) -> dict[str, Any]:
    """A ledger row for people and clients: what the store calls a mitigation is a rule everywhere else."""
    told = change_as_json(change)
    return told | {"kind": "rule"} if change.kind == "mitigation" else told


def improvement_score(change: Change) -> float | None:
    """What a change was seen to bring, -1..1, by the strongest evidence there is; None before there is any.

    In force: success rate since, less the rate before. In the canary, else the replay: pairs won less pairs
    lost, as a share of the pairs.
    """
    window = change.figures.get("window")
    if window and window.get("tasks"):
        return round(float(window["passed"] / window["tasks"] - window["before"]), 4)
    for seen in (change.figures.get("canary"), change.figures.get("replay")):
        if seen and seen.get("pairs"):
            return round(float((seen["won"] - seen["lost"]) / seen["pairs"]), 4)
    return None


def _about(change: Change, task_id: str) -> bool:
    return change.evidence.get("task_id") == task_id


def _step(step: StepRecord) -> dict[str, Any]:
    return {
        "neuron": step.neuron,
        "layer": step.layer,
        "kind": step.kind,
        "outcome": step.outcome,
        "mind": step.mind,
        "promptgram": {"version": step.promptgram_version, "hash": step.promptgram_hash},
        "recalled": list(step.recalled),
        "routes": [route.as_json() for route in step.routes],
        "evidence": step.evidence,
    }


def _recalled(steps: Sequence[StepRecord]) -> list[int]:
    return sorted({int(one) for step in steps for one in step.recalled if one.isdecimal()})


def _rule(store: MemoryStore, number: int) -> dict[str, Any]:
    book = RuleStore(store)
    try:
        one = book.get(number)
    except MemoryMissing:
        return {"id": number, "state": "forgotten"}
    return {
        "id": number,
        "rule": one.rule,
        "scope": one.scope.label(),
        "state": one.state,
        "source": one.source,
        "tried": one.tried,
        "helped": one.helped,
        "lower_bound": round(book.lower_bound(one), 4),
    }


def _outcome(store: MemoryStore, task_id: str) -> dict[str, Any] | None:
    with store.reading() as connection:
        row = connection.execute(
            "SELECT passed, score, judged_by, error_type FROM outcomes WHERE task_id = ?", (task_id,)
        ).fetchone()
    if row is None:
        return None
    passed = None if row["passed"] is None else bool(row["passed"])
    return {
        "passed": passed,
        "score": row["score"],
        "judged_by": row["judged_by"],
        "error_type": row["error_type"],
    }


def _gradients(store: MemoryStore, task_id: str) -> list[dict[str, Any]]:
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM gradients WHERE task_id = ? ORDER BY rowid", (task_id,)
        ).fetchall()
    found = []
    for row in rows:
        gradient = json.loads(row["body"])["gradient"]
        found.append(
            {
                "id": row["id"],
                "from": row["source"],
                "to": row["target"],
                "layer": row["layer"],
                "error_type": row["error_type"],
                "magnitude": row["magnitude"],
                "critique": gradient["critique"],
                "state": row["state"],
                "reason": row["reason"],
                "cause": GradientFacts.read(gradient["context"]["environmental_factors"]).root,
            }
        )
    return found


def _patterns(store: MemoryStore, task_id: str) -> list[dict[str, Any]]:
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT DISTINCT p.id, p.title, p.occurrences FROM occurrences o "
            "JOIN patterns p ON p.id = o.pattern_id WHERE o.task_id = ? ORDER BY p.id",
            (task_id,),
        ).fetchall()
    return [dict(row) for row in rows]
