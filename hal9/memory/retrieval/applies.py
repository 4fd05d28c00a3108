"""How probable it is that a rule applies to a task, out of the place, the subjects and the wording.

The weights come from `benchmarks/learning/ordinary` (fitted with whole families left out; its reliability
diagram shows how right the probabilities are). A rule whose place certainly does not hold the task
has none at all.
"""

import math
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from typing import Literal

from hal9.memory.records import EVERYWHERE, MemoryScope, Rule, covers_place
from hal9.memory.rules.subjects import about_style, value_subjects
from hal9.memory.rules.wording import subject_words

__all__ = ["Reach", "Signs", "reach_of", "signs_of"]

Reach = Literal["file", "folder", "project", "module", "words"]
"""How a rule's scope meets a task: by a file or folder that the task touches, by the project alone, by the
module or wording named, or by words alone, when nobody knows which files the task touches."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks for a rule's applying to a task.

    Attributes:
        reach: how the scopes meet.
        taught: cosine of the task and the task on which the rule was taught; None without vectors.
        said: cosine of the task and the rule's own words; None without vectors.
        shared: both speak of the same kind of value (dates, money, …).
        other: the rule speaks of a kind of value, the task of other ones only.
        silent: the rule speaks of a kind of value, the task of none.
        overlap: share of the smaller text's content words that the texts have in common.
        style: the rule is about how code is written only.
        named: the task names the rule's folder or file, though not as a path ("for the sensors").
        like: the task on which it was taught speaks of the same kind of value.
    """

    reach: Reach
    taught: float | None
    said: float | None
    shared: bool
    other: bool
    silent: bool
    overlap: float
    style: bool
    named: bool
    like: bool

    def probability(self, *, meaning: bool = True) -> float:
        """How probable it is that the rule applies.

        Args:
            meaning: the cosines are of a model that knows meanings, not of hashed words.
        """
        weights = _BY_WORDS if self.reach == "words" else _BY_PLACE
        if self.reach == "words" and not meaning:
            weights = _BY_WORDS_ALONE
        numbers = (
            1.0,
            float(self.reach == "file"),
            self.taught or 0.0,
            self.said or 0.0,
            float(self.shared),
            float(self.other),
            float(self.silent),
            self.overlap,
            float(self.style),
            float(self.named),
            float(self.like),
        )
        total = sum(map(mul, weights, numbers))
        return round(1 / (1 + math.exp(-total)), 6)  # rounded, so that no order hangs on a last bit


_BY_PLACE = (3.0, 0.5, 0.5, 0.0, 1.5, -3.5, -1.2, 2.0, 1.0, 0.3, 2.0)
_BY_WORDS = (-4.4, 0.0, 5.1, 0.4, 1.9, -1.9, 0.3, 2.9, 0.0, 0.4, 1.85)
_BY_WORDS_ALONE = (-3.6, 0.0, 2.5, -0.6, 2.3, -2.2, 0.3, 4.0, 0.0, 0.4, 1.5)
"""Constant, file, taught, said, shared, other, silent, overlap, style, named, like. The fit of the place's
weights is drawn towards a prior: a rule holds in its place unless it speaks of values foreign to the task."""


def reach_of(rule: Rule, task: MemoryScope) -> Reach:
    """How the scope of a rule that covers a task, or might, meets it."""
    place = rule.scope.place
    if not place:
        return "module"
    if place == EVERYWHERE:
        return "project"
    if not task.paths or not covers_place(place, task.paths):
        return "words"
    return "folder" if place.endswith("/**") else "file"


_LEAST_NAME = 3
_GENERIC = frozenset({"src", "lib", "app", "apps", "core", "main", "code", "test", "tests"})


def _named(place: str, task: str) -> bool:
    """Whether the last folder (or the file's stem) of a place is a word of the task; in the plural too."""
    if place == EVERYWHERE:
        return False
    name = posixpath.splitext(posixpath.basename(place.removesuffix("/**")))[0].lower()
    if len(name) < _LEAST_NAME or name in _GENERIC or "*" in name:
        return False
    stem = re.escape(name.rstrip("s").removesuffix("ing"))
    return re.search(rf"(?<![\w]){stem}(?:s|es|ing)?(?!\w)", task.lower()) is not None


def signs_of(
    rule: Rule, task: str, scope: MemoryScope, *, taught: float | None = None, said: float | None = None
) -> Signs:
    """What speaks for a rule's applying to a task."""
    of_task, words = _said_by_task(task[:4_000], scope.paths)
    of_rule, known, style, of_taught = _said_by_rule(rule.rule, rule.taught_on[:2_000])
    overlap = len(words & known) / max(1, min(len(words), len(known)))
    return Signs(
        reach=reach_of(rule, scope),
        taught=taught,
        said=said,
        shared=bool(of_rule & of_task),
        other=bool(of_rule) and bool(of_task) and not of_rule & of_task,
        silent=bool(of_rule) and not of_task,
        overlap=overlap,
        style=style,
        named=_named(rule.scope.place, task),
        like=bool(of_taught & of_task),
    )


# A task is weighed against many rules, and a rule against many tasks: what either says is found out once.
@lru_cache(maxsize=16)
def _said_by_task(task: str, paths: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Kinds of values that a task speaks of, with the names of its files; its words."""
    names = " ".join(posixpath.splitext(posixpath.basename(path))[0] for path in paths)
    return value_subjects(f"{task} {names}"), frozenset(subject_words(task))


@lru_cache(maxsize=16_384)
def _said_by_rule(rule: str, taught_on: str) -> tuple[frozenset[str], frozenset[str], bool, frozenset[str]]:
    """Kinds of values a rule speaks of, its words, whether it is about style; kinds in what taught it."""
    return (
        value_subjects(rule),
        frozenset(subject_words(f"{rule} {taught_on}")),
        about_style(rule),
        value_subjects(taught_on),
    )
