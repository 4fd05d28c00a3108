"""Resolving a topological obstruction: confirm it, ask for what explains it, operate, keep only what helps.

The order of questions is fixed, so a resumed run repeats it: the pair again with the names swapped in both
contexts (does the contradiction persist?), the discriminator, then whether there is a hidden common cause,
in both contexts. The last answers are held out: the enlarged belief is accepted only if, refitted without
them, it lowers the descent loss plus the energy of those answers; else everything is rolled back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from hal9.holograph.model.state import FloatArray, State
from hal9.holograph.optimisation.objective import WHOLE
from hal9.holograph.questions import Answer, Question
from hal9.holograph.runs.inquiry import DiscoveryState
from hal9.holograph.sheaf.obstruction import (
    Conflict,
    Plateau,
    conflicts,
    heldout_energy,
    local_posterior,
    surgery,
)
from hal9.holograph.sheaf.sections import descent

__all__ = ["AskOne", "Resolution", "Resolver"]

AskOne = Callable[[Question], Awaitable[Answer | None]]
"""Asks, records and returns an answer; None when there is none or the budget is used up."""
_REFIT_STEPS = 6


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of an obstruction.

    Attributes:
        conflict: which edge, between which contexts.
        outcome: "noise" (the contradiction did not persist), "direction" (the discriminator chose one),
            "latent" (surgery accepted), "rolled back" (surgery refused) or "open" (no usable answer).
        latent: its name when surgery was tried.
        before, after: held-out loss without and with the surgery, nan when none was tried.
    """

    conflict: Conflict
    outcome: str
    latent: str = ""
    before: float = float("nan")
    after: float = float("nan")

    @property
    def is_obstruction(self) -> bool:
        """Whether the contradiction was confirmed, i.e. an alarm was raised."""
        return self.outcome != "noise"


