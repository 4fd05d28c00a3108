"""What the cluster has learned, in one SQLite file.

Memories, patterns, rules, and the tables that learning writes. Everything here is synchronous (SQLite
is) and safe to call from any thread; an event loop uses `asyncio.to_thread`.
"""

from typing import TYPE_CHECKING, Any

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.memory.audit import AuditReport, audit
    from hal9.memory.consolidation import ConsolidationPolicy, ConsolidationReport, consolidate
    from hal9.memory.embedding.embedder_download import fetch as fetch_weights
    from hal9.memory.embedding.embedder_download import weights_folder
    from hal9.memory.embedding.embedders import DEFAULT_EMBEDDER, EMBEDDERS, open_embedder
    from hal9.memory.embedding.protocol import Embedder
    from hal9.memory.packs.packs import (
        ImportReport,
        Pack,
        PackEntry,
        export_pack,
        import_pack,
        parse_pack,
        suggest,
    )
    from hal9.memory.records import (
        ANY,
        EVERYWHERE,
        KINDS,
        Kind,
        Memory,
        MemoryScope,
        NewMemory,
        NewRule,
        Occurrence,
        Outcome,
        Pattern,
        Rule,
        RuleSource,
        RuleState,
        SolvedExample,
    )
    from hal9.memory.retrieval.recall import Recall, RecallPolicy, recall, recall_many, together
    from hal9.memory.retrieval.rule_insertion import place, with_rules
    from hal9.memory.retrieval.search import Fusion, Hit, SearchFilter, search
    from hal9.memory.rules.patterns import Observation, PatternMatch, PatternPolicy, PatternStore
    from hal9.memory.rules.place import Repository, place_of, read_place, repository_of
    from hal9.memory.rules.rule_minds import not_followed_by, record_mind
    from hal9.memory.rules.rules import Admission, HeldBackCase, HeldBackTrial, RulePolicy, RuleStore
    from hal9.memory.rules.scope import module_of, scope_for_memory, scope_of, task_family_of
    from hal9.memory.rules.signature import signature
    from hal9.memory.rules.templating import facts_of_correction, template_rule
    from hal9.memory.store.store import MemoryStore

__all__ = [
    "ANY",
    "DEFAULT_EMBEDDER",
    "EMBEDDERS",
    "EVERYWHERE",
    "KINDS",
    "Admission",
    "AuditReport",
    "ConsolidationPolicy",
    "ConsolidationReport",
    "Embedder",
    "Fusion",
    "HeldBackCase",
    "HeldBackTrial",
    "Hit",
    "ImportReport",
    "Kind",
    "Memory",
    "MemoryScope",
    "MemoryStore",
    "NewMemory",
    "NewRule",
    "Observation",
    "Occurrence",
    "Outcome",
    "Pack",
    "PackEntry",
    "Pattern",
    "PatternMatch",
    "PatternPolicy",
    "PatternStore",
    "Recall",
    "RecallPolicy",
    "Repository",
    "Rule",
    "RulePolicy",
    "RuleSource",
    "RuleState",
    "RuleStore",
    "SearchFilter",
    "SolvedExample",
    "audit",
    "consolidate",
    "export_pack",
    "facts_of_correction",
    "fetch_weights",
    "import_pack",
    "module_of",
    "not_followed_by",
    "open_embedder",
    "parse_pack",
    "place",
    "place_of",
    "read_place",
    "recall",
    "recall_many",
    "record_mind",
    "repository_of",
    "scope_for_memory",
    "scope_of",
    "search",
    "signature",
    "suggest",
    "task_family_of",
    "template_rule",
    "together",
    "weights_folder",
    "with_rules",
]

_found = lazy_names(
    __name__,
    {
        "audit": ("AuditReport", "audit"),
        "consolidation": ("ConsolidationPolicy", "ConsolidationReport", "consolidate"),
        "embedding.embedder_download": ("weights_folder",),
        "embedding.embedders": ("DEFAULT_EMBEDDER", "EMBEDDERS", "open_embedder"),
        "embedding.protocol": ("Embedder",),
        "packs.packs": (
            "ImportReport",
            "Pack",
            "PackEntry",
            "export_pack",
            "import_pack",
            "parse_pack",
            "suggest",
        ),
        "records": (
            "ANY",
            "EVERYWHERE",
            "KINDS",
            "Kind",
            "Memory",
            "MemoryScope",
            "NewMemory",
            "NewRule",
            "Occurrence",
            "Outcome",
            "Pattern",
            "Rule",
            "RuleSource",
            "RuleState",
            "SolvedExample",
        ),
        "retrieval.recall": ("Recall", "RecallPolicy", "recall", "recall_many", "together"),
        "retrieval.rule_insertion": ("place", "with_rules"),
        "retrieval.search": ("Fusion", "Hit", "SearchFilter", "search"),
        "rules.patterns": ("Observation", "PatternMatch", "PatternPolicy", "PatternStore"),
        "rules.place": ("Repository", "place_of", "read_place", "repository_of"),
        "rules.rule_minds": ("not_followed_by", "record_mind"),
        "rules.rules": ("Admission", "HeldBackCase", "HeldBackTrial", "RulePolicy", "RuleStore"),
        "rules.scope": ("module_of", "scope_for_memory", "scope_of", "task_family_of"),
        "rules.signature": ("signature",),
        "rules.templating": ("facts_of_correction", "template_rule"),
        "store.store": ("MemoryStore",),
    },
)


def __getattr__(name: str) -> Any:
    if name == "fetch_weights":
        from hal9.memory.embedding.embedder_download import fetch  # noqa: PLC0415 - loads when it is used

        return fetch
    return _found(name)
