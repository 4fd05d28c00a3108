"""Choosing what of a ranking goes into a map, so that it fits a token budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hal9.errors.ripmap import BudgetTooSmall
from hal9.ripmap.index.index import Index
from hal9.ripmap.ranking.ranker import RankedFile, Ranking, symbol_scores
from hal9.ripmap.records import Definition, FileRecord
from hal9.ripmap.rendering.badges import badges_of, lives_of, usual_of
from hal9.ripmap.rendering.calls import call_table

__all__ = ["FileView", "MapOptions", "MapView", "SymbolView", "compose"]

Detail = Literal["auto", "low", "medium", "high"]

_LEAST_TOKENS = 48
_RESERVED = 40
_DETAIL_SHARE = 0.75
_FIRST_FILE_SHARE = 0.25
_LEAST_FILE_SHARE = 0.1
_LEAST_REASON = 0.01
_LEAST_SHARE = 48
_LEAST_ROOM = 24
_LEAST_LINE = 4
_MOST_MISSES = 8
_MOST_BARE_MISSES = 60
"""After so many paths that did not fit, hardly any other will."""
_MOST_BARE = 20
"""Files that a map without a task shows by their path alone."""
_LONGEST_TOKEN = 8
"""Characters of a path that one token holds at most; a path that cannot fit is not drawn to find out."""
_SYMBOLS = {3: 24, 2: 12, 1: 8}
_TOKENS_PER_SYMBOL = {3: 30, 2: 16, 1: 6}
_RELATIONS = 3
_STANDING = {
    "class": 1.0,
    "interface": 1.0,
    "trait": 1.0,
    "struct": 1.0,
    "enum": 0.9,
    "function": 0.9,
    "heading": 0.9,
    "module": 0.8,
    "type": 0.7,
    "macro": 0.7,
    "method": 0.6,
    "constant": 0.3,
}
_HIDDEN_KINDS = frozenset({"field", "variable"})


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How a map is drawn.

    Attributes:
        tokens: the budget; the map never needs more.
        detail: how much is shown of each file; "auto" lets rank and budget decide.
        calls: show who calls what.
        why: show what speaks for each file.
        badges: show what git says of each file.
        limit: at most so many files.
        now: seconds since the epoch, for badges.
    """

    tokens: int = 8192
    detail: Detail = "auto"
    calls: bool = False
    why: bool = False
    badges: bool = True
    limit: int | None = None
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class SymbolView:
    """One definition as shown: `depth` is how deep it stands among those shown.

    Overloads are shown once, by the one that does the work; `overloads` counts them all.
    """

    definition: Definition
    depth: int
    score: float
    callers: tuple[str, ...] = ()
    callees: tuple[str, ...] = ()
    overloads: int = 1


@dataclass(frozen=True, slots=True)
class FileView:
    """One file as shown; `level` 3 shows documentation too, 2 signatures, 1 names, 0 the path alone."""

    path: str
    rank: int
    score: float
    level: int
    language: str
    symbols: tuple[SymbolView, ...] = ()
    hidden: int = 0
    badges: tuple[str, ...] = ()
    why: tuple[tuple[str, float], ...] = ()
    docstring: str = ""


@dataclass(slots=True)
class MapView:
    """A map before it is drawn: files in rank order, and what share of all scores they hold."""

    root: str
    files: list[FileView] = field(default_factory=list)
    total_files: int = 0
    ranked_files: int = 0
    scores: float = 0.0
    tokens: int = 0
    budget: int = 0
    exact: bool = False

    @property
    def mass(self) -> float:
        """What share of all files' scores the files shown hold."""
        return sum(file.score for file in self.files) / self.scores if self.scores > 0 else 0.0


