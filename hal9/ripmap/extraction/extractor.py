"""Definitions, references, imports and messages of one file, by its language's grammar and query."""

import re
from typing import TYPE_CHECKING

from hal9.ripmap.extraction.docstrings import comment_above, first_paragraph, string_value
from hal9.ripmap.extraction.headings import markdown_headings, rst_headings
from hal9.ripmap.extraction.imports import read_imports
from hal9.ripmap.extraction.parsing import FILE_SECONDS, TimeLimit, parse_within
from hal9.ripmap.extraction.recovery import recover
from hal9.ripmap.extraction.scopes import Found, Matches, nest, resolve_references
from hal9.ripmap.files.decoding import is_binary, utf8
from hal9.ripmap.files.languages import LoadedLanguage, load_language
from hal9.ripmap.files.roles import is_generated, is_minified
from hal9.ripmap.records import EXTRACTOR_VERSION, Extraction, StringLiteral
from hal9.ripmap.reference_table import KIND_BITS, RECEIVER_BITS, REFERENCE_KINDS

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["EXTRACTOR_VERSION", "Extraction", "extract", "lost_definitions"]

_SIGNATURE_LIMIT = 300
_COMMENT_SIGNS = (b"#", b"//", b"/*", b"--", b"(*", b"%", b";")
_LEAST_MESSAGE = 8
_RECEIVER_LIMIT = 80
_KIND, _RECEIVER = (1 << KIND_BITS) - 1, (1 << RECEIVER_BITS) - 1
_WRAPPERS = frozenset(
    {
        "Optional",
        "Union",
        "Annotated",
        "Final",
        "ClassVar",
        "const",
        "mut",
        "ref",
        "dyn",
        "impl",
        "Promise",
        "Awaitable",
        "struct",
        "unsigned",
        "Box",
        "Rc",
        "Arc",
        "shared_ptr",
        "unique_ptr",
        "std",
        "new",
    }
)
_TYPE_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::)[A-Za-z_][A-Za-z0-9_]*)*")
# What a head of several lines leaves beside its brackets on one line.
_BRACKET_OPENS, _BRACKET_CLOSES = re.compile(r"([(\[]) "), re.compile(r",? ([)\]])")
_ANNOTATIONS = re.compile(r"^(?:@[\w.]+(?:\([^()]*\))?\s+)+")
_BRACED = frozenset({"function", "method", "macro", "class", "field"})


def extract(language: str, content: bytes, *, seconds: float = FILE_SECONDS) -> Extraction:
    """Everything that one file's bytes give.

    A language without an installed grammar gives status "words" and its line count alone, and so do generated
    one-line bundles. A file that takes longer than `seconds` of the processor gives what was found until
    then, with status "overtime".
    """
    if is_binary(content):
        return Extraction("binary")
    source = utf8(content)
    lines = source.count(b"\n") + (1 if source and not source.endswith(b"\n") else 0)
    generated = is_generated(source, language)
    if language in {"markdown", "restructuredtext"}:
        reader = markdown_headings if language == "markdown" else rst_headings
        return Extraction("ok", lines, reader(source.decode("utf-8", "replace")))
    loaded = load_language(language)
    if loaded is None or (generated and is_minified(source)):
        return Extraction("words", lines, generated=generated)
    limit = TimeLimit(seconds)
    tree = parse_within(loaded, source, limit)
    if tree is None:
        return Extraction("overtime", lines, generated=generated)
    recovered = recover(loaded, source, tree, limit)
    matches = _read_matches(loaded, source, recovered.matches)
    definitions, spans = nest(matches.found)
    return Extraction(
        "overtime" if recovered.cut else "partial" if tree.root_node.has_error else "ok",
        lines,
        definitions,
        resolve_references(matches, definitions, spans, source),
        tuple(matches.imports),
        tuple(StringLiteral(text, line) for _, line, text in sorted(matches.strings)),
        matches.docstring,
        generated,
    )


