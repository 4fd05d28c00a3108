"""Ranking: signals weighed, mixed, and put in order, for files and for symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index import Index
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.ranking.commits import chronicle_of
from hal9.ripmap.ranking.feature_table import Memory, weigh
from hal9.ripmap.ranking.features import Evidence, importance, scaled
from hal9.ripmap.ranking.prepared_task import Case, Task, prepare
from hal9.ripmap.records import Role

__all__ = ["RankedFile", "RankedSymbol", "Ranking", "Task", "prepare_task", "rank", "rank_case"]

Array = NDArray[np.float64]
_FLOOR = 0.02
"""What absent evidence counts as when evidence is multiplied."""


@dataclass(frozen=True, slots=True)
class RankedFile:
    """One file: its score and each signal's share of it (shares sum to the score)."""

    path: str
    score: float
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class RankedSymbol:
    """One definition: where it is, its score, and its position among the file's definitions."""

    path: str
    name: str
    kind: str
    line: int
    end_line: int
    score: float
    definition: int

    @property
    def id(self) -> str:
        """``path::Class.method``."""
        return f"{self.path}::{self.name}"


class Ranking:
    """Files and symbols of a repository in order of their use for a task."""

    def __init__(self, case: Case, parameters: Parameters, memory: Memory | None = None) -> None:
        self.case = case
        self.terrain = case.terrain
        self.parameters = parameters
        self._signals = weigh(case, parameters, memory)
        self._signals |= _structure(case, parameters, alone=not case.asks)
        self._sum = (
            np.sum(list(self._signals.values()), axis=0)
            if self._signals
            else np.zeros(len(self.terrain.paths))
        )
        self._role = _remembered_role(case, parameters, memory)
        self.scores: Array = _mixed(self._signals, self._sum, parameters["interaction_mixing"]) * self._role

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Positions of files, best first; equal scores keep the paths' order."""
        return np.argsort(-self.scores, kind="stable")

    def put_in_order(self, paths: Sequence[str]) -> None:
        """Take another order of the same files; their scores stay what they are."""
        places = {path: position for position, path in enumerate(self.terrain.paths)}
        self.order = np.array([places[path] for path in paths], np.intp)

    @property
    def paths(self) -> list[str]:
        """All files, best first."""
        return [self.terrain.paths[position] for position in self.order]

    def file(self, position: int) -> RankedFile:
        """One file with its shares."""
        total = float(self._sum[position])
        factor = float(self.scores[position]) / total if total > 0 else 0.0
        shares = {
            name: float(values[position]) * factor
            for name, values in self._signals.items()
            if values[position] > 0
        }
        return RankedFile(self.terrain.paths[position], float(self.scores[position]), shares)

    def positions(self, limit: int | None = None) -> list[int]:
        """Positions of the best files, best first; files without any score are left out."""
        chosen = self.order[:limit]
        found: list[int] = chosen[self.scores[chosen] > 0].tolist()
        return found

    def files(self, limit: int | None = None) -> list[RankedFile]:
        """The best files, best first; files without any score are left out."""
        return [self.file(position) for position in self.positions(limit)]

    def signal(self, name: str) -> Array:
        """One signal times its weight, per file (zeros when it is silent)."""
        return self._signals.get(name, np.zeros(len(self.terrain.paths)))

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals that speak for at least one file."""
        return tuple(self._signals)

    def role_factor(self, position: int) -> float:
        """What the file's role multiplies its score by."""
        return float(self._role[position])

    @cached_property
    def _symbol_scores(self) -> Array:
        return symbol_scores(self.case, self.parameters, self.scores)

    def symbol_place(self, file: int, definition: int) -> tuple[int, int]:
        """Rank of one definition (1 is best, 0: no score) and how many have a score."""
        scores = self._symbol_scores
        symbol = int(self.terrain.symbols.start[file]) + definition
        own, total = scores[symbol], int((scores > 0).sum())
        if own <= 0:
            return 0, total
        return 1 + int((scores > own).sum()) + int((scores[:symbol] == own).sum()), total

    def symbols(self, limit: int | None = None, paths: Sequence[str] | None = None) -> list[RankedSymbol]:
        """The best definitions, best first; `paths` keeps those of some files only."""
        table, terrain = self.terrain.symbols, self.terrain
        scores = self._symbol_scores
        if paths is not None:
            wanted = set(paths)
            kept = np.array([path in wanted for path in terrain.paths], np.bool_)
            scores = np.where(kept[table.file], scores, 0.0) if len(scores) else scores
        order = np.argsort(-scores, kind="stable")[:limit]
        return [
            RankedSymbol(
                path=terrain.paths[table.file[symbol]],
                name=table.qualified(int(symbol)),
                kind=table.names[table.kind[symbol]],
                line=int(table.line[symbol]),
                end_line=int(table.end_line[symbol]),
                score=float(scores[symbol]),
                definition=int(symbol - table.start[table.file[symbol]]),
            )
            for symbol in order
            if scores[symbol] > 0
        ]


def rank(index: Index, task: Task | str, parameters: Parameters | None = None) -> Ranking:
    """Rank an index's files and symbols for a task."""
    task = Task(task) if isinstance(task, str) else task
    return rank_case(prepare_task(index, task), parameters or Parameters())