def compose(
    index: Index,
    ranking: Ranking,
    options: MapOptions,
    *,
    draw: Callable[[FileView], str],
    count: Callable[[str], int],
) -> MapView:
    """The files that fit, each in as much detail as its rank and the budget allow.

    A file too large for what is left is shown in less detail or skipped, and packing goes on.

    Raises:
        BudgetTooSmall: not even one line fits.
    """
    if options.tokens < _LEAST_TOKENS:
        raise BudgetTooSmall(tokens=options.tokens, least=_LEAST_TOKENS)
    ranked = ranking.file_indexes(options.limit)
    view = MapView(index.root.name or str(index.root), total_files=len(index), ranked_files=len(ranked))
    view.budget = options.tokens
    maker = _Maker(index, ranking, options)
    left = options.tokens - _RESERVED
    # Without a task the names of less important files tell little: what they would need goes into detail.
    bare_left = len(ranked) if ranking.prepared.asks or options.limit else _MOST_BARE
    detailed = left * (_DETAIL_SHARE if options.detail == "auto" and ranking.prepared.asks else 1.0)
    spent = 0
    chosen: dict[int, FileView] = {}
    misses = 0
    for rank, file_index in enumerate(ranked):
        room = detailed - spent
        if room < _LEAST_ROOM or misses > _MOST_MISSES:
            break
        fitting = maker.best(
            rank,
            ranking.file(file_index),
            min(room, max(_file_share(rank) * room, _LEAST_SHARE)),
            draw,
            count,
        )
        if fitting is None:
            misses += 1
        else:
            chosen[rank] = fitting[0]
            spent += fitting[1]
    misses = 0
    for rank, file_index in enumerate(ranked):
        if left - spent < _LEAST_LINE or misses > _MOST_BARE_MISSES or not bare_left:
            break
        if rank not in chosen and len(index.paths[file_index]) <= _LONGEST_TOKEN * (left - spent):
            bare = maker.bare(rank, ranking.file(file_index))
            cost = count(draw(bare) + "\n")
            if spent + cost <= left:
                chosen[rank] = bare
                spent += cost
                bare_left -= 1
            else:
                misses += 1
    view.files = [chosen[rank] for rank in sorted(chosen)]
    view.scores = float(ranking.scores[ranked].sum())
    return view


def _file_share(rank: int) -> float:
    """How much of what is left one file may take: the first ones more."""
    return max(_LEAST_FILE_SHARE, _FIRST_FILE_SHARE * 0.8**rank)


def _worth_showing(definition: Definition) -> bool:
    nested = definition.kind == "function" and bool(definition.parent)
    return definition.kind not in _HIDDEN_KINDS and not nested


