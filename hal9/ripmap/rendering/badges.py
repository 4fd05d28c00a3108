"""What git says of each file, in a word or two: how fresh, how often changed, which phase of life."""

import marshal
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from hal9.ripmap.index.index import Index

__all__ = ["FileLife", "Usual", "badges_of", "lives_of", "usual_of"]

_VERSION = 1
_DAY = 86_400.0
_RECENT_DAYS = 7
_CHURN_COMMITS = 10
_CRYSTAL_AGE, _CRYSTAL_QUIET = 180, 30
_ROTTING_AGE, _ROTTING_QUIET = 90, 14
_EMERGENT_AGE = 30
_COMMON = 1 / 3
"""A phase that more than this share of the files is in tells nothing of any of them."""
_BUSIEST = 0.9


@dataclass(frozen=True, slots=True)
class FileLife:
    """First and last commit of a file (seconds since the epoch) and how many touched it."""

    first: float
    last: float
    commits: int

    def phase(self, now: float) -> str:
        """Emergent (young), crystal (old and quiet), rotting (old, busy, restless), or evolving."""
        age, quiet = (now - self.first) / _DAY, (now - self.last) / _DAY
        if age <= _EMERGENT_AGE:
            return "emergent"
        if age >= _CRYSTAL_AGE and quiet >= _CRYSTAL_QUIET:
            return "crystal"
        if age >= _ROTTING_AGE and quiet <= _ROTTING_QUIET and self.commits >= _CHURN_COMMITS:
            return "rotting"
        return "evolving"


def lives_of(index: Index) -> dict[str, FileLife]:
    """What the history says of each file it knows; empty without git."""
    if not index.history.fingerprint:
        return {}

    def build() -> bytes:
        table: dict[str, list[float]] = {}
        for commit in index.history.commits:
            for path in commit.files:
                row = table.setdefault(path, [commit.time, commit.time, 0.0])
                row[0] = min(row[0], commit.time)
                row[1] = max(row[1], commit.time)
                row[2] += 1
        return marshal.dumps({path: tuple(row) for path, row in table.items() if path in index})

    table = marshal.loads(index.artifact("lives", _VERSION, build, with_history=True))  # noqa: S302 - our own, sealed
    return {path: FileLife(first, last, int(commits)) for path, (first, last, commits) in table.items()}


@dataclass(frozen=True, slots=True)
class Usual:
    """What goes without saying in a repository: phases of many files, and how many commits are many."""

    phases: frozenset[str] = frozenset()
    commits: int = _CHURN_COMMITS


def usual_of(lives: Collection[FileLife], now: float) -> Usual:
    """What is common among these files; the busiest tenth has many commits."""
    if not lives:
        return Usual()
    phases = Counter(life.phase(now) for life in lives)
    counts = sorted(life.commits for life in lives)
    many = counts[min(len(counts) - 1, int(_BUSIEST * len(counts)))]
    common = {phase for phase, count in phases.items() if count > _COMMON * len(lives)}
    return Usual(frozenset(common), max(_CHURN_COMMITS, many))


def badges_of(life: FileLife, now: float, usual: Usual | None = None) -> tuple[str, ...]:
    """Short badges, such as ("2d ago", "14 commits", "rotting"); only what sets a file apart."""
    usual = usual or Usual()
    quiet = max(0.0, (now - life.last) / _DAY)
    badges: list[str] = []
    if quiet <= _RECENT_DAYS:
        badges.append("today" if quiet < 1 else f"{quiet:.0f}d ago")
    if life.commits >= usual.commits:
        badges.append(f"{life.commits} commits")
    phase = life.phase(now)
    if phase != "evolving" and phase not in usual.phases:
        badges.append(phase)
    return tuple(badges)