def prepare_task(index: Index, task: Task) -> Case:
    """A task's evidence in an index, history included when there is any."""
    chronicle = chronicle_of(index) if index.settings.use_git else None
    return prepare(
        index_data_of(index), task, chronicle if chronicle is not None and len(chronicle.times) else None
    )


def rank_case(case: Case, parameters: Parameters, memory: Memory | None = None) -> Ranking:
    """Rank a prepared case; this is the part that depends on parameters.

    `memory` keeps what the next call on the same case under other parameters can use again.
    """
    return Ranking(case, parameters, memory)


def _structure(case: Case, parameters: Parameters, *, alone: bool) -> dict[str, Array]:
    """Importance in the graph and life in the history: all there is without a task, tie-breakers with one.

    Alone they multiply, as odds do; beside evidence each adds its share.
    """
    found: dict[str, Array] = {}
    if not len(case.terrain.paths):
        return found
    with_structure = alone or parameters["weight_structure"] > 0
    with_history = case.chronicle is not None and (alone or parameters["weight_history"] > 0)
    rank = importance(case, parameters) if with_structure else np.zeros(0)
    life = np.zeros(len(case.terrain.paths))
    if with_history and case.chronicle is not None:
        recency, churn = case.chronicle.boosts(parameters, case.task.time)
        life = recency + churn
    if alone:
        product = rank * np.exp(life)
        found["structure"] = scaled(product, case.terrain.primary)
        return found
    if with_structure:
        found["structure"] = parameters["weight_structure"] * rank
    if with_history:
        found["history"] = parameters["weight_history"] * scaled(life, case.terrain.primary)
    return found


def _mixed(signals: dict[str, Array], total: Array, mixing: float) -> Array:
    """Between the sum of the signals (0) and their weighted geometric mean (1), on the sum's scale."""
    if mixing == 0.0 or not signals:
        return total
    highest = {name: float(values.max()) for name, values in signals.items()}
    weight = sum(highest.values())
    logs = sum(
        highest[name] * np.log(_FLOOR + (1.0 - _FLOOR) * values / highest[name])
        for name, values in signals.items()
        if highest[name] > 0
    )
    product = weight * np.exp(logs / weight)
    return np.asarray((1.0 - mixing) * total + mixing * product)


_ROLES = (
    *(name for name in PARAMETERS if name.startswith("role_")),
    "operations_boost",
    "depth_weight_vendor",
)


def _remembered_role(case: Case, parameters: Parameters, memory: Memory | None) -> Array:
    if memory is None:
        return role_factor(case, parameters)
    key = tuple(parameters[name] for name in _ROLES)
    known = memory.get("(roles)")
    if known is None or known[0] != key or known[1] is None:
        made = role_factor(case, parameters)
        memory["(roles)"] = (key, made)
        return made
    return known[1]


def role_factor(case: Case, parameters: Parameters) -> Array:
    """Score factor of each file by its roles; several roles take the smallest."""
    at, terrain = parameters, case.terrain
    factor = np.ones(len(terrain.paths))
    operations = at["operations_boost"] ** case.query.operations
    config = min(1.0, at["role_config"] * operations)
    source = terrain.role(Role.SOURCE)
    table = (
        (Role.TEST, at["role_test"]),
        (Role.DOCS, at["role_docs"]),
        (Role.EXAMPLE, at["role_example"]),
        (Role.GENERATED, at["role_generated"]),
        (Role.VENDORED, at["depth_weight_vendor"] ** 0.5),
        (Role.DATA | Role.LOCK | Role.BINARY, at["role_data"]),
    )
    settings = terrain.role(Role.CONFIG | Role.DEPLOY) & ~source
    factor[settings] = config
    for role, value in table:
        rows = terrain.role(role)
        factor[rows] = np.minimum(factor[rows], value)
    named = case.named > 0.5
    factor[named] = np.maximum(factor[named], 0.8)
    return factor


def symbol_scores(case: Case, parameters: Parameters, file_scores: Array) -> Array:
    """Definitions by their own words and mentions, times their file's score."""
    terrain, table = case.terrain, case.terrain.symbols
    lexicon = terrain.lexicon
    evidence = Evidence(case, parameters)
    own = np.zeros(len(table.name))
    chunks = np.flatnonzero(lexicon.chunk_owner >= 0)
    owner = table.start[lexicon.chunk_file[chunks]] + lexicon.chunk_owner[chunks]
    highest = evidence.chunk_scores.max() if len(evidence.chunk_scores) else 0.0
    if highest > 0:
        own[owner] = evidence.chunk_scores[chunks] / highest
    for symbol, strength in case.mentioned_symbols.items():
        own[symbol] += strength
    highest_file = file_scores.max() if len(file_scores) else 0.0
    if highest_file <= 0 or not len(own):
        return own
    share = parameters["symbol_file_share"]
    by_file = (file_scores / highest_file)[table.file]
    if not own.any():
        return np.asarray(by_file)
    return np.asarray(own ** (2 * (1 - share)) * by_file ** (2 * share))
