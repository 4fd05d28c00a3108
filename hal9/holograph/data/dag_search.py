"""The best graph of a table and a belief together, by hill climbing and by moving variables in the order.

The total is the data score plus, per pair, the log-likelihood of the answers about it. A pair that the
answers call confounded may be adjacent for the data's sake in either direction; it is drawn as a bidirected
edge.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.additive_score import AdditiveScore
from hal9.holograph.data.dependence import row_worth
from hal9.holograph.data.error_variances import ordered_by_variance
from hal9.holograph.data.families import diagnose
from hal9.holograph.data.interventions import without_false_interventions
from hal9.holograph.data.mixed_graph_search import MixedSearch
from hal9.holograph.data.order_search import Refits, improve_order
from hal9.holograph.data.perturbations import equivalent_graph, shaken_graph
from hal9.holograph.data.scores import (
    DiscreteScore,
    FixedVarianceScore,
    GaussianScore,
    LocalScore,
    edge_log_odds,
    tuned,
)
from hal9.holograph.data.table import Table
from hal9.holograph.model.edge_posterior import EdgePosterior
from hal9.holograph.model.graph import MixedGraph, acyclic_edges, reachable
from hal9.holograph.model.state import FloatArray

__all__ = [
    "Climbed",
    "Climber",
    "Fitted",
    "best_graph",
    "best_of_scores",
    "climb",
    "fitted_graph",
    "language_terms",
    "score_of",
]

_GAIN = 1e-4
"""Smallest gain in nats that is a move; below it lies rounding, which could send the climb in circles."""


_UNEXPECTED = 8.0
"""Nats against equal error variances beforehand: columns have units, and a few may agree by accident."""


_HELD = 1e7
"""Nats that keep a pair joined, or apart, while only directions are looked for."""


@dataclass(frozen=True, slots=True)
class Climbed:
    """A local optimum: adjacency [source, target] and its total score in nats."""

    adjacency: NDArray[np.bool_]
    total: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A graph with the score that found it, and the acyclic graph without hidden causes."""

    graph: MixedGraph
    scorer: LocalScore
    dag: Climbed


def score_of(table: Table) -> GaussianScore | DiscreteScore:
    """The score that suits a table's scale, with the edge odds expected before anything is known."""
    log_odds = edge_log_odds(len(table.names))
    return DiscreteScore(table, log_odds) if table.discrete else GaussianScore(table, log_odds)


def language_terms(belief: EdgePosterior) -> FloatArray:
    """Gain in nats, by the answers, of drawing source→target over nothing; [source, target]."""
    size = len(belief.names)
    terms = np.zeros((size, size))
    evidence = belief.evidence
    rarity = belief.confounding_log_odds()
    for column, (source, target) in enumerate(((belief.first, belief.second), (belief.second, belief.first))):
        best = np.maximum(evidence[:, column], evidence[:, 3] + rarity)
        terms[source, target] = best - evidence[:, 2]
    return terms


class Climber:
    """Keeps, per node, its local term and the terms after every single addition or removal of a parent."""

    def __init__(self, scorer: LocalScore, start: NDArray[np.bool_], language: FloatArray) -> None:
        self.scorer = scorer
        self.adjacency = start.copy()
        self.language = language
        size = start.shape[0]
        self.base = np.zeros(size)
        self.reach = reachable(self.adjacency)
        # toggled[p, i]: local term of i with the edge p→i toggled.
        self.toggled = np.zeros((size, size))
        for node in range(size):
            self._refresh(node)

    def _refresh(self, node: int) -> None:
        parents = self.adjacency[:, node].nonzero()[0]
        terms = self.scorer.additions(node, parents)
        self.base[node] = terms[node]
        self.toggled[:, node] = terms
        self.toggled[parents, node] = self.scorer.removals(node, parents)

    def total(self) -> float:
        """Score of the present graph."""
        return float(self.base.sum() + self.language[self.adjacency].sum())

    def best_move(self) -> tuple[float, str, int, int]:
        """The move that gains most: (gain, kind, source, target)."""
        gain = self.toggled - self.base[None, :]
        adjacency = self.adjacency
        adding = gain + self.language
        adding[adjacency | self.reach.T] = -np.inf
        removing = np.where(adjacency, gain - self.language, -np.inf)
        sources, targets = np.nonzero(adjacency)
        turning = np.full_like(gain, -np.inf)
        # An edge may be turned unless another of its source's edges leads to its target too.
        paths = (adjacency[sources] & self.reach[:, targets].T).sum(axis=1)
        sources, targets = sources[paths == 1], targets[paths == 1]
        turning[sources, targets] = (
            removing[sources, targets] + gain[targets, sources] + self.language[targets, sources]
        )
        best = (0.0, "stop", 0, 0)
        for kind, table in (("add", adding), ("remove", removing), ("turn", turning)):
            spot = int(np.argmax(table))
            value = float(table.flat[spot])
            if value > best[0] + _GAIN:
                source, target = divmod(spot, adjacency.shape[0])
                best = (value, kind, source, target)
        return best

    def apply(self, kind: str, source: int, target: int) -> None:
        """Make a move."""
        self.adjacency[source, target] = kind == "add"
        if kind == "turn":
            self.adjacency[target, source] = True
            self._refresh(source)
        self._refresh(target)
        if kind == "add":
            self.reach |= np.outer(self.reach[:, source], self.reach[target])
        else:
            self.reach = reachable(self.adjacency)

    def climb(self) -> Climbed:
        """Moves until none gains."""
        total = self.total()
        while True:
            gain, kind, source, target = self.best_move()
            if kind == "stop" or gain <= _GAIN:
                return Climbed(self.adjacency, total)
            before = self.adjacency.copy()
            self.apply(kind, source, target)
            reached = self.total()
            if reached <= total:
                # The promised gain was rounding, as happens among variables that determine each other.
                return Climbed(before, total)
            total = reached


