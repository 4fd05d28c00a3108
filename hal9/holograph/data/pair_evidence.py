"""What a table says about single pairs of variables, for the belief that questions are planned on."""

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.dag_search import Climbed, Climber, best_of_scores
from hal9.holograph.data.perturbations import equivalent_graph
from hal9.holograph.data.scores import LocalScore, score_equivalent
from hal9.holograph.data.table import Table
from hal9.holograph.model.graph import equivalence_class
from hal9.holograph.model.state import FloatArray

__all__ = ["data_evidence"]


def data_evidence(
    table: Table,
    best: tuple[LocalScore, Climbed] | None = None,
    *,
    ceiling: float = 6.0,
    members: int = 24,
    seed: int = 0,
) -> FloatArray:
    """Log-likelihood of every relation of every pair, with the rest of the graph as favourable as can be.

    Each relation gets the best total among graphs that differ in that pair alone from a member of the best
    graph's equivalence class. A single member would not do: in a ← b → c each edge may be turned, but b ← c
    forbids turning the other, so that one member would speak for a direction which the class leaves open.

    Args:
        table: data.
        best: its best graph with the score that found it; searched for when not given.
        ceiling: how far a relation may fall behind the best, so that language can still outweigh
            what a misspecified score is sure of.
        members: how many members of the class are looked at.
        seed: of their choice.

    Returns:
        Shape (pairs, 4), best relation 0. Directions that data cannot tell apart get the same value.
    """
    scorer, found = best_of_scores(table, seed=seed) if best is None else best
    rng = np.random.default_rng(seed)
    member = found.adjacency
    evidence = _single_changes(scorer, member)
    for _ in range(members - 1):
        member = equivalent_graph(member, rng)
        evidence = np.maximum(evidence, _single_changes(scorer, member))
    if (table.targets < 0).all() and score_equivalent(scorer):
        # A class may have more members than were looked at; which edges it leaves open is known exactly.
        either = equivalence_class(found.adjacency)
        first, second = np.triu_indices(len(table.names), 1)
        turnable = (either & either.T)[first, second]
        evidence[turnable, :2] = evidence[turnable].max(axis=1, keepdims=True)
    return np.asarray(np.maximum(evidence - evidence.max(axis=1, keepdims=True), -ceiling))


def _single_changes(scorer: LocalScore, adjacency: NDArray[np.bool_]) -> FloatArray:
    """Total score of a graph with each pair set to each relation; a confounded pair scores as an edge."""
    size = adjacency.shape[0]
    climber = Climber(scorer, adjacency, np.zeros((size, size)))
    change = climber.toggled - climber.base[None, :]
    first, second = np.triu_indices(size, 1)
    # gain[i, j]: what the edge i→j adds to j's term, whether it is drawn or not.
    gain = np.where(adjacency, -change, change)
    drawn = np.where(adjacency, gain, 0.0)
    alone = climber.total() - drawn[first, second] - drawn[second, first]
    # The belief has a prior of its own for edges; it must not count twice.
    forward = alone + gain[first, second] - scorer.log_odds
    backward = alone + gain[second, first] - scorer.log_odds
    # With a path the other way the graph would have a cycle, whose score means nothing.
    round_about = _reach_besides(adjacency)
    forward[round_about[second, first]] = -np.inf
    backward[round_about[first, second]] = -np.inf
    return np.stack([forward, backward, alone, np.maximum(forward, backward)], axis=1)


def _reach_besides(adjacency: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a path of two or more edges leads from row to column."""
    size = adjacency.shape[0]
    step = adjacency.astype(np.float64)
    reach = step
    for _ in range(int(np.ceil(np.log2(max(2, size))))):
        reach = np.minimum(reach + reach @ reach, 1.0)
    return np.asarray(step @ reach > 0)
