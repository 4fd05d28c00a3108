"""What the pages show: each function gathers plain values for one template, never more than is shown."""

import asyncio
import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from hal9.api.routes.questions import questions
from hal9.api.routes.tasks import cursor_number
from hal9.api.spend import cap_as_json, read_spending
from hal9.api.views import VIEWS
from hal9.dashboard.learning_data import curves_of, edge_curve, rule_tree
from hal9.dashboard.pictures import Band, Edge, Node, network, path
from hal9.dashboard.view import View
from hal9.journal.listing import page_of_tasks
from hal9.journal.tasks import TERMINAL, TaskRow, TaskState, task_counts
from hal9.promptgram import Promptgram
from hal9.promptgram import diff as promptgram_diff
from hal9.signals import StepRecord

__all__ = [
    "causes",
    "curves",
    "inbox",
    "learning",
    "ledger",
    "now",
    "task",
    "tasks",
    "training",
    "tuning",
    "workload",
    "workloads",
]

Shown = tuple[str, Mapping[str, Any]]
_STATES: tuple[TaskState, ...] = ("queued", "running", "done", "failed", "cancelled")
_PAGE = 40
_RECENT = 8
_LEAST_ZOOM, _MOST_ZOOM = 0.25, 8.0


async def _view(view: View, name: str, **query: Any) -> Any:
    function, model, _ = VIEWS[name]
    return await function(view.services.cluster, model.model_validate(query))


async def now(view: View) -> Shown:
    """The cluster at this moment."""
    services, cluster = view.services, view.services.cluster
    kept = view.pulse.kept
    status = await kept("status", 1.0, services.status)
    recent = await cluster.read(lambda connection: page_of_tasks(connection, limit=_RECENT))
    running = await cluster.read(lambda connection: page_of_tasks(connection, limit=_RECENT, state="running"))
    edges = await kept("weights", 5.0, partial(_view, view, "weights"))
    doing = view.pulse.doing()
    neurons = {**dict(status.get("neurons", {}))}
    for node in dict(status.get("nodes", {})).values():
        neurons.update(node.get("neurons", {}))
    # What began before anybody looked was not heard; then nothing is said of it.
    idle = "" if running else "idle"
    nodes = [
        Node(name=name, layer=layer, activity=doing.get(name, ("", ""))[1], idle=idle)
        for name, layer in neurons.items()
    ]
    return "now.html", {
        "status": status,
        "counts": {state: status["tasks"].get(state, 0) for state in _STATES},
        "recent": recent,
        "running": running,
        "picture": network(nodes, _likeliest(edges)) if nodes else "",
        "doing": doing,
        "tokens_per_second": view.pulse.tokens_per_second(),
        "budgets": await kept("budgets", 5.0, partial(_caps, view)),
        "waiting": await kept("waiting", 1.0, partial(_waiting, view)),
        "started": status.get("started_at"),
    }


async def _waiting(view: View) -> int:
    return len(await _view(view, "approvals")) + len(await questions(view.services.cluster))


