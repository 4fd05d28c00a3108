"""Prompts as programs: sections that learn, sections that never change, edits that cannot fail silently.

A promptgram is a Markdown file under TOML front matter. `Role` is fixed; `Policy`, `Heuristics` and
`Style` change by single-item edits; `API_contract` and `Output_schema` are injected when it is rendered.

    p = Promptgram.load(path)
    q = p.apply(Edit("Heuristics", "append", content="- Prefer the standard library."))
    print(diff(p, q), token_distance(p, q))
    prompt = q.render(protocol={"Output_schema": schema_text})
    assert p.reverse(edit).undo(q) == p
"""

from hal9.promptgram.document import Promptgram, Reversal, diff, token_distance
from hal9.promptgram.edits import (
    IMMUTABLE_SECTIONS,
    MUTABLE_SECTIONS,
    PROTOCOL_SECTIONS,
    STORED_SECTIONS,
    Edit,
    EditType,
)
from hal9.promptgram.merging import merge
from hal9.promptgram.meta import Meta
from hal9.promptgram.tokens import estimate_tokens

__all__ = [
    "IMMUTABLE_SECTIONS",
    "MUTABLE_SECTIONS",
    "PROTOCOL_SECTIONS",
    "STORED_SECTIONS",
    "Edit",
    "EditType",
    "Meta",
    "Promptgram",
    "Reversal",
    "diff",
    "estimate_tokens",
    "merge",
    "token_distance",
]
