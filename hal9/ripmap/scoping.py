"""Where definitions and references stand: parents, scopes, and the classes of receivers."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import cast

from hal9.ripmap.model import Definition, DefinitionKind, Import, Reference, ReferenceKind

__all__ = ["Found", "Matches", "line_starts", "nest", "resolve_references"]

_CONTAINERS = frozenset({"class", "interface", "struct", "enum", "trait", "type"})
_SELF = frozenset({"self", "this", "cls", "$this", "Self", "@"})
_VAGUE = frozenset({"variable", "type"})


@dataclass(slots=True)
class Found:
    """One definition before its parent is known; `container` alone names others (impl blocks, namespaces)."""

    name: str
    kind: str
    start: int
    end: int
    line: int
    end_line: int
    signature: str
    docstring: str
    bases: tuple[str, ...]
    parent: str
    position: int = -1
    qualified: str = ""


@dataclass(slots=True)
class Matches:
    """What the query found, by what it is."""

    found: list[Found] = field(default_factory=list)
    references: dict[int, tuple[str, ReferenceKind, str]] = field(default_factory=dict)
    bindings: list[tuple[int, str, str]] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    strings: list[tuple[int, int, str]] = field(default_factory=list)
    documented: set[int] = field(default_factory=set)
    docstring: str = ""


def nest(found: list[Found]) -> tuple[tuple[Definition, ...], list[tuple[int, int, int]]]:
    """Give each definition its parent by containment; spans are (start, end, position in definitions)."""
    seen: set[tuple[int, str]] = set()
    stack: list[Found] = []
    definitions: list[Definition] = []
    spans: list[tuple[int, int, int]] = []
    for item in sorted(found, key=lambda item: (item.start, -item.end, item.kind in _VAGUE)):
        if (item.start, item.name) in seen or not item.name:
            continue
        seen.add((item.start, item.name))
        while stack and stack[-1].end <= item.start:
            stack.pop()
        outer = stack[-1] if stack else None
        parent = ".".join(part for part in (outer.qualified if outer else "", item.parent) if part)
        item.qualified = f"{parent}.{item.name}" if parent else item.name
        if item.kind:
            kind = item.kind
            inside_class = bool(item.parent) or (
                outer is not None and (outer.kind in _CONTAINERS or not outer.kind)
            )
            if kind == "function" and inside_class:
                kind = "method"
            elif kind == "variable" and item.name.isupper() and len(item.name) > 1:
                kind = "constant"
            item.position = len(definitions)
            definitions.append(
                Definition(
                    item.name,
                    cast("DefinitionKind", kind),
                    item.line,
                    item.end_line,
                    item.signature,
                    parent,
                    item.docstring,
                    item.bases,
                )
            )
            if kind not in {"variable", "constant", "field"}:
                spans.append((item.start, item.end, item.position))
                stack.append(item)
        else:
            stack.append(item)
    return tuple(definitions), spans


def line_starts(source: bytes) -> list[int]:
    """Where each line begins, in bytes."""
    starts = [0]
    position = source.find(b"\n")
    while position >= 0:
        starts.append(position + 1)
        position = source.find(b"\n", position + 1)
    return starts


def resolve_references(
    matches: Matches,
    definitions: tuple[Definition, ...],
    spans: list[tuple[int, int, int]],
    line_starts: list[int],
) -> tuple[Reference, ...]:
    """Put each reference into its scope and find its receiver's class from bindings before it."""
    events = sorted(
        [(start, 0, None) for start in matches.references] + [(b[0], 1, b) for b in matches.bindings],
        key=lambda event: event[:2],
    )
    name_starts = {start for start, _, _ in spans}
    stack: list[tuple[int, int, dict[str, str]]] = []
    outermost: dict[str, str] = {}
    attributes: dict[str, dict[str, str]] = {}
    out: list[Reference] = []
    spans = sorted(spans, key=lambda span: (span[0], -span[1]))
    starts = [span[0] for span in spans]
    following = 0
    owner = ""
    for start, is_binding, binding in events:
        moved = False
        while following < len(starts) and starts[following] <= start:
            span = spans[following]
            while stack and stack[-1][0] <= span[0]:
                stack.pop()
            stack.append((span[1], span[2], {}))
            following += 1
            moved = True
        while stack and stack[-1][0] <= start:
            stack.pop()
            moved = True
        if moved:
            owner = _owner(stack, definitions)
        if is_binding and binding is not None:
            _, variable, declared = binding
            base, _, attribute = variable.partition(".")
            if base in _SELF and attribute and owner:
                attributes.setdefault(owner, {})[attribute] = declared
            else:
                (stack[-1][2] if stack else outermost)[variable] = declared
            continue
        name, kind, receiver = matches.references[start]
        line = bisect_right(line_starts, start)
        scope = stack[-1][1] if stack else -1
        # A class's own bases and decorators stand within its span but are used by what is around it.
        if start in name_starts and len(stack) > 1:
            scope = stack[-2][1]
        out.append(
            Reference(
                name,
                line,
                kind,
                scope,
                receiver,
                _receiver_type(receiver, owner, stack, outermost, attributes) if receiver else "",
            )
        )
    return tuple(out)


def _owner(stack: list[tuple[int, int, dict[str, str]]], definitions: tuple[Definition, ...]) -> str:
    for _, position, _ in reversed(stack):
        definition = definitions[position]
        if definition.kind in _CONTAINERS:
            return definition.name
        if definition.kind == "method" and definition.parent:
            return definition.parent.rpartition(".")[2]
    return ""


def _receiver_type(
    receiver: str,
    owner: str,
    stack: list[tuple[int, int, dict[str, str]]],
    outermost: dict[str, str],
    attributes: dict[str, dict[str, str]],
) -> str:
    if not receiver:
        return ""
    base, _, attribute = receiver.partition(".")
    if base in _SELF:
        return attributes.get(owner, {}).get(attribute, "") if attribute else owner
    for _, _, bindings in reversed(stack):
        if receiver in bindings:
            return bindings[receiver]
    return outermost.get(receiver, "")
