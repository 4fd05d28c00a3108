"""Runs of `hal9 tune` as the dashboard shows them: the curve, what was tried and why, descent."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from hal9.cluster.home import Home
from hal9.dashboard.pictures import curve, sized
from hal9.errors.base import Hal9Error
from hal9.errors.tuning import TuningRunUnknown
from hal9.tuning.record import RunRecord, read_run, run_folders

__all__ = ["tuning_run", "tuning_runs"]

_RUNS = 12
_SHOWN = 80
_OLDER = "It was made by an earlier version; its report.md says what it found."
_JOINED = ("kept", "pruned")
"""Steps with which a prompt joins those that are edited further, or is what became of one of them."""


def tuning_runs(home: Home) -> list[dict[str, Any]]:
    """The newest runs, each in a line."""
    lines = []
    for folder in run_folders(home.state / "tuning")[:_RUNS]:
        try:
            lines.append(_line(read_run(folder)))
        except Hal9Error as error:
            damaged = _line(RunRecord(folder=folder, changed_at=folder.stat().st_mtime))
            lines.append(damaged | {"state": "failed", "problem": str(error)})
    return lines


def tuning_run(home: Home, name: str) -> dict[str, Any]:
    """One run, whole.

    Raises:
        TuningRunUnknown: there is no such run.
        DatabaseDamaged: its record cannot be read.
    """
    root = home.state / "tuning"
    known = {folder.name: folder for folder in run_folders(root)}
    if name not in known:
        raise TuningRunUnknown(run=name, folder=str(root), known=tuple(sorted(known)))
    record = read_run(known[name])
    made = _prompts(record)
    result = record.result or {}
    return _line(record) | {
        "folder": str(record.folder),
        "about": record.about,
        "result": record.result,
        "outcome": record.outcome,
        "family": _family(made, result),
        "picture": _picture(made, record) if len(made) > 1 else "",
        "rejected": [_tried(step) for step in record.steps if step["kind"] == "dropped"][::-1][:_SHOWN],
        "proposals": [_proposal(number, one) for number, one in enumerate(record.proposals, start=1)][::-1][
            :_SHOWN
        ],
        "steps": record.steps[-_SHOWN:][::-1],
    }


def _line(record: RunRecord) -> dict[str, Any]:
    """A run in a line."""
    steps, result = record.steps, record.result
    return {
        "name": record.folder.name,
        "problem": "" if record.about else _OLDER,
        "neuron": record.about.get("neuron", ""),
        "state": "unfinished" if result is None and record.about else "done",
        "changed_at": record.changed_at,
        "calls": steps[-1]["calls"] if steps else record.attempts,
        "score": steps[-1]["score"] if steps else None,
        "verdict": result["held_out"]["told"] if result else "",
        "curve": _curve(steps),
    }


def _curve(steps: Sequence[Mapping[str, Any]]) -> Any:
    """The best prompt's score over task calls, level between steps."""
    if len(steps) < 2:
        return ""
    points: list[tuple[float, float]] = []
    for step in steps:
        if points:
            points.append((float(step["calls"]), points[-1][1]))
        points.append((float(step["calls"]), float(step["score"])))
    calls, first, last = steps[-1]["calls"], points[0][1], points[-1][1]
    label = f"score of the best prompt over {calls} task calls, {first:.3f} to {last:.3f}"
    return curve([(at, value, value, value) for at, value in points], label=label)


def _prompts(record: RunRecord) -> dict[int, dict[str, Any]]:
    """Prompts that were kept, by number; the prompt as it was is the first."""
    if not record.steps:
        return {}
    first = record.steps[0]
    base = {"number": 0, "parent": None, "edits": [], "score": first["score"]}
    found = {0: _prompt(base, first)}
    joined: dict[int, list[str]] = {}
    for step in record.steps:
        about = step.get("candidate")
        if about is None:
            continue
        if step["kind"] == "measured":
            found[about["number"]]["score"] = about["score"]
        elif step["kind"] in _JOINED:
            found[about["number"]] = _prompt(about, step)
        elif step["kind"] == "merged":
            joined.setdefault(about["number"], []).append(step["text"])
    for number, texts in joined.items():
        found[number]["why"] = f"joined from {'; '.join(texts)}: {found[number]['why']}"
    return found


def _prompt(about: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    edits = "; ".join(_in_words(edit) for edit in about["edits"])
    return {
        "number": about["number"],
        "parent": about["parent"],
        "calls": step["calls"],
        "score": about["score"],
        "why": edits or step["text"],
    }


def _in_words(edit: Mapping[str, Any]) -> str:
    return f"{edit['edit_type']} {edit['section']}: {edit['content'] or edit['target']}"


def _family(made: Mapping[int, Mapping[str, Any]], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Prompts as a tree, each below the one it was made from."""
    nodes: dict[int, dict[str, Any]] = {}
    roots: list[dict[str, Any]] = []
    for number, one in made.items():
        marks = ["the winner"] if number == result.get("winner") else []
        marks += ["a specialist"] if number in result.get("specialists", ()) else []
        name = f"prompt {number}" + (f" ({', '.join(marks)})" if marks else "")
        nodes[number] = {"name": name, "score": one["score"], "why": one["why"], "children": []}
        parent = one["parent"]
        (nodes[parent]["children"] if parent in nodes else roots).append(nodes[number])
    return roots


def _picture(made: Mapping[int, Mapping[str, Any]], record: RunRecord) -> Any:
    """The same as lines over the task calls."""
    from hal9.belief.genealogy import Birth, Genealogy  # noqa: PLC0415 - only this page needs it
    from hal9.belief.pictures import draw_genealogy  # noqa: PLC0415 - likewise

    births = {}
    for number, one in made.items():
        parent = None if one["parent"] is None else f"prompt {one['parent']}"
        life = Birth(f"prompt {number}", parent, None, 0, one["calls"], Fraction(0))
        life.trace.append((one["calls"], one["score"]))
        births[life.id] = life
    drawing = draw_genealogy(Genealogy(births), record.steps[-1]["calls"], f"Prompts of {record.folder.name}")
    return sized(drawing)


def _tried(step: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt that was dropped, and why."""
    about = step.get("candidate") or {"number": None, "parent": None, "edits": []}
    return {
        "number": about["number"],
        "parent": about["parent"],
        "edits": [_in_words(edit) for edit in about["edits"]],
        "why": str(step["text"]).rpartition(": ")[2],
    }


def _proposal(number: int, one: Mapping[str, Any]) -> dict[str, Any]:
    """What the reflecting mind answered."""
    answer = one.get("answer") or {}
    return {
        "number": number,
        "diagnosis": str(answer.get("diagnosis") or ""),
        "edits": [
            {"what": _in_words(edit), "why": str(edit.get("rationale") or "")}
            for edit in answer.get("edits") or ()
        ],
        "problem": str(one.get("problem") or ""),
    }
