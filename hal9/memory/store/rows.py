"""Between records and rows of the memories table."""

import hashlib
import json
from typing import Any

from hal9.database import Row
from hal9.memory.records import Memory, MemoryScope, NewMemory, dump_json
from hal9.text import clean_text

__all__ = ["COLUMNS", "content_hash", "to_memory", "to_row"]

COLUMNS = (
    "id, kind, content, neuron, layer, workspace, module, task_family, importance, task_id, source, meta, "
    "created, accessed, access_count, helped, hurt, neutral, quarantined, quarantine_reason, embedding_model"
)


def to_row(memory: NewMemory, now: float) -> dict[str, Any]:
    """The columns of a new memory, without its vector."""
    scope = memory.scope.cleaned()
    content = clean_text(memory.content)
    return {
        "kind": memory.kind,
        "neuron": clean_text(memory.neuron),
        "layer": memory.layer,
        "content": content,
        "workspace": scope.workspace,
        "module": scope.module,
        "task_family": scope.task_family,
        "importance": memory.importance,
        "task_id": clean_text(memory.task_id),
        "source": clean_text(memory.source),
        "meta": dump_json(memory.meta),
        "content_hash": content_hash(memory.kind, content, scope.workspace, scope.module, scope.task_family),
        "created": now,
        "accessed": now,
    }


def to_memory(row: Row) -> Memory:
    """A memory from its row."""
    return Memory(
        id=int(row["id"]),
        kind=row["kind"],
        content=row["content"],
        neuron=row["neuron"],
        layer=int(row["layer"]),
        scope=MemoryScope(row["workspace"], row["module"], row["task_family"]),
        importance=float(row["importance"]),
        task_id=row["task_id"],
        source=row["source"],
        meta=json.loads(row["meta"]),
        created=float(row["created"]),
        accessed=float(row["accessed"]),
        access_count=int(row["access_count"]),
        helped=int(row["helped"]),
        hurt=int(row["hurt"]),
        neutral=int(row["neutral"]),
        quarantined=bool(row["quarantined"]),
        quarantine_reason=row["quarantine_reason"],
        embedding_model=row["embedding_model"],
    )


def content_hash(*parts: str) -> str:
    """SHA-256 over parts, length-prefixed so that no two different part lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
