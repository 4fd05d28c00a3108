"""How sure a table makes each edge of its graph: whether two variables are joined, and which way.

A score's lead over the best graph without the edge, or with it turned, overstates what is known: models are
never quite right, and the best of many graphs was looked for. Leads are therefore turned into probabilities
by curves fitted to graphs found in simulated tables of each family (`benchmarks/holograph/reliability`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hal9.holograph.data.additive_score import AdditiveScore
from hal9.holograph.data.dag_search import Climbed
from hal9.holograph.data.lead_curves import CURVES, JOINED_AT, TURNED_AT, log_odds
from hal9.holograph.data.pair_evidence import data_evidence
from hal9.holograph.data.scores import DiscreteScore, FixedVarianceScore, LocalScore
from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = ["DECIDED", "EdgeLeads", "edge_leads", "family_of", "probabilities"]

DECIDED = 0.75
"""Probability of a direction, given that two variables are joined, below which it is drawn as undecided."""

_HELD, _REFUTED = 3.0, 9.0
"""Nats by which the noise's size depends on a cause: up to the first a model holds, from the second not."""


@dataclass(frozen=True, slots=True)
class EdgeLeads:
    """Leads in nats, [source, target].

    Attributes:
        joined: of the better direction over no edge, after the edge's cost; symmetric.
        turned: of this direction over the other; antisymmetric.
        family: of the score.
        category: whether one of the two is a category among numbers, symmetric; None where there are none.
    """

    joined: FloatArray
    turned: FloatArray
    family: str
    category: NDArray[np.bool_] | None = None

    def curve(self, source: int, target: int) -> str:
        """The name of the curve that a pair's leads are read by."""
        apart = self.category is not None and bool(self.category[source, target])
        return f"{self.family}, a category" if apart else self.family


def family_of(scorer: LocalScore) -> str:
    """Which curve a score's leads are read by."""
    if isinstance(scorer, DiscreteScore):
        return "categories"
    if isinstance(scorer, AdditiveScore):
        if any(scorer.table.categories()):
            return "mixed"
        return "curved" if scorer.features.curved else "shaped" if scorer.shaped else "linear"
    return "equal variances" if isinstance(scorer, FixedVarianceScore) else "linear"


def edge_leads(table: Table, scorer: LocalScore, found: Climbed, *, seed: int = 0) -> EdgeLeads:
    """Leads of every pair, with the rest of the graph as favourable to each relation as can be."""
    size = len(table.names)
    evidence = data_evidence(table, (scorer, found), ceiling=1e4, seed=seed)
    first, second = np.triu_indices(size, 1)
    joined, turned = np.zeros((size, size)), np.zeros((size, size))
    lead = evidence[:, :2].max(axis=1) - evidence[:, 2] + scorer.log_odds
    joined[first, second] = joined[second, first] = lead
    if isinstance(scorer, AdditiveScore) and scorer.shaped:
        evidence = data_evidence(table, (scorer.for_directions(), found), ceiling=1e4, seed=seed)
    turned[first, second] = evidence[:, 0] - evidence[:, 1]
    turned[second, first] = -turned[first, second]
    if isinstance(scorer, AdditiveScore):
        turned *= _trusted(scorer, found.adjacency, turned)
    family, apart = family_of(scorer), None
    if family == "mixed":
        kinds = np.array(table.categories())
        apart = kinds[:, None] | kinds[None, :]
    return EdgeLeads(joined, turned, family, apart)


def _trusted(scorer: AdditiveScore, adjacency: NDArray[np.bool_], turned: FloatArray) -> FloatArray:
    """How much of each edge's lead of a direction counts, shape (n, n), symmetric.

    Such a lead rests on noise that does not know its causes. Where its size depends on the cause even in the
    better direction, the model is wrong for that pair. Where one number has a density and the other (counts,
    many zeros) has not, the shapes of what is left over are no fair comparison.
    """
    share = np.ones_like(turned)
    dense, categories = scorer.features.graded, scorer.table.categories()
    for a, b in np.argwhere(adjacency):
        if dense[a] != dense[b] and not (categories[a] or categories[b]):
            share[a, b] = share[b, a] = 0.0
            continue
        cause, effect = (int(a), int(b)) if turned[a, b] >= 0 else (int(b), int(a))
        if categories[effect]:
            continue
        parents = {int(k) for k in np.flatnonzero(adjacency[:, effect])} | {cause}
        nats = scorer.spread_by(effect, tuple(sorted(parents)), cause)
        share[a, b] = share[b, a] = np.clip((_REFUTED - nats) / (_REFUTED - _HELD), 0.0, 1.0)
    return share


def probabilities(leads: EdgeLeads) -> tuple[FloatArray, FloatArray]:
    """Probability that two variables are joined, and of each direction if they are; [source, target]."""
    joined, directed = _by_curve(leads, leads.family)
    if leads.category is not None:
        apart = _by_curve(leads, f"{leads.family}, a category")
        joined, directed = (
            np.where(leads.category, other, own) for own, other in zip((joined, directed), apart, strict=True)
        )
    return joined, directed


def _by_curve(leads: EdgeLeads, name: str) -> tuple[FloatArray, FloatArray]:
    edge, direction = CURVES[name]
    turned = np.sign(leads.turned) * log_odds(np.abs(leads.turned), TURNED_AT, direction)
    return expit(log_odds(leads.joined, JOINED_AT, edge)), expit(turned)
