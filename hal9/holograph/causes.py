"""Which factors cause failures: from a plain table of what happened, and from what a mind knows.

Rows are dictionaries with the same keys, e.g. {"layer": "L2", "tool": "pytest", "failed": True}. Numbers and
booleans are used as they are; a text column becomes one 0/1 column per frequent value ("tool=pytest"), the
key "hour" overlapping quarters of the clock. Factors never follow from outcomes: edges out of an outcome are
ruled out. Rows must hold only what was known before the outcome was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import NoOutcome, UnknownVariable
from hal9.holograph.data.dag_search import best_graph, language_terms
from hal9.holograph.data.factor_columns import (
    FactorColumns,
    chance_of_association,
    factor_columns,
    probability_beyond_chance,
)
from hal9.holograph.data.scores import GaussianScore
from hal9.holograph.data.table import Table
from hal9.holograph.drawing import Drawn, DrawnEdge, svg
from hal9.holograph.model.state import FloatArray
from hal9.holograph.runs.discovery import discover
from hal9.holograph.runs.inquiry import DiscoveryState, Settings
from hal9.holograph.runs.mind_answerer import MindAnswerer
from hal9.holograph.runs.store import RunStore
from hal9.holograph.spec import Problem, Variable
from hal9.minds.protocol import Mind

__all__ = ["Cause", "Causes", "causes"]

Row = Mapping[str, Any]
_MOST_COLUMNS = 24
"""How many columns are kept, those most associated with the outcomes first."""
_CIRCULAR = {"hour": 24}
"""Keys that run round, with their period: 23 is near 0."""
_PRIOR_ODDS = 0.25
"""Odds that a named cause is one, before looking: most homes fail for reasons of many kinds."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One edge between columns.

    Attributes:
        probability: share of bootstrap samples that have the edge in this direction; into an outcome never
            more than what is left after chance among all columns is paid for.
        effect_size: standardised regression weight, negative when the cause lowers the effect.
    """

    cause: str
    effect: str
    probability: float
    effect_size: float


@dataclass(frozen=True, slots=True)
class Causes:
    """The graph, strongest causes first; `left_out` says which columns were unusable and why."""

    columns: tuple[str, ...]
    outcomes: tuple[str, ...]
    edges: tuple[Cause, ...]
    rows: int
    left_out: Mapping[str, str]

    def of(self, outcome: str) -> tuple[Cause, ...]:
        """The direct causes of one outcome."""
        return tuple(edge for edge in self.edges if edge.effect == outcome)

    def svg(self, title: str = "Causes of failure") -> str:
        """The graph as a picture."""
        shown = {name for edge in self.edges for name in (edge.cause, edge.effect)} | set(self.outcomes)
        names = [name for name in self.columns if name in shown]
        edges = [
            DrawnEdge(e.cause, e.effect, e.probability, label=f"{e.effect_size:+.2f}") for e in self.edges
        ]
        return svg(Drawn(names, edges, title=f"{title} ({self.rows} rows)"))


async def causes(
    rows: Sequence[Row],
    *,
    outcomes: Sequence[str],
    descriptions: Mapping[str, str] | None = None,
    mind: Mind | None = None,
    answers: Path | None = None,
    budget_queries: int = 30,
    resamples: int = 40,
    seed: int = 0,
) -> Causes:
    """Find what causes the outcomes.

    Args:
        rows: what happened, one dictionary per case, all with the same keys; nothing that is known only after
            or because of an outcome.
        outcomes: keys that are effects only, e.g. ("failed",).
        descriptions: what a key means, for the mind.
        mind: an open mind that is asked where the data leaves it open; None uses the data alone.
        answers: file in which the mind's replies are kept, so that a question that was answered before, in
            this call or in one that was killed, costs nothing again; None keeps nothing.
        budget_queries: most questions to the mind.
        resamples: bootstrap samples behind each probability.
        seed: of the bootstrap and of the shuffles.

    Raises:
        NoOutcome: too few rows, or an outcome that never varies.
        UnknownVariable: an outcome is not a key of the rows.
        MindError: the mind failed.
    """
    columns = _checked_columns(rows, outcomes)
    names, values, left_out = columns.names, columns.matrix(len(rows)), columns.left_out
    everything = (tuple(names), values)
    names, values = _best_forms(columns, values, outcomes)
    names, values, dropped = _most_associated(names, values, outcomes, _MOST_COLUMNS)
    left_out.update(dropped)
    if len(names) < 2:
        raise NoOutcome(problem="no factor varies between the cases")
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    # Columns of 0 and 1 are neither straight nor Gaussian, and that says nothing of what causes what.
    table = replace(Table.of(names, scaled, scale="gaussian"), linear=True)
    texts = dict(descriptions or {})
    problem = Problem(
        tuple(_variable(name, texts) for name in names), domain="failures of a cluster of workers"
    )
    inquiry = DiscoveryState(problem, Settings(budget_queries=budget_queries, fit_every=0), table)
    _forbid(inquiry, outcomes)
    if mind is not None:
        with RunStore(answers) if answers is not None else nullcontext() as cache:
            await discover(inquiry, MindAnswerer(mind, problem, cache))
    edges = _bootstrap(inquiry, table, resamples, seed)
    edges = _beyond_chance(
        edges, everything, language_terms(inquiry.belief), table.names, outcomes, seed=seed
    )
    edges.sort(
        key=lambda e: (e.effect not in outcomes, -e.probability, -abs(e.effect_size), e.cause, e.effect)
    )
    return Causes(table.names, tuple(outcomes), tuple(edges), table.rows, left_out)


def _checked_columns(rows: Sequence[Row], outcomes: Sequence[str]) -> FactorColumns:
    """The columns, when they can say anything."""
    needed = 12
    if len(rows) < needed:
        raise NoOutcome(problem=f"{len(rows)} cases were recorded, at least {needed} are needed")
    for outcome in outcomes:
        if outcome not in rows[0]:
            raise UnknownVariable(name=outcome, where="outcomes", known=tuple(rows[0]))
    columns = factor_columns(rows, outcomes, _CIRCULAR)
    for outcome in outcomes:
        if outcome not in columns.names:
            raise NoOutcome(problem=f"{outcome!r} {columns.left_out[outcome]}")
    return columns


def _variable(name: str, texts: Mapping[str, str]) -> Variable:
    sign = "=" if "=" in name else ">"
    key, _, value = name.partition(sign)
    text = texts.get(key, key)
    relation = "is" if sign == "=" else "is above"
    return Variable(
        name=name[:60].replace("|", "/").replace(",", ";"),
        description=f"{text} {relation} {value}" if value else text,
    )


def _best_forms(
    columns: FactorColumns, values: FloatArray, outcomes: Sequence[str]
) -> tuple[list[str], FloatArray]:
    """Of the forms of a number the one that is most associated with the outcomes.

    Which is looked for among all of them; whoever works out what chance allows has to count all of them.
    """
    names = columns.names
    relation = np.abs(np.corrcoef(values.T))
    worth = relation[:, [names.index(outcome) for outcome in outcomes]].max(axis=1)
    best: dict[str, int] = {}
    for k, name in enumerate(names):
        key = columns.form_of.get(name, name)
        if key not in best or worth[k] > worth[best[key]]:
            best[key] = k
    keep = sorted(best.values())
    return [names[k] for k in keep], values[:, keep]


def _most_associated(
    names: list[str], values: FloatArray, outcomes: Sequence[str], most: int
) -> tuple[list[str], FloatArray, dict[str, str]]:
    if len(names) <= most:
        return names, values, {}
    relation = np.abs(np.corrcoef(values.T))
    effects = [names.index(outcome) for outcome in outcomes]
    worth = relation[:, effects].max(axis=1)
    worth[effects] = 2.0
    keep = sorted(np.argsort(-worth, kind="stable")[:most])
    dropped = {
        names[k]: "is less associated with the outcomes than others"
        for k in range(len(names))
        if k not in keep
    }
    return [names[k] for k in keep], values[:, keep], dropped


def _forbid(inquiry: DiscoveryState, outcomes: Sequence[str]) -> None:
    """Strong evidence against any edge out of an outcome, and between values of one text column."""
    belief = inquiry.belief
    effects = {belief.names.index(outcome) for outcome in outcomes}
    keys = [name.partition("=")[0] if "=" in name else "" for name in belief.names]
    for row, (i, j) in enumerate(zip(belief.first, belief.second, strict=True)):
        if keys[i] and keys[i] == keys[j]:
            belief.evidence[row, [0, 1, 3]] -= 1e6
        if i in effects or j in effects:
            # A confounded pair may be drawn either way round for the data's sake, so that is ruled out too.
            belief.evidence[row, 3] -= 1e6
        if i in effects:
            belief.evidence[row, 0] -= 1e6
        if j in effects:
            belief.evidence[row, 1] -= 1e6


def _bootstrap(inquiry: DiscoveryState, table: Table, resamples: int, seed: int) -> list[Cause]:
    rng = np.random.default_rng(seed)
    counts: Counter[tuple[str, str]] = Counter()
    drawn = 0
    # Columns of 0 and 1 are only nearly linear, and what is left over must not be read as hidden causes.
    graph = best_graph(table, inquiry.belief, seed=seed, equal_variances=False, hidden=False)
    start = graph.adjacency()
    for _ in range(resamples):
        sample = table.values[rng.integers(table.rows, size=table.rows)]
        spread = sample.std(axis=0)
        if (spread < 1e-9).any():
            continue
        drawn += 1
        again = replace(table, values=sample)
        found = best_graph(
            again,
            inquiry.belief,
            seed=seed,
            restarts=2,
            equal_variances=False,
            start=start,
            orders=False,
            hidden=False,
        )
        counts.update(found.directed)
    weights = _weights(table, graph.adjacency())
    return [
        Cause(cause, effect, counts[cause, effect] / max(1, drawn), weights[cause, effect])
        for cause, effect in graph.directed
    ]


def _beyond_chance(
    edges: Sequence[Cause],
    everything: tuple[tuple[str, ...], FloatArray],
    language: FloatArray,
    kept: tuple[str, ...],
    outcomes: Sequence[str],
    *,
    seed: int,
) -> list[Cause]:
    """The edges, those into outcomes no surer than shuffled outcomes allow.

    A resample repeats what the sample has by accident, so its share alone would call an accident sure.
    """
    names, values = everything
    effects = {names.index(outcome) for outcome in outcomes}
    candidates = np.array([k for k in range(len(names)) if k not in effects], dtype=np.intp)
    found = []
    for edge in edges:
        if edge.effect not in outcomes:
            found.append(edge)
            continue
        others = [e.cause for e in edges if e.effect == edge.effect and e.cause != edge.cause]
        given = np.array([names.index(name) for name in others], dtype=np.intp)
        target, cause = names.index(edge.effect), names.index(edge.cause)
        chance = chance_of_association(values, target, cause, given, candidates, seed=seed)
        # Several kinds of failure are several chances to be wrong.
        chance = min(1.0, chance * len(effects))
        told = float(np.clip(language[kept.index(edge.cause), kept.index(edge.effect)], -6.0, 6.0))
        most = probability_beyond_chance(chance, _PRIOR_ODDS * float(np.exp(told)))
        found.append(replace(edge, probability=min(edge.probability, most)))
    return found


def _weights(table: Table, adjacency: NDArray[np.bool_]) -> dict[tuple[str, str], float]:
    moments = GaussianScore(table).moments
    found = {}
    for node, name in enumerate(table.names):
        parents = np.flatnonzero(adjacency[:, node])
        if parents.size:
            slopes = moments[node].slopes(node, parents)
            found.update({(table.names[p], name): float(s) for p, s in zip(parents, slopes, strict=True)})
    return found
