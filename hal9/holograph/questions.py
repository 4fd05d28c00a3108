"""What may be asked about a pair of variables, and what may be answered.

Relations of a pair (first, second), first before second in the problem's order:
0 first causes second, 1 second causes first, 2 neither, 3 both have a common cause outside the list.
"""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "ANSWERS",
    "KINDS",
    "RELATIONS",
    "Answer",
    "Kind",
    "Question",
    "parse_answer",
    "schema_for",
]

Kind = Literal["direction", "mechanism", "confounder", "discriminator"]
KINDS: tuple[Kind, ...] = ("direction", "mechanism", "confounder")
"""The kinds that the planner chooses from; discriminators come only from obstructions."""
RELATIONS = ("->", "<-", "none", "<->")
ANSWERS: dict[Kind, tuple[str, ...]] = {
    "direction": (
        "first_causes_second",
        "second_causes_first",
        "no_direct_effect",
        "common_cause",
        "unknown",
    ),
    "mechanism": ("direct", "mediated", "no_effect", "unknown"),
    "confounder": ("hidden_common_cause", "no_hidden_common_cause", "unknown"),
    "discriminator": ("latent_cause", "first_causes_second", "second_causes_first", "neither", "unknown"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `swapped` names the variables in the other order to average out position bias."""

    kind: Kind
    first: str
    second: str
    context: str = ""
    swapped: bool = False
    claims: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identity for persistence and for never asking twice."""
        order = "swapped" if self.swapped else "plain"
        return f"{self.kind}|{self.first}|{self.second}|{self.context}|{order}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One parsed answer, in the order of the question's first and second.

    Attributes:
        verdict: one of ANSWERS[kind].
        effect: whether the effect raises or lowers, when the answer says.
        names: mediators, or the name of the common cause.
        confidence: what the answerer claims, 0..1; recorded, never trusted uncalibrated.
        text: the answer's own words.
    """

    kind: Kind
    verdict: str
    effect: Literal["raises", "lowers", "unclear"] = "unclear"
    names: tuple[str, ...] = ()
    confidence: float = 0.5
    text: str = ""


_SWAP = {"first_causes_second": "second_causes_first", "second_causes_first": "first_causes_second"}


def schema_for(kind: Kind) -> dict[str, Any]:
    """JSON schema of the answer; strict, with abstention."""
    properties: dict[str, Any] = {"verdict": {"type": "string", "enum": list(ANSWERS[kind])}}
    if kind in ("direction", "mechanism"):
        properties["effect"] = {"type": "string", "enum": ["raises", "lowers", "unclear"]}
    if kind in ("mechanism", "confounder", "discriminator"):
        name = {"type": "string", "maxLength": 60}
        properties["names"] = {"type": "array", "items": name, "maxItems": 3}
    properties["confidence"] = {"type": "number"}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_answer(question: Question, parsed: Any, text: str) -> Answer | None:
    """A mind's JSON as an answer in the question's plain order; None when it does not fit the schema."""
    if not isinstance(parsed, dict) or parsed.get("verdict") not in ANSWERS[question.kind]:
        return None
    verdict = str(parsed["verdict"])
    if question.swapped:
        verdict = _SWAP.get(verdict, verdict)
    effect = parsed.get("effect", "unclear")
    if effect not in ("raises", "lowers", "unclear"):
        return None
    names = parsed.get("names", [])
    confidence = parsed.get("confidence", 0.5)
    if not isinstance(names, list) or isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return None
    return Answer(
        kind=question.kind,
        verdict=verdict,
        effect=effect,
        names=tuple(str(name).strip() for name in names if str(name).strip()),
        confidence=min(1.0, max(0.0, float(confidence))),
        text=text,
    )
