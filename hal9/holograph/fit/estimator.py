"""`CausalGraph`: fit a causal graph to a table, in the manner of scikit-learn."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import NotFitted
from hal9.holograph.data.additive_score import AdditiveScore
from hal9.holograph.data.dag_search import Fitted, fitted_graph
from hal9.holograph.data.dependence import taken_differently
from hal9.holograph.data.edge_probabilities import DECIDED, EdgeLeads, edge_leads, probabilities
from hal9.holograph.data.families import Diagnosis, diagnose
from hal9.holograph.data.table import Table
from hal9.holograph.drawing import Drawn, DrawnEdge, dot, picture
from hal9.holograph.fit.columns import Missing, Prepared, impute, prepare
from hal9.holograph.fit.knowledge import Knowledge
from hal9.holograph.fit.reading import read_raw
from hal9.holograph.model.graph import MixedGraph
from hal9.holograph.model.state import FloatArray

__all__ = ["CausalGraph", "FittedEdge"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""


@dataclass(frozen=True, slots=True)
class FittedEdge:
    """One edge.

    Attributes:
        cause, effect: variables; for other kinds than "->" in no order that means anything.
        kind: "->" a direct cause; "--" joined, which way is undecided; "<->" a hidden common cause.
        probability: that the edge is as stated: of this direction for "->", of being joined for "--".
        weight: change of the effect per unit of the cause, others held; None for categories.
        standardised: the same in standard deviations of both.
        stability: share of resamples with the edge as stated; None without resampling.
        curved: whether a straight line describes the effect badly.
        fixed: whether the edge was required.
    """

    cause: str
    effect: str
    kind: str
    probability: float
    weight: float | None = None
    standardised: float | None = None
    stability: float | None = None
    curved: bool = False
    fixed: bool = False


class CausalGraph:
    """A causal graph of a table of numbers and categories.

    >>> rng = np.random.default_rng(0)
    >>> a = rng.laplace(size=500)
    >>> model = CausalGraph().fit({"a": a, "b": 2 * a + rng.laplace(size=500)})
    >>> [(edge.cause, edge.effect, edge.kind) for edge in model.edges_]
    [('a', 'b', '->')]

    Attributes:
        edges_: what was found, surest first. graph_: the same as a mixed graph with every edge directed.
        adjacency_: 1 at [cause, effect], both ways where the direction is undecided.
        diagnosis_: what effects and noise are like. prepared_: what was done to the table.
        notes_: how the table was used otherwise than given.
        feature_names_in_: the variables. n_features_in_: how many.
    """

    def __init__(
        self,
        *,
        columns: Sequence[str] = (),
        exclude: Sequence[str] = (),
        missing: Missing = "drop",
        knowledge: Knowledge | None = None,
        bootstrap: int = 0,
        hidden: bool = True,
        seed: int = 0,
        encoding: str | None = None,
    ) -> None:
        """Say what is fitted and how.

        Args:
            columns: use only these.
            exclude: do not use these.
            missing: "drop", "impute" or "refuse".
            knowledge: tiers, forbidden and required edges.
            bootstrap: resamples behind the stability of edges; missing values are imputed anew in each.
            hidden: whether hidden common causes are looked for (linear Gaussian tables only).
            seed: of everything random.
            encoding: of a CSV file that is not in UTF-8 or UTF-16.
        """
        self.columns, self.exclude, self.missing = columns, exclude, missing
        self.knowledge, self.bootstrap, self.hidden, self.seed = knowledge, bootstrap, hidden, seed
        self.encoding = encoding

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change settings.

        Raises:
            TypeError: a setting does not exist.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise TypeError(f"there is no setting {name!r}; there are {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def fit(
        self,
        X: Any,  # noqa: N803 - the field's name for it
        y: Any = None,
        *,
        name: str = "the table",
        progress: Progress | None = None,
    ) -> Self:
        """Find the graph.

        Args:
            X: a path, a pandas or polars frame, a mapping of columns, or an array.
            y: not used.
            name: of the table, for errors.
            progress: told how far it is.

        Raises:
            TableInvalid: the table cannot be used. TooFewRows: it is too short.
            UnknownVariable: a named column does not exist.
            KnowledgeContradictory: background knowledge contradicts itself.
        """
        told = progress or _silent
        told("reading", 0, 1)
        raw = read_raw(X, encoding=self.encoding)
        self.prepared_ = prepare(
            raw, columns=self.columns, exclude=self.exclude, missing=self.missing, name=name, seed=self.seed
        )
        given = self.prepared_.table
        self.feature_names_in_ = np.array(given.names, dtype=object)
        self.n_features_in_ = len(given.names)
        told("searching", 0, 1)
        found = self._search(given, seed=self.seed)
        # As the search took it: how many independent rows it counts for is settled once.
        table = found.scorer.table
        self.notes_ = tuple(taken_differently(given, table))
        self.graph_, self.scorer_ = found.graph, found.scorer
        self.diagnosis_: Diagnosis = diagnose(table, found.graph.adjacency())
        told("weighing edges", 0, 1)
        leads = edge_leads(table, found.scorer, found.dag, seed=self.seed)
        edges = self._edges(table, found, leads)
        self.edges_ = self._with_stability(edges, table, found, told)
        self.adjacency_ = self._adjacency()
        return self

    def _search(self, table: Table, *, seed: int, start: NDArray[np.bool_] | None = None) -> Fitted:
        belief = self.knowledge.belief(table.names) if self.knowledge else None
        return fitted_graph(
            table,
            belief,
            seed=seed,
            restarts=None if start is None else 1,
            start=start,
            orders=start is None,
            hidden=self.hidden and start is None,
        )

    def _edges(self, table: Table, found: Fitted, leads: EdgeLeads) -> list[FittedEdge]:
        joined, directed = probabilities(leads)
        place = {name: k for k, name in enumerate(table.names)}
        knowledge = self.knowledge or Knowledge()
        belief = knowledge.belief(table.names) if knowledge else None
        required = set(knowledge.require)
        edges = []
        for cause, effect in sorted(found.graph.directed):
            a, b = place[cause], place[effect]
            kind, chance = "->", float(joined[a, b] * directed[a, b])
            one_way = belief is not None and _one_way(belief, cause, effect)
            if (cause, effect) in required:
                chance = 1.0
            elif one_way:
                chance = float(joined[a, b])
            elif found.graph.bidirected and any(cause in p or effect in p for p in found.graph.bidirected):
                # A hidden cause at either end settles directions that the graph without it leaves open.
                chance = float(joined[a, b]) * max(float(directed[a, b]), DECIDED)
            elif directed[a, b] < DECIDED:
                kind, chance = "--", float(joined[a, b])
            edges.append(FittedEdge(cause, effect, kind, chance, fixed=(cause, effect) in required))
        edges = _weighed(table, edges, self.prepared_, self.scorer_)
        for pair in sorted(found.graph.bidirected, key=sorted):
            first, second = sorted(pair)
            edges.append(FittedEdge(first, second, "<->", float(found.graph.support.get(pair, 0.5))))
        return sorted(edges, key=lambda e: (-e.probability, e.cause, e.effect))

    def _with_stability(
        self, edges: list[FittedEdge], table: Table, found: Fitted, told: Progress
    ) -> tuple[FittedEdge, ...]:
        if not self.bootstrap:
            return tuple(edges)
        rng = np.random.default_rng([self.seed, 1])
        counts = dict.fromkeys(range(len(edges)), 0)
        for number in range(self.bootstrap):
            told("resampling", number, self.bootstrap)
            rows = rng.integers(table.rows, size=table.rows)
            values, holes = table.values[rows], self.prepared_.holes[rows]
            if holes.any():
                values = impute(np.where(holes, np.nan, values), rng)
            if (np.ptp(values, axis=0) == 0).any():
                values = values + 0.0
                values[0] = table.values[rng.integers(table.rows)]
            again = self._search(
                replace(table, values=values), seed=number, start=found.graph.adjacency()
            ).graph
            for k, edge in enumerate(edges):
                counts[k] += _has(again, edge)
        return tuple(replace(edge, stability=counts[k] / self.bootstrap) for k, edge in enumerate(edges))

    def _adjacency(self) -> NDArray[np.int_]:
        place = {name: k for k, name in enumerate(self.feature_names_in_)}
        matrix = np.zeros((len(place), len(place)), dtype=np.int_)
        for edge in self.edges_:
            a, b = place[edge.cause], place[edge.effect]
            if edge.kind != "<->":
                matrix[a, b] = 1
                matrix[b, a] = max(matrix[b, a], int(edge.kind == "--"))
        return matrix

    def drawn(self, title: str = "") -> Drawn:
        """The graph for drawing.

        Raises:
            NotFitted: nothing was fitted yet.
        """
        if not hasattr(self, "edges_"):
            raise NotFitted
        edges = [
            DrawnEdge(
                e.cause, e.effect, e.probability, e.kind,
                "" if e.standardised is None else f"{e.standardised:+.2f}",
            )
            for e in self.edges_
        ]  # fmt: skip
        return Drawn(list(self.feature_names_in_), edges, title=title)

    def to_svg(self, title: str = "") -> str:
        """The graph as a picture."""
        return picture(self.drawn(title))

    def to_dot(self) -> str:
        """The graph as Graphviz source."""
        return dot(self.drawn())


def _silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""


def _one_way(belief: Any, cause: str, effect: str) -> bool:
    """Whether background knowledge rules the other direction out."""
    row, flipped = belief.pair(cause, effect)
    return bool(belief.evidence[row, 0 if flipped else 1] < -1e5)


def _has(graph: MixedGraph, edge: FittedEdge) -> bool:
    pair = frozenset((edge.cause, edge.effect))
    if edge.kind == "<->":
        return pair in graph.bidirected
    forward = (edge.cause, edge.effect) in graph.directed
    return forward or (edge.kind == "--" and (edge.effect, edge.cause) in graph.directed)


def _weighed(table: Table, edges: list[FittedEdge], prepared: Prepared, scorer: Any) -> list[FittedEdge]:
    """Least-squares weights of every node on its parents, in the columns' units and standardised."""
    place = {name: k for k, name in enumerate(table.names)}
    numbers = [column.kind == "number" or len(column.levels) == 2 for column in prepared.columns]
    bent = isinstance(scorer, AdditiveScore) and scorer.features.curved
    found = []
    for edge in edges:
        cause, effect = place[edge.cause], place[edge.effect]
        if not (numbers[cause] and numbers[effect]):
            found.append(edge)
            continue
        parents = [place[e.cause] for e in edges if e.effect == edge.effect]
        design = np.column_stack([np.ones(table.rows), *(_block(table, k, numbers[k]) for k in parents)])
        before = parents[: parents.index(cause)]
        column = 1 + sum(_block(table, k, numbers[k]).shape[1] for k in before)
        slope = float(np.linalg.lstsq(design, table.values[:, effect], rcond=None)[0][column])
        spread = table.values.std(axis=0)
        scaled = slope * float(spread[cause] / spread[effect])
        found.append(
            replace(edge, weight=slope, standardised=scaled, curved=bent and _curved(scorer, effect, cause))
        )
    return found


def _curved(scorer: AdditiveScore, effect: int, cause: int) -> bool:
    """Whether polynomials of the cause explain the effect better than a line, after their cost."""
    moments, width = scorer.moments, scorer.features.width
    line = moments.share(effect * width, (cause * width,))
    columns = tuple(cause * width + k for k in range(int(scorer.features.used[cause])))
    extra = len(columns) - 1
    rows = scorer.table.effective
    gain = -0.5 * rows * np.log(moments.share(effect * width, columns) / line)
    return bool(gain > 0.5 * extra * np.log(rows))


def _block(table: Table, column: int, number: bool) -> FloatArray:
    """A number as it is, a category as indicators."""
    values = table.values[:, column]
    if number:
        return np.asarray(values[:, None])
    levels = np.unique(values)[1:]
    return np.asarray(values[:, None] == levels, dtype=np.float64)
