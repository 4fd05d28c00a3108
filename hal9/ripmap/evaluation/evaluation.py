"""How well parameters rank: prepared cases, scored again and again under different parameters.

Extraction and evidence are made once per case; `Evaluator.evaluate` then only weighs, so that a whole corpus
takes a few seconds per parameter set.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.errors.ripmap import CasesInvalid
from hal9.ripmap.evaluation.metrics import (
    CUTS,
    Comparison,
    accuracy_at,
    bootstrap_interval,
    compare,
    ndcg_at,
    reciprocal_rank,
)
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.opening import open_index
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.prepared_task import PreparedTask, Task
from hal9.ripmap.ranking.ranker import Ranking, prepare_task, rank_prepared
from hal9.ripmap.settings import IndexSettings

__all__ = [
    "CaseResult",
    "Evaluator",
    "Figures",
    "PreparedCase",
    "RankingCase",
    "Report",
    "is_candidate",
    "prepare_cases",
    "read_cases",
]

_RELEVANT = 0.5
"""Accuracy asks for the files of at least this grade."""


def is_candidate(path: str) -> bool:
    """The public yardstick's rule: Python files no word of whose path starts with "test"."""
    return path.endswith(".py") and not any(
        word.startswith("test") for word in re.split(r"[^a-z0-9]+", path.lower())
    )


@dataclass(frozen=True, slots=True)
class RankingCase:
    """A task whose answer is known.

    Attributes:
        id: what reports call it.
        tree: name of the source tree it belongs to.
        text: the task.
        gold: path to grade (1 fully relevant).
        gold_symbols: ``path::Class.method`` of what was changed.
        weight: how much it counts.
        time: only history before this counts.
        leak: marks that the text gives the answer away.
    """

    id: str
    tree: str
    text: str
    gold: dict[str, float]
    gold_symbols: tuple[str, ...] = ()
    weight: float = 1.0
    time: float | None = None
    leak: bool = False
    chat: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """A case with its evidence, and which files compete."""

    case: RankingCase
    evidence: PreparedTask
    candidates: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case under one parameter set; ranks are 0-based among the candidates."""

    case: RankingCase
    ranks: dict[str, int]
    ndcg: float

    @property
    def relevant_ranks(self) -> list[int]:
        """Ranks of the gold files, those graded below one half left out."""
        return [rank for path, rank in self.ranks.items() if self.case.gold[path] >= _RELEVANT]


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over cases; accuracy by k."""

    cases: int
    accuracy: dict[int, float]
    mrr: float
    ndcg: float

    def __str__(self) -> str:
        cuts = "/".join(f"{100 * self.accuracy[k]:.1f}" for k in CUTS)
        names = "/".join(map(str, CUTS))
        return f"Acc@{names} {cuts}  MRR {self.mrr:.3f}  NDCG@10 {self.ndcg:.3f}  n={self.cases}"


@dataclass(frozen=True, slots=True)
class Report:
    """Results of all cases under one parameter set."""

    parameters: Parameters
    results: tuple[CaseResult, ...]

    @property
    def figures(self) -> Figures:
        """Weighted means over all cases."""
        return _figures(self.results)

    @property
    def by_tree(self) -> dict[str, Figures]:
        """Means per source tree."""
        trees: dict[str, list[CaseResult]] = {}
        for result in self.results:
            trees.setdefault(result.case.tree, []).append(result)
        return {tree: _figures(results) for tree, results in trees.items()}

    @property
    def score(self) -> float:
        """What training raises: the weighted mean NDCG@10."""
        return self.figures.ndcg

    def interval(self, rng: np.random.Generator, samples: int = 2000) -> tuple[float, float]:
        """Bootstrap interval of the mean NDCG@10."""
        return bootstrap_interval(
            [result.ndcg for result in self.results],
            rng,
            weights=[result.case.weight for result in self.results],
            samples=samples,
        )

    def against(self, other: "Report", rng: np.random.Generator) -> Comparison:
        """Paired comparison with another report on the same cases."""
        if [result.case.id for result in self.results] != [result.case.id for result in other.results]:
            raise CasesInvalid(path="(comparison)", detail="the two reports are about different cases")
        return compare(
            [result.relevant_ranks for result in self.results],
            [result.relevant_ranks for result in other.results],
            [result.ndcg for result in self.results],
            [result.ndcg for result in other.results],
            rng,
        )


