"""Which specialist takes a task, learned from which one did better on tasks like it; the routers of a home.

Features are an embedding of the task's text and one indicator for each of its fields (see `ItemRouter`).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.belief import ItemRouter, RouterQuality
from hal9.errors.tuning import SpecialistRouterInvalid
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.embedding.protocol import Embedder
from hal9.tuning.tasks import TuningTask

__all__ = ["HomeRouters", "SpecialistRouter", "routers_folder", "task_embedder", "task_features"]

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


def routers_folder(state: Path) -> Path:
    """Where a home's routers lie, one file for each neuron that has specialists."""
    return state / "specialists"


class HomeRouters:
    """The routers of a home, read again when a file changes.

    Args:
        folder: see `routers_folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[int, str, SpecialistRouter]] = {}
        self._embedder: Embedder = task_embedder()

    def families(self, candidates: Sequence[str], text: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """The candidates with each specialist replaced by its neuron; by such a neuron, the one for the task.

        Raises:
            SpecialistRouterInvalid: a router cannot be read; says which.
        """
        among, chosen = tuple(candidates), dict[str, str]()
        for neuron, router in self._routers():
            here = [name for name in router.names if name in among]
            if here and text:
                task = TuningTask(input=text, judge="-")
                chosen[neuron] = router.among([task], self._embedder, here)[0]
                among = tuple(dict.fromkeys(neuron if name in here else name for name in among))
        return among, chosen

    def owners(self) -> dict[str, str]:
        """By specialist: the neuron whose tasks it takes.

        Raises:
            SpecialistRouterInvalid: as `families`.
        """
        return {name: neuron for neuron, router in self._routers() for name in router.names}

    def _routers(self) -> list[tuple[str, SpecialistRouter]]:
        found = []
        try:
            names = [one.name for one in os.scandir(self._folder)]  # for every choice: must cost little
        except FileNotFoundError:
            return []
        for path in (self._folder / name for name in sorted(names) if name.endswith(".json")):
            stamp = path.stat().st_mtime_ns
            if path not in self._known or self._known[path][0] != stamp:
                try:
                    told = json.loads(path.read_text(encoding="utf-8"))
                    router = SpecialistRouter.from_json(told)
                    neuron = str(told["neuron"])
                except (OSError, ValueError, KeyError, TypeError) as error:
                    raise SpecialistRouterInvalid(path=str(path), detail=repr(error)) from error
                if router.model_id != self._embedder.model_id:
                    detail = f"it was made with {router.model_id}, this version has {self._embedder.model_id}"
                    raise SpecialistRouterInvalid(path=str(path), detail=detail)
                rows = len(self._embedder.embed(["-"])[0]) + len(router.fields) + 1
                if len(router.router.weights) != rows:
                    detail = f"it has weights for {len(router.router.weights)} features, not {rows}"
                    raise SpecialistRouterInvalid(path=str(path), detail=detail)
                self._known[path] = (stamp, neuron, router)
            found.append(self._known[path][1:])
        return found
