"""What is stored: plain frozen records, and the closed sets of words in their columns."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, get_args

from hal9.text import clean_text

__all__ = [
    "ANY",
    "EVERYWHERE",
    "GLOB",
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
    "covers_path",
    "covers_place",
    "covers_work",
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


EVERYWHERE = "**"
"""The place that is a whole project."""
GLOB = "glob:"
"""Begins a place that is neither a folder nor a file."""


TAUGHT_ON = "taught_on"
"""Key of a rule's provenance: the task, in words, on which it was taught."""


@lru_cache(maxsize=2048)
def _pattern(glob: str) -> re.Pattern[str]:
    made = re.escape(glob).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*")
    return re.compile(made.replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + r"\Z")


def covers_path(place: str, path: str) -> bool:
    """Whether a place holds a path; of a folder (it ends with a slash), any part may be meant."""
    if place == EVERYWHERE:
        return True
    plain = path.rstrip("/")
    if place.startswith(GLOB):
        glob = place[len(GLOB) :].lstrip("/")
        if "/" not in glob:  # as in .gitignore: a pattern without a slash is about names
            return _pattern(glob).match(plain.rsplit("/", 1)[-1]) is not None
        return _pattern(glob).match(plain) is not None
    if place.endswith("/**"):
        return plain.startswith(place[:-2]) or plain == place[:-3]
    return plain == place


def covers_place(place: str, paths: Sequence[str]) -> bool:
    """Whether a place holds anything that a task touches; the whole project holds every task."""
    return place == EVERYWHERE or any(covers_path(place, path) for path in paths)


def covers_work(mine: str, other: str) -> bool:
    """Whether a rule for one kind of work speaks for another; tests are code too."""
    return not mine or mine == other or (mine == "code" and other in ("tests", ""))


@dataclass(frozen=True, slots=True, order=True)
class MemoryScope:
    """Where a memory holds, and what a task is: compared field by field, in code, before any similarity.

    Attributes:
        workspace: the repository's identity (`hal9.memory.rules.place.repository_of`), or a folder.
        module: a module that the words name.
        task_family: the wording that tasks of one kind share.
        place: of a memory: the part of the repository for which it holds (see `rules.place`); then module and
            family say nothing.
        work: the kind of work (`code`, `tests`, `docs`, `sql`, `shell`, `prose`), or one of `rules.roles`;
            empty covers every kind.
        paths: of a task: files and folders that it touches.
        also: of a task: another name of its workspace, under which older memories are kept.
        roles: of a task: kinds of work that whoever asks does with it besides (`planning`, `acceptance`).
    """

    workspace: str = ""
    module: str = ""
    task_family: str = ""
    place: str = ""
    work: str = ""
    paths: tuple[str, ...] = ()
    also: str = ""
    roles: tuple[str, ...] = ()

    def covers(self, task: "MemoryScope") -> bool:
        """Whether a memory with this scope may be shown to a task with scope `task`.

        A field covers an equal field, or anything when it is ``"*"``. A memory that names neither a place nor
        a module nor a family covers nothing: unknown scope is no scope.
        """
        if self.workspace != ANY and self.workspace not in {task.workspace, task.also or task.workspace}:
            return False
        if self.place:
            fits = self.work in task.roles or covers_work(self.work, task.work)
            return fits and covers_place(self.place, task.paths)
        if not self.module and not self.task_family:
            return False
        pairs = (
            (self.module, task.module),
            (self.task_family, task.task_family),
        )
        return all(mine in (ANY, other) for mine, other in pairs)

    @classmethod
    def of(cls, parts: Sequence[Any]) -> "MemoryScope":
        """A scope out of workspace, module, family, place and work; what is absent is empty."""
        texts = [str(part) for part in parts[:5]] + [""] * 5
        return cls(texts[0], texts[1], texts[2], texts[3], texts[4])

    def parts(self) -> list[str]:
        """What `of` reads; as short as ever for scopes that name no place."""
        texts = [self.workspace, self.module, self.task_family]
        return [*texts, self.place, self.work] if self.place else texts

    def cleaned(self) -> "MemoryScope":
        """The same scope with storable text."""
        texts = [
            clean_text(one) for one in (self.workspace, self.module, self.task_family, self.place, self.work)
        ]
        paths = tuple(map(clean_text, self.paths))
        return replace(MemoryScope.of(texts), paths=paths, also=clean_text(self.also), roles=self.roles)

    def label(self) -> str:
        """For people: the place, or ``workspace/module/family`` with dashes for what is not named."""
        if self.place:
            where = "the whole project" if self.place == EVERYWHERE else self.place.removeprefix(GLOB)
            return f"{where} ({self.work})" if self.work else where
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

    @property
    def taught_on(self) -> str:
        """The task on which it was taught, in words; "" when it was given outright."""
        return self.example.task if self.example else str(self.provenance.get(TAUGHT_ON, ""))


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
