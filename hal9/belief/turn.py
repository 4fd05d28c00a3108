"""One node's turn: hear the inbox, try one thing, tell the others.

A turn is a function of (state, inbox, seed, allowance): it may run in any process, and running it twice
does no harm. Nothing but a won race changes the belief.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from hal9.belief.evidence import Evidence, Paired
from hal9.belief.message_writer import POPULATION, MessageWriter, TurnContext
from hal9.belief.node import Idea, NodeState
from hal9.belief.race import Judge, Race
from hal9.belief.signals import KINDS, Signal
from hal9.errors.belief import BeliefEditRefused

__all__ = ["TurnReply", "TurnRequest", "take_turn"]

_REMEMBERED = 3
_NO_IDEAS = "no more ideas"

B = TypeVar("B")
E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """Everything a turn depends on. `allowance` is in item evaluations, reserved beforehand."""

    state: NodeState
    inbox: tuple[Signal, ...]
    neighbours: tuple[str, ...]
    seed: int
    allowance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReply:
    """What a turn did. `trial` is (edit hash, outcome, gain) or None; `spent` settles the allowance."""

    state: NodeState
    outbox: tuple[Signal, ...]
    spent: int
    trial: tuple[str, str, float] | None = None


async def take_turn(request: TurnRequest, bench: TurnContext[B, E]) -> TurnReply:
    """Run one turn on a copy of the state."""
    state = request.state.copy()
    judge = Judge(bench.evaluator, bench.policy, request.allowance, state.draws)
    state.explores = state.role == "learner" and bench.proposer is not None
    turn = _Turn(state=state, bench=bench, judge=judge, neighbours=request.neighbours, seed=request.seed)
    await turn.run(sorted(request.inbox, key=lambda s: (KINDS.index(s.kind), s.source, s.id)))
    state.draws = judge.draw
    return TurnReply(state=state, outbox=tuple(turn.out), spent=judge.spent, trial=turn.trial)


@dataclass(slots=True)
class _Turn(MessageWriter[B, E], Generic[B, E]):
    judge: Judge[B]
    neighbours: tuple[str, ...]
    seed: int
    trial: tuple[str, str, float] | None = None

    async def run(self, inbox: list[Signal]) -> None:
        jobs = [signal for signal in inbox if signal.source == POPULATION]
        for signal in inbox:
            if signal.source != POPULATION:
                await self.receive(signal)
        if self.state.role == "advisor":
            return
        for job in jobs:
            await self.do_job(job)
        if not jobs:
            await self.try_one()

    # --- hearing ---

    async def receive(self, signal: Signal) -> None:
        state = self.state
        if state.role == "advisor":
            if signal.kind == "need":
                await self.advise(signal)
        elif signal.kind in ("suggestion", "veto"):
            self.weigh(signal)
        elif signal.kind == "need":
            for edit in state.committed:
                if signal.source != edit["origin"]:
                    self.suggest(signal.source, edit["edit"], edit["gain"], cause=signal.id)
        elif signal.kind == "metric":
            self.compare(signal)
        elif signal.kind == "ack" and signal.reason == _NO_IDEAS:
            state.exhausted = True

    def weigh(self, signal: Signal) -> None:
        policy = self.bench.policy
        dropped = self.state.receive(signal, policy.damping, policy.expected)
        if signal.kind == "veto":
            return
        if dropped is None:
            self.state.asked = False
        else:
            self.answer(signal.source, signal.id, signal.edit_hash, accepted=False, reason=dropped)

    def compare(self, signal: Signal) -> None:
        """A neighbour that does better on this node's items is asked how."""
        state = self.state
        theirs = [signal.scores[item] - state.evidence.mean(item) for item in self.shared(signal)]
        if len(theirs) * 2 >= len(state.niche) > 0 and sum(theirs) > 0:
            self.send(Signal(**self.envelope("need", signal.source), cause=signal.id, scores=self.scores()))

    def shared(self, signal: Signal) -> list[str]:
        return [i for i in self.state.niche if i in signal.scores and i in self.state.evidence.scores]

    async def advise(self, need: Signal) -> None:
        """An advisor answers a need with what its proposer thinks of the asker's belief and scores."""
        space = self.bench.space
        evidence = Evidence({item: (1, score, 0.0) for item, score in need.scores.items()})
        tried = frozenset(need.edit["tried"] if need.edit else ())
        proposer = self.bench.advice[self.state.id]
        ideas = await proposer.propose(
            space.decode(need.belief), evidence, tried, self.bench.policy.proposals, self.seed
        )
        for edit in ideas:
            self.suggest(need.source, space.encode_edit(edit), 0.0, cause=need.id, version=need.version)
        if not ideas:
            self.answer(need.source, need.id, "", accepted=False, reason=_NO_IDEAS)

    # --- trying ---

    async def try_one(self) -> None:
        state, space = self.state, self.bench.space
        if state.home is not None and state.attempts >= self.bench.policy.reach:
            await self.explore()
            return
        if not any(idea.fresh for idea in state.ideas.values()):
            await self.look_for_ideas()
        if not state.ideas and state.exhausted and self.bench.proposer is not None:
            await self.explore()
            return
        while (chosen := state.best_idea()) is not None:
            idea = state.ideas.pop(chosen)
            edit = space.decode_edit(idea.edit)
            belief = space.decode(state.belief)
            reason = self.not_new(edit)
            if reason is None:
                try:
                    candidate = space.apply(belief, edit)
                except BeliefEditRefused as error:
                    reason = str(error)
                else:
                    reason = "belief visited before" if space.hash(candidate) in state.visited else None
            if reason is None:
                await self.trial_of(chosen, idea, candidate, belief)
                return
            self.refuse(chosen, idea, reason)

    def not_new(self, edit: E) -> str | None:
        space, limit = self.bench.space, self.bench.policy.similarity
        home = self.state.home
        if home is not None and space.rivals(space.decode_edit(home["leap"]), edit):
            return "would undo what this exploration supposes"
        for other in self.state.refused.values():
            if space.similarity(edit, space.decode_edit(other)) > limit:
                return "like one refused before"
        return None

    async def look_for_ideas(self) -> None:
        state, bench = self.state, self.bench
        if bench.proposer is not None and not state.exhausted:
            tried = frozenset({*state.refused, *state.ideas, *state.memory})
            belief = bench.space.decode(state.belief)
            edits = await bench.proposer.propose(
                belief, state.evidence, tried, bench.policy.proposals, self.seed
            )
            for edit in edits:
                idea = Idea(
                    edit=bench.space.encode_edit(edit),
                    section=bench.space.section_of(edit),
                    deviation=bench.policy.expected,
                )
                state.consider(bench.space.edit_hash(edit), idea, state.id, bench.policy.damping)
            state.exhausted = not edits
        if not state.ideas and not state.asked:
            state.asked = True
            for other in self.neighbours:
                signal = Signal(
                    **self.envelope("need", other),
                    belief=state.belief,
                    scores=self.scores(),
                    edit={"tried": sorted(state.refused)},
                )
                self.send(signal)

    async def trial_of(self, chosen: str, idea: Idea, candidate: B, base: B) -> None:
        state = self.state
        items = list(state.niche)
        torn = self.bench.policy.forks and idea.section in state.before and state.home is None
        race = await self.judge.race(candidate, base, state.evidence, items, self.seed, torn=torn)
        self.trial = (chosen, race.outcome, race.gain)
        if race.outcome == "unpaid":
            state.ideas[chosen] = idea
            return
        won = race.outcome == "won"
        await self.maybe_fork(idea, race, candidate, base, won=won)
        state.credit(idea, won)
        if not won:
            state.attempts += 1
            if race.paired is not None:
                idea.learn(race.gain, race.paired.error)
                state.memory[chosen] = idea
            self.refuse(chosen, idea, "did not help", race)
            return
        encoded = self.bench.space.encode(candidate)
        state.move_to(encoded, self.bench.space.hash(candidate), race.candidate, idea.section)
        self.look_back(idea, race.gain)
        state.committed = [*state.committed, {"edit": idea.edit, "gain": race.gain, "origin": idea.origin}]
        state.committed = state.committed[-_REMEMBERED:]
        for sender in idea.senders:
            if sender != state.id:
                self.answer(sender, idea.cause, chosen, accepted=True, reason="helped")
        if state.home is None:
            self.tell(idea, race)

    def look_back(self, idea: Idea, gain: float) -> None:
        """After a commit: rivals of the edit have that much less to give; the promising come back."""
        state, space = self.state, self.bench.space
        committed = space.decode_edit(idea.edit)
        for other in (*state.memory.values(), *state.ideas.values()):
            if space.rivals(committed, space.decode_edit(other.edit)):
                other.gain -= gain
        state.memory.pop(space.edit_hash(committed), None)
        self.recall()

    async def explore(self) -> None:
        """At rest: suppose a near miss, adapt the rest to it, and move only if the whole beats home.

        The nearest miss is supposed first; while the node is away its section's rivals are left alone.
        """
        state, space = self.state, self.bench.space
        if state.home is not None:
            await self.end_trip(space.decode(state.home["belief"]))
            return
        misses = [key for key in state.memory if key not in state.leapt]
        if state.trips >= self.bench.policy.trips or not misses:
            state.trips = self.bench.policy.trips
            return
        nearest = min(misses, key=lambda key: (-state.memory[key].gain, key))
        state.leapt.append(nearest)
        leap = state.memory[nearest].edit
        try:
            belief = space.apply(space.decode(state.belief), space.decode_edit(leap))
        except BeliefEditRefused:
            return
        state.leave(space.encode(belief), space.hash(belief), leap)
        self.recall(self.bench.policy.leap_drift)

    async def end_trip(self, home: B) -> None:
        """Where the trip led against home, unless it led nowhere."""
        state, space = self.state, self.bench.space
        _, digest, known = state.standing
        if state.home is None or state.home["version"] == state.version or state.belief_hash == digest:
            state.come_home()
            return
        race = await self.judge.race(space.decode(state.belief), home, known, list(state.niche), self.seed)
        self.trial = (state.belief_hash, race.outcome, race.gain)
        if race.outcome == "won":
            state.settle(race.candidate)
            self.recall()
        elif race.outcome == "lost":
            state.come_home()

    def recall(self, drift: float = 0.5) -> None:
        """Bring promising refused edits back; `drift` is in units of the expected deviation."""
        policy = self.bench.policy
        self.state.remember(drift=drift * policy.expected, chance=policy.retry, damping=policy.damping)

    async def maybe_fork(self, idea: Idea, race: Race, candidate: B, base: B, *, won: bool) -> None:
        """Ask for a second node when two edits of one section both help, on different items."""
        state, policy = self.state, self.bench.policy
        before = state.before.get(idea.section)
        full = race.paired is not None and len(race.paired.differences) == len(state.niche)
        if not policy.forks or before is None or not full or state.home is not None:
            return
        gains = await self.judge.disagreement(race, candidate, base, before)
        if gains is None:
            return
        rival, evidence = (base, state.evidence) if won else (candidate, race.candidate)
        signal = Signal(
            **self.envelope("fork", POPULATION),
            section=idea.section,
            belief=self.bench.space.encode(rival),
            other=self.bench.space.hash(rival),
            edit={"base": state.belief, "evidence": evidence.to_json()},
            scores={item: -gain if won else gain for item, gain in gains.items()},
            gain=race.gain,
        )
        self.send(signal)

    def tell(self, idea: Idea, race: Race) -> None:
        """After a commit: the new scores to all neighbours, the edit to those who don't know it."""
        knows = {*idea.senders, idea.origin}
        gains = race.paired.differences if race.paired else {}
        for other in self.neighbours:
            self.send(Signal(**self.envelope("metric", other), scores=self.scores()))
            if other not in knows and idea.hops < self.bench.policy.hops:
                more = {"hops": idea.hops + 1, "origin": idea.origin, "cause": idea.cause}
                self.suggest(other, idea.edit, race.gain, gains=gains, **more)

    def refuse(self, edit_hash: str, idea: Idea, reason: str, race: Race | None = None) -> None:
        state = self.state
        state.refused[edit_hash] = idea.edit
        paired = race.paired if race else None
        harmful = paired is not None and paired.gain + 2 * paired.error < 0
        for sender in idea.senders:
            if sender == state.id:
                continue
            self.answer(sender, idea.cause, edit_hash, accepted=False, reason=reason)
            if harmful and paired is not None:
                losses = {item: d for item, d in paired.differences.items() if d < 0}
                veto = Signal(
                    **self.envelope("veto", sender),
                    section=idea.section,
                    edit_hash=edit_hash,
                    scores=losses,
                    gain=paired.gain,
                )
                self.send(veto)

    # --- jobs from the committer ---

    async def do_job(self, job: Signal) -> None:
        if job.kind == "merge" and job.reason == "duel":
            await self.duel(job)
        elif job.kind == "merge":
            await self.unite(job)
        elif job.kind == "need":
            state = self.state
            belief = self.bench.space.decode(state.belief)
            done = await self.judge.prepare(belief, state.evidence, list(self.bench.evaluator.items))
            reply = Signal(
                **self.envelope("metric", POPULATION), cause=job.id, scores=self.scores(), accepted=done
            )
            self.send(reply)

    async def duel(self, job: Signal) -> None:
        """Another belief on this node's own items, both measured afresh: is this node still needed?"""
        state, space = self.state, self.bench.space
        mine, theirs = Evidence(), Evidence()
        if self.bench.evaluator.deterministic:
            mine = state.evidence
        items = list(state.niche)
        paid = await self.judge.measure(
            space.decode(state.belief), mine, [i for i in items if mine.count(i) == 0]
        ) and await self.judge.measure(space.decode(job.belief), theirs, items)
        if not paid:
            self.answer(POPULATION, job.id, "", accepted=False, reason="unpaid")
            return
        paired = Paired.of(mine, theirs, items)
        needed = paired.gain > 1e-12 and paired.gain > self.bench.policy.survival * paired.error
        self.answer(POPULATION, job.id, "", accepted=not needed, reason="duel", gain=paired.gain)

    async def unite(self, job: Signal) -> None:
        """A merged belief against both parents, each on the items it answers for."""
        state, space = self.state, self.bench.space
        extra = job.edit or {}
        other = space.decode(extra["belief"])
        own, others = list(state.niche), list(extra["niche"])
        base = Evidence()
        belief, merged = space.decode(state.belief), space.decode(job.belief)
        paid = await self.judge.prepare(belief, state.evidence, own) and await self.judge.prepare(
            other, base, others
        )
        if not paid:
            self.answer(POPULATION, job.id, "", accepted=False, reason="unpaid")
            return
        base.scores.update({item: state.evidence.scores[item] for item in own})
        race = await self.judge.race(merged, belief, base, sorted({*own, *others}), self.seed)
        self.trial = (job.edit_hash, race.outcome, race.gain)
        won = race.outcome == "won"
        if won:
            state.move_to(job.belief, job.edit_hash, race.candidate, "")
        self.answer(POPULATION, job.id, job.edit_hash, accepted=won, reason=race.outcome, gain=race.gain)
