"""Where definitions and references stand: parents, scopes, and the classes of receivers."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from hal9.ripmap.records import Definition, DefinitionKind, Import
from hal9.ripmap.reference_table import KIND_BITS, RECEIVER_BITS, ReferenceTable

__all__ = ["Found", "Matches", "nest", "resolve_references"]

_CONTAINERS = frozenset({"class", "interface", "struct", "enum", "trait", "type"})
_SELF = frozenset({"self", "this", "cls", "$this", "Self", "@"})
_NEWLINE = 10
_NOTHING: dict[str, str] = {}
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
    definition_index: int = -1
    qualified: str = ""


@dataclass(slots=True)
class Matches:
    """What the query found, by what it is.

    `references` maps the offset of a name to its text, its receiver's text (both as numbers of `texts`) and
    its kind, the lowest bits last: one number each, as there are many.
    """

    found: list[Found] = field(default_factory=list)
    texts: dict[bytes, int] = field(default_factory=lambda: {b"": 0})
    references: dict[int, int] = field(default_factory=dict)
    bindings: list[tuple[int, str, str]] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    strings: list[tuple[int, int, str]] = field(default_factory=list)
    documented: set[int] = field(default_factory=set)
    docstring: str = ""


def nest(found: list[Found]) -> tuple[tuple[Definition, ...], list[tuple[int, int, int]]]:
    """Give each definition its parent by containment; spans are (start, end, definition_index)."""
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
            item.definition_index = len(definitions)
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
                spans.append((item.start, item.end, item.definition_index))
                stack.append(item)
        else:
            stack.append(item)
    return tuple(definitions), spans


class _Scopes:
    """The innermost span at each offset of a file, and what is around it.

    Spans nest, so the place where each begins and ends cuts the file into stretches with one innermost span.
    """

    def __init__(self, spans: list[tuple[int, int, int]], definitions: tuple[Definition, ...]) -> None:
        ordered = sorted(spans, key=lambda span: (span[0], -span[1]))
        self.starts = [span[0] for span in ordered]
        self.definition = [span[2] for span in ordered]
        self.parent = [-1] * len(ordered)
        self.breaks, self.inner = [0], [-1]
        self._definitions = definitions
        self._owners: dict[int, str] = {-1: ""}
        stack: list[int] = []
        for number, (start, _, _) in enumerate(ordered):
            while stack and ordered[stack[-1]][1] <= start:
                self._close(ordered[stack.pop()][1], stack)
            self.parent[number] = stack[-1] if stack else -1
            stack.append(number)
            self.breaks.append(start)
            self.inner.append(number)
        while stack:
            self._close(ordered[stack.pop()][1], stack)

    def _close(self, end: int, stack: list[int]) -> None:
        self.breaks.append(end)
        self.inner.append(stack[-1] if stack else -1)

    def owner(self, span: int) -> str:
        """The class around a span."""
        passed: list[int] = []
        while span not in self._owners:
            definition = self._definitions[self.definition[span]]
            if definition.kind in _CONTAINERS:
                self._owners[span] = definition.name
            elif definition.kind == "method" and definition.parent:
                self._owners[span] = definition.parent.rpartition(".")[2]
            else:
                passed.append(span)
                span = self.parent[span]
        name = self._owners[span]
        self._owners.update(dict.fromkeys(passed, name))
        return name


def resolve_references(
    matches: Matches,
    definitions: tuple[Definition, ...],
    spans: list[tuple[int, int, int]],
    source: bytes,
) -> ReferenceTable:
    """Put each reference into its scope and find its receiver's class from bindings before it."""
    if not matches.references:
        return ReferenceTable.empty()
    count = len(matches.references)
    at = np.fromiter(matches.references.keys(), np.int64, count)
    order = np.argsort(at, kind="stable")
    at, code = at[order], np.fromiter(matches.references.values(), np.int64, count)[order]
    kind, code = code & ((1 << KIND_BITS) - 1), code >> KIND_BITS
    receiver = code & ((1 << RECEIVER_BITS) - 1)
    scopes = _Scopes(spans, definitions)
    inner = np.array(scopes.inner)[np.searchsorted(scopes.breaks, at, side="right") - 1]
    around = inner
    if spans:
        # A class's own bases and decorators stand within its span but are used by what is around it.
        parent = np.array(scopes.parent)
        outer = np.where(inner >= 0, parent[inner], -1)
        around = np.where((outer >= 0) & np.isin(at, scopes.starts), outer, inner)
    newlines = np.flatnonzero(np.frombuffer(source, np.uint8) == _NEWLINE)
    texts = [text.decode("utf-8", "replace") for text in matches.texts]
    told = np.flatnonzero(receiver)
    classes = _receiver_classes(
        matches,
        scopes,
        at[told].tolist(),
        [texts[number] for number in receiver[told].tolist()],
        inner[told].tolist(),
    )
    numbers = {text: number for number, text in enumerate(dict.fromkeys(("", *classes)))}
    declared = np.zeros(count, np.int64)
    declared[told] = [numbers[text] for text in classes]
    declared[declared > 0] += len(texts) - 1
    columns = (
        code >> RECEIVER_BITS,
        np.searchsorted(newlines, at, side="left") + 1,
        kind,
        np.array([*scopes.definition, -1])[around],
        receiver,
        declared,
    )
    return ReferenceTable((*texts, *list(numbers)[1:]), np.array(columns, np.int32))


def _receiver_classes(
    matches: Matches,
    scopes: _Scopes,
    offsets: list[int],
    receivers: list[str],
    inner: list[int],
) -> list[str]:
    """The class of each receiver, "" where nothing tells it."""
    bindings = sorted(matches.bindings, key=lambda binding: binding[0])
    within = [scopes.inner[bisect_right(scopes.breaks, start) - 1] for start, _, _ in bindings]
    bound: dict[int, dict[str, str]] = {-1: {}}
    attributes: dict[str, dict[str, str]] = {}
    classes = [""] * len(receivers)
    following, count = 0, len(bindings)
    for index, receiver in enumerate(receivers):
        while following < count and bindings[following][0] < offsets[index]:
            _, variable, declared = bindings[following]
            span = within[following]
            base, _, attribute = variable.partition(".")
            owner = scopes.owner(span) if attribute and base in _SELF else ""
            if owner:
                attributes.setdefault(owner, {})[attribute] = declared
            else:
                bound.setdefault(span, {})[variable] = declared
            following += 1
        span = inner[index]
        base, _, attribute = receiver.partition(".")
        if base in _SELF:
            owner = scopes.owner(span)
            classes[index] = attributes.get(owner, {}).get(attribute, "") if attribute else owner
            continue
        while receiver not in bound.get(span, _NOTHING) and span >= 0:
            span = scopes.parent[span]
        classes[index] = bound.get(span, _NOTHING).get(receiver, "")
    return classes
