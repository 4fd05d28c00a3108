"""Where tasks want different things of one prompt: which prompt a task is nearest to, and specialists.

Prompts that are each better on some tasks and cannot be joined become specialists when a router, which sees
nothing but a task's text and fields, sends left-out tasks to the right one so well that they do better
together than the best of them alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hal9.memory.embedding.protocol import Embedder
from hal9.tuning.candidates import Candidate
from hal9.tuning.router import SpecialistRouter, task_embedder, task_features
from hal9.tuning.tasks import TuningTask

__all__ = ["Niches", "Specialists", "find_specialists"]

_NEAREST = 3
_MOST = 4
_LEAST_GAIN = 0.04
"""What one more specialist must add per task, were every task sent to the right one."""
_LEAST_TASKS = 2


class Niches:
    """How far tasks are from what each prompt is good at.

    Args:
        tasks: by name.
        pool: the prompts.
    """

    def __init__(self, tasks: Mapping[str, TuningTask], pool: Sequence[Candidate]) -> None:
        names = list(tasks)
        self._place = {name: number for number, name in enumerate(names)}
        fields = sorted({f"{k}={v}" for task in tasks.values() for k, v in task.fields.items()})
        features = task_features(list(tasks.values()), fields, task_embedder())
        # Words that all tasks share say nothing about which is which.
        centred = features - features.mean(axis=0)
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        unit = centred / np.where(norms > 0, norms, 1.0)
        self._alike = unit @ unit.T
        scores = np.array([[one.estimate(name) for name in names] for one in pool])
        known = np.array([[one.measured(name) for name in names] for one in pool])
        best, worst = scores.max(axis=0), scores.min(axis=0)
        self._pool = [one.number for one in pool]
        self._solves = scores >= 1.0
        # What tells prompts apart: tasks that this one solves, and another was seen to fail.
        self._own = (scores >= best - 1e-9) & (best > worst + 1e-9) & known

    def distance(self, candidate: Candidate, task: str) -> int:
        """0: the task is this prompt's to learn, 1: it is nearer to another prompt, 2: another solves it."""
        place, own = self._place[task], self._pool.index(candidate.number)
        if self._solves[:, place].any() and not self._solves[own, place]:
            return 2
        near = [self._nearness(number, place) for number in range(len(self._pool))]
        return int(near[own] < max(near) - 1e-9)

    def _nearness(self, number: int, place: int) -> float:
        alike = np.sort(self._alike[place][self._own[number]])[::-1][:_NEAREST]
        return float(alike.mean()) if len(alike) else -1.0


@dataclass(frozen=True, slots=True)
class Specialists:
    """Prompts that share the tasks between them.

    Attributes:
        candidates: the prompts.
        router: from a task to one of them; its names are "0", "1", … in their order.
    """

    candidates: tuple[Candidate, ...]
    router: SpecialistRouter
    embedder: Embedder = field(default_factory=task_embedder)

    def assigned(self, tasks: Sequence[TuningTask]) -> list[int]:
        """The number of the specialist for each task."""
        return [int(name) for name in self.router.route(tasks, self.embedder)]

    def told(self) -> str:
        """In a sentence."""
        quality = self.router.quality
        return (
            f"{len(self.candidates)} specialists: {quality.routed:.3f} as routed on tasks left out, "
            f"{quality.single:.3f} by the best of them alone, {quality.perfect:.3f} with a perfect router"
        )


class _Search(Protocol):
    tasks: dict[str, TuningTask]
    pool: list[Candidate]

    @property
    def names(self) -> list[str]: ...

    def left(self, *, reserve: float = 0.0) -> int: ...

    async def measure(self, candidate: Candidate, names: Sequence[str], *, again: bool = False) -> bool: ...


async def find_specialists(search: _Search, winner: Candidate) -> Specialists | None:
    """The specialists among a search's prompts; None where one prompt does as well.

    Raises:
        MindError, LimitError, WorkbenchError: what was answered so far is kept.
    """
    if not any(one.trades for one in search.pool):
        return None
    names = search.names
    chosen = _complementary([winner, *(one for one in search.pool if one is not winner)], names)
    if len(chosen) < 2:
        return None
    for one in chosen:
        # Estimates that were handed down from a parent would teach the router a prompt's past.
        if not await search.measure(one, names):
            return None
    chosen = _complementary(chosen, names)
    if len(chosen) < 2:
        return None
    scores = {str(number): [one.estimate(name) for name in names] for number, one in enumerate(chosen)}
    router = SpecialistRouter.fit([search.tasks[name] for name in names], scores, task_embedder())
    if router.quality.routed < router.quality.single + _LEAST_GAIN / 2:
        return None
    return Specialists(tuple(chosen), router)


def _complementary(pool: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """The prompt that is best alone, and those that add most to it, one after the other."""
    scores: NDArray[np.float64] = np.array([[one.estimate(name) for name in names] for one in pool])
    chosen = [int(scores.mean(axis=1).argmax())]
    while len(chosen) < _MOST:
        reached = scores[chosen].max(axis=0)
        gains = np.maximum(scores - reached, 0.0)
        number = int(gains.mean(axis=1).argmax())
        if gains[number].mean() < _LEAST_GAIN or (gains[number] > 1e-9).sum() < _LEAST_TASKS:
            break
        chosen.append(number)
    # One that the others made superfluous goes.
    for number in list(chosen):
        rest = [other for other in chosen if other != number]
        if rest and (scores[chosen].max(axis=0) - scores[rest].max(axis=0)).mean() < _LEAST_GAIN:
            chosen = rest
    return [pool[number] for number in chosen]