def lost_definitions(language: str, content: bytes, *, seconds: float = FILE_SECONDS) -> int:
    """How many lines of a file read like definitions that its grammar did not find."""
    loaded = load_language(language)
    source = utf8(content)
    if loaded is None or is_binary(content):
        return 0
    limit = TimeLimit(seconds)
    tree = parse_within(loaded, source, limit)
    return 0 if tree is None else recover(loaded, source, tree, limit).lost


def _read_matches(
    loaded: LoadedLanguage, source: bytes, found: "list[tuple[int, dict[str, list[Node]]]]"
) -> Matches:
    """References at once, for they are most of it; then the rest, documentation before other strings."""
    matches = Matches()
    strings: list[Node] = []
    for kind, match in _read_references(loaded, source, found, matches):
        if kind == "string":
            strings += match["string"]
        else:
            _sort_in(loaded, source, kind, match, matches)
    for node in strings:
        start, end = node.start_byte, node.end_byte
        if end - start >= _LEAST_MESSAGE and start not in matches.documented:
            value = string_value(source[start:end])
            if value:
                matches.strings.append((start, node.start_point.row + 1, value))
    return matches


def _read_references(
    loaded: LoadedLanguage,
    source: bytes,
    found: "list[tuple[int, dict[str, list[Node]]]]",
    matches: Matches,
) -> "list[tuple[str, dict[str, list[Node]]]]":
    """Put references where they belong; of several readings of one name the most telling stays.

    Returns:
        The other matches, each with what its pattern is for.
    """
    kinds = [REFERENCE_KINDS.index(kind[4:]) if kind.startswith("ref.") else -1 for kind in loaded.kinds]
    references, texts = matches.references, matches.texts
    receivers: dict[bytes, int] = {}
    others: list[tuple[str, dict[str, list[Node]]]] = []
    for pattern, match in found:
        kind = kinds[pattern]
        if kind < 0:
            others.append((loaded.kinds[pattern], match))
            continue
        node = match[loaded.kinds[pattern]][0]
        start = node.start_byte
        known = references.get(start)
        receiver = 0
        if known is not None:
            if known & _KIND <= kind:
                continue
            receiver = known >> KIND_BITS & _RECEIVER
        if not receiver and "receiver" in match:
            around = match["receiver"][0]
            text = source[around.start_byte : around.end_byte]
            number = receivers.get(text)
            if number is None:
                number = receivers[text] = _receiver(text, texts)
            receiver = number
        text = source[start : node.end_byte]
        name = texts.get(text)
        if name is None:
            name = texts[text] = len(texts)
        references[start] = (name << RECEIVER_BITS | receiver) << KIND_BITS | kind
    return others


def _text(source: bytes, node: "Node") -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _sort_in(
    loaded: LoadedLanguage, source: bytes, kind: str, match: "dict[str, list[Node]]", matches: Matches
) -> None:
    """Put a match that is no reference where it belongs; `kind` is what its pattern is for."""
    if kind.startswith("def.") or kind == "scope":
        _add_definitions(loaded, source, match, kind, matches)
    elif kind == "var":
        declared = _class_name(_text(source, match["var.type"][0]))
        if declared:
            variable = match["var"][0]
            matches.bindings.append((variable.start_byte, _text(source, variable), declared))
    elif kind == "import":
        node = match["import"][0]
        language = loaded.language.query.partition("+")[0]
        matches.imports.extend(read_imports(language, _text(source, node), node.start_point.row + 1))
    elif kind == "doc.file":
        node = match["doc.file"][0]
        matches.documented.add(node.start_byte)
        matches.docstring = first_paragraph(_text(source, node))


