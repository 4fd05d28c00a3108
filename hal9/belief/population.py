"""The population: deliver, process, fork, prune, until nothing wants to change.

One committer owns what is shared: which nodes live, who answers for which items, the tokens, the budget,
the ordered log. Turns run wherever their host is; replies are applied in an order that doesn't depend on
timing, so a seed fixes the whole run.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from hal9.belief.committer import Committer
from hal9.belief.genealogy import Birth, LogEntry
from hal9.belief.message_writer import POPULATION
from hal9.belief.node import NodeState, Role
from hal9.belief.outcome import Outcome, RankedNode
from hal9.belief.policy import Policy, StopReason
from hal9.belief.signals import Signal
from hal9.belief.space import BeliefSpace
from hal9.belief.transport import NodeHost, reply_to_json
from hal9.belief.turn import TurnReply, TurnRequest
from hal9.errors.base import Hal9Error

__all__ = ["Population"]

B = TypeVar("B")
E = TypeVar("E")

_FINALISTS = 3


class Population(Committer[B, E], Generic[B, E]):
    """A graph of beliefs that improve, split and reunite.

    Args:
        space: how beliefs are edited, merged and written down.
        items: what beliefs are scored on (the evaluator's items).
        host: runs turns; a mapping gives single nodes hosts of their own, "" names the default one.
        policy: the rules.
        seed: fixes every random choice.
        budget: item evaluations that may be spent in all.
        record: keep every reply in the log, so that `ReplayHost` can replay it.
        on_entry: called with each log entry as it is written.
    """

    def __init__(
        self,
        space: BeliefSpace[B, E],
        items: Sequence[str],
        host: NodeHost | Mapping[str, NodeHost],
        *,
        policy: Policy | None = None,
        seed: int = 0,
        budget: int = 1000,
        record: bool = False,
        on_entry: Callable[[LogEntry], None] | None = None,
    ) -> None:
        super().__init__(space, tuple(items), policy or Policy(), on_entry)
        self.hosts = host if isinstance(host, Mapping) else {"": host}
        self.seed = seed
        self.budget = budget
        self.record = record
        self.trace: list[tuple[int, str, float]] = []
        self._turns: dict[str, int] = {}
        self._credit: dict[str, Fraction] = {}
        self._reserved = 0
        self._starved: set[str] = set()
        self._dull = 0
        self._rng = np.random.default_rng(seed)

    # --- building ---

    def add(self, node: str, belief: B, *, role: Role = "learner", neighbours: Iterable[str] = ()) -> None:
        """Put a node in before the run; learners share items and tokens equally."""
        state = NodeState(
            id=node, belief=self.space.encode(belief), belief_hash=self.space.hash(belief), role=role
        )
        self.nodes[node] = state
        self.inboxes[node] = []
        self.edges[node] = set()
        for other in neighbours:
            self.connect(node, other)
        self.genealogy.births[node] = Birth(
            id=node, parent=None, base=None, parent_age=0, born=self.spent, token=Fraction(0)
        )
        learners = self.learners()
        for index, learner in enumerate(learners):
            self.tokens[learner] = Fraction(1, len(learners))
            self.genealogy.births[learner].token = self.tokens[learner]
            self.niches[learner] = list(self.items[index :: len(learners)])
            self.nodes[learner].niche = list(self.niches[learner])
        self.write("join", node, role=role, hash=state.belief_hash, belief=state.belief)

    # --- running ---

    async def run(
        self,
        *,
        stepping: Literal["synchronous", "asynchronous"] = "synchronous",
        concurrency: int = 1,
        max_steps: int = 100_000,
    ) -> Outcome[B]:
        """Step until equilibrium, stagnation or the end of the budget.

        Synchronous: all nodes whose turn it is act on the same state of the world. Asynchronous: nodes act
        one by one, `concurrency` turns under way at once on what was known when they began.
        """
        reason: StopReason | None = None
        if stepping == "asynchronous":
            reason = await self._run_asynchronously(concurrency, max_steps)
        else:
            while reason is None and self.step_number < max_steps:
                reason = await self.step()
        reason = reason or "budget"
        await self._score_finalists()
        self.write("stop", POPULATION, reason=reason, spent=self.spent, living=self.learners())
        return self._outcome(reason)

    async def step(self) -> StopReason | None:
        """One synchronous cycle; the reason to stop, if there is one.

        If a host fails, nothing of the step was applied and it may be tried again.
        """
        self.step_number += 1
        self._deliver()
        acting = self._acting()
        replies: dict[str, TurnReply] = {}
        requests = self._requests(acting)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    node: group.create_task(self._host(node).turn(request), name=f"belief turn {node}")
                    for node, request in requests.items()
                }
            replies = {node: task.result() for node, task in tasks.items()}
        except ExceptionGroup as failures:
            self._reserved = 0
            known = failures.subgroup(Hal9Error)
            raise (known or failures).exceptions[0] from failures
        for node in sorted(replies):
            self._apply(requests[node], replies[node])
        self._prune()
        return self._stop_reason(moved=bool(acting))

    async def _run_asynchronously(self, concurrency: int, max_steps: int) -> StopReason | None:
        flying: deque[tuple[TurnRequest, asyncio.Task[TurnReply]]] = deque()
        reason: StopReason | None = None
        try:
            async with asyncio.TaskGroup() as group:
                while self.step_number < max_steps:
                    busy = {request.state.id for request, _ in flying}
                    node = self._draw(busy) if len(flying) < concurrency else None
                    if node is not None:
                        self.step_number += 1
                        request = self._requests([node], concurrency - len(flying))[node]
                        turn = self._host(node).turn(request)
                        flying.append((request, group.create_task(turn, name=f"belief turn {node}")))
                        continue
                    if flying:
                        # First begun, first applied: the order is the seed's, not the scheduler's.
                        request, task = flying.popleft()
                        self._apply(request, await task)
                        self._prune()
                        reason = None if flying else self._stop_reason(moved=True)
                    else:
                        self.step_number += 1
                        self._prune()
                        reason = self._stop_reason(moved=False)
                    if reason is not None:
                        break
        except ExceptionGroup as failures:
            self._reserved = 0
            known = failures.subgroup(Hal9Error)
            raise (known or failures).exceptions[0] from failures
        return reason

    # --- one cycle's parts ---

    def _deliver(self) -> None:
        """Outbox to inboxes; each signal once, never to the dead, never over the hop limit."""
        waiting, self.outbox = self.outbox, []
        for signal in waiting:
            if (
                signal.target == POPULATION
                or signal.target not in self.inboxes
                or signal.hops > self.policy.hops
            ):
                continue
            self.inboxes[signal.target].append(signal)

    def _acting(self) -> list[str]:
        """Whose turn it is: token shares as stride scheduling; mail and advisors are served at once."""
        chosen = []
        learners = [node for node in self.learners() if not self.quiet(node)]
        total = sum((self.tokens[node] for node in learners), Fraction(0))
        for node in learners:
            self._credit[node] = (
                self._credit.get(node, Fraction(0)) + self.tokens[node] * len(learners) / total
            )
            if self._credit[node] >= 1 or self.has_job(node):
                self._credit[node] -= min(Fraction(1), self._credit[node])
                chosen.append(node)
        return chosen + [n for n in self.nodes if self.nodes[n].role == "advisor" and self.inboxes[n]]

    def _draw(self, busy: set[str]) -> str | None:
        """The next node of an asynchronous run, drawn by token share; mail for advisors goes first."""
        self._deliver()
        for node, state in self.nodes.items():
            if state.role == "advisor" and self.inboxes[node] and node not in busy:
                return node
        idle = [node for node in self.learners() if not self.quiet(node) and node not in busy]
        if not idle:
            return None
        if ready := [node for node in idle if self.has_job(node)]:
            return ready[0]
        shares = np.array([float(self.tokens[node]) for node in idle])
        return idle[int(self._rng.choice(len(idle), p=shares / shares.sum()))]

    def _requests(self, acting: Sequence[str], lanes: int = 0) -> dict[str, TurnRequest]:
        """Build requests and reserve what they may spend: an equal part for each of `lanes` turns."""
        free = max(0, self.budget - self.spent - self._reserved - self.final_reserve())
        learners = [node for node in acting if self.nodes[node].role == "learner"]
        requests = {}
        for node in acting:
            allowance = free // (lanes or len(learners)) if node in learners else 0
            self._reserved += allowance
            turn = self._turns[node] = self._turns.get(node, 0) + 1
            digest = hashlib.sha256(f"{self.seed}:{node}:{turn}".encode()).digest()
            requests[node] = TurnRequest(
                state=self.nodes[node],
                inbox=tuple(self.inboxes[node]),
                neighbours=tuple(sorted(self.edges[node])),
                seed=int.from_bytes(digest[:6]),
                allowance=allowance,
            )
        return requests

    def _apply(self, request: TurnRequest, reply: TurnReply) -> None:
        """Settle the budget, take the new state, carry out what was asked of the committer."""
        node, state = request.state.id, reply.state
        self._reserved -= request.allowance
        self.spent += reply.spent
        facts: dict[str, Any] = {
            "seed": request.seed,
            "trial": list(reply.trial) if reply.trial else None,
            "spent": reply.spent,
        }
        if self.record:
            facts["reply"] = reply_to_json(reply)
        self.write("turn", node, version=state.version, hash=state.belief_hash, **facts)
        if node not in self.nodes:
            return
        heard = {signal.id for signal in request.inbox}
        self.inboxes[node] = [signal for signal in self.inboxes[node] if signal.id not in heard]
        if state.role == "learner" and state.niche != self.niches[node]:
            # The committer changed this node's items while the turn was under way.
            state.niche = list(self.niches[node])
            state.reconsider()
        improved = state.version > request.state.version and state.home is None
        self.nodes[node] = state
        if improved:
            self.trace.append((self.spent, node, state.evidence.average(state.niche)))
            self.genealogy.births[node].trace.append(self.trace[-1][::2])
        self._dull = 0 if improved else self._dull + (state.role == "learner")
        (self._starved.add if reply.trial and reply.trial[1] == "unpaid" else self._starved.discard)(node)
        for signal in reply.outbox:
            self.note_signal(signal)
            if signal.target == POPULATION:
                self.decide(signal)
            else:
                self.outbox.append(signal)

    def _prune(self) -> None:
        self.converge()
        all_quiet = all(self.quiet(node) for node in self.learners())
        if self.job is None and (all_quiet or self.step_number % self.policy.merge_every == 0):
            self.issue_job(duels=all_quiet)
        self.check_invariants()

    def _stop_reason(self, *, moved: bool) -> StopReason | None:
        learners = self.learners()
        awake = [node for node in learners if not self.quiet(node)]
        mail = bool(self.outbox) or any(self.inboxes[node] for node in self.nodes)
        if self.job_unpaid or (awake and set(awake) <= self._starved) or self.budget <= self.spent:
            return "budget"
        if not awake and not mail and self.job is None:
            return "equilibrium"
        if self._dull >= self.policy.stagnation:
            return "stagnation"
        return None

    # --- the end ---

    async def _score_finalists(self) -> None:
        """Measure nodes on all items, the best first: a specialist is not judged by its own ones alone."""
        learners = self.learners()
        if len(learners) < 2:
            return
        order = sorted(learners, key=lambda node: (-self.nodes[node].evidence.average(self.items), node))
        for number, node in enumerate(order):
            missing = sum(item not in self.nodes[node].standing[2].scores for item in self.items)
            # For the best few the budget kept a reserve; the others are measured with what is left.
            if number >= _FINALISTS and missing > self.budget - self.spent:
                break
            ask = Signal(id=self.next_id(), kind="need", source=POPULATION, target=node, reason="final")
            free = self.budget - self.spent
            state = self.nodes[node]
            request = TurnRequest(state=state, inbox=(ask,), neighbours=(), seed=0, allowance=free)
            reply = await self._host(node).turn(request)
            self.spent += reply.spent
            self.nodes[node] = reply.state
            facts: dict[str, Any] = {"reply": reply_to_json(reply)} if self.record else {}
            self.write("turn", node, seed=0, spent=reply.spent, trial=None, **facts)

    def _outcome(self, reason: StopReason) -> Outcome[B]:
        standings = []
        for node in self.learners():
            state = self.nodes[node]
            belief, _, evidence = state.standing
            standings.append(
                RankedNode(
                    node=node,
                    belief=self.space.decode(belief),
                    niche=tuple(state.niche),
                    score=evidence.average(self.items),
                    own_score=evidence.average(state.niche),
                    token=self.tokens[node],
                    measured=sum(item in evidence.scores for item in self.items),
                )
            )
        standings.sort(
            key=lambda s: (s.measured < len(self.items), -np.nan_to_num(s.score, nan=-np.inf), s.node)
        )
        return Outcome(reason=reason, standings=tuple(standings), spent=self.spent, steps=self.step_number)

    def _host(self, node: str) -> NodeHost:
        return self.hosts.get(node) or self.hosts[""]
