"""What a belief is: anything that can be edited, merged, hashed and written down.

`PromptgramSpace` serves prompt programs, `ConfigSpace` any table of named choices. The population knows
beliefs and edits only through this protocol.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hal9.errors.belief import BeliefEditRefused, BeliefMergeConflict
from hal9.errors.promptgram import EditError, PromptgramMergeConflict
from hal9.promptgram import Edit, Promptgram, merge
from hal9.promptgram.tokens import sequence_distance, tokenize

__all__ = ["BeliefSpace", "Choice", "Config", "ConfigSpace", "PromptgramSpace"]

B = TypeVar("B")
E = TypeVar("E")


class BeliefSpace(Protocol[B, E]):
    """The operations on one kind of belief `B` and its edits `E`. All are pure."""

    def sections(self, belief: B) -> tuple[str, ...]:
        """The parts that can change."""
        ...

    def section_of(self, edit: E) -> str:
        """The part that an edit changes."""
        ...

    def apply(self, belief: B, edit: E) -> B:
        """The edited belief.

        Raises:
            BeliefEditRefused: the edit does not apply.
        """
        ...

    def merge(self, base: B, a: B, b: B) -> B:
        """Three-way merge.

        Raises:
            BeliefMergeConflict: both sides changed the same part differently.
        """
        ...

    def hash(self, belief: B) -> str:
        """Equal beliefs, equal hash."""
        ...

    def edit_hash(self, edit: E) -> str:
        """Equal edits, equal hash."""
        ...

    def similarity(self, a: E, b: E) -> float:
        """How alike two edits are, 0..1; above the policy's limit the second is not worth measuring."""
        ...

    def rivals(self, a: E, b: E) -> bool:
        """Whether one edit takes the other's place, so that their gains don't add up."""
        ...

    def encode(self, belief: B) -> Any:
        """The belief as JSON."""
        ...

    def decode(self, data: Any) -> B:
        """The belief from JSON."""
        ...

    def encode_edit(self, edit: E) -> dict[str, Any]:
        """The edit as JSON."""
        ...

    def decode_edit(self, data: Mapping[str, Any]) -> E:
        """The edit from JSON."""
        ...


@dataclass(frozen=True, slots=True)
class PromptgramSpace:
    """Promptgrams under their own edits and merge."""

    def sections(self, belief: Promptgram) -> tuple[str, ...]:
        return ("Policy", "Heuristics", "Style")

    def section_of(self, edit: Edit) -> str:
        return edit.section

    def apply(self, belief: Promptgram, edit: Edit) -> Promptgram:
        try:
            return belief.apply(edit)
        except EditError as error:
            raise BeliefEditRefused(edit=edit.edit_hash, reason=str(error)) from error

    def merge(self, base: Promptgram, a: Promptgram, b: Promptgram) -> Promptgram:
        try:
            return merge(base, a, b)
        except PromptgramMergeConflict as error:
            parts = tuple(dict.fromkeys(conflict[0] for conflict in error.conflicts))
            raise BeliefMergeConflict(parts=parts) from error

    def hash(self, belief: Promptgram) -> str:
        return belief.content_hash

    def edit_hash(self, edit: Edit) -> str:
        return edit.edit_hash

    def similarity(self, a: Edit, b: Edit) -> float:
        if (a.section, a.edit_type) != (b.section, b.edit_type):
            return 0.0
        # 1 - distance/2 is the share of tokens that both have, for texts of one length.
        text_a, text_b = (tokenize(f"{edit.target}\n{edit.content}".lower()) for edit in (a, b))
        return max(0.0, 1.0 - sequence_distance(text_a, text_b) / 2)

    def rivals(self, a: Edit, b: Edit) -> bool:
        return bool(a.target) and (a.section, a.target) == (b.section, b.target)

    def encode(self, belief: Promptgram) -> Any:
        return belief.dump()

    def decode(self, data: Any) -> Promptgram:
        return Promptgram.parse(str(data), source="<belief>")

    def encode_edit(self, edit: Edit) -> dict[str, Any]:
        return dict(edit.to_dict())

    def decode_edit(self, data: Mapping[str, Any]) -> Edit:
        return Edit.from_dict(data)


@dataclass(frozen=True, slots=True)
class Config:
    """A table of named choices, each a small integer."""

    values: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, **values: int) -> "Config":
        """Build from keywords; names are sorted."""
        return cls(tuple(sorted(values.items())))

    def __getitem__(self, name: str) -> int:
        return dict(self.values)[name]


@dataclass(frozen=True, slots=True)
class Choice:
    """The edit of a `Config`: set one name to one value."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class ConfigSpace:
    """Configs under `Choice` edits; two sides conflict when both set one name differently."""

    def sections(self, belief: Config) -> tuple[str, ...]:
        return tuple(name for name, _ in belief.values)

    def section_of(self, edit: Choice) -> str:
        return edit.name

    def apply(self, belief: Config, edit: Choice) -> Config:
        held = dict(belief.values)
        if edit.name not in held:
            raise BeliefEditRefused(edit=self.edit_hash(edit), reason=f"there is no {edit.name!r}")
        if held[edit.name] == edit.value:
            raise BeliefEditRefused(edit=self.edit_hash(edit), reason="the value is already set")
        return Config(
            tuple((name, edit.value if name == edit.name else value) for name, value in belief.values)
        )

    def merge(self, base: Config, a: Config, b: Config) -> Config:
        was, left, right = dict(base.values), dict(a.values), dict(b.values)
        clash = tuple(n for n in was if left[n] != was[n] != right[n] and left[n] != right[n])
        if clash:
            raise BeliefMergeConflict(parts=clash)
        return Config(tuple((n, left[n] if left[n] != was[n] else right[n]) for n in was))

    def hash(self, belief: Config) -> str:
        return hashlib.sha256(json.dumps(belief.values).encode()).hexdigest()[:16]

    def edit_hash(self, edit: Choice) -> str:
        return f"{edit.name}={edit.value}"

    def similarity(self, a: Choice, b: Choice) -> float:
        return 1.0 if a == b else 0.0

    def rivals(self, a: Choice, b: Choice) -> bool:
        return a.name == b.name

    def encode(self, belief: Config) -> Any:
        return dict(belief.values)

    def decode(self, data: Any) -> Config:
        return Config.of(**data)

    def encode_edit(self, edit: Choice) -> dict[str, Any]:
        return {"name": edit.name, "value": edit.value}

    def decode_edit(self, data: Mapping[str, Any]) -> Choice:
        return Choice(str(data["name"]), int(data["value"]))
