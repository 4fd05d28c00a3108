"""A node's state, and how signals become ideas with odds.

The state is plain data: it can be written down, sent to another process and taken up there. Messages only
change what a node *considers*; its belief changes by measurement alone (see `turn`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hal9.belief.evidence import Evidence
from hal9.belief.signals import Signal
from hal9.errors.belief import BeliefSignalInvalid

__all__ = ["Idea", "NodeState", "Role"]

Role = Literal["learner", "advisor"]


@dataclass(slots=True)
class Idea:
    """A pending edit: who spoke for it (as log-odds), and what is believed of its gain (a normal)."""

    edit: dict[str, Any]
    section: str
    log_odds: float = 0.0
    gain: float = 0.0
    deviation: float = 0.05
    fresh: bool = True
    senders: list[str] = field(default_factory=list)
    hops: int = 0
    cause: str | None = None
    origin: str = ""

    @property
    def worth(self) -> float:
        """Expected improvement of a trial (Mockus 1978) times the odds; a trial costs the same for all."""
        ratio = self.gain / self.deviation
        density = math.exp(-ratio * ratio / 2) / math.sqrt(2 * math.pi)
        improvement = self.deviation * density + self.gain * self.chance
        return improvement / (1.0 + math.exp(-self.log_odds))

    @property
    def chance(self) -> float:
        """Probability that the gain is positive, as far as measurements tell."""
        return 0.5 * math.erfc(-self.gain / self.deviation / math.sqrt(2))

    def learn(self, gain: float, error: float) -> None:
        """Update the belief about the gain by a measurement with this standard error."""
        precision, weight = self.deviation**-2, max(error, 1e-3) ** -2
        self.gain = (self.gain * precision + gain * weight) / (precision + weight)
        self.deviation = (precision + weight) ** -0.5


@dataclass(slots=True, kw_only=True)
class NodeState:
    """Everything one node knows.

    Attributes:
        belief: encoded belief.
        niche: the items this node answers for; a lone node answers for all.
        evidence: measurements of the present belief.
        before: per section, encoded evidence of the belief before the last commit there.
        ideas: pending edits by hash.
        refused: hashes of edits refused for the present belief, with the edit (for the similarity test).
        memory: what trials told about refused edits; the promising ones return after a commit.
        seen: keys of signals taken in for the present belief.
        record: per sender, ideas of theirs that helped and that were tried.
        committed: the last edits that helped, to answer a neighbour's need.
        attempts: trials since the last commit.
        exhausted: proposer has no more ideas.
        draws: measurements so far (numbers the random draws); sent: signals so far (numbers their ids).
        wins: commits in all. visited: hashes of earlier beliefs; going back there is refused.
        asked: a need is out and unanswered.
        home: while the node explores, the belief it stands for, and what was known there (JSON).
        trips: explorations in a row that found nothing better.
        leapt: where they began.
        explores: it has a proposer to explore with.
    """

    id: str
    belief: Any
    belief_hash: str
    role: Role = "learner"
    version: int = 1
    niche: list[str] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)
    before: dict[str, Evidence] = field(default_factory=dict)
    ideas: dict[str, Idea] = field(default_factory=dict)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, Idea] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    record: dict[str, tuple[int, int]] = field(default_factory=dict)
    committed: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0
    exhausted: bool = False
    asked: bool = False
    draws: int = 0
    sent: int = 0
    wins: int = 0
    visited: list[str] = field(default_factory=list)
    home: dict[str, Any] | None = None
    trips: int = 0
    leapt: list[str] = field(default_factory=list)
    explores: bool = False

    def precision(self, sender: str) -> float:
        """How often the sender's ideas helped: mean of Beta(1 + hits, 1 + misses)."""
        hits, tried = self.record.get(sender, (0, 0))
        return (hits + 1) / (tried + 2)

    def credit(self, idea: Idea, helped: bool) -> None:
        """Count a trial for everyone who spoke for the idea."""
        for sender in idea.senders:
            hits, tried = self.record.get(sender, (0, 0))
            self.record[sender] = (hits + helped, tried + 1)

    def consider(self, edit_hash: str, idea: Idea, sender: str, damping: float) -> None:
        """Let a sender's voice for an edit count: damped log-odds of the sender's precision."""
        held = self.ideas.setdefault(edit_hash, idea)
        odds = self.precision(sender)
        held.log_odds += (1 - damping) * math.log(odds / (1 - odds))
        if held.fresh:
            held.gain = max(held.gain, idea.gain)
        if sender not in held.senders:
            held.senders.append(sender)

    def receive(self, signal: Signal, damping: float, expected: float) -> str | None:
        """Take in a suggestion or veto.

        Returns:
            None if it counted, else why it was dropped.
        """
        if signal.version not in (0, self.version):
            return "stale version"
        key = (signal.kind, signal.section, f"{signal.edit_hash}<{signal.origin or signal.source}")
        if key in self.seen:
            return "heard before"
        self.seen.append(key)
        if signal.kind == "veto":
            if signal.edit_hash in self.ideas:
                odds = self.precision(signal.source)
                self.ideas[signal.edit_hash].log_odds -= (1 - damping) * math.log((1 + odds) / (1 - odds))
            return None
        if signal.edit is None:
            return "no edit"
        if signal.edit_hash in self.refused:
            return "refused before"
        idea = Idea(
            edit=signal.edit,
            section=signal.section,
            gain=signal.gain * self.precision(signal.source),
            deviation=expected,
            hops=signal.hops,
            cause=signal.id,
            origin=signal.origin or signal.source,
        )
        self.consider(signal.edit_hash, idea, signal.source, damping)
        return None

    def best_idea(self) -> str | None:
        """Hash of the idea with the largest expected gain; ties go to the smaller hash."""
        return min(self.ideas, key=lambda h: (-self.ideas[h].worth, h), default=None)

    @property
    def standing(self) -> tuple[Any, str, Evidence]:
        """Belief, hash and evidence that the node stands for, also while it explores."""
        if self.home is None:
            return self.belief, self.belief_hash, self.evidence
        return self.home["belief"], self.home["hash"], Evidence.from_json(self.home["evidence"])

    def leave(self, belief: Any, belief_hash: str, leap: dict[str, Any]) -> None:
        """Go exploring from another belief; nothing is committed until it has beaten home."""
        self.home = {
            "belief": self.belief,
            "hash": self.belief_hash,
            "evidence": self.evidence.to_json(),
            "refused": dict(self.refused),
            "memory": _ideas_to_json(self.memory),
            "version": self.version,
            "leap": leap,
        }
        self.belief, self.belief_hash, self.evidence = belief, belief_hash, Evidence()
        self.before.clear()
        self.ideas.clear()
        self.reconsider()

    def come_home(self) -> None:
        """Return empty-handed: all is as it was before, but for one trip more."""
        self.belief, self.belief_hash, self.evidence = self.standing
        home, self.home = self.home or {}, None
        self.before.clear()
        self.ideas.clear()
        self.reconsider()
        self.refused, self.memory = dict(home["refused"]), _ideas_from_json(home["memory"])
        self.exhausted = True
        self.trips += 1

    def settle(self, evidence: Evidence) -> None:
        """Make the place that a trip led to the new home."""
        self.visited.append(self.standing[1])
        self.home, self.trips, self.evidence = None, 0, evidence
        self.leapt.clear()
        self.version += 1
        self.wins += 1
        self.reconsider()

    def move_to(self, belief: Any, belief_hash: str, evidence: Evidence, section: str) -> None:
        """Commit a new belief: what was refused before may help now, and gets another chance."""
        self.before[section] = self.evidence
        self.visited.append(self.belief_hash)
        self.belief, self.belief_hash, self.evidence = belief, belief_hash, evidence
        self.version += 1
        if self.home is None:
            self.wins += 1
            self.trips = 0
            self.leapt.clear()
        self.reconsider()

    def reconsider(self) -> None:
        """Begin a new round: the belief or the niche has changed."""
        self.refused.clear()
        self.seen.clear()
        self.attempts, self.exhausted, self.asked = 0, False, False
        for idea in self.ideas.values():
            idea.log_odds /= 2

    def remember(self, *, drift: float, chance: float, damping: float) -> None:
        """Bring refused edits back that have at least this `chance` to help now.

        A commit elsewhere may have changed what they do, so their deviation grows by `drift`.
        """
        for key, idea in self.memory.items():
            idea.deviation = math.hypot(idea.deviation, drift)
            if key not in self.ideas and idea.chance >= chance:
                again = replace(idea, senders=[], log_odds=0.0, fresh=False)
                self.consider(key, again, self.id, damping)

    def next_id(self) -> str:
        """A fresh signal id."""
        self.sent += 1
        return f"{self.id}:{self.sent}"

    def copy(self) -> "NodeState":
        """An independent copy; a turn works on one, so that a failed turn leaves no trace."""
        return replace(
            self,
            niche=list(self.niche),
            evidence=self.evidence.copy(),
            before=dict(self.before),
            ideas={key: replace(idea, senders=list(idea.senders)) for key, idea in self.ideas.items()},
            refused=dict(self.refused),
            memory={key: replace(idea) for key, idea in self.memory.items()},
            seen=list(self.seen),
            record=dict(self.record),
            committed=list(self.committed),
            visited=list(self.visited),
            leapt=list(self.leapt),
            home=dict(self.home) if self.home else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The state as JSON."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["evidence"] = self.evidence.to_json()
        data["before"] = {section: evidence.to_json() for section, evidence in self.before.items()}
        data["ideas"], data["memory"] = _ideas_to_json(self.ideas), _ideas_to_json(self.memory)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "NodeState":
        """The inverse of `to_json`, also after a trip through text.

        Raises:
            BeliefSignalInvalid: the data is no node state.
        """
        try:
            held = dict(data)
            held["evidence"] = Evidence.from_json(held["evidence"])
            held["before"] = {section: Evidence.from_json(entry) for section, entry in held["before"].items()}
            held["ideas"], held["memory"] = _ideas_from_json(held["ideas"]), _ideas_from_json(held["memory"])
            held["seen"] = [(a, b, c) for a, b, c in held["seen"]]
            held["record"] = {sender: (int(a), int(b)) for sender, (a, b) in held["record"].items()}
            for name in ("niche", "committed", "visited", "leapt"):
                held[name] = list(held[name])
            held["refused"] = dict(held["refused"])
            return cls(**held)
        except (KeyError, TypeError, ValueError) as error:
            raise BeliefSignalInvalid(what="node state", detail=repr(error)) from error


def _ideas_to_json(ideas: Mapping[str, Idea]) -> dict[str, dict[str, Any]]:
    return {key: {name: getattr(idea, name) for name in Idea.__slots__} for key, idea in ideas.items()}


def _ideas_from_json(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Idea]:
    return {key: Idea(**{**idea, "senders": list(idea["senders"])}) for key, idea in data.items()}
