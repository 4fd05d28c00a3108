"""What never changes between a trainer and its minds: contract and output shape, as text and as JSON schema.

The texts are injected when a promptgram is rendered and stored nowhere else; no edit of a promptgram can
reach them.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hal9.promptgram import Promptgram
from hal9.trainer.space import DIRECTIONS, MAGNITUDES

__all__ = ["inner_schema", "outer_schema", "protocol", "shipped_promptgram"]


def shipped_data() -> Path:
    """The folder with the shipped neurons/ and training/: inside the wheel, or the checkout."""
    package = Path(str(resources.files("hal9")))
    inside = package / "_home"
    return inside if inside.is_dir() else package.parent


@cache
def protocol(level: Literal["inner", "outer"]) -> dict[str, str]:
    """The protocol sections of L1 (inner) or L2 (outer)."""
    folder = shipped_data() / "training" / "prompts" / "protocol"
    return {
        "API_contract": (folder / f"{level}_api_contract.md").read_text(encoding="utf-8").strip(),
        "Output_schema": (folder / f"{level}_output_schema.md").read_text(encoding="utf-8").strip(),
    }


def shipped_promptgram(name: Literal["l1-ranker-tuner", "l2-prompt-evolver"]) -> Promptgram:
    """The promptgram that a fresh run begins with."""
    return Promptgram.load(shipped_data() / "neurons" / "trainer" / f"{name}.md")


def inner_schema(names: Sequence[str]) -> dict[str, Any]:
    """L1's proposal; parameter names are enumerated, because an open object invites keys without end."""
    step = {
        "type": "array",
        "prefixItems": [
            {"type": "string", "enum": list(DIRECTIONS)},
            {"type": "string", "enum": list(MAGNITUDES)},
            {"type": "string", "maxLength": 160},
        ],
        "minItems": 3,
        "maxItems": 3,
    }
    sentences = {"type": "array", "items": {"type": "string", "maxLength": 240}, "maxItems": 3}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["strategy_capsule", "diagnosis", "proposed_changes", "confidence"],
        "properties": {
            "strategy_capsule": {"type": "string", "maxLength": 240},
            "diagnosis": {"type": "string", "maxLength": 480},
            "param_interactions": sentences,
            "proposed_changes": {
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(names, step),
            },
            "structural_insights": sentences,
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    }


def outer_schema() -> dict[str, Any]:
    """L2's proposal."""
    text = {"type": "string", "maxLength": 400}
    edit = {
        "type": "object",
        "additionalProperties": False,
        "required": ["section", "edit_type", "target", "content", "rationale"],
        "properties": {
            "section": {"type": "string", "enum": ["Policy", "Heuristics", "Style"]},
            "edit_type": {"type": "string", "enum": ["append", "replace", "delete"]},
            "target": text,
            "content": text,
            "rationale": text,
        },
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["mode", "edits", "hypothesis", "expected_effects", "risk_level"],
        "properties": {
            "mode": {"type": "string", "enum": ["explore", "exploit", "consolidate"]},
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": 3},
            "hypothesis": text,
            "expected_effects": {
                "type": "array",
                "items": {"type": "string", "maxLength": 200},
                "maxItems": 3,
            },
            "risk_level": {"type": "string", "enum": ["low", "medium", "high"]},
        },
    }
