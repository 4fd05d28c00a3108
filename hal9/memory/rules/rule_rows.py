"""Rules out of rows of the memory file."""

import json

from hal9.database import Row
from hal9.memory.records import MemoryScope, Rule, SolvedExample

__all__ = ["rule_of"]


def rule_of(row: Row) -> Rule:
    """A rule out of its row."""
    example = None
    if row["example_task"] is not None and row["example_answer"] is not None:
        example = SolvedExample(row["example_task"], row["example_answer"])
    return Rule(
        id=int(row["id"]),
        rule=row["rule"],
        example=example,
        scope=MemoryScope(row["workspace"], row["module"], row["task_family"], row["place"], row["work"]),
        source=row["source"],
        trusted_by=row["trusted_by"],
        pattern_id=row["pattern_id"],
        state=row["state"],
        state_reason=row["state_reason"],
        tried=int(row["tried"]),
        helped=int(row["helped"]),
        failed=int(row["failed"]),
        hurt=int(row["hurt"]),
        unjudged=int(row["unjudged"]),
        created=float(row["created"]),
        last_used=row["last_used"],
        content_hash=row["content_hash"],
        provenance={} if row["provenance"] == "{}" else json.loads(row["provenance"]),
    )
