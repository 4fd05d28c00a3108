"""Ranking: signals weighed, mixed, and put in order, for files and for symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.files.language_groups import LANGUAGE_GROUPS
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.postings.role_chances import ASIDE
from hal9.ripmap.ranking.commits import commit_index_of
from hal9.ripmap.ranking.feature_table import Memory, weighted_features
from hal9.ripmap.ranking.features import Features, importance, scaled
from hal9.ripmap.ranking.prepared_task import PreparedTask, Task, prepare_query
from hal9.ripmap.records import Role

__all__ = ["RankedFile", "RankedSymbol", "Ranking", "Task", "prepare_task", "rank", "rank_prepared"]

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
    """One definition: where it is, its score, and its `definition_index` among the file's."""

    path: str
    name: str
    kind: str
    line: int
    end_line: int
    score: float
    definition_index: int

    @property
    def id(self) -> str:
        """``path::Class.method``."""
        return f"{self.path}::{self.name}"


class Ranking:
    """Files and symbols of a repository in order of their use for a task.

    Attributes:
        by_task: whether anything in the task speaks for a file; else they are in order of importance.
    """

    def __init__(self, prepared: PreparedTask, parameters: Parameters, memory: Memory | None = None) -> None:
        self.prepared = prepared
        self.index_data = prepared.index_data
        self.parameters = parameters
        self._signals = weighted_features(prepared, parameters, memory)
        self.by_task = prepared.asks and any(values.any() for values in self._signals.values())
        self._signals |= _structure(prepared, parameters, alone=not self.by_task)
        self._sum = (
            np.sum(list(self._signals.values()), axis=0)
            if self._signals
            else np.zeros(len(self.index_data.paths))
        )
        self._role = _remembered_role(prepared, parameters, memory)
        self.scores: Array = _mixed(self._signals, self._sum, parameters["interaction_mixing"]) * self._role

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """`file_index` of every file, best first; equal scores keep the paths' order. Shape (files,)."""
        return np.argsort(-self.scores, kind="stable")

    def put_in_order(self, paths: Sequence[str]) -> None:
        """Take another order of the same files; their scores stay what they are."""
        file_indexes = {path: file_index for file_index, path in enumerate(self.index_data.paths)}
        self.order = np.array([file_indexes[path] for path in paths], np.intp)

    @property
    def paths(self) -> list[str]:
        """All files, best first."""
        return [self.index_data.paths[file_index] for file_index in self.order]

    def file(self, file_index: int) -> RankedFile:
        """One file with its shares."""
        total = float(self._sum[file_index])
        factor = float(self.scores[file_index]) / total if total > 0 else 0.0
        shares = {
            name: float(values[file_index]) * factor
            for name, values in self._signals.items()
            if values[file_index] > 0
        }
        return RankedFile(self.index_data.paths[file_index], float(self.scores[file_index]), shares)

    def file_indexes(self, limit: int | None = None) -> list[int]:
        """`file_index` of the best files, best first; files without any score are left out."""
        chosen = self.order[:limit]
        found: list[int] = chosen[self.scores[chosen] > 0].tolist()
        return found

    def files(self, limit: int | None = None) -> list[RankedFile]:
        """The best files, best first; files without any score are left out."""
        return [self.file(file_index) for file_index in self.file_indexes(limit)]

    def signal(self, name: str) -> Array:
        """One signal times its weight, per file (zeros when it is silent). Shape (files,)."""
        return self._signals.get(name, np.zeros(len(self.index_data.paths)))

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals that speak for at least one file."""
        return tuple(self._signals)

    def role_factor(self, file_index: int) -> float:
        """What the file's role multiplies its score by."""
        return float(self._role[file_index])

    @cached_property
    def _symbol_scores(self) -> Array:
        return symbol_scores(self.prepared, self.parameters, self.scores)

    def symbol_rank(self, file_index: int, definition_index: int) -> tuple[int, int]:
        """Rank of one definition (1 is best, 0: no score) and how many have a score."""
        scores = self._symbol_scores
        symbol = int(self.index_data.symbols.start[file_index]) + definition_index
        own, total = scores[symbol], int((scores > 0).sum())
        if own <= 0:
            return 0, total
        return 1 + int((scores > own).sum()) + int((scores[:symbol] == own).sum()), total

    def symbols(self, limit: int | None = None, paths: Sequence[str] | None = None) -> list[RankedSymbol]:
        """The best definitions, best first; `paths` keeps those of some files only."""
        table, index_data = self.index_data.symbols, self.index_data
        scores = self._symbol_scores
        if paths is not None:
            wanted = set(paths)
            kept = np.array([path in wanted for path in index_data.paths], np.bool_)
            scores = np.where(kept[table.file_index], scores, 0.0) if len(scores) else scores
        order = np.argsort(-scores, kind="stable")[:limit]
        return [
            RankedSymbol(
                path=index_data.paths[table.file_index[symbol]],
                name=table.qualified(int(symbol)),
                kind=table.names[table.kind[symbol]],
                line=int(table.line[symbol]),
                end_line=int(table.end_line[symbol]),
                score=float(scores[symbol]),
                definition_index=int(symbol - table.start[table.file_index[symbol]]),
            )
            for symbol in order
            if scores[symbol] > 0
        ]


