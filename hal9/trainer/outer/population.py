"""The outer loop as a population: L1 promptgrams are nodes, L2 is an advisor they ask.

Nodes exchange Metric, Need, Suggestion, Fork, Merge and Veto (see `hal9.belief`): a tuner that has run out of
ideas sends a Need with its scores, L2 answers with Suggestions, and only measured gains change a node. With
one node, no forks and no trips this is the strict stack.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hal9.belief import Evidence, LocalHost, LogEntry, Policy, Population, PromptgramSpace, TurnContext
from hal9.errors.promptgram import EditError
from hal9.promptgram import Edit, Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.trainer.outer.context import BudgetSpent, Measured, OuterContext
from hal9.trainer.outer.promptgrams import Shelved
from hal9.trainer.outer.stack import (
    BestSoFar,
    OuterResult,
    OuterSettings,
    best_of,
    edit_effect,
    outcome_of,
    paired,
)
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.changes import MeasuredEdit
from hal9.trainer.record.run_log import RunLog

__all__ = ["FIXED", "run_population"]

L1, L2 = "l1", "l2"
FIXED = Policy(
    cap=1, forks=False, trips=0, proposals=1, retry=1.0, similarity=1.0, patience=10**6, damping=0.0
)
"""The rules under which the population is the strict stack."""
FREE = Policy(cap=6, trips=0, proposals=1, min_wins=1, expected=0.005, min_split=0.002)
"""Items are seeds and scores NDCG@10: a few seeds, and differences of thousandths."""


@dataclass(slots=True)
class _Measuring:
    """The workshop as the population's evaluator and L2's advice."""

    workshop: OuterContext
    known: dict[str, Measured] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    limit: int = 0
    asked: int = 0
    past: list[dict[str, Any]] = field(default_factory=list)
    deterministic: bool = True
    best: BestSoFar = field(init=False)
    edited: dict[str, tuple[Shelved, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.best = BestSoFar(self.workshop)

    @property
    def items(self) -> Sequence[str]:
        return self.workshop.seeds

    async def evaluate(self, belief: Promptgram, items: Sequence[str], draw: int) -> Mapping[str, float]:
        shelved = self.workshop.shelf.add(belief, created_at=self.workshop.clock.now())
        measured = await self.workshop.measure(shelved, Parameters(), items)
        seen = self.seen.setdefault(shelved.name, set())
        seen.update(items)
        if seen == set(self.items):
            # All its runs are done by now, so that this reads them and runs nothing.
            self.known[shelved.name] = await self.workshop.measure(shelved, Parameters())
            self.best.see(self.known[shelved.name])
            self._note(shelved)
        return {item: measured.finals[item] for item in items}

    def _note(self, child: Shelved) -> None:
        """Write an edit that was measured on all items into the run's ledger."""
        parent, answer = self.edited.get(child.hash, (None, {}))
        if parent is None or self.workshop.ledger is None:
            return
        gain, error = paired(self.known[child.name], self.known[parent.name])
        made = MeasuredEdit(
            cause=f"population/{child.name}",
            actor=self.workshop.outer_mind.name,
            answer=answer,
            prompts=(parent.name, child.name),
            gain=gain,
            error=error,
            best=best_of(self.known) == child.name,
        )
        self.workshop.ledger.edit(parent.promptgram, child.promptgram, made)

    async def propose(
        self, belief: Promptgram, evidence: Evidence, tried: frozenset[str], count: int, seed: int
    ) -> Sequence[Edit]:
        """L2's single-edit ideas for a node that needs some; none once the steps are used up."""
        while self.asked < self.limit:
            fresh = await self._ask(belief, evidence, tried)
            if fresh:
                return fresh
        return []

    async def effects(self) -> tuple[dict[str, Any], ...]:
        """Every edit that was measured, on the seeds that it and its parent both have."""
        found = []
        for name, seeds in self.seen.items():
            child = self.workshop.shelf.load(name)
            parent, answer = self.edited.get(child.hash, (None, {}))
            if parent is None or not self.seen.get(parent.name, set()) & seeds:
                continue
            with suppress(BudgetSpent):
                ours = self.known.get(name) or await self.workshop.measure(child, Parameters(), sorted(seeds))
                effect = paired(ours, self.known[parent.name])
                found.append(edit_effect((parent.name, name), answer, effect, len(seeds)))
        return tuple(found)

    def _history(self) -> list[dict[str, Any]]:
        """What was proposed so far, with what each edit has turned out to be worth by now."""
        told: list[dict[str, Any]] = []
        for entry in self.past:
            tried = [self.edited[key] for key in entry["children"] if key in self.edited]
            if entry["problem"] or not tried:
                told.append({**entry, "delta": {"ndcg": 0.0, "error": 0.0}})
                continue
            for key in entry["children"]:
                parent, answer = self.edited[key]
                child = next((one for one in self.known if self._hash_of(one) == key), None)
                if child is None:
                    told.append({**entry, "proposal": answer, "problem": "not measured on all seeds"})
                    continue
                gain, error = paired(self.known[child], self.known[parent.name])
                told.append({**entry, "proposal": answer, "delta": {"ndcg": gain, "error": error}})
        return told

    def _hash_of(self, name: str) -> str:
        return self.workshop.shelf.load(name).hash

    async def _ask(self, belief: Promptgram, evidence: Evidence, tried: frozenset[str]) -> list[Edit]:
        self.asked += 1
        parent = self.workshop.shelf.add(belief, created_at=self.workshop.clock.now())
        base = await self.workshop.measure(parent, Parameters())
        self.known[parent.name] = base
        own = {item: evidence.mean(item) for item in self.items if evidence.count(item)}
        made = await self.workshop.propose(parent, base, self._history(), seed=self.asked - 1, need=own)
        edits = [Edit.from_dict(edit) for edit in made.answer.get("edits", [])] if not made.problem else []
        fresh = [edit for edit in edits if edit.edit_hash not in tried]
        children = []
        for edit in fresh:
            # A node tries one edit of a proposal at a time.
            alone = {**made.answer, "edits": [edit.to_dict()]}
            with suppress(EditError):
                child = belief.apply(edit).content_hash
                self.edited[child] = (parent, alone)
                children.append(child)
        self.past.append(
            {
                "parent": parent.name,
                "proposal": made.answer,
                "problem": made.problem or ("" if fresh else "tried before"),
                "children": children,
            }
        )
        return fresh


