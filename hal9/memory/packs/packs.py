"""Pattern packs: rules and solved examples as YAML that people can read, diff and share.

An imported pack is untrusted text. It can only add candidates, with all counters at zero and in the workspace
that the importer names; it cannot change, replace or count for anything that is stored. A candidate reaches a
prompt only after it has fixed a held-back case here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hal9.memory.packs.pack_format import FORMAT, Pack, PackEntry, entry_hash, parse_pack
from hal9.memory.records import ANY, MemoryScope, NewMemory, NewRule, Rule, RuleState
from hal9.memory.retrieval.search import SearchFilter, search
from hal9.memory.rules.rules import RuleStore
from hal9.memory.rules.signature import signature
from hal9.memory.store.store import MemoryStore

__all__ = ["ImportReport", "Pack", "PackEntry", "export_pack", "import_pack", "parse_pack", "suggest"]

_ERROR_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: the numbers of new candidates, and of rules that were known already."""

    name: str
    added: tuple[int, ...]
    known: tuple[int, ...]
    content_hash: str


def import_pack(store: MemoryStore, text: str, *, file: str = "pack", workspace: str = ANY) -> ImportReport:
    """Add a pack's rules as candidates; all of them or none.

    Args:
        store: an open memory file.
        text: the pack's YAML.
        file: its name, for error messages and provenance.
        workspace: the workspace it is let into; a pack cannot choose that itself.

    Raises:
        PackInvalid: nothing was imported.
    """
    pack = parse_pack(text, file=file)
    book = RuleStore(store)
    added, known = list[int](), list[int]()
    # Vectors first: models are slow, and nobody else can write while the transaction is open.
    rules = store.embed([entry.example.task if entry.example else entry.rule for entry in pack.entries])
    texts = store.embed([_described(entry) for entry in pack.entries])
    with store.writing() as tables:
        before = {int(row[0]) for row in tables.conn.execute("SELECT id FROM mitigations")}
        for index, entry in enumerate(pack.entries):
            scope = MemoryScope(workspace, entry.scope.module, entry.scope.task_family)
            number = book.propose(
                NewRule(
                    rule=entry.rule,
                    scope=scope,
                    source="pack",
                    trusted_by=f"pack:{pack.name}",
                    example=entry.example,
                    provenance={
                        "pack": pack.name,
                        "version": pack.version,
                        "origin": pack.origin,
                        "pack_hash": pack.content_hash,
                        "entry": entry.id,
                        "error_type": entry.error_type,
                    },
                ),
                vector=None if rules is None else rules[index],
            )
            if number in before:
                known.append(number)
                continue
            before.add(number)
            added.append(number)
            memory = _memory(pack, entry, scope, number)
            store.remember_many([memory], vectors=None if texts is None else texts[index : index + 1])
        tables.table("packs").insert(
            {
                "name": pack.name,
                "version": pack.version,
                "origin": pack.origin,
                "content_hash": pack.content_hash,
                "imported": store.clock.now(),
                "added": len(added),
                "skipped": len(known),
            }
        )
    return ImportReport(pack.name, tuple(added), tuple(known), pack.content_hash)


def suggest(store: MemoryStore, error: str, *, scope: MemoryScope, limit: int = 3) -> list[Rule]:
    """Candidates from packs, nearest to an error text first, to be tried on held-back cases."""
    book = RuleStore(store)
    hits = search(store, error, where=SearchFilter(kinds=("learning",)), limit=50)
    found = dict[int, Rule]()
    for hit in hits:
        number = hit.memory.meta.get("mitigation_id")
        if not isinstance(number, int) or not hit.memory.source.startswith("pack:") or number in found:
            continue
        one = book.get(number)
        if one.state == "candidate" and one.scope.covers(scope):
            found[number] = one
    return list(found.values())[:limit]


def export_pack(
    store: MemoryStore,
    *,
    name: str,
    version: str = "1",
    origin: str = "",
    states: Sequence[RuleState] = ("admitted",),
) -> str:
    """What was learned, as YAML text: rules, examples, provenance, and their record here for information."""
    entries = list[dict[str, Any]]()
    for one in sorted(RuleStore(store).all(states=states), key=lambda m: m.content_hash):
        texts = _errors_of(store, one)
        entry: dict[str, Any] = {
            "id": one.content_hash[:12],
            "error_type": str(one.provenance.get("error_type", "incorrect_output")),
            "errors": texts,
            "rule": one.rule,
        }
        if one.example is not None:
            entry["example"] = {"task": one.example.task, "answer": one.example.answer}
        entry |= {
            "scope": {"module": one.scope.module, "task_family": one.scope.task_family},
            "source": one.source,
            "trusted_by": one.trusted_by,
            "record": {"tried": one.tried, "helped": one.helped, "failed": one.failed, "hurt": one.hurt},
        }
        entry["content_hash"] = entry_hash(entry["error_type"], texts, one.rule, one.example, "", one.scope)
        entries.append(entry)
    data = {
        "hal9_pack": FORMAT,
        "name": name,
        "version": version,
        "origin": origin,
        "entries": entries,
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def _described(entry: PackEntry) -> str:
    return "\n".join([*entry.errors, entry.rule])


def _memory(pack: Pack, entry: PackEntry, scope: MemoryScope, rule_id: int) -> NewMemory:
    """What search and `suggest` find an entry by: its error texts and its rule."""
    return NewMemory(
        kind="learning",
        content=_described(entry),
        scope=scope,
        source=f"pack:{pack.name}",
        meta={
            "mitigation_id": rule_id,
            "errors": list(entry.errors),
            "signatures": sorted({signature(text, error_type=entry.error_type) for text in entry.errors}),
        },
    )


def _errors_of(store: MemoryStore, one: Rule) -> list[str]:
    """Texts of the errors that a rule answers: its pattern's, or those of the pack it came in."""
    with store.reading() as connection:
        if one.pattern_id is not None:
            rows = connection.execute(
                "SELECT DISTINCT m.content FROM occurrences o JOIN memories m ON m.id = o.memory_id "
                "WHERE o.pattern_id = ? AND m.quarantined = 0 ORDER BY m.content LIMIT 3",
                (one.pattern_id,),
            ).fetchall()
            return [str(row["content"])[:_ERROR_CHARS] for row in rows if row["content"].strip()]
        row = connection.execute(
            "SELECT meta FROM memories WHERE kind = 'learning' "
            "AND CAST(json_extract(meta, '$.mitigation_id') AS INTEGER) = ?",
            (one.id,),
        ).fetchone()
    return [str(text) for text in json.loads(row["meta"]).get("errors", [])] if row is not None else []
