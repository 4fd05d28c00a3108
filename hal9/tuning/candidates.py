"""Prompts under comparison: what each scored where, which are best somewhere, which rules they added."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hal9.belief import Paired
from hal9.promptgram import MUTABLE_SECTIONS, Edit, Promptgram
from hal9.promptgram.items import plain
from hal9.tuning.attempts import Attempt
from hal9.tuning.measurements import Measurements
from hal9.tuning.proposing import ProposedEdit

__all__ = [
    "Candidate",
    "Rule",
    "added_rules",
    "causes",
    "pareto_weights",
    "shared_ancestor",
    "without_rules",
]

Rule = tuple[str, str]
"""Section and item of a promptgram."""


@dataclass(slots=True)
class Candidate:
    """One prompt.

    Attributes:
        number: in order of appearance; 0 is the prompt as it was.
        parent: the candidate it was made from.
        edits: what was done to the parent, each with the task whose failure led to it.
        evidence: its answers and their scores by task.
        attempts: the latest attempt by task.
        lead: under noise, the shrunken gain over the prompt as it was, summed along the way.
        trades: whether it won some of its parent's tasks and lost others when it was measured against it.
    """

    number: int
    promptgram: Promptgram
    parent: "Candidate | None" = None
    edits: tuple[ProposedEdit, ...] = ()
    evidence: Measurements = field(default_factory=Measurements)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    lead: float = 0.0
    trades: bool = False

    @property
    def lineage(self) -> "list[Candidate]":
        """The candidate and all it came from, nearest first."""
        found = [self]
        while found[-1].parent is not None:
            found.append(found[-1].parent)
        return found

    def measured(self, task: str) -> bool:
        """Whether the task was done under this prompt."""
        return task in self.evidence.answers

    def estimate(self, task: str) -> float:
        """Mean score on a task; unmeasured it is as under the parent, or as elsewhere."""
        if self.measured(task):
            return self.evidence.mean(task)
        if self.parent is not None:
            return self.parent.estimate(task)
        return self.evidence.average(self.evidence.answers)

    def average(self, tasks: Iterable[str]) -> float:
        """Mean estimate over tasks."""
        values = [self.estimate(task) for task in tasks]
        return sum(values) / len(values) if values else math.nan

    def against(self, other: "Candidate", tasks: Iterable[str]) -> Paired:
        """Paired differences on the tasks that both really did."""
        both = [task for task in tasks if self.measured(task) and other.measured(task)]
        return Paired({task: self.evidence.mean(task) - other.evidence.mean(task) for task in both})

    def told_apart(self, other: "Candidate", tasks: Iterable[str]) -> bool | None:
        """Whether the check says something else under the other prompt; None where its words waver."""
        apart = False
        for task in tasks:
            ours, theirs = self.evidence.complaints(task), other.evidence.complaints(task)
            if len(ours) > 1 or len(theirs) > 1 or self.evidence.draws(task) < 2:
                return None
            apart = apart or ours != theirs
        return apart


def shared_ancestor(one: Candidate, other: Candidate) -> Candidate | None:
    """The nearest candidate that both came from; one of the two itself when the other came from it."""
    numbers = {ancestor.number for ancestor in one.lineage}
    return next((ancestor for ancestor in other.lineage if ancestor.number in numbers), None)


def pareto_weights(pool: Sequence[Candidate], tasks: Sequence[str]) -> list[float]:
    """How many tasks each candidate is best on, ties shared; 0 for those that are best nowhere.

    Source:
        Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", 2025.
    """
    weights = [0.0] * len(pool)
    for task in tasks:
        scores = [one.estimate(task) for one in pool]
        best = max(scores)
        holders = [index for index, score in enumerate(scores) if score >= best - 1e-9]
        for index in holders:
            weights[index] += 1 / len(holders)
    return weights


def added_rules(promptgram: Promptgram, base: Promptgram) -> list[Rule]:
    """Items of the learning sections that the base does not have, in order."""
    found: list[Rule] = []
    for section in MUTABLE_SECTIONS:
        known = {plain(item) for item in base.items(section)}
        found += [(section, item) for item in promptgram.items(section) if plain(item) not in known]
    return found


def without_rules(promptgram: Promptgram, rules: Iterable[Rule]) -> Promptgram:
    """The promptgram without some items."""
    for section, item in rules:
        promptgram = promptgram.apply(Edit(section, "delete", target=plain(item)))
    return promptgram


def causes(rule: Rule, candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """The tasks whose failures led to a rule, by the edits that made these candidates."""
    found = [
        made.task
        for one in candidates
        for made in one.edits
        if made.task and made.edit.content and plain(made.edit.content) in plain(rule[1])
    ]
    return tuple(dict.fromkeys(found))
