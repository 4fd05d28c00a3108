"""Runs of the trainer as the dashboard shows them: what was proposed, why, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from hal9.cluster.home import Home
from hal9.dashboard.workload_data import best_curve
from hal9.errors.base import Hal9Error
from hal9.errors.trainer import TrainingRunUnknown
from hal9.journal.tasks import TaskRow
from hal9.trainer.record.run_log import RunLog

__all__ = ["bare_training_run", "bare_training_runs", "training_run"]

_SHOWN = 60
_RUNS = 12
_BARE = (Path("training") / "runs", Path("training-outer") / "runs")
"""Where the bare commands write, when they are run in the home's folder."""
_NOTHING: dict[str, Any] = {
    "problem": "", "entries": 0, "settings": {}, "verdict": "", "reason": "", "folder": "",
    "proposals": (), "edits": (), "family": (), "picture": "", "happened": (),
}  # fmt: skip
_RECORDS = ("outer_scratchpad.json", "scratchpad.json")


def training_run(home: Home, task: TaskRow) -> dict[str, Any]:
    """A task's run as plain values; `problem` says why there is none."""
    path = _record(home, task)
    if path is None:
        return _NOTHING | {"problem": "It has recorded nothing yet."}
    return _told(path)


def bare_training_runs(home: Home) -> list[dict[str, Any]]:
    """The newest runs of `ripmap-train` and `ripmap-train-outer` that no task began, each in a line."""
    found = sorted(_bare(home).values(), key=lambda path: path.stat().st_mtime, reverse=True)
    return [_line(home, path) for path in found[:_RUNS]]


def bare_training_run(home: Home, name: str) -> dict[str, Any]:
    """One of them, whole; its name is its folder below the home.

    Raises:
        TrainingRunUnknown: there is none.
    """
    known = _bare(home)
    if name not in known:
        raise TrainingRunUnknown(run=name, folder=str(home.root), known=tuple(sorted(known)))
    return _told(known[name]) | _line(home, known[name])


def _bare(home: Home) -> dict[str, Path]:
    """Records by the run's folder below the home."""
    return {
        path.parent.relative_to(home.root).as_posix(): path
        for place in _BARE
        for record in _RECORDS
        for path in (home.root / place).glob(f"*/{record}")
    }


def _line(home: Home, path: Path) -> dict[str, Any]:
    """A run in a line: what it is, how far it is, how its figure went."""
    line = {
        "name": path.parent.relative_to(home.root).as_posix(),
        "kind": "",
        "what": "",
        "state": "unfinished",
        "changed_at": path.stat().st_mtime,
        "verdict": "",
        "problem": "",
        "best": None,
        "episodes": 0,
        "curve": "",
    }
    try:
        log = _read(path, path.stat().st_mtime_ns)
        results = _results(path)
    except (Hal9Error, OSError, ValueError) as error:
        return line | {"state": "failed", "problem": str(error)}
    settings = log.settings
    best = [float(one["best_ndcg"]) for one in log.entries if "best_ndcg" in one]
    return line | {
        "kind": log.kind,
        "what": settings.get("mind") or settings.get("strategy") or settings.get("mind_inner") or "",
        "state": "done" if results else "unfinished",
        "verdict": results.get("verdict", ""),
        "best": best[-1] if best else None,
        "episodes": len(log.entries),
        "curve": best_curve(best),
    }


def _results(path: Path) -> dict[str, Any]:
    """What a run said in the end; empty while it has not ended."""
    told = path.parent / "results.json"
    return dict(json.loads(told.read_text("utf-8"))) if told.is_file() else {}


def _told(path: Path) -> dict[str, Any]:
    """A record as plain values."""
    try:
        log = _read(path, path.stat().st_mtime_ns)
        results = _results(path)
    except (Hal9Error, OSError, ValueError) as error:
        return _NOTHING | {"problem": str(error)}
    entries = log.entries
    population = [one for one in entries if "what" in one]
    outer = [one for one in entries if "prompt_id" in one]
    inner = [one for one in entries if "episode" in one]
    return _NOTHING | {
        "entries": len(entries),
        "settings": {key: value for key, value in log.settings.items() if value not in ("", None, {}, False)},
        "verdict": results.get("verdict", ""),
        "reason": results.get("reason", ""),
        "folder": str(path.parent),
        "proposals": [_proposal(one) for one in inner[-_SHOWN:]][::-1],
        "edits": [_edit(one) for one in outer[-_SHOWN:]][::-1],
        "family": _family(outer),
        "picture": _genealogy(population, log.kind),
        "happened": [_happened(one) for one in population[-_SHOWN:]][::-1],
    }


@lru_cache(maxsize=16)
def _read(path: Path, _changed: int) -> RunLog:
    """A record, read again only when the file is another."""
    return RunLog.load(path)


