"""What is stored: plain frozen records, and the closed sets of words in their columns."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hal9.text import clean_text

__all__ = [
    "ANY",
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
    "defused",
]

Kind = Literal["error", "learning", "pattern", "task", "result"]
Outcome = Literal["helped", "failed", "hurt", "neutral"]
"""What became of a task that was given a memory: it passed; it failed; it failed although it passes without
the memory (known from a paired replay or a control); nobody judged it."""
RuleState = Literal["candidate", "admitted", "retired", "quarantined"]
RuleSource = Literal["user", "retry", "mind", "pack"]

KINDS: tuple[Kind, ...] = get_args(Kind)
_CONTROL = re.compile(r"<\|([^|<>\n]{1,40})\|>")
ANY = "*"
"""A scope field that deliberately covers everything; an empty one covers only tasks whose field is empty."""


def defused(text: str) -> str:
    """Break control tokens of chat templates (``<|im_start|>``): stored text stays inside its turn."""
    return _CONTROL.sub(r"< |\1| >", text)


@dataclass(frozen=True, slots=True, order=True)
class MemoryScope:
    """Where a memory holds: compared field by field, exactly, in code, before any similarity."""

    workspace: str = ""
    module: str = ""
    task_family: str = ""

    def covers(self, task: "MemoryScope") -> bool:
        """Whether a memory with this scope may be shown to a task with scope `task`.

        A field covers an equal field, or anything when it is ``"*"``. A memory that names neither a module
        nor a family covers nothing: unknown scope is no scope.
        """
        if not self.module and not self.task_family:
            return False
        pairs = (
            (self.workspace, task.workspace),
            (self.module, task.module),
            (self.task_family, task.task_family),
        )
        return all(mine in (ANY, other) for mine, other in pairs)

    def cleaned(self) -> "MemoryScope":
        """The same scope with storable text."""
        return MemoryScope(clean_text(self.workspace), clean_text(self.module), clean_text(self.task_family))

    def label(self) -> str:
        """For people: ``workspace/module/family`` with dashes for what is not named."""
        return "/".join(part or "-" for part in (self.workspace, self.module, self.task_family))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory about to be stored. `importance` is 0..1 and decays while nobody needs the memory."""

    kind: Kind
    content: str
    neuron: str = ""
    layer: int = 0
    scope: MemoryScope = MemoryScope()
    importance: float = 0.5
    task_id: str = ""
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A stored memory. Times are seconds since the epoch."""

    id: int
    kind: Kind
    content: str
    neuron: str
    layer: int
    scope: MemoryScope
    importance: float
    task_id: str
    source: str
    meta: Mapping[str, Any]
    created: float
    accessed: float
    access_count: int
    helped: int
    hurt: int
    neutral: int
    quarantined: bool
    quarantine_reason: str
    embedding_model: str | None


@dataclass(frozen=True, slots=True)
class SolvedExample:
    """A task with an answer that a check or the user has verified."""

    task: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRule:
    """A rule in literal words, with a verified solved example where there is one.

    `trusted_by` names who vouches for it: the user, the check that the retry passed, or the mind that YAML
    trusts.
    """

    rule: str
    scope: MemoryScope
    source: RuleSource
    trusted_by: str
    example: SolvedExample | None = None
    pattern_id: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A stored rule with its record of outcomes.

    `tried` counts judged uses and is helped + failed + hurt; a retrieval that nobody judged counts in
    `unjudged`.
    """

    id: int
    rule: str
    example: SolvedExample | None
    scope: MemoryScope
    source: RuleSource
    trusted_by: str
    pattern_id: int | None
    state: RuleState
    state_reason: str
    tried: int
    helped: int
    failed: int
    hurt: int
    unjudged: int
    created: float
    last_used: float | None
    content_hash: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One error as it happened."""

    error_type: str
    text: str
    neuron: str = ""
    layer: int = 0
    scope: MemoryScope = MemoryScope()
    task_id: str = ""
    magnitude: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Errors that belong together; `rules.patterns.confidence` derives `confidence` on reading."""

    id: int
    signature: str
    error_type: str
    scope: MemoryScope
    title: str
    occurrences: int
    confirmed: int
    refuted: int
    prevention_strategy: str | None
    confidence: float
    first_seen: float
    last_seen: float


def dump_json(value: Mapping[str, Any]) -> str:
    """Canonical JSON: equal mappings give equal text."""
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
