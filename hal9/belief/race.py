"""Racing: a candidate meets a belief item by item and is dropped as soon as it clearly doesn't pay.

Successive stages (6, 12, 20, 30, 45, all items), after irace (López-Ibáñez et al. 2016) and GEPA
(Agrawal et al. 2025). A race that was not dropped ends with every item measured, so a commit never rests
on a lucky few.
"""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from hal9.belief.evidence import Evaluator, Evidence, Paired, sign_test
from hal9.belief.policy import Policy

__all__ = ["Judge", "Race"]

B = TypeVar("B")


@dataclass(slots=True)
class Race:
    """How a race ended: `won`, `lost`, or `unpaid` (the allowance did not suffice)."""

    outcome: str
    candidate: Evidence
    paired: Paired | None
    noise_error: float = 0.0

    @property
    def gain(self) -> float:
        """Mean paired gain on the items measured."""
        return self.paired.gain if self.paired else 0.0


@dataclass(slots=True)
class Judge(Generic[B]):
    """Measures for one node within an allowance of item evaluations.

    Attributes:
        draw: numbers the measurements of this turn; starts above every earlier one.
        spent: item evaluations so far.
    """

    evaluator: Evaluator[B]
    policy: Policy
    allowance: int
    draw: int
    spent: int = 0

    @property
    def left(self) -> int:
        """Evaluations still allowed."""
        return self.allowance - self.spent

    async def measure(self, belief: B, evidence: Evidence, items: list[str]) -> bool:
        """Add one measurement of each item; False (and nothing done) if the allowance doesn't suffice."""
        if not items:
            return True
        if len(items) > self.left:
            return False
        self.draw += 1
        self.spent += len(items)
        evidence.add(await self.evaluator.evaluate(belief, tuple(items), self.draw), items)
        return True

    async def prepare(self, belief: B, evidence: Evidence, items: list[str]) -> bool:
        """See that the base is measured: once, or (noisy) afresh until `replicates` are there."""
        enough = 1 if self.evaluator.deterministic else self.policy.replicates
        return await self.measure(belief, evidence, [item for item in items if evidence.count(item) < enough])

    async def race(
        self,
        candidate: B,
        base: B,
        known: Evidence,
        items: list[str],
        seed: int,
        *,
        torn: bool = False,
    ) -> Race:
        """Candidate against base on `items`; `known` is the base's evidence and grows.

        `torn` keeps a candidate in the race that loses on average but seems to split the items in two.
        """
        order = [items[i] for i in np.random.default_rng(seed).permutation(len(items))]
        evidence = Evidence()
        reached = 0
        paired: Paired | None = None
        for stage in [s for s in self.policy.stages if s < len(order)] + [len(order)]:
            batch = order[reached:stage]
            if not (
                await self.prepare(base, known, batch) and await self.measure(candidate, evidence, batch)
            ):
                return Race("unpaid", evidence, paired)
            reached = stage
            paired = Paired.of(evidence, known, order[:reached])
            mercy = self.policy.drop * (1 - reached / len(order))
            behind = paired.gain + mercy * paired.error <= 0
            kept = torn and reached < len(order) and self._torn(paired, known)
            if (behind and not kept) or (reached == len(order) and paired.gain <= 0):
                return Race("lost", evidence, paired, self._noise_error(evidence, known, order[:reached]))
        return await self._confirm(candidate, evidence, known, order)

    async def _confirm(self, candidate: B, evidence: Evidence, known: Evidence, order: list[str]) -> Race:
        """Measure a narrow winner once more: the best of many noisy numbers is too good to be true."""
        paired = Paired.of(evidence, known, order)
        error = self._noise_error(evidence, known, order)
        if error > 0 and self.policy.certainty / 2 * error < paired.gain < 2 * error:
            if not await self.measure(candidate, evidence, order):
                return Race("unpaid", evidence, paired, error)
            paired = Paired.of(evidence, known, order)
            error = self._noise_error(evidence, known, order)
        won = paired.gain > max(1e-12, self.policy.certainty * error)
        return Race("won" if won else "lost", evidence, paired, error)

    def _torn(self, paired: Paired, base: Evidence) -> bool:
        """Whether the differences spread so much beyond noise that a split would gain `min_split`.

        For differences of standard deviation s around 0, the positive half averages s / sqrt(2 pi).
        """
        noise = 0.0 if self.evaluator.deterministic else float(np.nan_to_num(base.noise_variance()))
        spread = paired.error**2 * len(paired.differences) - 2 * noise
        return math.sqrt(max(0.0, spread) / (2 * math.pi)) >= self.policy.min_split

    def _noise_error(self, candidate: Evidence, base: Evidence, items: list[str]) -> float:
        """Standard error of the gain that is due to measurement noise alone."""
        variance = 0.0 if self.evaluator.deterministic else max(0.0, np.nan_to_num(base.noise_variance()))
        parts = sum(1 / candidate.count(item) + 1 / base.count(item) for item in items)
        return math.sqrt(variance * parts) / len(items)

    async def disagreement(
        self, race: Race, candidate: B, base: B, before: Evidence
    ) -> dict[str, float] | None:
        """Whether two beliefs should both live: real, repeatable, and worth a second node.

        Both beat the belief `before` them, each wins its share of items, neither is simply better (sign
        test), and on a fresh measurement the split gains `min_split` over the better single one. The fresh
        measurement chooses nothing, so it isn't flattered by the choice of items.

        Returns:
            Per-item gain of the candidate as first measured; None if one belief is enough.
        """
        policy, paired = self.policy, race.paired
        if paired is None or not all(item in before.scores for item in paired.differences):
            return None
        items = list(paired.differences)
        against = [Paired.of(race.candidate, before, items).gain]
        against.append(against[0] - paired.gain)
        # Half the noise of one paired difference: what is within it speaks for neither side.
        won, lost = paired.wins(0.5 * race.noise_error * math.sqrt(len(items)))
        need = max(policy.min_wins, math.ceil(policy.min_share * len(items)))
        if min(against) <= 0 or min(won, lost) < need or sign_test(won, lost) < policy.alpha:
            return None
        fresh_candidate, fresh_base = race.candidate, Evidence()
        if not self.evaluator.deterministic:
            fresh_candidate = Evidence()
            if not (
                await self.measure(candidate, fresh_candidate, items)
                and await self.measure(base, fresh_base, items)
            ):
                return None
            again = Paired.of(fresh_candidate, fresh_base, items).differences
        else:
            again = paired.differences
        mine = sum(again[item] for item in items if paired.differences[item] > 0) / len(items)
        theirs = -sum(again[item] for item in items if paired.differences[item] <= 0) / len(items)
        split = mine - max(0.0, mine - theirs)
        return paired.differences if split >= policy.min_split else None
