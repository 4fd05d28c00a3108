"""What HAL9 is measured against: the plainest guard, and memories that keep an error's text and what followed it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hal9.ingest import Run
from hal9.learning.runs.remedies import Typed, actions_of
from hal9.learning.runs.run_miner import StepReading
from hal9.memory.embedding.hashing import HashingEmbedder

__all__ = ["AllRules", "ExactText", "GuardBaseline", "PlainGuard", "RemedyBaseline", "SimilarRules"]


class GuardBaseline(Protocol):
    """Fires before a step or not."""

    def fires(self, repo: str, reading: StepReading) -> bool:
        """Whether the step would be stopped; nothing of its outcome may be used."""
        ...

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        """A run is over."""
        ...


class RemedyBaseline(Protocol):
    """Names what to do after an error, and what to know before the first step."""

    def remedies(self, run: Run, reading: StepReading) -> list[Typed]:
        """All remedies shown."""
        ...

    def advice(self, run: Run) -> list[str]:
        """Signatures of errors of which the memory speaks before the first step."""
        ...

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        """A run is over."""
        ...


class PlainGuard:
    """Program and module that failed in at least two earlier runs of the repository and in 80% of their uses."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def fires(self, repo: str, reading: StepReading) -> bool:
        key = _program(reading)
        failed, uses, runs = self._uses[repo, key] if key else (0, 0, 0)
        return runs >= 2 and failed >= 0.8 * uses

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        seen = set()
        for reading in readings:
            key = _program(reading)
            if not key or reading.step.exit_code is None:
                continue
            known = self._uses[run.repo, key]
            known[1] += 1
            if reading.failure is not None:
                known[0] += 1
                known[2] += int(key not in seen)
                seen.add(key)


def _program(reading: StepReading) -> str:
    found = actions_of(reading.step.command, all_programs=True)
    return found[0].program if found else ""


class ExactText:
    """The error's exact text, with the command that succeeded next."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], Counter[Typed]] = defaultdict(Counter)

    def remedies(self, run: Run, reading: StepReading) -> list[Typed]:
        known = self._next.get((run.repo, reading.failure.line if reading.failure else ""))
        return [known.most_common(1)[0][0]] if known else []

    def advice(self, run: Run) -> list[str]:
        return []

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        for failure, action in _followed(readings):
            if failure.failure is not None:
                self._next[run.repo, failure.failure.line][action] += 1


class AllRules:
    """Everything that was ever noted for the repository is shown, always: one note per error signature."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Typed]] = defaultdict(dict)

    def remedies(self, run: Run, reading: StepReading) -> list[Typed]:
        return list(dict.fromkeys(self._known[run.repo].values()))

    def advice(self, run: Run) -> list[str]:
        return list(self._known[run.repo])

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        for failure, action in _followed(readings):
            if failure.failure is not None:
                self._known[run.repo].setdefault(failure.failure.signature, action)


class SimilarRules:
    """The `limit` notes of the repository that are most similar to the error (or to the task, at its start)."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._notes: dict[str, list[tuple[str, Typed]]] = defaultdict(list)
        self._vectors: dict[str, list[np.ndarray]] = defaultdict(list)
        self._embedder = HashingEmbedder()

    def remedies(self, run: Run, reading: StepReading) -> list[Typed]:
        if reading.failure is None:
            return []
        near = self._near(run.repo, f"{reading.step.command[:300]} {reading.failure.line}")
        return list(dict.fromkeys(action for _, action in near))[:1]

    def advice(self, run: Run) -> list[str]:
        return [signature for signature, _ in self._near(run.repo, run.task[:2000])]

    def learn(self, run: Run, readings: Sequence[StepReading]) -> None:
        for failure, action in _followed(readings):
            if failure.failure is not None:
                text = f"{failure.step.command[:300]} {failure.failure.line}"
                self._notes[run.repo].append((failure.failure.signature, action))
                self._vectors[run.repo].append(self._embedder.embed([text])[0])

    def _near(self, repo: str, text: str) -> list[tuple[str, Typed]]:
        if not self._notes[repo]:
            return []
        similar = np.stack(self._vectors[repo]) @ self._embedder.embed([text])[0]
        return [self._notes[repo][index] for index in np.argsort(-similar)[: self._limit]]


def _followed(readings: Sequence[StepReading]) -> list[tuple[StepReading, Typed]]:
    """Each failure with the next command that succeeded."""
    found = []
    for number, reading in enumerate(readings):
        if reading.failure is None:
            continue
        for later in readings[number + 1 :]:
            actions = actions_of(later.step.command)
            if later.step.exit_code == 0 and later.step.executed and actions:
                found.append((reading, actions[-1]))
                break
    return found