def _likeliest(edges: list[dict[str, Any]]) -> list[Edge]:
    """One edge per pair of neurons: the share of the class of tasks that used it most."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for edge in edges:
        key = (edge["source"], edge["target"])
        used = edge["success_count"] + edge["failure_count"]
        if key not in best or used > best[key]["success_count"] + best[key]["failure_count"]:
            best[key] = edge
    return [Edge(source=one["source"], target=one["target"], share=one["odds"]) for one in best.values()]


async def _caps(view: View) -> list[dict[str, Any]]:
    spending = await read_spending(view.services.cluster, clock=view.services.clock)
    return [cap_as_json(one) for one in spending.caps] if spending is not None else []


async def tasks(view: View) -> Shown:
    """The list of tasks."""
    given = view.request.query_params
    state = next((one for one in _STATES if one == given.get("state")), None)
    before = cursor_number(given.get("cursor", ""))
    rows = await view.services.cluster.read(
        lambda connection: page_of_tasks(connection, limit=_PAGE + 1, before=before, state=state)
    )
    counts = await view.pulse.kept("counts", 1.0, partial(view.services.cluster.read, task_counts))
    return "tasks.html", {
        "rows": rows[:_PAGE],
        "next": rows[_PAGE - 1].seq if len(rows) > _PAGE else None,
        "state": state,
        "counts": {one: counts.get(one, 0) for one in _STATES},
        "total": sum(counts.values()),
    }


async def task(view: View) -> Shown:
    """One task, whole."""
    cluster = view.services.cluster
    found = await cluster.task(str(view.request.path_params["id"]))
    steps = await cluster.steps(found.id)
    why = await _view(view, "why", id=found.id)
    asked = [one for one in await questions(cluster) if one.task_id == found.id]
    first = found.started_at or found.created_at
    words = {name: view.request.query_params.get(name, "")[:2000] for name in ("why", "note")}
    given = any(text.strip() for text in words.values())
    understood = await _view(view, "understood", id=found.id, **words) if given else []
    return "task.html", {
        "task": found,
        "open": found.state not in TERMINAL,
        "steps": steps,
        "picture": path([_band(step, number, first) for number, step in enumerate(steps)]),
        "why": why,
        "asked": asked,
        "took": _took(found),
        "words": words,
        "verdict": view.request.query_params.get("verdict", ""),
        "understood": understood,
        "now": time.time(),
    }


def _band(step: StepRecord, number: int, first: float) -> Band:
    tokens = step.tally.prompt_tokens + step.tally.completion_tokens
    cost = f", {tokens} tokens" if tokens else ""
    return Band(
        lane=step.neuron,
        layer=step.layer,
        start=step.started_at - first,
        end=step.ended_at - first,
        label=f"{step.neuron} {step.kind} {step.outcome}{cost}",
        failed=step.outcome == "failed",
        anchor=f"step{number + 1}",
    )


def _took(task: TaskRow) -> float | None:
    if task.started_at is None:
        return None
    return (task.finished_at or time.time()) - task.started_at


async def learning(view: View) -> Shown:
    """Rules by place, patterns, what is being tried, weights."""
    rules = await _view(view, "rules")
    return "learning.html", {
        "tab": "rules",
        "status": await _view(view, "learning"),
        "tree": rule_tree(rules),
        "rules": len(rules),
        "patterns": (await _view(view, "patterns"))[:30],
        "weights": await _view(view, "weights"),
        "guards": await _view(view, "guards"),
    }


async def ledger(view: View) -> Shown:
    """The newest changes, with undo."""
    rows = await _view(view, "ledger", limit=40)
    return "ledger.html", {"tab": "ledger", "rows": rows[::-1], "status": await _view(view, "learning")}


async def curves(view: View) -> Shown:
    """Success over time with intervals, and the four figures."""
    found = await asyncio.to_thread(curves_of, view.services.home, view.services.memory)
    history = await _view(view, "weight-history")
    return "curves.html", {
        "tab": "curves",
        "status": await _view(view, "learning"),
        "edges": [{**one, "curve": edge_curve(one)} for one in history],
        **found,
    }


async def inbox(view: View) -> Shown:
    """What waits for a person."""
    waiting = []
    for change in await _view(view, "approvals"):
        before, after = (
            Promptgram.parse(change[side], source=change["target"]) for side in ("before", "after")
        )
        waiting.append({**change, "diff": promptgram_diff(before, after)})
    decided = [
        one
        for one in await _view(view, "ledger", kinds="state", limit=300)
        if str(one["actor"]).startswith(("user", "person"))
    ]
    asked = await questions(view.services.cluster)
    return "inbox.html", {"waiting": waiting, "asked": asked, "decided": decided[::-1][:20]}


async def workloads(view: View) -> Shown:
    """Long workloads and what they have told, runs of the bare commands, and causal graphs."""
    from hal9.dashboard.causes_data import causal_runs  # noqa: PLC0415 - only this page needs it
    from hal9.dashboard.training_data import bare_training_runs  # noqa: PLC0415 - likewise
    from hal9.dashboard.tuning_data import tuning_runs  # noqa: PLC0415 - likewise
    from hal9.dashboard.workload_data import workload_runs  # noqa: PLC0415 - likewise

    home = view.services.home
    return "workloads.html", {
        "runs": await view.services.cluster.read(workload_runs),
        "tunings": await asyncio.to_thread(tuning_runs, home),
        "trainings": await asyncio.to_thread(bare_training_runs, home),
        "graphs": await asyncio.to_thread(causal_runs, home),
    }


async def workload(view: View) -> Shown:
    """One run of the trainer that was a task: proposals with reasons, and who descends from whom."""
    from hal9.dashboard.training_data import training_run  # noqa: PLC0415 - only this page needs it
    from hal9.dashboard.workload_data import workload_run  # noqa: PLC0415 - likewise

    cluster = view.services.cluster
    found = await cluster.task(str(view.request.path_params["id"]))
    told = await cluster.read(lambda connection: workload_run(connection, found))
    record = await asyncio.to_thread(training_run, view.services.home, found)
    return "workload.html", {"run": told, "record": record}


async def training(view: View) -> Shown:
    """One run of the bare `ripmap-train` or `ripmap-train-outer`, as one that was a task is shown."""
    from hal9.dashboard.training_data import bare_training_run  # noqa: PLC0415 - only this page needs it

    name = view.request.query_params.get("run", "")
    record = await asyncio.to_thread(bare_training_run, view.services.home, name)
    run = {"task": None, "best": record["best"], "curve": record["curve"]}
    return "workload.html", {"run": run, "record": record}


async def tuning(view: View) -> Shown:
    """One run of `hal9 tune`."""
    from hal9.dashboard.tuning_data import tuning_run  # noqa: PLC0415 - only this page needs it

    name = view.request.query_params.get("run", "")
    return "tuning.html", {"run": await asyncio.to_thread(tuning_run, view.services.home, name)}


async def causes(view: View) -> Shown:
    """One causal graph of HOLOGRAPH's, as large as is asked for."""
    from hal9.dashboard.causes_data import causal_graph  # noqa: PLC0415 - only this page needs it

    given = view.request.query_params
    zoom = _zoom(given.get("zoom", ""))
    found = await asyncio.to_thread(causal_graph, view.services.home, given.get("run", ""), zoom=zoom)
    return "causes.html", {"zoom": zoom, "steps": (_LEAST_ZOOM, _MOST_ZOOM), **found}


def _zoom(given: str) -> float:
    try:
        wanted = float(given)
    except ValueError:
        return 1.0
    return min(max(wanted, _LEAST_ZOOM), _MOST_ZOOM) if math.isfinite(wanted) else 1.0