async def run_population(
    workshop: OuterContext,
    pad: RunLog,
    settings: OuterSettings,
    *,
    policy: Policy = FREE,
    listener: Callable[[Mapping[str, Any]], None] | None = None,
) -> OuterResult:
    """Run the population; a run that was killed is replayed from its inner runs, which cost nothing again.

    Every entry of the population's log becomes an episode of the scratchpad.
    """
    bench = _Measuring(workshop, limit=settings.steps)
    written = list(pad.entries)
    told = [0]

    def on_entry(entry: LogEntry) -> None:
        position, told[0] = told[0], told[0] + 1
        if position < len(written):
            return
        episode = {"outer_step": position, **_entry(entry)}
        made = pad.append(episode)
        if listener is not None:
            listener(made)

    space = PromptgramSpace()
    host = LocalHost(TurnContext(space=space, evaluator=bench, policy=policy, advice={L2: bench}))
    budget = (settings.steps + 2) * workshop.repeats * policy.cap
    population = Population(
        space, bench.items, host, policy=policy, seed=settings.seed, budget=budget, on_entry=on_entry
    )
    population.add(L1, shipped_promptgram("l1-ranker-tuner"))
    population.add(L2, shipped_promptgram("l2-prompt-evolver"), role="advisor", neighbours=[L1])
    reason, detail = "steps", ""
    try:
        first = workshop.shelf.add(
            shipped_promptgram("l1-ranker-tuner"), created_at=workshop.clock.now(), description="as shipped"
        )
        bench.known[first.name] = await workshop.measure(first, Parameters())
        bench.best.see(bench.known[first.name])
        outcome = await population.run()
        reason = "steps" if bench.asked >= settings.steps else outcome.reason
    except BudgetSpent as stop:
        reason, detail = stop.reason, stop.detail
    made = outcome_of(bench.known, bench.best, bench.asked, reason)
    return replace(made, detail=detail, edits=await bench.effects())


def _entry(entry: LogEntry) -> dict[str, Any]:
    """A log entry as the scratchpad keeps it."""
    values: dict[str, Any] = json.loads(json.dumps(entry.to_json(), default=str))
    return values
