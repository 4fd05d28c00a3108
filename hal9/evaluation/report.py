"""What came out: kept in the home, compared with the run before, told to other programs as JUnit."""

import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hal9.belief import sign_test
from hal9.cluster import Home
from hal9.evaluation.running import Cell
from hal9.learning.reporting.metrics import wilson

__all__ = ["Comparison", "cell_as_json", "compare_runs", "junit", "last_run", "save_run"]

_SURE = 0.05
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A combination against the same one in the run before.

    Attributes:
        won, lost: tasks that went better and worse.
        p: exact two-sided sign test.
    """

    cell: str
    won: tuple[str, ...]
    lost: tuple[str, ...]
    p: float

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond chance."""
        return len(self.lost) > len(self.won) and self.p < _SURE


def cell_as_json(cell: Cell) -> dict[str, Any]:
    """A combination with its figures; intervals are 95% score intervals (Wilson)."""
    count = len(cell.attempts)
    low, high = wilson(cell.passed, count)
    return {
        "model": cell.model,
        "neuron": cell.neuron,
        "learning": cell.learning,
        "passed": cell.passed,
        "of": count,
        "share": round(cell.passed / count, 4) if count else math.nan,
        "low": round(low, 4),
        "high": round(high, 4),
        "seconds": round(sum(one.seconds for one in cell.attempts), 3),
        "tokens": sum(one.tokens for one in cell.attempts),
        "usd": round(sum(one.usd for one in cell.attempts), 6),
        "attempts": [asdict(one) for one in cell.attempts],
    }


def _folder(home: Home, suite: Path) -> Path:
    return home.state / "evaluations" / suite.stem


def save_run(home: Home, suite: Path, cells: Sequence[Cell], *, now: float) -> Path:
    """Keep a run in the home; returns its file."""
    folder = _folder(home, suite)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{int(now * 1000):015d}.json"
    body = {"suite": str(suite), "at": now, "cells": [cell_as_json(one) for one in cells]}
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def last_run(home: Home, suite: Path) -> dict[str, Any] | None:
    """The newest kept run of a suite."""
    folder = _folder(home, suite)
    for path in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else ():
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a run that was cut short while it was written
        return found
    return None


def compare_runs(cells: Sequence[Cell], before: dict[str, Any] | None) -> list[Comparison]:
    """Each combination that the run before had too, task by task."""
    found = []
    for cell in cells:
        mine = cell_as_json(cell)
        same = [
            one
            for one in (before or {}).get("cells", ())
            if all(one[key] == mine[key] for key in ("model", "neuron", "learning"))
        ]
        if not same:
            continue
        ours, theirs = _shares(mine), _shares(same[0])
        common = [name for name in ours if name in theirs]
        won = tuple(name for name in common if ours[name] > theirs[name])
        lost = tuple(name for name in common if ours[name] < theirs[name])
        p = sign_test(len(won), len(lost)) if won or lost else 1.0
        found.append(Comparison(cell=cell.name, won=won, lost=lost, p=p))
    return found


def _shares(cell: dict[str, Any]) -> dict[str, float]:
    passed: dict[str, list[bool]] = {}
    for one in cell["attempts"]:
        passed.setdefault(one["task"], []).append(bool(one["passed"]))
    return {name: sum(found) / len(found) for name, found in passed.items()}


def junit(cells: Sequence[Cell]) -> str:
    """The run as JUnit XML: one suite per combination, one case per attempt."""
    root = ET.Element("testsuites")
    for cell in cells:
        suite = ET.SubElement(root, "testsuite", name=_xml(cell.name))
        suite.set("tests", str(len(cell.attempts)))
        suite.set("failures", str(len(cell.attempts) - cell.passed))
        suite.set("time", f"{sum(one.seconds for one in cell.attempts):.3f}")
        for one in cell.attempts:
            name = one.task if one.repeat == 0 else f"{one.task} #{one.repeat + 1}"
            case = ET.SubElement(
                suite, "testcase", name=_xml(name), classname=_xml(cell.name), time=f"{one.seconds:.3f}"
            )
            if not one.passed:
                failure = ET.SubElement(case, "failure", message=_xml(one.why.split("\n")[0][:300]))
                failure.text = _xml(one.why)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
