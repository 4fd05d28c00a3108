"""Which kind of model a table asks for: straight or curved effects, Gaussian or other noise, categories.

A linear Gaussian score is right for linear Gaussian tables and silently wrong elsewhere, so a first graph is
looked at: where polynomials explain a node better by more than they cost, effects are curved; where what is
left over is far from Gaussian, its shape tells directions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.additive_score import AdditiveScore, Features
from hal9.holograph.data.noise_shape import departure_from_gaussian
from hal9.holograph.data.scores import edge_log_odds
from hal9.holograph.data.table import Table

__all__ = ["Diagnosis", "diagnose"]

_CURVED = 5.0
"""Nats by which curves have to explain the table better than straight lines, after paying for themselves."""
_PER_NODE, _AT_LEAST = 3.5, 15.0
"""Nats of negentropy, per number and in all, that Gaussian noise may show by chance."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a table's effects and noise are like.

    Attributes:
        curved: per variable, nats gained by curves over straight lines after their cost.
        shaped: per variable, nats of negentropy of what is left over.
        score: the score that fits, None where a linear Gaussian or a categorical one does.
    """

    curved: tuple[float, ...]
    shaped: tuple[float, ...]
    score: AdditiveScore | None

    @property
    def family(self) -> str:
        """The kind of model in words."""
        if self.score is None:
            return "linear effects, Gaussian noise"
        numbers = not all(self.score.table.categories())
        mixed = any(self.score.table.categories())
        effects = "curved effects" if self.score.features.curved else "linear effects"
        noise = "noise that is not Gaussian" if self.score.shaped else "Gaussian noise"
        words = f"{effects}, {noise}" if numbers else "categories"
        return f"numbers and categories, {words}" if mixed and numbers else words


def diagnose(table: Table, adjacency: NDArray[np.bool_]) -> Diagnosis:
    """Look at what a first graph leaves unexplained.

    `adjacency` has shape (variables, variables).

    Args:
        table: data, observed rows only or all of one kind.
        adjacency: the graph, [source, target].
    """
    size = len(table.names)
    categories = table.categories()
    log_odds = edge_log_odds(size, float(adjacency.sum()))
    straight = AdditiveScore(table, log_odds, features=Features.of(table, curved=False), shaped=False)
    bent = AdditiveScore(table, log_odds, features=Features.of(table, curved=True), shaped=False)
    parents = [np.flatnonzero(adjacency[:, node]).astype(np.intp) for node in range(size)]
    gains = []
    for node in range(size):
        gain = 0.0
        if not categories[node] and parents[node].size:
            # Each edge by itself too: a node may have one curved parent among straight ones.
            gain = bent.local(node, parents[node]) - straight.local(node, parents[node])
            for parent in parents[node]:
                alone = np.array([parent], dtype=np.intp)
                gain = max(gain, bent.local(node, alone) - straight.local(node, alone))
        gains.append(gain)
    curved = sum(max(0.0, gain - 1.0) for gain in gains) > _CURVED
    fitting = bent if curved else straight
    graded = fitting.features.graded
    shapes = [
        table.effective * departure_from_gaussian(fitting.left_over(node, tuple(parents[node].tolist())))
        if graded[node]
        else 0.0
        for node in range(size)
    ]
    numbers = int(graded.sum())
    shaped = sum(shapes) > _PER_NODE * numbers + _AT_LEAST
    score = None
    if curved or shaped or any(categories):
        score = AdditiveScore(
            table, log_odds, features=fitting.features, shaped=shaped, moments=fitting.moments
        )
    return Diagnosis(tuple(gains), tuple(shapes), score)
