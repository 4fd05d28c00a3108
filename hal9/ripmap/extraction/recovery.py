"""Going on after a syntax error: definitions that a grammar lost are looked for from their own line.

An error in the middle of a file can leave the parser in a state from which it never finds back; everything
after it is then one error node. Lines that read like the head of a definition and gave none are tried as a
new start. The tree of such a second parse keeps the file's own positions.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hal9.ripmap.extraction.parsing import TimeLimit, parse_within
from hal9.ripmap.files.languages import LoadedLanguage

if TYPE_CHECKING:
    from tree_sitter import Node, QueryCursor, Tree

__all__ = ["DEEPEST", "Match", "Recovered", "cursor_of", "recover"]

Match = tuple[int, "dict[str, list[Node]]"]

DEEPEST = 400
"""Syntax nodes deeper than this are not looked at: some queries take time in the square of the depth."""
_MOST_STARTS = 64
_MOST_BYTES = 20_000_000
"""Bytes parsed again per file; a file that is all errors is not worth more."""
_SHARE = 0.3
"""Of a file's time; what an error hides is worth less than the rest of the repository."""
_LAST = 0xFFFFFFFF

_MODIFIERS = (
    rb"(?:(?:@[\w.:]+(?:\([^()\n]*\))?|\[[^\[\]\n]*\]|pub(?:\([^()\n]*\))?"
    rb"|public|private|protected|internal|static|final|abstract|sealed|open|inner|data|value|inline"
    rb"|suspend|override|operator|infix|external|expect|actual|annotation|companion"
    rb"|lateinit|tailrec|async|export|default|declare|readonly|partial|unsafe|extern(?: \"C\")?"
    rb"|const|virtual|new|ref|required"
    rb"|implicit|lazy|case|native|synchronized|strictfp|transient|volatile|file|gen|safe)[ \t]+)*"
)
_TYPED = rb"(?:[\w.<>\[\]?,&*:]+[ \t]+)+[*&]*\w+[ \t]*[({]"
_HEADS = {
    "kotlin": _MODIFIERS + rb"(?:fun|class|interface|object|typealias)\b(?! *[({])",
    "csharp": rb"(?:" + _MODIFIERS + rb"(?:class|interface|struct|enum|record|delegate|namespace)[ \t]+\w"
    rb"|(?:public|private|protected|internal|static)[ \t]+" + _TYPED + rb")",
    "java": rb"(?:" + _MODIFIERS + rb"(?:class|interface|enum|record|@interface)[ \t]+\w"
    rb"|(?:public|private|protected|static)[ \t]+" + _TYPED + rb")",
    "rust": _MODIFIERS + rb"(?:fn|struct|enum|trait|impl|mod|union|macro_rules!)\b",
    "go": rb"(?:func|type)[ \t]+[\w(]",
    "python": rb"(?:async[ \t]+)?(?:def|class)[ \t]+\w",
    "javascript": _MODIFIERS + rb"(?:function\*?|class)[ \t]+\w",
    "typescript": _MODIFIERS + rb"(?:function\*?|class|interface|enum|namespace|module)[ \t]+\w",
    "ruby": rb"(?:def|class|module)[ \t]+[\w.]",
    "php": _MODIFIERS + rb"(?:function|class|interface|trait|enum)[ \t]+&?\w",
    "scala": _MODIFIERS + rb"(?:def|class|object|trait|enum|given)[ \t]+\w",
    "bash": rb"(?:function[ \t]+[\w:.-]+|[\w:.-]+[ \t]*\(\))",
    "c": rb"(?:(?:struct|enum|union)[ \t]+\w+[ \t]*\{|(?!return|else|typedef)[A-Za-z_]"
    + _TYPED[:-4]
    + rb"\()",
}
_HEADS["tsx"] = _HEADS["typescript"]
_HEADS["cpp"] = rb"(?:(?:template.*>[ \t]*)?(?:class|namespace)[ \t]+\w|" + _HEADS["c"][3:]
_INDENTED = frozenset({"c", "cpp", "bash"})
"""Languages whose indented lines look like definitions without being any: only the first column counts."""


