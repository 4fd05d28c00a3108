"""What never changes between a trainer and its minds: contract and output shape, as text and as JSON schema.

The texts are injected when a promptgram is rendered and stored nowhere else; no edit of a promptgram can
reach them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from hal9.promptgram import MUTABLE_SECTIONS, Promptgram
from hal9.promptgram.items import plain
from hal9.shipped import shipped_data
from hal9.trainer.search.space import DIRECTIONS, MAGNITUDES, Ways

__all__ = ["EDIT_KINDS", "inner_schema", "outer_schema", "protocol", "shipped_promptgram"]

EDIT_KINDS = ("append", "replace", "delete")


@cache
def protocol(level: Literal["inner", "outer"]) -> dict[str, str]:
    """The protocol sections of L1 (inner) or L2 (outer)."""
    folder = shipped_data() / "training" / "prompts" / "protocol"
    return {
        "API_contract": (folder / f"{level}_api_contract.md").read_text(encoding="utf-8").strip(),
        "Output_schema": (folder / f"{level}_output_schema.md").read_text(encoding="utf-8").strip(),
    }


def shipped_promptgram(name: Literal["l0-ranker", "l1-ranker-tuner", "l2-prompt-evolver"]) -> Promptgram:
    """The promptgram that a fresh run begins with."""
    return Promptgram.load(shipped_data() / "neurons" / "trainer" / f"{name}.md")


def inner_schema(
    names: Sequence[str], *, brief: bool = False, steps: Mapping[str, Ways] | None = None
) -> dict[str, Any]:
    """L1's proposal; parameter names are enumerated, because an open object invites keys without end.

    Args:
        names: the parameters on offer.
        brief: short texts, for minds that write slowly; the shape is the same.
        steps: parameter to the directions that are open, each with its magnitudes; None leaves all open.
    """
    capsule, diagnosis, reason, sentence, most = (80, 120, 50, 100, 1) if brief else (240, 480, 160, 240, 3)
    every: Ways = dict.fromkeys(DIRECTIONS, MAGNITUDES)
    shapes = {name: _step((steps or {}).get(name, every), reason) for name in names}
    sentences = {"type": "array", "items": {"type": "string", "maxLength": sentence}, "maxItems": most}
    return {
        "type": "object",
        "additionalProperties": False,
        # All of it, in the order of writing: what is optional is left out by small models.
        "required": [
            *("strategy_capsule", "diagnosis", "param_interactions"),
            *("proposed_changes", "structural_insights", "confidence"),
        ],
        "properties": {
            "strategy_capsule": {"type": "string", "maxLength": capsule},
            "diagnosis": {"type": "string", "maxLength": diagnosis},
            "param_interactions": sentences,
            "proposed_changes": {
                "type": "object",
                "additionalProperties": False,
                "properties": shapes,
            },
            "structural_insights": sentences,
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    }


def _step(ways: Ways, reason: int) -> dict[str, Any]:
    """The shape of [direction, magnitude, reason]; directions with equal magnitudes share one."""
    together: dict[tuple[str, ...], list[str]] = {}
    for direction, magnitudes in ways.items():
        together.setdefault(tuple(magnitudes), []).append(direction)
    shapes = [
        {
            "type": "array",
            "prefixItems": [
                {"type": "string", "enum": directions},
                {"type": "string", "enum": list(magnitudes)},
                {"type": "string", "maxLength": reason},
            ],
            "minItems": 3,
            "maxItems": 3,
        }
        for magnitudes, directions in together.items()
    ]
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


def outer_schema(items: Mapping[str, Sequence[str]] | None = None, *, brief: bool = False) -> dict[str, Any]:
    """L2's proposal.

    Args:
        items: the items of each mutable section. With them, a target is one of its section's items or empty,
            so that a constrained mind cannot quote what is not there.
        brief: short texts and one edit, for minds that write slowly.
    """
    text = {"type": "string", "maxLength": 160 if brief else 400}
    targets = {section: [plain(item) for item in found] for section, found in (items or {}).items()}
    kinds = (
        [
            _edit(text, section, kind, known)
            for section, known in targets.items()
            for kind in EDIT_KINDS
            if known or kind == "append"
        ]
        if targets
        else [_edit(text, "", "", ())]
    )
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["hypothesis", "mode", "edits", "expected_effects", "risk_level"],
        "properties": {
            "hypothesis": text,
            "mode": {"type": "string", "enum": ["explore", "exploit", "consolidate"]},
            "edits": {
                "type": "array",
                "items": {"anyOf": kinds} if targets else kinds[0],
                "minItems": 1,
                "maxItems": 1 if brief else 3,
            },
            "expected_effects": {
                "type": "array",
                "items": {"type": "string", "maxLength": 80 if brief else 200},
                "maxItems": 1 if brief else 3,
            },
            "risk_level": {"type": "string", "enum": ["low", "medium", "high"]},
        },
    }


def _edit(text: dict[str, Any], section: str, kind: str, known: Sequence[str]) -> dict[str, Any]:
    """The shape of an edit: of one kind in one section, or of any when both are empty."""
    empty = {"type": "string", "enum": [""]}
    target: dict[str, Any] = text
    if kind:
        target = empty if kind == "append" else {"type": "string", "enum": list(known)}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["rationale", "section", "edit_type", "target", "content"],
        "properties": {
            "rationale": text,
            "section": {"type": "string", "enum": [section] if section else list(MUTABLE_SECTIONS)},
            "edit_type": {"type": "string", "enum": [kind] if kind else list(EDIT_KINDS)},
            "target": target,
            "content": empty if kind == "delete" else text,
        },
    }
