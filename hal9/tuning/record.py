"""What a run tells on its way, kept beside its answers, so that others can read it while it goes on."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hal9.database import look_into
from hal9.errors.database import DatabaseDamaged
from hal9.promptgram import diff
from hal9.tuning.attempts import RunStore
from hal9.tuning.candidates import Candidate
from hal9.tuning.judging import HeldOut, RoutedHeldOut
from hal9.tuning.story import Listener, SearchResult, SearchStep

__all__ = ["RunRecord", "StoryKeeper", "keep_outcome", "read_run", "run_folders"]

_FILE = "run.sqlite"
_READ = ("about", "step", "proposal", "result", "outcome")


@dataclass(slots=True)
class StoryKeeper:
    """Keeps every step of a run, and passes it on.

    A run that goes on tells its story from the beginning, out of what was bought; so steps have numbers, and
    what was told before is told over.

    Attributes:
        store: where the run keeps what it bought.
        listener: who else is told.
        told: steps of this sitting.
    """

    store: RunStore
    listener: Listener | None = None
    told: int = 0

    def begin(self, about: Mapping[str, Any]) -> None:
        """What the run is about, before anything is asked."""
        self.store.put("about", "about", dict(about))
        self.store.put("outcome", "outcome", [])
        self.store.put("result", "result", None)  # of an earlier sitting, which a limit may have ended

    def __call__(self, step: SearchStep) -> None:
        value: dict[str, Any] = {
            "kind": step.kind,
            "calls": step.calls,
            "score": step.score,
            "text": step.text,
        }
        if step.candidate is not None:
            value["candidate"] = _candidate(step.candidate, step.own)
        self.store.put(f"step/{self.told}", "step", value)
        self.told += 1
        if self.listener is not None:
            self.listener(step)

    def end(self, found: SearchResult, held_out: HeldOut, routed: RoutedHeldOut | None) -> None:
        """The verdict."""
        kept = {
            "reason": found.reason,
            "noise": found.noise.told(),
            "steps": self.told,
            "winner": found.winner.number,
            "change": diff(found.base.promptgram, found.winner.promptgram).strip(),
            "removed": [list(rule) for rule in found.removed],
            "held_out": asdict(held_out) | {"certain": held_out.certain, "told": held_out.told()},
            "routed": None if routed is None else asdict(routed) | {"told": routed.told()},
            "specialists": [one.number for one in found.specialists.candidates] if found.specialists else [],
        }
        self.store.put("result", "result", kept)


def keep_outcome(folder: Path, told: Sequence[str]) -> None:
    """Add to a finished run what became of its winner: promoted, waiting, or why not."""
    with RunStore(folder / _FILE, {}) as store:
        store.put("outcome", "outcome", [line for line in told if line])


def _candidate(one: Candidate, score: float | None) -> dict[str, Any]:
    return {
        "number": one.number,
        "parent": None if one.parent is None else one.parent.number,
        "score": score,
        "edits": [{**asdict(made.edit), "task": made.task} for made in one.edits],
    }


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands on disk.

    Attributes:
        folder: where it lies.
        changed_at: when something was kept last, as a Unix time.
        about: what it is about; empty where the run is older than its record.
        steps: its story so far, each step with `kind`, `calls`, `score`, `text` and, where it is about a
            prompt, `candidate`.
        proposals: what the reflecting mind answered: `answer` (`diagnosis`, `edits`), `problem`, `usage`.
        attempts: task calls that were bought.
        result: the verdict, once there is one.
        outcome: what became of the winner, in sentences.
    """

    folder: Path
    changed_at: float
    about: dict[str, Any] = field(default_factory=dict)
    steps: tuple[dict[str, Any], ...] = ()
    proposals: tuple[dict[str, Any], ...] = ()
    attempts: int = 0
    result: dict[str, Any] | None = None
    outcome: tuple[str, ...] = ()


def run_folders(root: Path) -> list[Path]:
    """Folders of runs, the one that was written to last first."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if (path / _FILE).is_file()]
    return sorted(found, key=lambda path: (_changed(path), path.name), reverse=True)


def _changed(folder: Path) -> float:
    # While a run goes on, what is new lies in the file beside the database; a reader may leave an empty one.
    beside = folder / f"{_FILE}-wal"
    newest = beside if beside.is_file() and beside.stat().st_size else folder / _FILE
    return newest.stat().st_mtime


def read_run(folder: Path) -> RunRecord:
    """A run's record, finished or under way; nothing is written.

    Raises:
        DatabaseDamaged: the file is not a sound database, or no run's.
    """
    path = folder / _FILE
    kept: dict[str, list[tuple[str, Any]]] = {kind: [] for kind in _READ}
    try:
        with look_into(path) as connection:
            marks = ", ".join("?" * len(_READ))
            rows = connection.execute(
                f"SELECT kind, key, value FROM kept WHERE kind IN ({marks}) ORDER BY rowid",  # noqa: S608 - marks
                _READ,
            ).fetchall()
            attempts, changed = connection.execute(
                "SELECT sum(kind = 'attempt'), max(at) FROM kept"
            ).fetchone()
        for kind, key, value in rows:
            kept[kind].append((key, json.loads(value)))
        steps = {int(key.rpartition("/")[2]): value for key, value in kept["step"]}
        result = dict(kept["result"]).get("result")
        told = len(steps) if result is None else int(result["steps"])
    except (sqlite3.Error, ValueError, KeyError) as error:
        raise DatabaseDamaged(path=str(path), detail=str(error)) from error
    return RunRecord(
        folder=folder,
        changed_at=_changed(folder) if changed is None else changed,
        about=dict(kept["about"]).get("about", {}),
        # A run that went on another way than before may have told less than the time before.
        steps=tuple(steps[number] for number in sorted(steps)[:told]),
        proposals=tuple(value for _, value in kept["proposal"]),
        attempts=attempts or 0,
        result=result,
        outcome=tuple(dict(kept["outcome"]).get("outcome", ())),
    )
