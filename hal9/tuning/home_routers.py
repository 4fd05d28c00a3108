"""The routers of a home's specialists, as the cluster's routing asks them."""

import json
from collections.abc import Sequence
from pathlib import Path

from hal9.errors.tuning import SpecialistRouterInvalid
from hal9.memory.embedding.protocol import Embedder
from hal9.tuning.router import SpecialistRouter, task_embedder
from hal9.tuning.tasks import TuningTask

__all__ = ["HomeRouters", "routers_folder"]


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

    def narrowed(self, candidates: Sequence[str], text: str) -> tuple[str, ...]:
        """The candidates without the specialists, and the general neuron, that a task is not for.

        Raises:
            SpecialistRouterInvalid: a router cannot be read; says which.
        """
        left = tuple(candidates)
        for neuron, router in self._routers():
            here = [name for name in router.names if name in left]
            if not here or not text:
                continue
            chosen = router.among([TuningTask(input=text, judge="-")], self._embedder, here)[0]
            left = tuple(name for name in left if name == chosen or name not in (neuron, *router.names))
        return left

    def _routers(self) -> list[tuple[str, SpecialistRouter]]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
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
                self._known[path] = (stamp, neuron, router)
            found.append(self._known[path][1:])
        return found
