"""How a search is set, what it tells on the way, and what it found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hal9.tuning.candidates import Candidate
from hal9.tuning.niches import Specialists
from hal9.tuning.noise import Noise
from hal9.tuning.proposing import TriedEdit

__all__ = ["Listener", "SearchResult", "SearchStep", "StepKind", "TuneSettings"]

StepKind = Literal["measured", "kept", "dropped", "merged", "pruned", "specialists", "no idea"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSettings:
    """How a search is run.

    Attributes:
        budget: task calls of the search; held-out calls come on top and are told before.
        batch: failures shown to the proposer at once.
        guards: tasks that passed, measured beside, so that harm is seen.
        prune_share: part of the budget kept for removing rules that add nothing.
        greedy: chance that the best prompt is edited, not another that is best somewhere.
        repeatable: known beforehand to score the same again, so that nothing is measured twice to see it.
        specialists: whether prompts may share the tasks between them in the end.
        concurrency: task calls at once.
        seed: fixes every random choice.
    """

    budget: int = 200
    batch: int = 4
    guards: int = 4
    prune_share: float = 0.15
    greedy: float = 0.7
    repeatable: bool = False
    specialists: bool = True
    concurrency: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SearchStep:
    """One line of the run's story.

    Attributes:
        calls: task calls so far.
        score: estimated mean score of the best prompt on the tasks of the search.
        candidate: the prompt it is about, where it is about one.
        own: that prompt's own estimated mean score.
    """

    kind: StepKind
    calls: int
    score: float
    text: str
    candidate: Candidate | None = None
    own: float | None = None


Listener = Callable[[SearchStep], None]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the search found.

    Attributes:
        pool: every prompt that was kept, the prompt as it was first.
        removed: items that were taken out again because they added nothing.
        reason: why it ended: `budget`, `everything passes`, `no ideas`, or a limit's own sentence.
        specialists: prompts that share the tasks between them better than one alone, where tasks conflict.
    """

    base: Candidate
    winner: Candidate
    pool: tuple[Candidate, ...]
    removed: tuple[tuple[str, str], ...]
    tried: tuple[TriedEdit, ...]
    steps: tuple[SearchStep, ...]
    noise: Noise
    reason: str
    specialists: Specialists | None = None
