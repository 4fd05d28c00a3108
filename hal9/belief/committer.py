"""The single committer: births, deaths, items, tokens, and the log they are written to."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any, Generic, TypeVar

from hal9.belief.evidence import Evidence
from hal9.belief.genealogy import Birth, End, Genealogy, LogEntry
from hal9.belief.message_writer import POPULATION
from hal9.belief.node import NodeState
from hal9.belief.policy import Policy
from hal9.belief.signals import Signal
from hal9.belief.space import BeliefSpace
from hal9.errors.belief import BeliefMergeConflict

__all__ = ["Committer"]

B = TypeVar("B")
E = TypeVar("E")


class Committer(Generic[B, E]):
    """The shared state and every change of it. Subclassed by `Population`, which adds the running.

    Invariants, checked after every step: living learners <= cap; tokens sum to 1; every item belongs to
    exactly one living learner.
    """

    def __init__(
        self,
        space: BeliefSpace[B, E],
        items: Sequence[str],
        policy: Policy,
        on_entry: Callable[[LogEntry], None] | None,
    ) -> None:
        self.space = space
        self.items = tuple(items)
        self.policy = policy
        self.on_entry = on_entry
        self.nodes: dict[str, NodeState] = {}
        self.inboxes: dict[str, list[Signal]] = {}
        self.outbox: list[Signal] = []
        self.edges: dict[str, set[str]] = {}
        self.tokens: dict[str, Fraction] = {}
        self.niches: dict[str, list[str]] = {}
        self.genealogy = Genealogy()
        self.log: list[LogEntry] = []
        self.spent = 0
        self.step_number = 0
        self.job: Signal | None = None
        self.job_unpaid = False
        self._tested: set[tuple[str, ...]] = set()
        self._retired_hashes: set[str] = set()
        self._sent = 0
        self._born = 0

    # --- reading ---

    def learners(self) -> list[str]:
        """Ids of the living learners, oldest first."""
        return [node for node, state in self.nodes.items() if state.role == "learner"]

    def quiet(self, node: str) -> bool:
        """Whether a node has had its full round and nothing to hear."""
        state = self.nodes[node]
        if self.inboxes[node]:
            return False
        if self.policy.round_attempts and state.attempts >= self.policy.round_attempts:
            return True
        if state.home is not None or (state.explores and state.trips < self.policy.trips):
            return False
        return not state.ideas and (state.exhausted or state.asked)

    def settled(self) -> list[str]:
        """Learners that are not exploring: what they hold is what they stand for."""
        return [node for node in self.learners() if self.nodes[node].home is None]

    def has_job(self, node: str) -> bool:
        """Whether the committer waits for this node."""
        return self.job is not None and self.job.target == node

    def final_reserve(self) -> int:
        """Evaluations kept back to compare the last few nodes on equal terms."""
        learners = len(self.learners())
        return 0 if learners < 2 else min(3, learners) * len(self.items)

    # --- writing ---

    def write(self, what: str, node: str, **facts: Any) -> None:
        """Append to the ordered log."""
        entry = LogEntry(len(self.log), self.step_number, what, node, facts)
        self.log.append(entry)
        if self.on_entry is not None:
            self.on_entry(entry)

    def note_signal(self, signal: Signal) -> None:
        """Log a signal by what identifies it."""
        facts = {
            "id": signal.id,
            "target": signal.target,
            "cause": signal.cause,
            "version": signal.version,
            "hops": signal.hops,
            "about": signal.edit_hash,
            "gain": signal.gain,
            "accepted": signal.accepted,
            "reason": signal.reason,
        }
        self.write(signal.kind, signal.source, **facts)

    def next_id(self) -> str:
        """A fresh id for the committer's own signals."""
        self._sent += 1
        return f"{POPULATION}:{self._sent}"

    def connect(self, a: str, b: str) -> None:
        """Let two nodes talk."""
        if a != b:
            self.edges[a].add(b)
            self.edges[b].add(a)

    # --- deciding ---

    def decide(self, signal: Signal) -> None:
        """Carry out, or refuse, what a node asks of the committer."""
        if signal.kind == "fork":
            reason = self._why_no_fork(signal)
            if reason is None:
                self._fork(signal)
            else:
                self.write("refuse", signal.source, about="fork", reason=reason)
        elif signal.kind == "ack" and self.job is not None and signal.cause == self.job.id:
            job, self.job = self.job, None
            self.job_unpaid = signal.reason == "unpaid"
            if signal.accepted:
                self._finish(job)

    def _why_no_fork(self, signal: Signal) -> str | None:
        if not self.policy.forks:
            return "forks are off"
        parent = signal.source
        niche = set(self.niches[parent])
        won = [item for item, gain in signal.scores.items() if gain > 0 and item in niche]
        if min(len(won), len(niche) - len(won)) < self.policy.min_wins:
            return "too few items"
        if signal.other in self._retired_hashes or any(
            s.belief_hash == signal.other for s in self.nodes.values()
        ):
            return "not new"
        if len(self.learners()) >= self.policy.cap and not self._evict(sparing=parent):
            return "population is at its cap"
        if self.tokens[parent] / 2 < Fraction(1, self.policy.cap):
            return "no token left to split"
        return None

    def _fork(self, signal: Signal) -> None:
        parent = signal.source
        self._born += 1
        child = f"{parent.split('.')[0]}.{self._born}"
        wanted = {item for item, gain in signal.scores.items() if gain > 0}
        mine = [item for item in self.niches[parent] if item not in wanted]
        theirs = [item for item in self.niches[parent] if item in wanted]
        extra = signal.edit or {}
        evidence = Evidence.from_json(extra["evidence"])
        self.nodes[child] = NodeState(
            id=child, belief=signal.belief, belief_hash=signal.other, niche=list(theirs), evidence=evidence
        )
        self.inboxes[child], self.edges[child] = [], set()
        for other in sorted({parent, *self.edges[parent]}):
            self.connect(child, other)
        self.tokens[parent] = self.tokens[child] = self.tokens[parent] / 2
        self.niches[parent], self.niches[child] = mine, theirs
        state = self.nodes[parent]
        state.niche = list(mine)
        state.reconsider()
        self.genealogy.births[child] = Birth(
            id=child,
            parent=parent,
            base=extra["base"],
            parent_age=state.wins,
            born=self.spent,
            token=self.tokens[child],
            trace=[(self.spent, evidence.average(theirs))],
        )
        self.write(
            "birth", child, parent=parent, hash=signal.other, items=len(theirs), token=str(self.tokens[child])
        )

    def _evict(self, *, sparing: str) -> bool:
        """Make room: retire the lowest node that isn't the only best on two items or more."""

        def unique(node: str) -> int:
            own = self.nodes[node].evidence
            rivals = [self.nodes[other].evidence for other in self.learners() if other != node]
            return sum(
                all(own.mean(item) > rival.mean(item) for rival in rivals if item in rival.scores)
                for item in self.niches[node]
                if item in own.scores
            )

        candidates = [node for node in self.learners() if node != sparing and unique(node) < 2]
        if not candidates:
            return False
        worst = min(candidates, key=lambda node: (self.nodes[node].evidence.average(self.niches[node]), node))
        heir = self.genealogy.births[worst].parent
        self.retire(worst, heir if heir in self.nodes else sparing, "evicted")
        return True

    def retire(self, node: str, heir: str | None, end: End) -> None:
        """End a node's life; the heir takes its items, token and neighbours. Its ancestry stays."""
        heir = heir or next(other for other in self.learners() if other != node)
        self._retired_hashes.add(self.nodes[node].belief_hash)
        self.tokens[heir] += self.tokens.pop(node)
        gained = set(self.niches.pop(node)) | set(self.niches[heir])
        self.niches[heir] = [item for item in self.items if item in gained]
        self.nodes[heir].niche = list(self.niches[heir])
        self.nodes[heir].reconsider()
        for other in self.edges.pop(node):
            self.edges[other].discard(node)
            self.connect(heir, other)
        del self.nodes[node], self.inboxes[node]
        self.outbox = [signal for signal in self.outbox if node not in (signal.target, signal.other)]
        if self.job is not None and node in (self.job.target, self.job.other):
            self.job = None
        birth = self.genealogy.births[node]
        birth.died, birth.end, birth.heir = self.spent, end, heir
        self.write("death", node, end=end, heir=heir, token=str(self.tokens[heir]))

    def converge(self) -> None:
        """Nodes that came to the same belief become one, the older."""
        first: dict[str, str] = {}
        for node in self.settled():
            older = first.setdefault(self.nodes[node].belief_hash, node)
            if older != node:
                self.retire(node, older, "converged")

    # --- jobs: merges and duels, one at a time ---

    def issue_job(self, *, duels: bool) -> None:
        """Ask one node to race a three-way merge with another, or to show that it is still needed."""
        for a, b in permutations(self.settled(), 2):
            job = self._merge_job(a, b) if a < b else None
            if job is None and duels:
                job = self._duel_job(a, b)
            if job is not None:
                self.job = job
                self.inboxes[job.target].append(job)
                self.note_signal(job)
                return

    def _once(self, *key: str) -> bool:
        """True the first time only: nothing is tried twice."""
        if key in self._tested:
            return False
        self._tested.add(key)
        return True

    def _merge_job(self, a: str, b: str) -> Signal | None:
        left, right = self.nodes[a], self.nodes[b]
        if not self._once("merge", *sorted((left.belief_hash, right.belief_hash))):
            return None
        beliefs = {node: state.belief for node, state in self.nodes.items()}
        ages = {node: state.wins for node, state in self.nodes.items()}
        base = self.genealogy.common_base(a, b, beliefs, ages)
        if base is None:
            return None
        decode = self.space.decode
        try:
            merged = self.space.merge(decode(base), decode(left.belief), decode(right.belief))
        except BeliefMergeConflict as conflict:
            self.write("refuse", a, about="merge", other=b, reason=str(conflict))
            return None
        digest = self.space.hash(merged)
        if digest in self._retired_hashes or not self._once(
            "merged", digest, left.belief_hash, right.belief_hash
        ):
            return None
        own = {node: self.nodes[node].evidence.average(self.niches[node]) for node in (a, b)}
        better, other = (a, b) if not own[b] > own[a] else (b, a)
        return Signal(
            id=self.next_id(),
            kind="merge",
            source=POPULATION,
            target=better,
            other=other,
            belief=self.space.encode(merged),
            edit_hash=digest,
            edit={"belief": self.nodes[other].belief, "niche": list(self.niches[other])},
            section=self.nodes[other].belief_hash,
        )

    def _duel_job(self, challenged: str, challenger: str) -> Signal | None:
        mine, theirs = self.nodes[challenged], self.nodes[challenger]
        if not self._once("duel", mine.belief_hash, theirs.belief_hash, *mine.niche):
            return None
        return Signal(
            id=self.next_id(),
            kind="merge",
            source=POPULATION,
            target=challenged,
            other=challenger,
            belief=theirs.belief,
            edit_hash=theirs.belief_hash,
            section=mine.belief_hash,
            reason="duel",
        )

    def _finish(self, job: Signal) -> None:
        """A merge or duel was won by the challenger; if the loser has moved on meanwhile, it stays."""
        duel = job.reason == "duel"
        loser, heir = (job.target, job.other) if duel else (job.other, job.target)
        if loser not in self.nodes or heir not in self.nodes or self.nodes[loser].belief_hash != job.section:
            self.write("refuse", loser, about="merge", reason="changed meanwhile")
            return
        if duel and self.nodes[heir].belief_hash != job.edit_hash:
            self.write("refuse", loser, about="duel", reason="challenger changed meanwhile")
            return
        self.retire(loser, heir, "outdone" if duel else "merged")

    def check_invariants(self) -> None:
        """Raise AssertionError if items, tokens or the cap are broken: that would be a defect here."""
        learners = self.learners()
        if not learners:
            return
        held = sorted(item for node in learners for item in self.niches[node])
        sound = (
            len(learners) <= max(self.policy.cap, 1)
            and sum(self.tokens.values()) == 1
            and held == sorted(self.items)
        )
        if not sound:
            raise AssertionError(
                f"population invariants broken: {len(learners)} nodes, {self.tokens}, {len(held)} items"
            )
