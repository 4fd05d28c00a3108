"""Which of several specialists takes a new item: learned from which did better on items like it.

A ridge regression predicts every specialist's score from an item's features; the item goes to the one with
the highest prediction. How well that works is estimated by leaving items out in turn, and said beside the
best single specialist and a perfect router.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.belief.outcome import Outcome
from hal9.errors.belief import EvaluationIncomplete

__all__ = ["ItemRouter", "RouterQuality", "router_of"]

Array = NDArray[np.float64]
_FOLDS = 5
_RIDGES = (0.1, 1.0, 10.0)


@dataclass(frozen=True, slots=True)
class RouterQuality:
    """Mean scores on items left out: as routed, by the best single specialist, by a perfect router."""

    routed: float
    single: float
    perfect: float

    @property
    def worth_it(self) -> bool:
        """Whether routing beats the best single specialist."""
        return self.routed > self.single + 1e-9


@dataclass(frozen=True, slots=True)
class ItemRouter:
    """A fitted router.

    Attributes:
        names: of the specialists.
        weights: array of shape (features + 1, specialists); the last row is what holds without any feature.
        quality: on items left out.
    """

    names: tuple[str, ...]
    weights: Array
    quality: RouterQuality

    @classmethod
    def fit(cls, features: Array, scores: Mapping[str, Sequence[float]]) -> "ItemRouter":
        """Fit on what each specialist scored on each item.

        Args:
            features: array of shape (items, features).
            scores: by specialist, one score for each item.
        """
        names = tuple(scores)
        rows = _with_one(features)
        targets = np.array([scores[name] for name in names], dtype=np.float64).T
        tried = [(_left_out(rows, targets, ridge), ridge) for ridge in _RIDGES]
        routed, ridge = max(tried, key=lambda one: (round(one[0], 12), -one[1]))
        quality = RouterQuality(routed, float(targets.mean(axis=0).max()), float(targets.max(axis=1).mean()))
        return cls(names, _solve(rows, targets, ridge), quality)

    def route(self, features: Array, among: Sequence[str] | None = None) -> list[str]:
        """The specialist for each item, of shape (items, features); `among` some of them only."""
        names = self.names if among is None else tuple(among)
        places = [self.names.index(name) for name in names]
        predicted = (_with_one(features) @ self.weights)[:, places]
        return [names[int(index)] for index in predicted.argmax(axis=1)]


def router_of(outcome: Outcome[Any], features: Mapping[str, Sequence[float]]) -> ItemRouter:
    """A router for a population's living nodes: new items go to the node that answers for those like them.

    Args:
        outcome: of the run.
        features: of each of its items.

    Raises:
        EvaluationIncomplete: an item that a node answers for has no features.
    """
    items = [item for node in outcome.standings for item in node.niche]
    missing = tuple(item for item in items if item not in features)
    if missing:
        raise EvaluationIncomplete(items=missing)
    rows = np.array([features[item] for item in items], dtype=np.float64)
    scores = {
        node.node: [float(item in node.niche) for item in items] for node in outcome.standings if node.niche
    }
    return ItemRouter.fit(rows, scores)


def _with_one(features: Array) -> Array:
    return np.hstack([features, np.ones((len(features), 1))])


def _solve(features: Array, targets: Array, ridge: float) -> Array:
    penalty = ridge * np.eye(features.shape[1])
    penalty[-1, -1] = 1e-9
    return np.asarray(np.linalg.solve(features.T @ features + penalty, features.T @ targets))


def _left_out(features: Array, targets: Array, ridge: float) -> float:
    """Mean score as routed, each item routed by a router that has not seen it."""
    count = len(features)
    folds = min(_FOLDS, count)
    # Folds are drawn and not dealt in turn: the items' order may have a period of its own.
    fold_of = np.random.default_rng(0).permutation(count) % folds
    total = 0.0
    for fold in range(folds):
        held = fold_of == fold
        predicted = features[held] @ _solve(features[~held], targets[~held], ridge)
        total += float(targets[held][np.arange(held.sum()), predicted.argmax(axis=1)].sum())
    return total / count
