"""What a turn works with, and how it speaks: envelopes, answers, suggestions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hal9.belief.evidence import Evaluator, Proposer
from hal9.belief.node import NodeState
from hal9.belief.policy import Policy
from hal9.belief.signals import Kind, Signal
from hal9.belief.space import BeliefSpace

__all__ = ["POPULATION", "MessageWriter", "TurnContext"]

POPULATION = "population"
"""The address of the single committer."""

B = TypeVar("B")
E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext(Generic[B, E]):
    """What a turn works with; lives where the turn runs.

    `proposer` serves learners (None: they live on suggestions alone), `advice` the advisor nodes by id.
    """

    space: BeliefSpace[B, E]
    evaluator: Evaluator[B]
    policy: Policy
    proposer: Proposer[B, E] | None = None
    advice: Mapping[str, Proposer[B, E]] = field(default_factory=dict)


@dataclass(slots=True)
class MessageWriter(Generic[B, E]):
    """Collects what a node says in `out`; every signal carries the node's id and version."""

    state: NodeState
    bench: TurnContext[B, E]
    out: list[Signal] = field(default_factory=list, kw_only=True)

    def envelope(self, kind: Kind, target: str) -> dict[str, Any]:
        state = self.state
        return {
            "id": state.next_id(),
            "kind": kind,
            "source": state.id,
            "target": target,
            "version": state.version,
        }

    def send(self, signal: Signal) -> None:
        self.out.append(signal)

    def scores(self) -> dict[str, float]:
        return {item: entry[1] for item, entry in self.state.evidence.scores.items()}

    def answer(
        self,
        target: str,
        cause: str | None,
        edit_hash: str,
        *,
        accepted: bool,
        reason: str,
        gain: float = 0.0,
    ) -> None:
        envelope = self.envelope("ack", target)
        self.send(
            Signal(**envelope, cause=cause, edit_hash=edit_hash, accepted=accepted, reason=reason, gain=gain)
        )

    def suggest(self, target: str, edit: dict[str, Any], gain: float, **more: Any) -> None:
        """Pass an edit on; `more` may set hops, origin, cause and the version it was made for (0: any)."""
        space = self.bench.space
        typed = space.decode_edit(edit)
        envelope = {**self.envelope("suggestion", target), "version": more.get("version", 0)}
        signal = Signal(
            **envelope,
            cause=more.get("cause"),
            hops=more.get("hops", 0),
            origin=more.get("origin", ""),
            section=space.section_of(typed),
            edit_hash=space.edit_hash(typed),
            edit=edit,
            scores=more.get("gains", {}),
            gain=gain,
        )
        self.send(signal)
