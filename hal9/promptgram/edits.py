"""One edit to one section: what it may say, which item it addresses, what the section becomes."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal, Self, get_args

from hal9.errors.promptgram import (
    EditChangesNothing,
    EditContentInvalid,
    EditTargetAbsent,
    EditTargetAmbiguous,
    SectionNotEditable,
)
from hal9.promptgram.items import (
    as_bullet,
    is_bullet,
    join_items,
    marker_of,
    plain,
    split_items,
    unclosed_fence,
)

__all__ = [
    "IMMUTABLE_SECTIONS",
    "MUTABLE_SECTIONS",
    "PROTOCOL_SECTIONS",
    "STORED_SECTIONS",
    "Edit",
    "EditType",
    "canonical_section",
    "edit_items",
    "editable_section",
    "forbidden_characters",
]

EditType = Literal["append", "replace", "delete"]

IMMUTABLE_SECTIONS: Final = ("Role",)
MUTABLE_SECTIONS: Final = ("Policy", "Heuristics", "Style")
STORED_SECTIONS: Final = IMMUTABLE_SECTIONS + MUTABLE_SECTIONS
PROTOCOL_SECTIONS: Final = ("API_contract", "Output_schema")

_NAMES: Final = {name.lower(): name for name in STORED_SECTIONS + PROTOCOL_SECTIONS}
_LEAD = r"[ \t]*(?:(?:[-*+>]|\d{1,9}[.)])[ \t]*)*"
_SECTION_HEADING = re.compile(_LEAD + r"##(?!#)")
_NAMED_HEADING = re.compile(_LEAD + r"#{1,6}[ \t]*(.*?)[ \t#:]*$")
_SETEXT = re.compile(r"[ \t]*(?:={2,}|-{2,})[ \t]*$")
_FRONT_MATTER = re.compile(r"[ \t]*\+{3,}[ \t]*$")
# Everything `str.splitlines` breaks on besides \n, and the other controls: a reader that splits there
# would see headings that this format does not. Bidirectional overrides would show an approver another text.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Edit:
    """One proposed change.

    `append` adds `content` at the end of the section, or right after the item that `target` names.
    `replace` puts `content` in the place of the target item, `delete` removes it. A target is an item
    quoted in full, or any part of it that occurs in no other item.
    """

    section: str
    edit_type: EditType
    target: str = ""
    content: str = ""
    rationale: str = ""

    @property
    def edit_hash(self) -> str:
        """SHA-256 (16 hex digits) of what the edit does; the rationale doesn't count."""
        facts = [canonical_section(self.section), self.edit_type, plain(self.target), plain(self.content)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, str]:
        """The fields, as they stand in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build an edit from JSON.

        Raises:
            EditContentInvalid: a field is missing, unknown, no text, or not of the closed set.
        """
        section = str(data.get("section", ""))
        known = ("section", "edit_type", "target", "content", "rationale")
        if unknown := [key for key in data if key not in known]:
            raise EditContentInvalid(section=section, problem=f"unknown field {unknown[0]!r}")
        for key in known:
            if not isinstance(data.get(key, ""), str) and data.get(key) is not None:
                raise EditContentInvalid(section=section, problem=f"field {key!r} must be text")
        text: dict[str, Any] = {key: data.get(key) or "" for key in known}
        if text["edit_type"] not in get_args(EditType):
            raise EditContentInvalid(
                section=section, problem=f"edit_type {text['edit_type']!r} is none of {get_args(EditType)}"
            )
        return cls(**text)


def canonical_section(name: str) -> str:
    """The section's proper spelling; an unknown name comes back as it is."""
    return _NAMES.get(re.sub(r"[\s-]+", "_", name.strip().lower()), name.strip())


def forbidden_characters(text: str) -> str | None:
    """The first character that may not stand in a promptgram, described; None if all are fine."""
    match = _FORBIDDEN.search(text)
    return f"character U+{ord(match.group()):04X}" if match else None