def rank(index: Index, task: Task | str, parameters: Parameters | None = None) -> Ranking:
    """Rank an index's files and symbols for a task."""
    task = Task(task) if isinstance(task, str) else task
    return rank_prepared(prepare_task(index, task), parameters or Parameters())


def prepare_task(index: Index, task: Task) -> PreparedTask:
    """A task's evidence in an index, history included when there is any."""
    commit_index = commit_index_of(index) if index.settings.use_git else None
    return prepare_query(
        index_data_of(index),
        task,
        commit_index if commit_index is not None and len(commit_index.times) else None,
    )


def rank_prepared(prepared: PreparedTask, parameters: Parameters, memory: Memory | None = None) -> Ranking:
    """Rank a prepared task; this is the part that depends on parameters.

    `memory` keeps what the next call on the same prepared task under other parameters can use again.
    """
    return Ranking(prepared, parameters, memory)


def _structure(prepared: PreparedTask, parameters: Parameters, *, alone: bool) -> dict[str, Array]:
    """Importance in the graph and life in the history: all there is without a task, tie-breakers with one.

    Alone they multiply, as odds do; beside evidence each adds its share.
    """
    found: dict[str, Array] = {}
    if not len(prepared.index_data.paths):
        return found
    with_structure = alone or parameters["weight_structure"] > 0
    with_history = prepared.commit_index is not None and (alone or parameters["weight_history"] > 0)
    rank = importance(prepared, parameters) if with_structure else np.zeros(0)
    life = np.zeros(len(prepared.index_data.paths))
    if with_history and prepared.commit_index is not None:
        recency, churn = prepared.commit_index.boosts(parameters, prepared.task.time)
        life = recency + churn
    if alone:
        product = rank * np.exp(life)
        found["structure"] = scaled(product, prepared.index_data.primary)
        return found
    if with_structure:
        found["structure"] = parameters["weight_structure"] * rank
    if with_history:
        found["history"] = parameters["weight_history"] * scaled(life, prepared.index_data.primary)
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


def _remembered_role(prepared: PreparedTask, parameters: Parameters, memory: Memory | None) -> Array:
    if memory is None:
        return role_factor(prepared, parameters)
    key = tuple(parameters[name] for name in _ROLES)
    known = memory.get("(roles)")
    if known is None or known[0] != key or known[1] is None:
        made = role_factor(prepared, parameters)
        memory["(roles)"] = (key, made)
        return made
    return known[1]


def role_factor(prepared: PreparedTask, parameters: Parameters) -> Array:
    """Score factor of each file by its roles; several roles take the smallest. Shape (files,).

    Of a role that only its neighbours tell, a file pays by its chance; each language has its strength.
    """
    params, index_data = parameters, prepared.index_data
    factor = np.ones(len(index_data.paths))
    operations = params["operations_boost"] ** prepared.query.operations
    config = min(1.0, params["role_config"] * operations)
    factor[index_data.role(Role.CONFIG | Role.DEPLOY) & ~index_data.role(Role.SOURCE)] = config
    strength = _role_strength(prepared, params)
    for role, name in zip(ASIDE, ("role_test", "role_docs", "role_example"), strict=True):
        factor = np.minimum(factor, params[name] ** (strength * index_data.role_chances[role]))
    table = (
        (Role.GENERATED, params["role_generated"]),
        (Role.VENDORED, params["depth_weight_vendor"] ** 0.5),
        (Role.DATA | Role.LOCK | Role.BINARY, params["role_data"]),
    )
    for role, value in table:
        rows = index_data.role(role)
        factor[rows] = np.minimum(factor[rows], value)
    named = prepared.named > 0.5
    factor[named] = np.maximum(factor[named], 0.8)
    return factor


def _role_strength(prepared: PreparedTask, parameters: Parameters) -> Array:
    """The strength of roles in each file's language. Shape (files,)."""
    values = np.array([parameters[f"role_strength_{name}"] for name in LANGUAGE_GROUPS])
    return np.ones(1) if (values == 1.0).all() else values[prepared.index_data.language_groups]


def symbol_scores(prepared: PreparedTask, parameters: Parameters, file_scores: Array) -> Array:
    """Definitions by their own words and mentions, times their file's score.

    `file_scores` has shape (files,), the result (symbols,).
    """
    index_data, table = prepared.index_data, prepared.index_data.symbols
    postings = index_data.postings
    evidence = Features(prepared, parameters)
    own = np.zeros(len(table.name))
    chunks = np.flatnonzero(postings.chunk_owner >= 0)
    owner = table.start[postings.chunk_file[chunks]] + postings.chunk_owner[chunks]
    highest = evidence.chunk_scores.max() if len(evidence.chunk_scores) else 0.0
    if highest > 0:
        own[owner] = evidence.chunk_scores[chunks] / highest
    for symbol, strength in prepared.mentioned_symbols.items():
        own[symbol] += strength
    highest_file = file_scores.max() if len(file_scores) else 0.0
    if highest_file <= 0 or not len(own):
        return own
    share = parameters["symbol_file_share"]
    by_file = (file_scores / highest_file)[table.file_index]
    if not own.any():
        return np.asarray(by_file)
    return np.asarray(own ** (2 * (1 - share)) * by_file ** (2 * share))