@dataclass(slots=True)
class Resolver:
    """Watches the descent loss of an inquiry and resolves what keeps it up."""

    inquiry: DiscoveryState
    plateau: Plateau = field(default_factory=Plateau)
    done: set[tuple[str, ...]] = field(default_factory=set)
    log: list[Resolution] = field(default_factory=list)

    def pending(self, *, final: bool = False) -> Conflict | None:
        """The worst conflict that is due: on a plateau, or at the end of the questions."""
        inquiry = self.inquiry
        if len(inquiry.problem.contexts) < 2:
            return None
        stuck = self.plateau.update(inquiry.descent_value())
        if not stuck and not final:
            return None
        local = {name: s for name, s in inquiry.sections.items() if name != WHOLE}
        found = conflicts(local, descent(local, inquiry.cover.overlaps()), inquiry.problem.names)
        for conflict in found:
            if conflict.residual > 1e-3 and self._key(conflict) not in self.done:
                return conflict
        return self._dissent() if final else None

    def _dissent(self) -> Conflict | None:
        """A pair of which two contexts say different things at all, e.g. an edge here and none there.

        One wrong answer turns an opposed pair into such a one, so it deserves the same second look.
        """
        inquiry = self.inquiry
        rank = {name: k for k, name in enumerate(inquiry.problem.names)}
        for overlap in inquiry.cover.overlaps():
            for a, b in combinations(sorted(overlap.shared, key=rank.__getitem__), 2):
                seen = Conflict(overlap, a, b, "presence", 0.0)
                if self._key(seen) in self.done:
                    continue
                one, two = (self._answers(seen, context) for context in (overlap.first, overlap.second))
                if not one or not two:
                    continue
                apart = local_posterior(one, inquiry.noise) - local_posterior(two, inquiry.noise)
                if float(np.abs(apart).sum()) > 1.0:
                    return seen
        return None

    @staticmethod
    def _key(conflict: Conflict) -> tuple[str, ...]:
        return (conflict.first, conflict.second)

    async def resolve(self, conflict: Conflict, ask: AskOne) -> Resolution:
        """Work one conflict off; it is not taken up again."""
        self.done.add(self._key(conflict))
        self.plateau.reset()
        resolution = await self._resolve(conflict, ask)
        self.log.append(resolution)
        return resolution

    async def _resolve(self, conflict: Conflict, ask: AskOne) -> Resolution:
        sides = (conflict.overlap.first, conflict.overlap.second)
        for context in sides:
            question = Question("direction", conflict.first, conflict.second, context, swapped=True)
            await self._ask_and_take(question, ask)
        if not await self._confirmed(conflict, ask):
            self.inquiry.fit(_REFIT_STEPS)
            return Resolution(conflict, "noise")
        claims = (self._claim(conflict, sides[0]), self._claim(conflict, sides[1]))
        discriminator = Question(
            "discriminator", conflict.first, conflict.second, "|".join(sides), claims=claims
        )
        answer = await ask(discriminator)
        if answer is None or answer.verdict == "unknown":
            return Resolution(conflict, "open")
        hidden = None if answer.verdict == "latent_cause" else await self._hidden(conflict, ask)
        if hidden is not None:
            # Both contexts speak for a latent; one discriminator answer against two is the likelier mistake.
            answer = replace(hidden, kind="discriminator", verdict="latent_cause")
        if answer.verdict != "latent_cause":
            # The answer decides between the claims; those it contradicts are taken back, not averaged.
            self.inquiry.drop_claims(conflict.first, conflict.second)
            self.inquiry.belief.forget(conflict.first, conflict.second)
            self.inquiry.take(discriminator, answer)
            self.inquiry.fit(_REFIT_STEPS)
            return Resolution(conflict, "direction")
        return await self._operate(conflict, discriminator, answer, ask)

    async def _ask_and_take(self, question: Question, ask: AskOne) -> None:
        if any(q.key == question.key for q, _ in self.inquiry.answered):
            return
        answer = await ask(question)
        if answer is None:
            self.inquiry.spend(question)
        else:
            self.inquiry.take(question, answer)

    def _answers(self, conflict: Conflict, context: str) -> list[tuple[Question, Answer]]:
        """Direction answers of a context about the pair; what names the direction is what can be opposed."""
        pair = (conflict.first, conflict.second)
        return [
            (q, a)
            for q, a in self.inquiry.answered
            if q.kind == "direction" and q.context == context and (q.first, q.second) == pair
        ]

    def _side(self, conflict: Conflict, context: str) -> FloatArray:
        return local_posterior(self._answers(conflict, context), self.inquiry.noise)

    async def _confirmed(self, conflict: Conflict, ask: AskOne) -> bool:
        """Whether the contexts still oppose each other; a doubtful case is settled by asking for a cause."""
        if conflict.kind == "sign":
            effects = [{a.effect for _, a in self._answers(conflict, c)} for c in self._sides(conflict)]
            return any("raises" in effects[k] and "lowers" in effects[1 - k] for k in (0, 1))
        one = self._side(conflict, conflict.overlap.first)
        two = self._side(conflict, conflict.overlap.second)
        opposed = float(one[0] * two[1] + one[1] * two[0])
        if opposed > 0.6 or opposed < 0.02:
            return opposed > 0.6
        return bool(await self._hidden(conflict, ask))

    @staticmethod
    def _sides(conflict: Conflict) -> tuple[str, str]:
        return conflict.overlap.first, conflict.overlap.second

    async def _hidden(self, conflict: Conflict, ask: AskOne) -> Answer | None:
        """An answer that names a hidden common cause, when both contexts say that there is one."""
        found: list[Answer] = []
        for context in self._sides(conflict):
            question = Question("confounder", conflict.first, conflict.second, context)
            await self._ask_and_take(question, ask)
            found += [a for q, a in self.inquiry.answered if q.key == question.key]
        if not found or any(answer.verdict != "hidden_common_cause" for answer in found):
            return None
        return max(found, key=lambda answer: len(answer.names))

    def _claim(self, conflict: Conflict, context: str) -> str:
        forward = self._side(conflict, context)
        cause, effect = (
            (conflict.first, conflict.second)
            if forward[0] >= forward[1]
            else (conflict.second, conflict.first)
        )
        return f"{cause} causes {effect}"

    async def _operate(
        self, conflict: Conflict, discriminator: Question, answer: Answer, ask: AskOne
    ) -> Resolution:
        inquiry = self.inquiry
        name = self._latent_name(answer, conflict)
        held: list[tuple[Question, Answer]] = []
        for context in (conflict.overlap.first, conflict.overlap.second):
            question = Question("confounder", conflict.first, conflict.second, context)
            if any(q.key == question.key for q, _ in inquiry.answered):
                question = replace(question, swapped=True)
            reply = await ask(question)
            if reply is not None:
                held.append((question, reply))
        kept_sections, kept_claims = dict(inquiry.sections), list(inquiry.claims)
        inquiry.fit(_REFIT_STEPS)
        before = self._loss(held)
        fitted = dict(inquiry.sections)
        self._enlarge(name, conflict)
        inquiry.fit(_REFIT_STEPS)
        after = self._loss(held)
        if not held or after >= before:
            inquiry.sections, inquiry.claims = (fitted if held else kept_sections), kept_claims
            for question, reply in held:
                inquiry.take(question, reply)
            return Resolution(conflict, "rolled back", name, before, after)
        if name not in inquiry.problem.names:
            children = tuple(sorted({*inquiry.latents.get(name, ()), conflict.first, conflict.second}))
            inquiry.latents[name] = children
        inquiry.belief.forget(conflict.first, conflict.second)
        inquiry.belief.add(discriminator, answer, inquiry.noise)
        inquiry.answered.append((discriminator, answer))
        for question, reply in held:
            inquiry.belief.add(question, reply, inquiry.noise)
            inquiry.answered.append((question, reply))
            inquiry.spend(question)
        return Resolution(conflict, "latent", name, before, after)

    def _latent_name(self, answer: Answer, conflict: Conflict) -> str:
        for name in answer.names:
            if name not in (conflict.first, conflict.second):
                return name
        return f"U({conflict.first},{conflict.second})"

    def _loss(self, held: list[tuple[Question, Answer]]) -> float:
        inquiry = self.inquiry
        members = inquiry.problem.members()
        local = {name: s for name, s in inquiry.sections.items() if name != WHOLE}
        energy = heldout_energy(local, held, inquiry.noise, members)
        return inquiry.descent_value() + energy

    def _enlarge(self, latent: str, conflict: Conflict) -> None:
        """Surgery on the whole and on every context that has both variables; optimiser state grows along."""
        inquiry = self.inquiry
        inquiry.drop_claims(conflict.first, conflict.second)
        for context, section in dict(inquiry.sections).items():
            if not {conflict.first, conflict.second} <= set(section.names):
                continue
            observed = latent in inquiry.problem.names
            if observed and latent not in section.names:
                continue
            grown = surgery(section, latent, conflict.first, conflict.second)
            inquiry.sections[context] = self._stable(grown)
            inquiry.optimiser.resize(context, section, grown)
            for child in (conflict.first, conflict.second):
                inquiry.add_claim(context, latent, child)

    @staticmethod
    def _stable(section: State) -> State:
        weights = section.weights.copy()
        np.fill_diagonal(weights, 0.0)
        return replace(section, weights=weights)