def _add_definitions(
    loaded: LoadedLanguage, source: bytes, match: "dict[str, list[Node]]", kind: str, matches: Matches
) -> None:
    node = match[kind][0]
    kind = kind.removeprefix("def.").replace("scope", "")
    doc = match.get("doc")
    if doc:
        matches.documented.add(doc[0].start_byte)
    bases = match.get("bases")
    parent = match.get("parent")
    body = node.child_by_field_name("body")
    head = _without_comments(node, source[node.start_byte : body.start_byte if body else node.end_byte])
    start_line = node.start_point.row + 1
    for name_node in match.get("name", ()):
        name = _text(source, name_node).removeprefix(":")
        outer = _class_name(_text(source, parent[0])) if parent else ""
        if "::" in name:
            outer, _, name = name.rpartition("::")
            outer = outer.replace("::", ".")
        documentation = ""
        if doc:
            documentation = first_paragraph(_text(source, doc[0]))
        elif loaded.language.docs in {"slash", "hash"} and kind not in {"variable", "field"}:
            documentation = comment_above(source, node.start_byte)
        matches.found.append(
            Found(
                name=name,
                kind=kind,
                start=node.start_byte,
                end=node.end_byte,
                line=start_line,
                end_line=max(start_line, node.end_point.row + (1 if node.end_point.column else 0)),
                signature=_signature(head, kind, loaded.language.docs, whole=body is None),
                docstring=documentation,
                bases=tuple(dict.fromkeys(name for node in bases for name in _bases(source, node)))
                if bases
                else (),
                parent=outer,
            )
        )


def _without_comments(node: "Node", head: bytes) -> bytes:
    """A definition's head with blanks where comments stand: on one line they would hide what follows them."""
    if not any(sign in head for sign in _COMMENT_SIGNS):
        return head
    start, blanked, waiting = node.start_byte, bytearray(head), [node]
    while waiting:
        for child in waiting.pop().children:
            first, last = child.start_byte - start, min(child.end_byte - start, len(head))
            if first >= len(head):
                break
            if "comment" in child.type:
                blanked[first:last] = re.sub(rb"[^\n]", b" ", head[first:last])
            else:
                waiting.append(child)
    return bytes(blanked)


def _signature(head: bytes, kind: str, docs: str, *, whole: bool) -> str:
    """The head on one line; of a definition without a body (`whole`) only its first line is taken."""
    text = head[: 4 * _SIGNATURE_LIMIT].decode("utf-8", "replace")
    if text.startswith("@"):  # on lines of their own they would be all that is shown
        text = _ANNOTATIONS.sub("", text)
    if whole and kind in _BRACED:
        text = _before_body(text)
    if whole or docs == "hash":
        text = text.partition("\n")[0]
    text = " ".join(text.split()).rstrip("{:=;").rstrip()
    text = _BRACKET_CLOSES.sub(r"\1", _BRACKET_OPENS.sub(r"\1", text))
    return text if len(text) <= _SIGNATURE_LIMIT else text[: _SIGNATURE_LIMIT - 1] + "…"


def _before_body(text: str) -> str:
    """Up to the first brace outside parentheses; everything when that would leave nothing."""
    depth = 0
    for position, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "{" and depth <= 0:
            return text[:position] if text[:position].strip() else text
    return text


def _receiver(text: bytes, texts: dict[bytes, int]) -> int:
    """The number in `texts` of what stands before a dot, where it is short and calls nothing; else 0."""
    if len(text) > _RECEIVER_LIMIT or b"\n" in text or b"(" in text:
        return 0
    return texts.setdefault(text, len(texts))


def _class_name(text: str) -> str:
    """Last component of the first real class named in a type or constructor ("" when none)."""
    for word in _TYPE_WORD.findall(text):
        last = re.split(r"\.|::", word)[-1]
        if last not in _WRAPPERS:
            return str(last)
    return ""


def _bases(source: bytes, node: "Node") -> tuple[str, ...]:
    names: list[str] = []
    for child in node.named_children:
        if child.type in {"keyword_argument", "comment", "type_parameters", "access_specifier"}:
            continue
        if child.type in {
            "class_heritage",
            "extends_clause",
            "implements_clause",
            "type_list",
            "interface_type_list",
        }:
            names.extend(_bases(source, child))
            continue
        name = _class_name(_text(source, child))
        if name:
            names.append(name)
    return tuple(dict.fromkeys(names))