def _figures(results: Sequence[CaseResult]) -> Figures:
    if not results:
        return Figures(0, dict.fromkeys(CUTS, 0.0), 0.0, 0.0)
    weight = np.array([result.case.weight for result in results])
    weight = weight / weight.sum()

    def mean(values: Iterable[float]) -> float:
        return float(weight @ np.array(list(values)))

    return Figures(
        len(results),
        {k: mean(accuracy_at(result.relevant_ranks, k) for result in results) for k in CUTS},
        mean(reciprocal_rank(result.relevant_ranks) for result in results),
        mean(result.ndcg for result in results),
    )


@dataclass(eq=False)
class Evaluator:
    """Scores parameter sets over prepared cases."""

    cases: Sequence[PreparedCase]
    calls: int = field(default=0, init=False)

    def evaluate(self, parameters: Parameters | None = None) -> Report:
        """Rank every case under one parameter set."""
        chosen = parameters or Parameters()
        self.calls += 1
        return Report(chosen, tuple(self.result(item, chosen) for item in self.cases))

    def ranking(self, item: PreparedCase, parameters: Parameters) -> Ranking:
        """The full ranking of one case, for reading failures."""
        return rank_prepared(item.evidence, parameters)

    def result(self, item: PreparedCase, parameters: Parameters) -> CaseResult:
        """One case's ranks and NDCG@10."""
        ranks = gold_ranks(rank_prepared(item.evidence, parameters).scores, item)
        return CaseResult(
            item.case, ranks, ndcg_at({rank: item.case.gold[path] for path, rank in ranks.items()})
        )


def gold_ranks(scores: NDArray[np.float64], item: PreparedCase) -> dict[str, int]:
    """Where the gold files stand among the candidates; equal scores keep the paths' order.

    `scores` has shape (files,).
    """
    values = np.where(item.candidates, scores, -np.inf)
    file_indexes = {
        path: file_index
        for file_index, path in enumerate(item.evidence.index_data.paths)
        if path in item.case.gold
    }
    return {
        path: int((values > values[file_index]).sum() + (values[:file_index] == values[file_index]).sum())
        for path, file_index in file_indexes.items()
    }


def prepare_cases(
    cases: Iterable[RankingCase],
    open_tree: Callable[[str], Index],
    candidate: Callable[[str], bool] = is_candidate,
) -> list[PreparedCase]:
    """Collect the evidence of cases; each tree is opened once.

    Raises:
        CasesInvalid: a gold file is not in its tree, or no candidate.
    """
    opened: dict[str, tuple[Index, NDArray[np.bool_]]] = {}
    prepared: list[PreparedCase] = []
    for case in cases:
        if case.tree not in opened:
            index = open_tree(case.tree)
            opened[case.tree] = (index, np.array([candidate(path) for path in index.paths], np.bool_))
        index, candidates = opened[case.tree]
        for path in case.gold:
            if path not in index or not candidates[index.file_index(path)]:
                raise CasesInvalid(
                    path=case.id, detail=f"gold file {path} is not among the candidates of {case.tree}"
                )
        task = Task(case.text, chat=case.chat, time=case.time)
        prepared.append(PreparedCase(case, prepare_task(index, task), candidates))
    return prepared


def read_cases(path: Path) -> list[RankingCase]:
    """Read a JSON file of cases, or all files of a folder.

    Both the format of `ripmap cases` and of the shared localization corpus are read.

    Raises:
        CasesInvalid: a file is missing, no JSON, or lacks a field.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise CasesInvalid(path=str(path), detail="no JSON files in this folder")
    found: list[RankingCase] = []
    for file in files:
        try:
            entries = json.loads(file.read_text(encoding="utf-8"))
            found += [_case(entry) for entry in entries]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CasesInvalid(path=str(file), detail=f"{type(error).__name__}: {error}") from error
    return found


def _case(entry: dict[str, Any]) -> RankingCase:
    gold = entry.get("gold") or dict.fromkeys(entry["gold_files"], 1.0)
    if not gold:
        raise ValueError(f"case {entry.get('commit', '?')} has no gold files")
    tree = entry.get("tree") or f"{entry['pypi_name']}-{entry['version']}"
    return RankingCase(
        id=f"{tree}:{entry['commit'][:12]}",
        tree=tree,
        text=entry["query"],
        gold={path: float(grade) for path, grade in gold.items()},
        gold_symbols=tuple(entry.get("gold_symbols", ())),
        weight=float(entry.get("weight", 1.0)),
        time=entry.get("time"),
        leak=bool(entry.get("leak", False)),
    )


def open_trees(folder: Path, settings: IndexSettings | None = None) -> Callable[[str], Index]:
    """Opens the subfolders of `folder` by name, for `prepare_cases`."""

    def open_tree(name: str) -> Index:
        return open_index(folder / name, settings)

    return open_tree
