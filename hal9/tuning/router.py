"""Which specialist takes a task: learned from which one did better on tasks like it.

Features are an embedding of the task's text and one indicator for each of its fields (see `ItemRouter`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.belief import ItemRouter, RouterQuality
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.embedding.protocol import Embedder
from hal9.tuning.tasks import TuningTask

__all__ = ["SpecialistRouter", "task_embedder", "task_features"]

Array = NDArray[np.float64]


def task_embedder() -> Embedder:
    """What tasks are told apart by: hashed words and their parts, the same on every machine."""
    return HashingEmbedder(512)


@dataclass(frozen=True, slots=True)
class SpecialistRouter:
    """A fitted router.

    Attributes:
        router: over features.
        fields: "name=value" of every known field, in the order of their columns.
        model_id: the embedder it was fitted with.
    """

    router: ItemRouter
    fields: tuple[str, ...]
    model_id: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the specialists."""
        return self.router.names

    @property
    def quality(self) -> RouterQuality:
        """On tasks left out."""
        return self.router.quality

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
        fields = tuple(sorted({f"{k}={v}" for task in tasks for k, v in task.fields.items()}))
        router = ItemRouter.fit(task_features(tasks, fields, embedder), scores)
        return cls(router, fields, embedder.model_id)

    def route(self, tasks: Sequence[TuningTask], embedder: Embedder) -> list[str]:
        """The specialist for each task."""
        return self.among(tasks, embedder, self.names)

    def among(self, tasks: Sequence[TuningTask], embedder: Embedder, names: Sequence[str]) -> list[str]:
        """The specialist for each task, among some of them."""
        return self.router.route(task_features(tasks, self.fields, embedder), names)

    def named(self, names: Sequence[str]) -> "SpecialistRouter":
        """The same under other names."""
        return replace(self, router=replace(self.router, names=tuple(names)))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "names": list(self.names),
            "weights": self.router.weights.tolist(),
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
        router = ItemRouter(names, weights, RouterQuality(*found["quality"]))
        return cls(router, fields, str(found["model_id"]))


def task_features(tasks: Sequence[TuningTask], fields: Sequence[str], embedder: Embedder) -> Array:
    """Array of shape (n, dimension + fields)."""
    text = np.asarray(embedder.embed([task.input for task in tasks]), dtype=np.float64)
    known = [{f"{k}={v}" for k, v in task.fields.items()} for task in tasks]
    told = np.array([[float(name in one) for name in fields] for one in known]).reshape(
        len(tasks), len(fields)
    )
    return np.hstack([text, told])
