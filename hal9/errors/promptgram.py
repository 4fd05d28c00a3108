"""Errors of promptgram."""

from dataclasses import dataclass

from hal9.errors.base import PromptgramError

__all__ = [
    "EditChangesNothing",
    "EditContentInvalid",
    "EditError",
    "EditTargetAbsent",
    "EditTargetAmbiguous",
    "PromptgramMergeConflict",
    "PromptgramMetadataInvalid",
    "PromptgramSyntax",
    "ProtocolSectionStored",
    "ReversalMismatch",
    "SectionNotEditable",
]


@dataclass(eq=False, kw_only=True)
class PromptgramSyntax(PromptgramError):
    """A promptgram file is not well formed."""

    path: str
    line: int
    problem: str
    remedy: str

    def message(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class ProtocolSectionStored(PromptgramError):
    """A promptgram file holds a section that is injected at run time."""

    path: str
    line: int
    section: str

    def message(self) -> str:
        return (
            f"{self.path}:{self.line}: section {self.section!r} belongs to the protocol; it is injected at "
            "run time and never stored. Remove it from the file."
        )


@dataclass(eq=False, kw_only=True)
class PromptgramMetadataInvalid(PromptgramError):
    """A key of the front matter has a value that cannot be used."""

    key: str
    problem: str

    def message(self) -> str:
        return f"Front matter key {self.key!r} {self.problem}. Correct the value."


class EditError(PromptgramError):
    """An edit was refused; the promptgram is unchanged."""


@dataclass(eq=False, kw_only=True)
class SectionNotEditable(EditError):
    """An edit addresses a section that may never change, or none that exists."""

    section: str
    reason: str
    editable: tuple[str, ...]

    def message(self) -> str:
        return f"Section {self.section!r} {self.reason}. Editable sections: {', '.join(self.editable)}."


@dataclass(eq=False, kw_only=True)
class EditTargetAbsent(EditError):
    """No item of the section matches the edit's target."""

    section: str
    target: str
    nearest: str | None

    def message(self) -> str:
        hint = f" The nearest item is {self.nearest!r}." if self.nearest else " The section has no items."
        return f"Section {self.section!r} has no item that matches target {self.target!r}.{hint}"


@dataclass(eq=False, kw_only=True)
class EditTargetAmbiguous(EditError):
    """More than one item of the section matches the edit's target."""

    section: str
    target: str
    matches: tuple[str, ...]

    def message(self) -> str:
        shown = ", ".join(repr(match) for match in self.matches[:3])
        return (
            f"Target {self.target!r} matches {len(self.matches)} items of section {self.section!r} "
            f"({shown}). Quote one item in full."
        )


@dataclass(eq=False, kw_only=True)
class EditContentInvalid(EditError):
    """The text of an edit may not stand in a section."""

    section: str
    problem: str

    def message(self) -> str:
        return f"The edit of section {self.section!r} was refused: {self.problem}."


@dataclass(eq=False, kw_only=True)
class EditChangesNothing(EditError):
    """The edit would leave the section as it is, or say the same thing twice."""

    section: str
    item: str

    def message(self) -> str:
        return (
            f"Section {self.section!r} already says {self.item!r}. Propose something new, "
            "or replace or delete that item."
        )


@dataclass(eq=False, kw_only=True)
class ReversalMismatch(PromptgramError):
    """A recorded change is to be undone on a promptgram that it did not produce."""

    promptgram: str
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"Promptgram {self.promptgram!r} has hash {self.found[:12]}, but the change to undo produced "
            f"{self.expected[:12]}. Undo later changes first, or merge three ways."
        )


@dataclass(eq=False, kw_only=True)
class PromptgramMergeConflict(PromptgramError):
    """Two descendants changed the same item differently.

    Each conflict is (section, base item, one side, other side); None stands for "deleted".
    """

    promptgram: str
    conflicts: tuple[tuple[str, str, str | None, str | None], ...]

    def message(self) -> str:
        section, base, one, other = self.conflicts[0]
        more = f" and {len(self.conflicts) - 1} more" if len(self.conflicts) > 1 else ""
        return (
            f"Promptgram {self.promptgram!r}: both sides changed {base!r} in {section!r} "
            f"({one!r} against {other!r}){more}. Choose one side, or edit one of them first."
        )