def _record(home: Home, task: TaskRow) -> Path | None:
    """Where the run writes: what its result names, else what its options come to in the child process."""
    folders = []
    if task.result is not None:
        try:
            told = yaml.safe_load(task.result.answer)
        except yaml.YAMLError:
            told = None
        if isinstance(told, Mapping) and isinstance(told.get("folder"), str):
            folders.append(Path(told["folder"]))
    options = _options(task)
    name = str(options.get("run_name") or f"task-{task.id[-12:]}")
    root = Path(str(options.get("root") or home.state / "workloads" / task.workload))
    if "/" not in name and name not in (".", ".."):
        folders += [root / name, root / "runs" / name]
    found = (folder / record for folder in folders for record in _RECORDS)
    return next((path for path in found if path.is_file()), None)


def _options(task: TaskRow) -> dict[str, Any]:
    from hal9.cluster.workloads.contract import workload_options  # noqa: PLC0415 - only runs need it

    try:
        return workload_options(task.workload, task.payload.objective)
    except Hal9Error:
        return {}


def _proposal(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One episode: what was to be moved and why, what was measured, whether it stayed."""
    trials = entry.get("trials") or ()
    moved = [
        {"name": name, "how": " ".join(str(part) for part in change[:2]), "why": _third(change)}
        for name, change in (entry.get("proposed_changes") or {}).items()
    ]
    problem = entry.get("error") or "; ".join(entry.get("problems") or ())
    if "candidate" in entry:  # a numerical strategy measures a point; its `error` is a standard error
        problem = ""
        trials = [entry]
    return {
        "number": entry["episode"] + 1,
        "kept": entry["kept"],
        "best": entry["best_ndcg"],
        "moved": moved,
        "point": entry.get("candidate") or {},
        "reasoning": _words(entry.get("reasoning")),
        "diagnosis": _words(entry.get("diagnosis")),
        "problem": problem,
        "trials": [
            {key: one.get(key) for key in ("ndcg", "gain", "error", "won", "lost", "why")} for one in trials
        ],
    }


def _third(change: Sequence[Any]) -> str:
    return str(change[2]) if len(change) > 2 and change[2] else ""


def _words(value: Any) -> str:
    """A mind's words; what is no text is shown as JSON."""
    if value in (None, "", [], {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _edit(step: Mapping[str, Any]) -> dict[str, Any]:
    """One edit of a prompt that the outer loop tried."""
    proposal, delta = step.get("proposal") or {}, step.get("delta") or {}
    return {
        "number": step["outer_step"] + 1,
        "parent": step["parent"],
        "child": step["prompt_id"],
        "hypothesis": _words(proposal.get("hypothesis")),
        "edits": [_in_words(one) for one in proposal.get("edits") or ()],
        "problem": step["problem"],
        "gain": delta.get("ndcg"),
        "error": delta.get("error"),
    }


def _in_words(edit: Mapping[str, Any]) -> str:
    text = edit.get("content") or edit.get("target") or ""
    return f"{edit.get('edit_type', '')} {edit.get('section', '')}: {text}"


def _family(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Prompts as a tree: each with its gain over the one it was edited from, and its children."""
    nodes: dict[str, dict[str, Any]] = {}
    roots = []

    def node(name: str) -> dict[str, Any]:
        if name not in nodes:
            nodes[name] = {"name": name, "gain": None, "error": None, "why": "", "children": []}
        return nodes[name]

    for step in steps:
        if step["parent"] not in nodes:
            roots.append(node(step["parent"]))
        if step["prompt_id"] in nodes or step["problem"]:
            continue
        told = _edit(step)
        child = node(step["prompt_id"])
        child.update(gain=told["gain"], error=told["error"], why=told["hypothesis"])
        nodes[step["parent"]]["children"].append(child)
    return roots


def _genealogy(log: Sequence[Mapping[str, Any]], kind: str) -> Any:
    """A population's lives as a picture."""
    if not log:
        return ""
    from hal9.belief import LogEntry, genealogy_of  # noqa: PLC0415 - only such runs need it
    from hal9.belief.pictures import draw_genealogy  # noqa: PLC0415 - likewise
    from hal9.dashboard.pictures import sized  # noqa: PLC0415 - likewise

    entries = (
        LogEntry(one.get("number", 0), one.get("step", 0), one["what"], one["node"], one["facts"])
        for one in log
    )
    found, spent = genealogy_of(entries)
    return sized(draw_genealogy(found, spent, f"Genealogy of this {kind} run"))


def _happened(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a population's log."""
    facts = entry["facts"]
    told = [f"{key} {facts[key]}" for key in ("about", "end", "heir", "parent", "reason") if facts.get(key)]
    if trial := facts.get("trial"):
        told.append(f"tried an edit: {trial[1]}")
    return {
        "step": entry.get("step", 0),
        "what": entry["what"],
        "node": entry["node"],
        "told": ", ".join(told),
    }
