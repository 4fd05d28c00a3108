"""Which specialist takes a task: learned from which one did better on tasks like it.

Features are an embedding of the task's text and one indicator for each of its fields. A ridge regression
predicts every specialist's score; the task goes to the one with the highest prediction. How well that works
is estimated by leaving tasks out in turn, and said beside the best single specialist and a perfect router.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.embedding.protocol import Embedder
from hal9.tuning.tasks import TuningTask

__all__ = ["RouterQuality", "SpecialistRouter", "task_embedder", "task_features"]

Array = NDArray[np.float64]
_FOLDS = 5
_RIDGES = (0.1, 1.0, 10.0)


def task_embedder() -> Embedder:
    """What tasks are told apart by: hashed words and their parts, the same on every machine."""
    return HashingEmbedder(512)


@dataclass(frozen=True, slots=True)
class RouterQuality:
    """Mean scores on tasks left out: as routed, by the best single specialist, by a perfect router."""

    routed: float
    single: float
    perfect: float

    @property
    def worth_it(self) -> bool:
        """Whether routing beats the best single specialist."""
        return self.routed > self.single + 1e-9


@dataclass(frozen=True, slots=True)
class SpecialistRouter:
    """A fitted router.

    Attributes:
        names: of the specialists.
        weights: array of shape (features + 1, specialists).
        fields: "name=value" of every known field, in the order of their columns.
        model_id: the embedder it was fitted with.
        quality: on tasks left out.
    """

    names: tuple[str, ...]
    weights: Array
    fields: tuple[str, ...]
    model_id: str
    quality: RouterQuality

    @classmethod
    def fit(
        cls,
        tasks: Sequence[TuningTask],
        scores: Mapping[str, Sequence[float]],
        embedder: Embedder,
    ) -> "SpecialistRouter":
        """Fit on what each specialist scored on each task.

        Args:
            tasks: n of them.
            scores: by specialist, n scores in the tasks' order.
            embedder: for the tasks' texts.
        """
        names = tuple(scores)
        fields = tuple(sorted({f"{k}={v}" for task in tasks for k, v in task.fields.items()}))
        features = task_features(tasks, fields, embedder)
        targets = np.array([scores[name] for name in names], dtype=np.float64).T
        best: tuple[float, float] | None = None
        for ridge in _RIDGES:
            routed = _left_out(features, targets, ridge)
            if best is None or routed > best[0] + 1e-12:
                best = (routed, ridge)
        assert best is not None  # noqa: S101 - there are ridges
        quality = RouterQuality(best[0], float(targets.mean(axis=0).max()), float(targets.max(axis=1).mean()))
        return cls(names, _solve(features, targets, best[1]), fields, embedder.model_id, quality)

    def route(self, tasks: Sequence[TuningTask], embedder: Embedder) -> list[str]:
        """The specialist for each task."""
        return self.among(tasks, embedder, self.names)

    def among(self, tasks: Sequence[TuningTask], embedder: Embedder, names: Sequence[str]) -> list[str]:
        """The specialist for each task, among some of them."""
        places = [self.names.index(name) for name in names]
        predicted = (task_features(tasks, self.fields, embedder) @ self.weights)[:, places]
        return [names[int(index)] for index in predicted.argmax(axis=1)]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "names": list(self.names),
            "weights": self.weights.tolist(),
            "fields": list(self.fields),
            "model_id": self.model_id,
            "quality": [self.quality.routed, self.quality.single, self.quality.perfect],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "SpecialistRouter":
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it is no router.
        """
        weights = np.array(found["weights"], dtype=np.float64)
        names = tuple(str(name) for name in found["names"])
        if weights.ndim != 2 or weights.shape[1] != len(names):
            raise ValueError(f"weights of shape {weights.shape} for {len(names)} specialists")
        fields = tuple(str(name) for name in found["fields"])
        return cls(names, weights, fields, str(found["model_id"]), RouterQuality(*found["quality"]))


def task_features(tasks: Sequence[TuningTask], fields: Sequence[str], embedder: Embedder) -> Array:
    """Array of shape (n, dimension + fields + 1); the last column is 1."""
    text = np.asarray(embedder.embed([task.input for task in tasks]), dtype=np.float64)
    known = [{f"{k}={v}" for k, v in task.fields.items()} for task in tasks]
    told = np.array([[float(name in one) for name in fields] for one in known]).reshape(
        len(tasks), len(fields)
    )
    return np.hstack([text, told, np.ones((len(tasks), 1))])


def _solve(features: Array, targets: Array, ridge: float) -> Array:
    penalty = ridge * np.eye(features.shape[1])
    penalty[-1, -1] = 1e-9
    return np.asarray(np.linalg.solve(features.T @ features + penalty, features.T @ targets))


def _left_out(features: Array, targets: Array, ridge: float) -> float:
    """Mean score as routed, each task routed by a router that has not seen it."""
    count = len(features)
    total = 0.0
    for fold in range(min(_FOLDS, count)):
        held = np.arange(count) % min(_FOLDS, count) == fold
        predicted = features[held] @ _solve(features[~held], targets[~held], ridge)
        total += float(targets[held][np.arange(held.sum()), predicted.argmax(axis=1)].sum())
    return total / count
