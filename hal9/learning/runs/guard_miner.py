"""Which features of an action foretell that it fails, decided by how often such evidence was right.

Two levels. For each feature and repository: in how many earlier runs an error blamed it, in how many it went
well. And for each *kind* of feature: how often evidence of that strength came true, over all repositories. A
single failure of a kind that has never been wrong may therefore stop the next one, while three failures of a
kind that is often wrong may not. Nothing here knows a program, a library or a repository.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hal9.learning.runs.counts import Counts
from hal9.learning.runs.features import Feature

__all__ = ["ANYWHERE", "CellCount", "Evidence", "ExpectedFailure", "GuardMiner", "GuardPolicy", "RunMemory"]

ANYWHERE = "*"
Cell = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """When evidence is strong enough.

    Attributes:
        precision: share of such evidence that has come true, from which a guard holds.
        least: cases of such evidence that must be known.
        least_clean: cases that suffice when none of them was wrong.
        own_runs: runs of a repository that blame a feature, none of which speaks for it, that suffice alone.
    """

    precision: float = 0.95
    least: int = 8
    least_clean: int = 4
    own_runs: int = 3


@dataclass(slots=True)
class Evidence:
    """What is known of a feature in a repository: runs that blamed it, runs in which it went well."""

    blamed: int = 0
    well: int = 0
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CellCount:
    """How often evidence of one kind came true, and in which repositories it was seen."""

    right: int = 0
    cases: int = 0
    repos: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ExpectedFailure:
    """An action is expected to fail.

    Attributes:
        feature: what is to blame.
        precision: how often evidence like this came true.
        cases: over how many cases that is known.
        evidence: what is known of the very feature here.
        because: the kind of evidence.
    """

    feature: Feature
    precision: float
    cases: int
    evidence: Evidence
    because: Cell


@dataclass(slots=True)
class RunMemory:
    """What the present run itself has shown so far: feature -> times blamed, times well; and its subjects."""

    features: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    subjects: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)

    def blamed(self, one: Feature) -> int:
        """How often an error of this run blamed the feature."""
        return self.features.get((one.kind, one.value), [0, 0])[0]

    def well(self, one: Feature) -> int:
        """How often it went well in this run, counting other features with the same subjects."""
        known = self.features.get((one.kind, one.value), [0, 0])[1]
        return known + self.subjects.get((one.kind, one.subjects), 0)


class GuardMiner:
    """Counts steps in the order they happened and judges the next one. Not safe for threads."""

    def __init__(
        self,
        policy: GuardPolicy | None = None,
        *,
        known: Counts[tuple[str, str, str], Evidence] | None = None,
        cells: Counts[Cell, CellCount] | None = None,
    ) -> None:
        self.policy = policy or GuardPolicy()
        self.known: Counts[tuple[str, str, str], Evidence] = {} if known is None else known
        self.cells: Counts[Cell, CellCount] = {} if cells is None else cells
        self.run = RunMemory()
        self._repo = ""

    def begin(self, repo: str, run: RunMemory | None = None) -> None:
        """A run of this repository begins, or one that was interrupted goes on."""
        self._repo, self.run = repo, run or RunMemory()

    def judge(self, features: Sequence[Feature]) -> ExpectedFailure | None:
        """The strongest reason to expect that an action fails, or None."""
        best: ExpectedFailure | None = None
        for one in features:
            for warning in self._warnings(one):
                if best is None or (warning.precision, warning.cases) > (best.precision, best.cases):
                    best = warning
        return best

    def learn(self, features: Sequence[Feature], *, error: str) -> None:
        """An action was carried out; `error` is its error line, empty when it went well."""
        for one in features:
            if not one.subjects:
                continue
            blamed = bool(error) and one.blamed_by(error)
            if error and not blamed:
                continue  # it failed for another reason
            for cell in self._cells(one):
                count = self.cells.setdefault(cell, CellCount())
                count.right += int(blamed)
                count.cases += 1
                count.repos.add(self._repo)
            self._count(one, blamed=blamed, error=error)

    def _count(self, one: Feature, *, blamed: bool, error: str) -> None:
        here = self.run.features.setdefault((one.kind, one.value), [0, 0])
        first = not here[0] if blamed else not here[1]
        here[0 if blamed else 1] += 1
        if not blamed:
            subjects = (one.kind, one.subjects)
            self.run.subjects[subjects] = self.run.subjects.get(subjects, 0) + 1
        for repo in (self._repo, ANYWHERE):
            evidence = self.known.setdefault((repo, one.kind, one.value), Evidence())
            if first:
                evidence.blamed += int(blamed)
                evidence.well += int(not blamed)
            if blamed and len(evidence.lines) < 3 and error not in evidence.lines:
                evidence.lines.append(error)

    def _warnings(self, one: Feature) -> Iterator[ExpectedFailure]:
        if not one.subjects or one.kind in _CONTEXT:
            return
        policy, own = self.policy, self._own(one)
        for cell in self._cells(one):
            count = self.cells.get(cell)
            if count is None or not (self._repo in count.repos or len(count.repos) > 1):
                continue  # one other repository says nothing about this one
            right, cases = count.right, count.cases
            enough = cases >= policy.least and right >= policy.precision * cases
            if enough or (cases >= policy.least_clean and right == cases):
                yield ExpectedFailure(one, right / cases, cases, own, cell)
        if own.blamed >= policy.own_runs and not own.well and not self.run.well(one):
            yield ExpectedFailure(one, 1.0, own.blamed, own, ("own", one.kind))

    def _own(self, one: Feature) -> Evidence:
        return self.known.get((self._repo, one.kind, one.value)) or Evidence()

    def _cells(self, one: Feature) -> Iterable[Cell]:
        """The kinds of evidence that a feature has at this moment, from general to particular."""
        own = self._own(one)
        elsewhere = self.known.get((ANYWHERE, one.kind, one.value)) or Evidence()
        here = _strength(self.run.blamed(one), self.run.well(one))
        yield one.kind, "any"
        yield one.kind, "own", *_strength(own.blamed, own.well), *here
        if not own.blamed and not own.well:
            yield one.kind, "elsewhere", *_strength(elsewhere.blamed, elsewhere.well), *here
        if not self.run.well(one):
            if own.blamed and not own.well:
                yield one.kind, "blamed before, never well"
            if self.run.blamed(one):
                yield one.kind, "blamed in this run, never well"


_CONTEXT = frozenset({"word", "test-target"})
"""Kinds that explain failures and never stop an action: tests are meant to be run again."""


def _strength(blamed: int, well: int) -> tuple[str, str]:
    doubt = "never well" if not well else "rarely well" if well <= 0.05 * blamed else "often well"
    return str(min(blamed, 3)), doubt
