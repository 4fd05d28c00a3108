"""Synthetic landscapes: evaluators whose truth is known, and the plain greedy loop to compare with."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.belief.evidence import Evaluator, Evidence, Paired, Proposer
from hal9.belief.space import Choice, Config, ConfigSpace

__all__ = ["RandomMutation", "SyntheticProblem", "greedy", "peaks", "rugged"]


@dataclass(slots=True)
class SyntheticProblem:
    """Scores a `Config` by tables.

    Attributes:
        effects: what each variant does on each item, shape (items, sections, variants).
        pairs: interaction of neighbouring sections, same for all items, shape (sections, variants, variants).
        noise: standard deviation of one measurement.
        seed: of the noise.
        calls: item evaluations so far.
    """

    effects: NDArray[np.float64]
    pairs: NDArray[np.float64]
    noise: float = 0.0
    seed: int = 0
    calls: int = 0
    names: tuple[str, ...] = field(init=False)
    _cache: dict[Config, NDArray[np.float64]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.names = tuple(f"s{index}" for index in range(self.effects.shape[1]))

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(f"i{index:02d}" for index in range(self.effects.shape[0]))

    @property
    def deterministic(self) -> bool:
        return self.noise == 0

    @property
    def start(self) -> Config:
        """The belief that every run begins with."""
        return Config(tuple((name, 0) for name in self.names))

    def truth(self, belief: Config) -> NDArray[np.float64]:
        """Noise-free scores of all items, shape (items,)."""
        if belief not in self._cache:
            values = [belief[name] for name in self.names]
            own = self.effects[:, np.arange(len(values)), values].sum(axis=1)
            shared = sum(
                float(self.pairs[i, value, values[(i + 1) % len(values)]]) for i, value in enumerate(values)
            )
            self._cache[belief] = own + shared
        return self._cache[belief]

    def mean(self, belief: Config) -> float:
        """True mean over all items: what a run is judged by."""
        return float(self.truth(belief).mean())

    async def evaluate(self, belief: Config, items: Sequence[str], draw: int) -> Mapping[str, float]:
        self.calls += len(items)
        truth = self.truth(belief)
        positions = [int(item[1:]) for item in items]
        if self.noise == 0:
            return {item: float(truth[at]) for item, at in zip(items, positions, strict=True)}
        digest = hashlib.sha256(f"{self.seed}:{belief.values}:{draw}".encode()).digest()
        errors = np.random.default_rng(int.from_bytes(digest[:8])).normal(0, self.noise, len(self.items))
        return {item: float(truth[at] + errors[at]) for item, at in zip(items, positions, strict=True)}


def rugged(
    seed: int, *, sections: int = 6, variants: int = 12, items: int = 60, noise: float = 0.0
) -> SyntheticProblem:
    """Variants with a common effect, item-specific deviations and neighbour interactions.

    Standard deviations: common .06, per item .06, interaction .05; the start scores about .4. So a section's
    best variant is worth about .1, a third of the ruggedness comes from interactions, and one measurement
    at noise .15 hides any single edit.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.06, (1, sections, variants))
    own = rng.normal(0, 0.06, (items, sections, variants))
    base = rng.normal(0.4, 0.1, (items, 1, 1)) / sections
    return SyntheticProblem(
        effects=base + common + own,
        pairs=rng.normal(0, 0.05, (sections, variants, variants)),
        noise=noise,
        seed=seed,
    )


def peaks(
    groups: int, seed: int, *, sections: int = 6, variants: int = 12, items: int = 60, noise: float = 0.0
) -> SyntheticProblem:
    """Each item scores the share of sections that match the peak of its group; groups take turns."""
    rng = np.random.default_rng(seed)
    tops = np.stack([1 + rng.permutation(variants - 1)[:groups] for _ in range(sections)], axis=1)
    effects = np.zeros((items, sections, variants))
    for item in range(items):
        effects[item, np.arange(sections), tops[item % groups]] = 1 / sections
    return SyntheticProblem(
        effects=effects, pairs=np.zeros((sections, variants, variants)), noise=noise, seed=seed
    )


@dataclass(frozen=True, slots=True)
class RandomMutation:
    """Proposes any single choice that was not refused, in random order; empty when all were."""

    variants: int = 12

    async def propose(
        self, belief: Config, evidence: Evidence, tried: frozenset[str], count: int, seed: int
    ) -> Sequence[Choice]:
        space = ConfigSpace()
        options = [
            Choice(name, value)
            for name, held in belief.values
            for value in range(self.variants)
            if value != held and space.edit_hash(Choice(name, value)) not in tried
        ]
        order = np.random.default_rng(seed).permutation(len(options))[:count]
        return [options[index] for index in order]


async def greedy(
    start: Config,
    evaluator: Evaluator[Config],
    proposer: Proposer[Config, Choice],
    *,
    budget: int,
    batch: int,
    seed: int,
) -> Config:
    """The plain loop: one belief, one idea at a time, kept if it scores better on a paired minibatch.

    The minibatch is drawn afresh for every idea; both sides are measured (the incumbent once per item and
    belief if scores are deterministic). Refused ideas are not tried again until something is accepted.
    """
    rng = np.random.default_rng(seed)
    space = ConfigSpace()
    items, belief, held = list(evaluator.items), start, Evidence()
    spent, draw, tried = 0, 0, set[str]()
    while True:
        ideas = await proposer.propose(belief, held, frozenset(tried), 1, int(rng.integers(2**48)))
        if not ideas:
            return belief
        chosen = [items[i] for i in rng.permutation(len(items))[:batch]]
        ours = chosen if not evaluator.deterministic else [i for i in chosen if held.count(i) == 0]
        if spent + len(chosen) + len(ours) > budget:
            return belief
        draw += 2
        spent += len(chosen) + len(ours)
        candidate, fresh, base = space.apply(belief, ideas[0]), Evidence(), Evidence()
        fresh.add(await evaluator.evaluate(candidate, chosen, draw), chosen)
        if ours:
            base.add(await evaluator.evaluate(belief, ours, draw + 1), ours)
            if evaluator.deterministic:
                held.scores.update(base.scores)
        base = held if evaluator.deterministic else base
        if Paired.of(fresh, base, chosen).gain > 0:
            belief, tried = candidate, set()
            held = fresh if evaluator.deterministic else Evidence()
        else:
            tried.add(space.edit_hash(ideas[0]))