def climb(
    scorer: LocalScore,
    size: int,
    *,
    language: FloatArray | None = None,
    starts: tuple[NDArray[np.bool_], ...] = (),
    restarts: int | None = None,
    seed: int = 0,
    orders: bool = True,
) -> Climbed:
    """The best local optimum from the empty graph, the given starts, and perturbations of the best so far.

    Args:
        scorer: data score.
        size: how many variables.
        language: gain per edge, shape (variables, variables), see `language_terms`.
        starts: further graphs to climb from.
        restarts: perturbations in a row without gain before it ends; by default fewer for more variables.
        seed: of the perturbations.
        orders: whether what is found is improved by moving variables in the causal order.
    """
    terms = np.zeros((size, size)) if language is None else language
    rng = np.random.default_rng(seed)
    known: Refits = {}

    def improved(found: Climbed) -> Climbed:
        if not orders:
            return found
        moved = improve_order(scorer, found.adjacency, terms, known=known)
        again = Climber(scorer, moved, terms).climb()
        return again if again.total > found.total + _GAIN else found

    best = Climber(scorer, np.zeros((size, size), dtype=bool), terms).climb()
    for start in starts:
        found = Climber(scorer, start, terms).climb()
        best = found if found.total > best.total + _GAIN else best
    best = improved(best)
    failures, most = 0, max(4, 240 // size) if restarts is None else restarts
    while failures < most:
        # Other members of the class are near; only what was shaken up needs its order sorted again.
        shaken = failures % 3 == 0
        start = shaken_graph(best.adjacency, rng) if shaken else equivalent_graph(best.adjacency, rng)
        found = Climber(scorer, start, terms).climb()
        found = improved(found) if shaken else found
        failures += 1
        if found.total > best.total + _GAIN:
            best, failures = found if shaken else improved(found), 0
    return best


def _equal_variance(
    scorer: GaussianScore, language: FloatArray, seed: int
) -> tuple[FixedVarianceScore, Climbed]:
    """A graph under equal error variances, roughly, and its score.

    Alternates the two steps of its likelihood: weights 1/σ² for all residual sums, then the common σ².
    """
    table, log_odds = scorer.table, scorer.log_odds
    size = len(table.names)
    seen = table.values[table.targets < 0]
    first = ordered_by_variance(seen if len(seen) > size else table.values)
    starts: tuple[NDArray[np.bool_], ...] = (first,)
    sigma = _mean_variance(scorer, first, np.mean)
    fixed = FixedVarianceScore(table, sigma, log_odds, scorer.moments)
    for _ in range(6):
        best = climb(fixed, size, language=language, starts=starts, restarts=3, seed=seed, orders=False)
        starts = (best.adjacency,)
        new = _mean_variance(scorer, best.adjacency, np.mean)
        if abs(new - sigma) < 1e-3 * sigma:
            break
        sigma = new
        fixed = FixedVarianceScore(table, sigma, log_odds, scorer.moments)
    return fixed, best


def _mean_variance(
    scorer: GaussianScore, adjacency: NDArray[np.bool_], mean: Callable[[list[float]], np.floating[Any]]
) -> float:
    """Of the errors that a graph leaves."""
    nodes = range(adjacency.shape[0])
    return float(mean([float(scorer.variances(i, np.flatnonzero(adjacency[:, i]))[i]) for i in nodes]))


def _equal_total(scorer: FixedVarianceScore, adjacency: NDArray[np.bool_], language: FloatArray) -> float:
    """Total under equal error variances on the scale of free ones."""
    rows, size, edges = float(scorer.table.effective), adjacency.shape[0], float(adjacency.sum())
    sigma = _mean_variance(scorer, adjacency, np.mean)
    fit = -0.5 * rows * size * np.log(sigma) - 0.5 * np.log(rows) * (edges + 1)
    return float(fit + scorer.log_odds * edges + language[adjacency].sum())


def best_of_scores(
    table: Table,
    *,
    language: FloatArray | None = None,
    starts: tuple[NDArray[np.bool_], ...] = (),
    restarts: int | None = None,
    seed: int = 0,
    equal_variances: bool = True,
    orders: bool = True,
) -> tuple[LocalScore, Climbed]:
    """The best graph under the score that explains the table better, free or equal error variances.

    Arguments are those of `climb` and `best_graph`, in the same shapes.
    """
    size = len(table.names)
    terms = np.zeros((size, size)) if language is None else language
    scorer: LocalScore = score_of(table)
    rough = climb(scorer, size, language=terms, starts=starts, restarts=3, seed=seed, orders=False)
    table = without_false_interventions(table, rough.adjacency, lambda t, k, p: score_of(t).local(k, p))
    if table is not scorer.table:
        scorer = score_of(table)
        rough = climb(scorer, size, language=terms, starts=starts, restarts=3, seed=seed, orders=False)
    if table.ordered and not table.discrete:
        alike = row_worth(table.values, rough.adjacency)
        table = replace(table, ordered=False, worth=table.worth * alike)
        if alike < 1.0:
            scorer = score_of(table)
            rough = climb(scorer, size, language=terms, starts=starts, restarts=3, seed=seed, orders=False)
    scorer = tuned(scorer, rough.adjacency)
    starts = (*starts, rough.adjacency)
    plain = table.discrete or table.linear or bool((table.targets >= 0).any())
    fitting = None if plain else diagnose(table, rough.adjacency).score
    if fitting is not None:
        best = climb(fitting, size, language=terms, starts=starts, restarts=2, seed=seed, orders=False)
        fitting = fitting.with_log_odds(edge_log_odds(size, float(best.adjacency.sum())))
        starts = (*starts, best.adjacency)
        most = 3 if restarts is None else restarts
        best = climb(fitting, size, language=terms, starts=starts, restarts=most, seed=seed, orders=orders)
        return fitting, _directed(fitting, best, terms) if fitting.shaped else best
    lead = -np.inf
    if equal_variances and isinstance(scorer, GaussianScore):
        fixed, equal = _equal_variance(scorer, terms, seed)
        lead = _equal_total(fixed, equal.adjacency, terms) - Climber(scorer, rough.adjacency, terms).total()
    # A search that goes deeper does not make up for a lead that is as large as this.
    far = 40.0 * size
    if lead > -far:
        near = (equal.adjacency,)
        equal = climb(fixed, size, language=terms, starts=near, restarts=3, seed=seed, orders=orders)
    if lead > far:
        return fixed, equal
    best = climb(scorer, size, language=terms, starts=starts, restarts=restarts, seed=seed, orders=orders)
    if lead > -far:
        total = _equal_total(fixed, equal.adjacency, terms)
        if total > best.total - 0.5 * np.log(table.effective) * size + _UNEXPECTED:
            return fixed, equal
    return scorer, best


def _directed(scorer: AdditiveScore, found: Climbed, language: FloatArray) -> Climbed:
    """The same joined pairs with their directions by fine measures of the noise's shape."""
    joined = found.adjacency | found.adjacency.T
    held = np.where(joined, _HELD, -_HELD)
    turned = Climber(scorer.for_directions(), found.adjacency, language + held).climb().adjacency
    return Climbed(turned, Climber(scorer, turned, language).total())


def fitted_graph(
    table: Table,
    belief: EdgePosterior | None = None,
    *,
    seed: int = 0,
    restarts: int | None = None,
    equal_variances: bool = True,
    start: NDArray[np.bool_] | None = None,
    orders: bool = True,
    hidden: bool = True,
) -> Fitted:
    """The most probable graph given a table and, when there is one, what was answered; and its score.

    Args:
        table: data.
        belief: posterior over the same variables in the same order; None uses the data alone.
        seed: of the restarts.
        restarts: perturbations in a row without gain before it ends; by default fewer for more variables.
        equal_variances: whether equal error variances are considered; pointless for standardised columns.
        start: a graph to start from as well, shape (variables, variables), [source, target].
        orders: whether causal orders are searched too; slower, and better where many edges depend on another.
        hidden: whether the likelihood of a table of numbers may show hidden causes; else only answers can.
    """
    size = len(table.names)
    language = np.zeros((size, size)) if belief is None else language_terms(belief)
    starts: tuple[NDArray[np.bool_], ...] = () if start is None else (start,)
    if belief is not None:
        spoken = [
            (float(language[i, j]), int(i), int(j)) for i, j in zip(*np.nonzero(language > 0), strict=True)
        ]
        starts = (*starts, acyclic_edges(size, spoken))
    scorer, best = best_of_scores(
        table,
        language=language,
        starts=starts,
        restarts=restarts,
        seed=seed,
        equal_variances=equal_variances,
        orders=orders,
    )
    table = scorer.table
    if not hidden or not isinstance(scorer, GaussianScore) or (table.targets >= 0).any():
        graph = _drawn(table.names, best.adjacency, belief)
    else:
        graph = _with_hidden_causes(table, best.adjacency, scorer, belief)
    return Fitted(graph, scorer, best)


def best_graph(table: Table, belief: EdgePosterior | None = None, **options: Any) -> MixedGraph:
    """The graph of `fitted_graph`, which takes the same options."""
    return fitted_graph(table, belief, **options).graph


def _with_hidden_causes(
    table: Table, found: NDArray[np.bool_], scorer: LocalScore, belief: EdgePosterior | None
) -> MixedGraph:
    """The graph with bidirected edges where table and answers together are better explained by them."""
    size = len(table.names)
    known = EdgePosterior(table.names) if belief is None else belief
    direct = np.full((size, size), scorer.log_odds)
    shared = direct + known.confounding_log_odds()
    first, second, gains = known.first, known.second, known.evidence - known.evidence[:, 2:3]
    bow = np.zeros((size, size))
    for column, (source, target) in enumerate(((first, second), (second, first))):
        direct[source, target] += gains[:, column]
        shared[source, target] += gains[:, 3]
        # An answer names one relation; where there are two it may be either.
        bow[source, target] = np.logaddexp(gains[:, column], gains[:, 3]) - np.log(2.0)
        bow[source, target] -= gains[:, column] + gains[:, 3]
    sample = np.asarray(np.corrcoef(table.values.T), dtype=np.float64)
    turns = not isinstance(scorer, FixedVarianceScore)
    search = MixedSearch(sample, scorer.table.effective, direct, shared, bow, turns)
    best = search.climb(found)
    rng = np.random.default_rng(size)
    # A member of the class may hide which edges are superfluous, by an arrow at the wrong end.
    for _ in range(min(4, 80 // size) if turns else 0):
        other = search.climb(equivalent_graph(found, rng))
        best = other if other.total > best.total + _GAIN else best
    told = (found | found.T) & (shared > np.maximum(direct, direct.T))
    if told.any():
        other = search.climb(found & ~told, told)
        best = other if other.total > best.total + _GAIN else best
    rows = [(int(a), int(b)) for a, b in np.argwhere(np.triu(best.both))]
    support = {frozenset((table.names[a], table.names[b])): search.support(best, a, b) for a, b in rows}
    graph = MixedGraph.from_adjacency(table.names, best.directed, support)
    return MixedGraph(graph.names, graph.directed, graph.bidirected, support=support)


def _drawn(names: tuple[str, ...], found: NDArray[np.bool_], belief: EdgePosterior | None) -> MixedGraph:
    """The graph, with adjacent pairs that the answers call confounded turned into bidirected edges."""
    adjacency = found.copy()
    bidirected: list[tuple[str, str]] = []
    if belief is not None:
        rarity = belief.confounding_log_odds()
        for row, (i, j) in enumerate(zip(belief.first, belief.second, strict=True)):
            direct = belief.evidence[row, 0] if adjacency[i, j] else belief.evidence[row, 1]
            if (adjacency[i, j] or adjacency[j, i]) and belief.evidence[row, 3] + rarity > direct:
                adjacency[i, j] = adjacency[j, i] = False
                bidirected.append((names[i], names[j]))
    return MixedGraph.from_adjacency(names, adjacency, bidirected)
