"""What an MCP server answered, as text a model can read."""

import json
from typing import TYPE_CHECKING

from hal9.text import without_surrogates
from hal9.tools.observation import Observation

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock

__all__ = ["shown_result"]

_MOST_CHARACTERS = 2_000_000


def shown_result(result: "CallToolResult") -> Observation:
    """The texts of a result; pictures and sounds are named, structured content stands for missing text."""
    texts = [_shown(block) for block in result.content]
    text = "\n".join(part for part in texts if part)
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False, indent=1)
    text = without_surrogates(text)[:_MOST_CHARACTERS]
    if result.is_error:
        return Observation(text=text or "The tool failed without a word.", ok=False, summary="failed")
    return Observation(text=text or "(no output)")


def _shown(block: "ContentBlock") -> str:
    if block.type == "text":
        return block.text
    if block.type in {"image", "audio"}:
        size = len(block.data) * 3 // 4
        return f"[{block.type} of type {block.mime_type}, {size} bytes, not shown]"
    if block.type == "resource_link":
        return f"[resource {block.uri}]"
    if block.type == "resource":
        inner = block.resource
        text = getattr(inner, "text", None)
        return text if isinstance(text, str) else f"[resource {inner.uri}, binary, not shown]"
    return f"[content of type {block.type}, not shown]"