@dataclass(slots=True)
class Recovered:
    """Matches of the file, and how many lines read like definitions that are still not found.

    `cut` says that the time was up before all of these were tried.
    """

    matches: list[Match]
    lost: int = 0
    cut: bool = False


def cursor_of(loaded: LoadedLanguage) -> "QueryCursor":
    """A cursor for the language's query that goes no deeper than is worth it."""
    from tree_sitter import QueryCursor  # noqa: PLC0415 - a warm query never parses

    cursor = QueryCursor(loaded.query)
    cursor.set_max_start_depth(DEEPEST)
    return cursor


def recover(loaded: LoadedLanguage, source: bytes, tree: "Tree", limit: TimeLimit) -> Recovered:
    """All matches in `source`; after an error, those of second parses from the definitions that were lost."""
    limit = limit.part(_SHARE)
    matches: list[Match] = cursor_of(loaded).matches(tree.root_node)
    if not tree.root_node.has_error:
        return Recovered(matches)
    heads = _heads(loaded, source, tree.root_node)
    tried, parsed = 0, 0
    position = 0
    while True:
        found = _rows(loaded, matches)
        lost = [head for head in heads if head[0] >= position and head[1] not in found]
        if not lost or tried >= _MOST_STARTS or parsed > _MOST_BYTES or limit.over():
            break
        start, row = lost[0]
        tried, parsed = tried + 1, parsed + len(source) - start
        position = start + 1
        again = _parsed_from(loaded, source, start, row, limit)
        if row in _rows(loaded, again):
            matches = [match for match in matches if _start(match) < start] + again
    return Recovered(matches, sum(row not in found for _, row in heads), cut=bool(lost) and limit.over())


def _heads(loaded: LoadedLanguage, source: bytes, root: "Node") -> list[tuple[int, int]]:
    """Byte and row of the lines after the first error that read like the head of a definition."""
    name = loaded.language.name
    pattern = _HEADS.get(name)
    if pattern is None:
        return []
    indent = rb"" if name in _INDENTED else rb"[ \t]*"
    first = _first_error(root)
    found: list[tuple[int, int]] = []
    row, counted = 0, 0
    for match in re.compile(rb"^" + indent + pattern, re.MULTILINE).finditer(source):
        row += source.count(b"\n", counted, match.start())
        counted = match.start()
        if match.start() < first or _is_prose(root, match.end() - 1):
            continue
        found.append((match.start(), row))
    return found


def _first_error(root: "Node") -> int:
    """Where the line of the first error begins; 0 when it cannot be told."""
    node = root
    while not node.is_error and not node.is_missing:
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            return 0
        node = inner
    return max(0, node.start_byte - node.start_point.column)


def _is_prose(root: "Node", byte: int) -> bool:
    """Whether a byte lies in a comment or a string."""
    node = root.descendant_for_byte_range(byte, byte)
    return node is not None and ("comment" in node.type or "string" in node.type)


def _rows(loaded: LoadedLanguage, matches: list[Match]) -> set[int]:
    """Rows on which definitions, or what names them (impl blocks, namespaces), begin or have their name."""
    rows: set[int] = set()
    for pattern, captured in matches:
        kind = loaded.kinds[pattern]
        if kind.startswith("def.") or kind == "scope":
            rows.update(node.start_point.row for node in (*captured[kind][:1], *captured.get("name", ())))
    return rows


def _start(match: Match) -> int:
    return min(node.start_byte for nodes in match[1].values() for node in nodes)


def _parsed_from(
    loaded: LoadedLanguage, source: bytes, start: int, row: int, limit: TimeLimit
) -> list[Match]:
    from tree_sitter import Point, Range  # noqa: PLC0415 - as above

    parser = loaded.parser
    parser.included_ranges = [Range(Point(row, 0), Point(_LAST, _LAST), start, _LAST)]
    try:
        tree = parse_within(loaded, source, limit)
        return [] if tree is None else cursor_of(loaded).matches(tree.root_node)
    finally:
        del parser.included_ranges
