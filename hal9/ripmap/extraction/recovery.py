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
    from tree_sitter import Node, Point, QueryCursor, Tree

__all__ = ["DEEPEST", "Match", "Recovered", "cursor_of", "recover"]

Match = tuple[int, "dict[str, list[Node]]"]

DEEPEST = 400
"""Syntax nodes deeper than this are not looked at: some queries take time in the square of the depth."""
_MOST_STARTS = 64
_MOST_BYTES = 20_000_000
"""Bytes parsed again per file; a file that is all errors is not worth more."""
_SHARE = 0.3
"""Of a file's time; what an error hides is worth less than the rest of the repository."""
_END = 0xFFFFFFFF
"""Of a piece that goes on to the end of the file."""
_OPENS = re.compile(rb"[^{};]*?\{(?=[ \t]*\r?$)", re.MULTILINE)
_INDENT = re.compile(rb"[ \t]*")
_LONGEST_HEAD = 2000

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
    "kotlin": _MODIFIERS + rb"(?:enum[ \t]+)?(?:fun|class|interface|object|typealias)\b(?! *[({])",
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
        again = _parsed_from(loaded, source, row, [(start, _END)], limit)
        if row in _rows(loaded, again):
            matches = [match for match in matches if _start(match) < start] + again
            continue
        body = _body_of(source, start)
        if body is not None:
            # Its members are found one by one; the error lies among them, so the head is read without them.
            alone = _parsed_from(loaded, source, row, [(start, body[0]), body[1]], limit)
            matches += [match for match in alone if _begins(loaded, match) == row]
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


def _begins(loaded: LoadedLanguage, match: Match) -> int:
    """Row on which what a match defines begins; -1 for one that defines nothing."""
    pattern, captured = match
    kind = loaded.kinds[pattern]
    return captured[kind][0].start_point.row if kind.startswith("def.") or kind == "scope" else -1


def _body_of(source: bytes, start: int) -> tuple[int, tuple[int, int]] | None:
    """Where the head that begins at `start` ends, behind its brace; and the brace that closes it.

    That one is the first that stands as far in as the head; None where there are no such two.
    """
    opening = _OPENS.search(source, start, start + _LONGEST_HEAD)
    if opening is None or b"}" in opening.group():
        return None
    indent = _INDENT.match(source, start).group()  # type: ignore[union-attr] # it matches nothing, too
    closing = re.compile(rb"^" + re.escape(indent) + rb"\}", re.MULTILINE).search(source, opening.end())
    return None if closing is None else (opening.end(), (closing.end() - 1, closing.end()))


def _parsed_from(
    loaded: LoadedLanguage, source: bytes, row: int, pieces: list[tuple[int, int]], limit: TimeLimit
) -> list[Match]:
    """Matches of pieces of the file alone, the first of which begins row `row`."""
    from tree_sitter import Range  # noqa: PLC0415 - as above

    parser = loaded.parser
    parser.included_ranges = [
        Range(_point(source, first, row, pieces[0][0]), _point(source, last, row, pieces[0][0]), first, last)
        for first, last in pieces
    ]
    try:
        tree = parse_within(loaded, source, limit)
        return [] if tree is None else cursor_of(loaded).matches(tree.root_node)
    finally:
        del parser.included_ranges


def _point(source: bytes, byte: int, row: int, start: int) -> "Point":
    """Row and column of a byte, counted from `start`, which begins row `row`."""
    from tree_sitter import Point  # noqa: PLC0415 - as above

    if byte == _END:
        return Point(_END, _END)
    return Point(row + source.count(b"\n", start, byte), byte - (source.rfind(b"\n", 0, byte) + 1))
