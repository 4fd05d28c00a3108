"""What nodes say to each other.

Seven kinds, each with the id of its cause, the version of the belief it speaks about, and a hop count.
Metric carries the per-item vector, never a mean alone. A receiver counts a suggestion once per kind,
section, edit and origin: what comes back round a loop is the same evidence, and counting it twice is belief
propagation's own failure.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from hal9.errors.belief import BeliefSignalInvalid

__all__ = ["KINDS", "Kind", "Signal"]

Kind = Literal["metric", "need", "suggestion", "fork", "merge", "veto", "ack"]
KINDS: tuple[Kind, ...] = ("metric", "need", "suggestion", "fork", "merge", "veto", "ack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One message.

    Attributes:
        id: unique within a run, made from sender and count, so that equal runs have equal ids.
        version: version of the sender's belief (metric, fork, need) or of the target's belief it was made
            for (suggestion, merge, veto); 0 means any.
        hops: how often a suggestion or veto has been passed on.
        section, edit_hash: what it is about; empty where that makes no sense.
        origin: who said it first; a signal is never passed back there or to the node it came from.
        edit: a suggested edit as JSON.
        belief: an encoded belief (fork: the rival; merge: the merged candidate).
        other: another node (merge: the one that would be absorbed).
        scores: per-item numbers (metric: scores; veto: losses; suggestion, fork: gains).
        gain: expected or measured mean gain.
        accepted, reason: the answer of an ack.
    """

    id: str
    kind: Kind
    source: str
    target: str
    version: int = 0
    cause: str | None = None
    hops: int = 0
    origin: str = ""
    section: str = ""
    edit_hash: str = ""
    edit: dict[str, Any] | None = None
    belief: Any = None
    other: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    gain: float = 0.0
    accepted: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            BeliefSignalInvalid: fields or kind are not known.
        """
        try:
            signal = cls(**data)
        except TypeError as error:
            raise BeliefSignalInvalid(what="signal", detail=str(error)) from error
        if signal.kind not in KINDS:
            raise BeliefSignalInvalid(what="signal", detail=f"kind {signal.kind!r} is not known")
        return signal