def editable_section(name: str) -> str:
    """The proper name of a mutable section.

    Raises:
        SectionNotEditable: the section is immutable, protocol, or does not exist.
    """
    section = canonical_section(name)
    if section in MUTABLE_SECTIONS:
        return section
    if section in PROTOCOL_SECTIONS:
        reason = "is protocol and never changes"
    elif section in IMMUTABLE_SECTIONS:
        reason = "is immutable"
    else:
        reason = "does not exist"
    raise SectionNotEditable(section=section, reason=reason, editable=MUTABLE_SECTIONS)


def edit_items(items: Sequence[str], edit: Edit) -> tuple[str, ...]:
    """The section's items after the edit.

    Raises:
        EditError: the typed reason why the edit does not apply; nothing is changed.
    """
    section = editable_section(edit.section)
    if edit.edit_type == "delete":
        if edit.content.strip():
            raise EditContentInvalid(section=section, problem="a delete carries no content")
        found = _find(items, edit.target, section)
        return tuple(item for index, item in enumerate(items) if index != found)
    if edit.edit_type == "append":
        at = _find(items, edit.target, section) + 1 if edit.target.strip() else len(items)
        neighbour = items[at - 1] if items else ""
        fresh = _shaped(_checked(edit.content, section), neighbour, step=1)
        others, result = tuple(items), (*items[:at], *fresh, *items[at:])
    elif edit.edit_type == "replace":
        at = _find(items, edit.target, section)
        fresh = _shaped(_checked(edit.content, section), items[at], step=0)
        others, result = (*items[:at], *items[at + 1 :]), (*items[:at], *fresh, *items[at + 1 :])
        if fresh == (items[at],):
            raise EditChangesNothing(section=section, item=plain(items[at]))
    else:
        raise EditContentInvalid(section=section, problem=f"edit_type {edit.edit_type!r} is not known")
    said = {plain(item) for item in others}
    for item in fresh:
        if plain(item) in said:
            raise EditChangesNothing(section=section, item=plain(item))
        said.add(plain(item))
    if split_items(join_items(result)) != result:
        raise EditContentInvalid(section=section, problem="the content would run into a neighbouring item")
    return result


def _find(items: Sequence[str], target: str, section: str) -> int:
    wanted = plain(target.strip())
    if not wanted:
        raise EditContentInvalid(section=section, problem="the target is empty; quote the item to change")
    words = [plain(item) for item in items]
    hits = [index for index, text in enumerate(words) if text == wanted]
    hits = hits or [index for index, text in enumerate(words) if wanted in text]
    if not hits:
        nearest = get_close_matches(wanted, words, n=1, cutoff=0.0)
        raise EditTargetAbsent(section=section, target=target, nearest=nearest[0] if nearest else None)
    if len(hits) > 1:
        raise EditTargetAmbiguous(section=section, target=target, matches=tuple(items[i] for i in hits))
    return hits[0]


def _checked(content: str, section: str) -> tuple[str, ...]:
    text = content.replace("\r\n", "\n").strip()
    if not text:
        raise EditContentInvalid(section=section, problem="the content is empty")
    if bad := forbidden_characters(text):
        raise EditContentInvalid(section=section, problem=f"the content holds {bad}")
    if unclosed_fence(text):
        raise EditContentInvalid(section=section, problem="a code fence is opened and never closed")
    for line in text.split("\n"):
        named = _NAMED_HEADING.match(line)
        if _SECTION_HEADING.match(line) or (named and canonical_section(named.group(1)) in _NAMES.values()):
            raise EditContentInvalid(section=section, problem=f"line {line!r} would open a section")
        if _SETEXT.match(line) or _FRONT_MATTER.match(line):
            raise EditContentInvalid(
                section=section, problem=f"line {line!r} would open a heading or front matter"
            )
    return split_items(text)


def _shaped(fresh: tuple[str, ...], neighbour: str, *, step: int) -> tuple[str, ...]:
    """A lone paragraph that joins a list becomes a bullet of that list."""
    if len(fresh) != 1 or is_bullet(fresh[0]) or not is_bullet(neighbour):
        return fresh
    marker = marker_of(neighbour)
    if number := re.match(r"\d+", marker):
        marker = f"{int(number.group()) + step}{marker[number.end() :]}"
    return (as_bullet(fresh[0], marker),)
