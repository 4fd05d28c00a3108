"""What the cluster has learned, in one SQLite file.

Memories, patterns, mitigations, and the tables that learning writes. Everything here is synchronous (SQLite
is) and safe to call from any thread; an event loop uses `asyncio.to_thread`.
"""

from hal9.memory.audit import AuditReport, audit
from hal9.memory.consolidate import SleepPolicy, SleepReport, sleep
from hal9.memory.embeddings import DEFAULT_EMBEDDER, EMBEDDERS, open_embedder
from hal9.memory.mitigations import (
    Admission,
    HeldBackCase,
    HeldBackTrial,
    MitigationBook,
    MitigationPolicy,
)
from hal9.memory.packs import ImportReport, Pack, PackEntry, export_pack, import_pack, parse_pack, suggest
from hal9.memory.patterns import Observation, PatternBook, PatternMatch, PatternPolicy
from hal9.memory.prompting import place, with_rules
from hal9.memory.protocol import Embedder
from hal9.memory.recall import Recall, RecallPolicy, recall, recall_many
from hal9.memory.records import (
    ANY,
    KINDS,
    Kind,
    Memory,
    Mitigation,
    MitigationSource,
    MitigationState,
    NewMemory,
    NewMitigation,
    Occurrence,
    Outcome,
    Pattern,
    Scope,
    SolvedExample,
)
from hal9.memory.scope import module_of, scope_for_memory, scope_of, task_family_of
from hal9.memory.search import Fusion, Hit, SearchFilter, search
from hal9.memory.signature import signature
from hal9.memory.store import MemoryStore
from hal9.memory.templating import facts_of_correction, template_rule
from hal9.memory.weights import fetch as fetch_weights
from hal9.memory.weights import weights_folder

__all__ = [
    "ANY",
    "DEFAULT_EMBEDDER",
    "EMBEDDERS",
    "KINDS",
    "Admission",
    "AuditReport",
    "Embedder",
    "Fusion",
    "HeldBackCase",
    "HeldBackTrial",
    "Hit",
    "ImportReport",
    "Kind",
    "Memory",
    "MemoryStore",
    "Mitigation",
    "MitigationBook",
    "MitigationPolicy",
    "MitigationSource",
    "MitigationState",
    "NewMemory",
    "NewMitigation",
    "Observation",
    "Occurrence",
    "Outcome",
    "Pack",
    "PackEntry",
    "Pattern",
    "PatternBook",
    "PatternMatch",
    "PatternPolicy",
    "Recall",
    "RecallPolicy",
    "Scope",
    "SearchFilter",
    "SleepPolicy",
    "SleepReport",
    "SolvedExample",
    "audit",
    "export_pack",
    "facts_of_correction",
    "fetch_weights",
    "import_pack",
    "module_of",
    "open_embedder",
    "parse_pack",
    "place",
    "recall",
    "recall_many",
    "scope_for_memory",
    "scope_of",
    "search",
    "signature",
    "sleep",
    "suggest",
    "task_family_of",
    "template_rule",
    "weights_folder",
    "with_rules",
]