class _Maker:
    """Views of files at a wanted level of detail."""

    def __init__(self, index: Index, ranking: Ranking, options: MapOptions) -> None:
        self._index = index
        self._ranking = ranking
        self._options = options
        self._lives = lives_of(index) if options.badges else {}
        self._usual = usual_of(self._lives.values(), options.now)
        self._calls = call_table(ranking) if options.calls else None
        self._outlines: dict[str, _Outline] = {}

    def best(
        self,
        rank: int,
        file: RankedFile,
        room: float,
        draw: Callable[[FileView], str],
        count: Callable[[str], int],
    ) -> tuple[FileView, int] | None:
        """The fullest view that needs at most `room` tokens, with its cost.

        None when no more than a path would fit.
        """
        highest = {"auto": 3 if rank < 5 else 2, "low": 1, "medium": 2, "high": 3}[self._options.detail]
        for level in range(highest, 0, -1):
            wanted = min(_SYMBOLS[level], int(room // _TOKENS_PER_SYMBOL[level]))
            while wanted >= 1:
                view = self.view(rank, file, level, wanted)
                cost = count(draw(view) + "\n")
                if cost <= room:
                    return view, cost
                if len(view.symbols) < wanted // 2:
                    break
                wanted = min(wanted - 1, int(wanted * room / cost))
        return None

    def bare(self, rank: int, file: RankedFile) -> FileView:
        """The file's path alone (with badges and reasons where they are wanted)."""
        life = self._lives.get(file.path)
        whole = sum(file.shares.values())
        shares = sorted(file.shares.items(), key=lambda item: -item[1])[:4] if self._options.why else []
        return FileView(
            path=file.path,
            rank=rank + 1,
            score=file.score,
            level=0,
            language=self._index.entries[self._index.file_index(file.path)].language,
            badges=badges_of(life, self._options.now, self._usual) if life is not None else (),
            why=tuple(
                (name, share / whole)
                for name, share in shares
                if whole > 0 and share / whole >= _LEAST_REASON
            ),
        )

    def view(self, rank: int, file: RankedFile, level: int, wanted: int) -> FileView:
        """The file with its `wanted` best definitions and what encloses them."""
        outline = self._outline(file.path)
        chosen = set(outline.best[:wanted])
        shown = [definition_index for definition_index in outline.order if definition_index in chosen]
        needed = chosen.union(*(outline.around[definition_index] for definition_index in shown))
        return replace(
            self.bare(rank, file),
            level=level,
            symbols=tuple(
                self._symbol(
                    outline,
                    definition_index,
                    sum(outer in needed for outer in outline.around[definition_index]),
                )
                for definition_index in outline.order
                if definition_index in needed
            ),
            hidden=max(0, len(outline.best) - len(needed)),
            docstring=outline.record.docstring if level >= 3 else "",
        )

    @cached_property
    def _scores(self) -> NDArray[np.float64]:
        return symbol_scores(self._ranking.prepared, self._ranking.parameters, self._ranking.scores)

    def _outline(self, path: str) -> "_Outline":
        if path not in self._outlines:
            file_index = self._index.file_index(path)
            record = self._index.outline(path)
            start = int(self._ranking.index_data.symbols.start[file_index])
            scores = self._scores[start : start + len(record.definitions)]
            self._outlines[path] = _Outline.of(file_index, record, np.asarray(scores))
        return self._outlines[path]

    def _symbol(self, outline: "_Outline", definition_index: int, depth: int) -> SymbolView:
        definition = outline.record.definitions[definition_index]
        callers: tuple[str, ...] = ()
        callees: tuple[str, ...] = ()
        if self._calls is not None and definition.kind in {"function", "method"}:
            callers, callees = self._calls.around(outline.file_index, definition_index, _RELATIONS)
        return SymbolView(
            definition,
            depth,
            float(outline.scores[definition_index]),
            callers,
            callees,
            outline.overloads.get(definition_index, 1),
        )


@dataclass(frozen=True, slots=True)
class _Outline:
    """A file's definitions prepared for showing: best first, in source order, and what encloses each."""

    file_index: int
    record: FileRecord
    scores: NDArray[np.float64]
    best: list[int]
    order: list[int]
    around: list[tuple[int, ...]]
    overloads: dict[int, int]

    @classmethod
    def of(cls, file_index: int, record: FileRecord, scores: NDArray[np.float64]) -> "_Outline":
        definitions = record.definitions
        standing = np.array([_standing(definition) for definition in definitions], float)
        ranked = np.lexsort((-standing, -np.round(scores, 9))).tolist()
        overloads = _overloads(definitions)
        plain = [
            definition_index
            for definition_index in ranked
            if definition_index in overloads and _worth_showing(definitions[definition_index])
        ]
        order = sorted(range(len(definitions)), key=lambda p: (definitions[p].line, -definitions[p].end_line))
        around: list[tuple[int, ...]] = [()] * len(definitions)
        stack: list[int] = []
        for definition_index in order:
            while stack and definitions[stack[-1]].end_line < definitions[definition_index].line:
                stack.pop()
            around[definition_index] = tuple(
                outer for outer in stack if _encloses(definitions[outer], definitions[definition_index])
            )
            if _worth_showing(definitions[definition_index]):
                stack.append(definition_index)
        return cls(file_index, record, scores, plain or ranked, order, around, overloads)


def _overloads(definitions: Sequence[Definition]) -> dict[int, int]:
    """Of all definitions of one function the longest, with how many there are; of others each by itself."""
    groups: dict[tuple[str, str] | int, list[int]] = {}
    for number, one in enumerate(definitions):
        key = (one.qualified, one.kind) if one.kind in {"function", "method"} else number
        groups.setdefault(key, []).append(number)
    return {
        max(group, key=lambda number: definitions[number].end_line - definitions[number].line): len(group)
        for group in groups.values()
    }


def _standing(definition: Definition) -> float:
    """What decides between definitions that the task says nothing of: public classes and functions lead."""
    worth = _STANDING.get(definition.kind, 0.3)
    return worth * 0.4 if definition.name.startswith("_") else worth


def _encloses(outer: Definition, inner: Definition) -> bool:
    return inner.parent == outer.qualified or inner.parent.startswith(
        (f"{outer.qualified}.", f"{outer.qualified} > ")
    )
