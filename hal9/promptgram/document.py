"""The promptgram itself: parse, dump, render, edit, undo."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from pathlib import Path
from typing import Any, Self

from hal9.errors.promptgram import (
    PromptgramMetadataInvalid,
    PromptgramSyntax,
    ProtocolSectionStored,
    ReversalMismatch,
)
from hal9.promptgram.edits import (
    IMMUTABLE_SECTIONS,
    PROTOCOL_SECTIONS,
    STORED_SECTIONS,
    Edit,
    canonical_section,
    edit_items,
    editable_section,
    forbidden_characters,
)
from hal9.promptgram.items import join_items, split_items, unclosed_fence
from hal9.promptgram.meta import LINEAGE_KEYS, Meta, dump_toml
from hal9.promptgram.tokens import sequence_distance, tokenize
from hal9.text import split_lines

__all__ = ["Promptgram", "Reversal", "diff", "token_distance"]

_HEADING = re.compile(r"##[ \t]+(.*?)[ \t]*#*[ \t]*$")
_RENDER_ORDER = ("Role", "API_contract", "Policy", "Heuristics", "Style", "Output_schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promptgram:
    """A prompt as a program: typed metadata, one frozen section, three that learn.

    `parent` is the content hash of the version this one was made from. `meta` holds every other front
    matter key. `policy`, `heuristics` and `style` are items: bullets and paragraphs.
    """

    id: str
    role: str
    version: int = 1
    parent: str | None = None
    policy: tuple[str, ...] = ()
    heuristics: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    meta: Meta = field(default_factory=Meta)
    _hash: str = field(default="", init=False, repr=False, compare=False)  # computed once, when first asked

    def __post_init__(self) -> None:
        name: Any = self.id  # TOML hands over whatever the file says
        version: Any = self.version
        if not isinstance(name, str) or not name.strip() or forbidden_characters(name):
            raise PromptgramMetadataInvalid(key="id", problem="is missing or no plain text")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise PromptgramMetadataInvalid(key="version", problem="must be a whole number from 1")
        if self.parent is not None and not isinstance(self.parent, str):
            raise PromptgramMetadataInvalid(key="parent", problem="must be a content hash")

    @classmethod
    def parse(cls, text: str, *, source: str = "<promptgram>") -> Self:
        """Read a promptgram from its text; `source` names it in errors.

        Raises:
            PromptgramSyntax: front matter or sections are not well formed.
            ProtocolSectionStored: the text holds API_contract or Output_schema.
            PromptgramMetadataInvalid: id, version, parent or another key has an impossible value.
        """
        text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        if bad := forbidden_characters(text):
            line = next(n for n, row in enumerate(text.split("\n"), 1) if forbidden_characters(row))
            raise PromptgramSyntax(
                path=source, line=line, problem=f"the text holds {bad}", remedy="Remove it."
            )
        front, body_line, body = _split_front_matter(text, source)
        sections = _split_sections(body, body_line, source)
        lineage = {key: front.pop(key, None) for key in LINEAGE_KEYS}
        return cls(
            id=lineage["id"] or "",
            version=1 if lineage["version"] is None else lineage["version"],
            parent=lineage["parent"] or None,
            role=sections["Role"],
            policy=split_items(sections["Policy"]),
            heuristics=split_items(sections["Heuristics"]),
            style=split_items(sections["Style"]),
            meta=Meta(front),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a promptgram file (UTF-8)."""
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise PromptgramSyntax(
                path=str(path), line=1, problem=f"not UTF-8 at byte {error.start}", remedy="Save it as UTF-8."
            ) from error
        return cls.parse(text, source=str(path))

    def dump(self) -> str:
        """The canonical text: equal promptgrams give equal bytes, and `parse(dump(p)) == p`."""
        front: dict[str, Any] = {"id": self.id, "version": self.version}
        if self.parent is not None:
            front["parent"] = self.parent
        return f"+++\n{dump_toml(front)}{dump_toml(self.meta)}+++\n{self._stored_text()}"

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of everything but version and parent: equal behaviour, equal hash."""
        if not self._hash:
            facts = f"{dump_toml({'id': self.id})}{dump_toml(self.meta)}{self._stored_text()}"
            object.__setattr__(self, "_hash", hashlib.sha256(facts.encode()).hexdigest())
        return self._hash

    @property
    def token_count(self) -> int:
        """Estimated tokens of the stored sections with their headings (see `tokens`)."""
        return len(tokenize(self._stored_text()))

    def section(self, name: str) -> str:
        """The body of a stored section."""
        name = canonical_section(name)
        return self.role if name in IMMUTABLE_SECTIONS else join_items(self.items(name))

    def items(self, name: str) -> tuple[str, ...]:
        """The items of a mutable section.

        Raises:
            SectionNotEditable: there is no such mutable section.
        """
        items: tuple[str, ...] = getattr(self, editable_section(name).lower())
        return items

    def render(self, *, protocol: Mapping[str, str] | None = None) -> str:
        """The system prompt: stored sections plus the protocol, whose text stands verbatim.

        Args:
            protocol: bodies for API_contract and Output_schema; absent ones are left out.

        Raises:
            PromptgramMetadataInvalid: the protocol names another section.
        """
        bodies = {name: self.section(name) for name in STORED_SECTIONS}
        for name, body in (protocol or {}).items():
            if name not in PROTOCOL_SECTIONS:
                raise PromptgramMetadataInvalid(
                    key=name, problem=f"is no protocol section ({', '.join(PROTOCOL_SECTIONS)})"
                )
            bodies[name] = body
        return (
            "\n\n".join(f"## {name}\n\n{bodies[name]}" for name in _RENDER_ORDER if bodies.get(name)) + "\n"
        )

    def apply(self, edit: Edit) -> Self:
        """The next version, with the edit made.

        Raises:
            EditError: the typed reason why the edit does not apply. There is no silent no-op.
        """
        section = editable_section(edit.section)
        return self._next(**{section.lower(): edit_items(self.items(section), edit)})

    def with_meta(self, **changes: Any) -> Self:
        """The next version, with front matter keys set; None removes a key.

        Raises:
            PromptgramMetadataInvalid: a lineage key is named, or a value is not possible.
        """
        for key in LINEAGE_KEYS:
            if key in changes:
                raise PromptgramMetadataInvalid(key=key, problem="is lineage and cannot be set")
        merged = {**self.meta.thawed(), **changes}
        return self._next(meta=Meta({key: value for key, value in merged.items() if value is not None}))

    def reverse(self, edit: Edit) -> "Reversal":
        """What is needed to undo `edit` after it was applied to this promptgram."""
        return self.reversal_of(self.apply(edit))

    def reversal_of(self, after: "Promptgram") -> "Reversal":
        """What is needed to return from `after` to exactly this promptgram."""
        return Reversal(before=self.dump(), after_hash=after.content_hash, after_version=after.version)

    def _next(self, **changes: Any) -> Self:
        return replace(self, version=self.version + 1, parent=self.content_hash, **changes)

    def _stored_text(self) -> str:
        parts = []
        for name in STORED_SECTIONS:
            body = self.section(name)
            parts.append(f"\n## {name}\n" + (f"\n{body}\n" if body else ""))
        return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """Enough to restore the byte-identical prior state; plain text and numbers, so it goes into a row."""

    before: str
    after_hash: str
    after_version: int

    def undo(self, current: Promptgram) -> Promptgram:
        """The promptgram as it was before the change.

        Raises:
            ReversalMismatch: `current` is not what the change produced. For an older change, use
                `merge(base=after, a=before, b=current)`.
        """
        if (current.content_hash, current.version) != (self.after_hash, self.after_version):
            raise ReversalMismatch(
                promptgram=current.id, expected=self.after_hash, found=current.content_hash
            )
        return Promptgram.parse(self.before, source=f"{current.id} v{self.after_version - 1}")


def token_distance(a: Promptgram, b: Promptgram) -> float:
    """Tokens added plus removed over the larger of the two, stored sections only; 0.1 is a 10% step."""
    return sequence_distance(tokenize(a._stored_text()), tokenize(b._stored_text()))  # noqa: SLF001 - same module


def diff(a: Promptgram, b: Promptgram) -> str:
    """Unified diff of the two texts."""
    rows = unified_diff(
        split_lines(a.dump(), keepends=True),
        split_lines(b.dump(), keepends=True),
        f"{a.id} v{a.version}",
        f"{b.id} v{b.version}",
    )
    return "".join(rows)


def _split_front_matter(text: str, source: str) -> tuple[dict[str, Any], int, str]:
    lines = text.split("\n")
    if lines[0].rstrip() != "+++":
        raise PromptgramSyntax(
            path=source, line=1, problem="no front matter", remedy="Begin the file with a line '+++'."
        )
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == "+++"), None)
    if end is None:
        raise PromptgramSyntax(
            path=source, line=1, problem="front matter is never closed", remedy="End it with a line '+++'."
        )
    try:
        front = tomllib.loads("\n".join(lines[1:end]) + "\n")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found.group(1)) + 1 if found else 1
        raise PromptgramSyntax(
            path=source, line=line, problem=f"front matter is not TOML: {error}", remedy="Correct it."
        ) from error
    return front, end + 2, "\n".join(lines[end + 1 :])


def _split_sections(body: str, first_line: int, source: str) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(body.split("\n"), first_line):
        heading = _HEADING.match(line)
        if heading is not None:
            name = _new_section(heading.group(1), sections, number, source)
            current = sections[name] = []
        elif current is not None:
            current.append(line)
        elif line.strip():
            remedy = "Move it into ## Role."
            raise PromptgramSyntax(
                path=source, line=number, problem="text before the first section", remedy=remedy
            )
    found = {name: "\n".join(lines).strip("\n") for name, lines in sections.items()}
    if not found.get("Role", "").strip():
        raise PromptgramSyntax(
            path=source, line=first_line, problem="## Role is missing or empty", remedy="Write it."
        )
    for name, text in found.items():
        if unclosed_fence(text):
            problem = f"a code fence in ## {name} is never closed"
            raise PromptgramSyntax(path=source, line=first_line, problem=problem, remedy="Close it.")
    return {name: found.get(name, "") for name in STORED_SECTIONS}


def _new_section(title: str, sections: Mapping[str, Any], line: int, source: str) -> str:
    name = canonical_section(title)
    if name in PROTOCOL_SECTIONS:
        raise ProtocolSectionStored(path=source, line=line, section=name)
    if name not in STORED_SECTIONS or name in sections:
        problem = f"section {name!r} appears twice" if name in sections else f"unknown section {name!r}"
        remedy = f"Each of {', '.join(STORED_SECTIONS)} may appear once."
        raise PromptgramSyntax(path=source, line=line, problem=problem, remedy=remedy)
    return name
