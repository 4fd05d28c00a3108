"""What was measured of a prompt; equal answers to a task share their scores, whichever prompt gave them.

A judge that wavers is then as sure of an answer as all its verdicts on it allow, and an edit that changes no
answer can neither gain nor lose by luck.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hal9.tuning.attempts import Attempt

__all__ = ["AnswerScores", "Measurements", "complaint"]


@dataclass(slots=True)
class AnswerScores:
    """Scores by task and answer, over all prompts of a search: how many, their mean, squared deviations."""

    seen: dict[tuple[str, str], tuple[int, float, float]] = field(default_factory=dict)

    def add(self, attempt: Attempt) -> None:
        """Take one verdict in (Welford)."""
        key = (attempt.task, attempt.answer)
        count, mean, spread = self.seen.get(key, (0, 0.0, 0.0))
        delta = attempt.score - mean
        mean += delta / (count + 1)
        self.seen[key] = (count + 1, mean, spread + delta * (attempt.score - mean))

    def mean(self, task: str, answer: str) -> float:
        """Mean score of an answer."""
        return self.seen[task, answer][1]

    def count(self, task: str, answer: str) -> int:
        """How often an answer was judged."""
        return self.seen[task, answer][0]

    def variance(self) -> float:
        """Pooled variance of one verdict on one answer; NaN while none was judged twice."""
        freedom = sum(count - 1 for count, _, _ in self.seen.values())
        return sum(spread for _, _, spread in self.seen.values()) / freedom if freedom else math.nan


@dataclass(slots=True)
class Measurements:
    """Answers of one prompt.

    Attributes:
        shared: the verdicts on them, and on the same answers of other prompts.
        answers: by task, one for each draw.
        scores: by task, as each draw was judged.
        said: by task, the first words of what was said of each draw.
    """

    shared: AnswerScores = field(default_factory=AnswerScores)
    answers: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)

    def add(self, made: Iterable[Attempt]) -> None:
        """Take attempts in."""
        for one in made:
            self.shared.add(one)
            self.answers.setdefault(one.task, []).append(one.answer)
            self.scores.setdefault(one.task, []).append(one.score)
            self.said.setdefault(one.task, []).append(complaint(one.feedback))

    def draws(self, task: str) -> int:
        """How often the task was done under this prompt."""
        return len(self.answers.get(task, ()))

    def count(self, task: str) -> int:
        """How many verdicts the task's mean rests on, those on the same answers of other prompts included."""
        return sum(self.shared.count(task, answer) for answer in dict.fromkeys(self.answers.get(task, ())))

    def mean(self, task: str) -> float:
        """The task's mean score: of its answers, each as all its verdicts say."""
        answers = self.answers[task]
        return sum(self.shared.mean(task, answer) for answer in answers) / len(answers)

    def average(self, tasks: Iterable[str]) -> float:
        """Mean over those tasks that were done; NaN if none was."""
        known = [self.mean(task) for task in tasks if task in self.answers]
        return sum(known) / len(known) if known else math.nan

    def same(self, other: "Measurements", tasks: Sequence[str]) -> bool:
        """Whether both prompts were answered alike on all of these tasks."""
        return all(
            task in self.answers and set(self.answers[task]) == set(other.answers.get(task, ()))
            for task in tasks
        )

    def complaints(self, task: str) -> set[str]:
        """The different things that were said of the task's answers."""
        return set(self.said.get(task, ()))

    def copy(self) -> "Measurements":
        """The same answers for another prompt; verdicts stay shared."""
        return Measurements(
            self.shared,
            {task: list(answers) for task, answers in self.answers.items()},
            {task: list(scores) for task, scores in self.scores.items()},
            {task: list(said) for task, said in self.said.items()},
        )


def complaint(feedback: str) -> str:
    """What tells one way of failing from another: the first words of what the check said."""
    return " ".join(feedback.split())[:120]
