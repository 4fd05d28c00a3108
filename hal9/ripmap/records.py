"""What is known of a repository's files: the records that discovery, extraction and history produce.

Everything here is immutable and free of behaviour that touches the disk. Paths are POSIX and relative
to the repository's root; lines count from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, NamedTuple

__all__ = [
    "EXTRACTOR_VERSION",
    "Commit",
    "Definition",
    "DefinitionKind",
    "Extraction",
    "FileRecord",
    "Import",
    "ParseStatus",
    "Reference",
    "ReferenceKind",
    "Role",
    "StringLiteral",
]

EXTRACTOR_VERSION = 9
"""Raised whenever the same bytes would give other records.

Cached extractions of other versions are ignored.
"""

DefinitionKind = Literal[
    "module",
    "class",
    "interface",
    "struct",
    "enum",
    "trait",
    "type",
    "function",
    "method",
    "constant",
    "variable",
    "field",
    "macro",
    "heading",
]
ReferenceKind = Literal["call", "attribute", "type", "name"]
ParseStatus = Literal["ok", "partial", "overtime", "words", "binary", "oversized", "unreadable"]


class Role(IntFlag):
    """What a file is for, as far as path and first bytes tell; a file may play several roles."""

    NONE = 0
    SOURCE = 1
    TEST = 2
    DOCS = 4
    EXAMPLE = 8
    CONFIG = 16
    DEPLOY = 32
    LOCK = 64
    VENDORED = 128
    GENERATED = 256
    DATA = 512
    BINARY = 1024
    ROOT = 2048


@dataclass(frozen=True, slots=True)
class Definition:
    """A named thing that a file defines.

    `parent` is the dotted name of what encloses it ("" at the top of the file), `signature` its head on one
    line without the body, `docstring` the first paragraph of its documentation, `bases` the names it
    inherits from.
    """

    name: str
    kind: DefinitionKind
    line: int
    end_line: int
    signature: str = ""
    parent: str = ""
    docstring: str = ""
    bases: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """Dotted name within the file, such as ``Session.commit``."""
        separator = " > " if self.kind == "heading" else "."
        return f"{self.parent}{separator}{self.name}" if self.parent else self.name


class Reference(NamedTuple):
    """A name that a file uses.

    `scope` is the `definition_index` of the innermost function or class around it (-1: none).
    `receiver` is what stands before the dot, as written; `receiver_type` is its class where an annotation, an
    assignment from a constructor, or `self` tells it.
    """

    name: str
    line: int
    kind: ReferenceKind
    scope: int = -1
    receiver: str = ""
    receiver_type: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: ``from ..a.b import c as d`` has module "a.b", names ("c",), alias "d", level 2.

    An import of the whole module has no names. `level` counts leading dots (Python only).
    """

    module: str
    names: tuple[str, ...] = ()
    alias: str = ""
    line: int = 0
    level: int = 0


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A string in the source that reads like a message (several words); f-string holes are cut out."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one file's bytes give, whatever the file is called."""

    status: ParseStatus
    lines: int = 0
    definitions: Sequence[Definition] = ()
    references: Sequence[Reference] = ()
    imports: Sequence[Import] = ()
    strings: Sequence[StringLiteral] = ()
    docstring: str = ""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of the repository and what was extracted from it.

    `content_hash` is the git blob id of the bytes (so a working file and the same file in a commit agree).
    `parse_status`: "ok"; "partial" (syntax errors, extraction went around them); "overtime" (what was found
    until its time was up); "words" (no grammar for the language, only its words are known); "binary",
    "oversized", "unreadable" (nothing but the path is known).
    """

    path: str
    language: str
    size: int
    content_hash: str
    roles: Role
    parse_status: ParseStatus
    lines: int = 0
    definitions: Sequence[Definition] = ()
    references: Sequence[Reference] = ()
    imports: Sequence[Import] = ()
    strings: Sequence[StringLiteral] = ()
    docstring: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes when path or content do; per-file artifacts are kept under it."""
        return f"{self.content_hash}:{self.path}"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: `time` in seconds since the epoch (committer's), `files` as named after the commit."""

    id: str
    time: float
    author: str
    message: str
    files: tuple[str, ...]
    parents: tuple[str, ...] = ()
