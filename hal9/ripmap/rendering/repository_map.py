"""Maps of repositories, kept warm: what the command line, the server and HAL9's neurons share."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hal9.errors.ripmap import SymbolUnknown
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.opening import open_index, still_current
from hal9.ripmap.settings import IndexSettings, load_settings
from hal9.ripmap.text.display import path_shown_as

if TYPE_CHECKING:
    from hal9.ripmap.index.index_data import IndexData
    from hal9.ripmap.parameters import Parameters
    from hal9.ripmap.ranking.ranker import Ranking
    from hal9.ripmap.rendering.budget import MapOptions
    from hal9.ripmap.rendering.render import Format
    from hal9.ripmap.text.token_count import TokenCounter

__all__ = ["Found", "MapRequest", "MapService", "find_symbol", "relative_path", "render_map"]

_DEFAULT_TOKENS = 8192
_MOST_FOUND = 20
_NEAR = 3


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What a map is asked for; see `ranking.Task` for the fields."""

    task: str = ""
    focus: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    parameters: "Parameters | None" = None


@dataclass(slots=True)
class MapService:
    """Opens indexes and keeps the latest of each root, so that a second question costs only its ranking."""

    settings: IndexSettings | None = None
    notify: Callable[[str], None] | None = None
    _kept: dict[tuple[Path, IndexSettings], Index] = field(default_factory=dict)

    def index(self, root: Path, **overrides: Any) -> Index:
        """The index of `root` as it is now.

        Raises:
            NotARepository: it is missing or no folder.
            RipmapConfigWrong: its settings file is wrong.
        """
        settings = load_settings(root, self.settings, **overrides)
        latest = self._kept.get((root, settings))
        if latest is not None and still_current(latest):
            return latest
        fresh = open_index(root, settings, notify=self.notify)
        key = (fresh.root, settings)
        known = self._kept.get(key)
        if (
            known is not None
            and known.fingerprint == fresh.fingerprint
            and not known.stale
            and known.history.fingerprint == fresh.history.fingerprint
        ):
            known.tree = fresh.tree
            fresh = known
        self._kept[key] = self._kept[root, settings] = fresh
        return fresh

    def ranking(self, index: Index, question: MapRequest) -> "Ranking":
        """Files and symbols of `index` in order of their use for the question."""
        from hal9.ripmap.ranking.prepared_task import Task  # noqa: PLC0415 - ranking brings numpy; help and errors do without
        from hal9.ripmap.ranking.ranker import rank  # noqa: PLC0415

        chat = tuple(relative_path(index, path) for path in question.chat)
        return rank(index, Task(question.task, question.focus, chat, question.mentions), question.parameters)

    def draw(
        self,
        index: Index,
        ranking: "Ranking",
        options: "MapOptions",
        *,
        form: "Format" = "map",
        counter: "TokenCounter | None" = None,
    ) -> str:
        """The ranking as text within the options' budget.

        Raises:
            BudgetTooSmall: not even one line fits.
        """
        from hal9.ripmap.rendering.render import draw_map  # noqa: PLC0415 - kept with what brings numpy

        if not options.now:
            options = replace(options, now=time.time())
        return draw_map(index, ranking, options, form=form, counter=counter)


def relative_path(index: Index, path: str) -> str:
    """A path as the index names it; given absolute, relative to the root, or as a map shows it."""
    if path in index:
        return path
    given = Path(path)
    absolute = given if given.is_absolute() else index.root / given
    try:
        found = absolute.resolve().relative_to(index.root).as_posix()
    except (OSError, ValueError):
        # Not below the root, or no path at all: it may still be the name of a symbol.
        found = given.as_posix()
    return found if found in index else path_shown_as(found, index.paths)


def render_map(
    workspace: Path | str,
    task: str,
    tokens: int = _DEFAULT_TOKENS,
    *,
    chat: Sequence[str] = (),
    settings: IndexSettings | None = None,
) -> str:
    """The map of a workspace for a task, as HAL9's coding neurons put it into their prompts.

    Raises:
        NotARepository: the workspace is missing or no folder.
        BudgetTooSmall: `tokens` does not hold a single line.
    """
    from hal9.ripmap.rendering.budget import MapOptions  # noqa: PLC0415 - brings numpy

    maps = MapService(settings)
    index = maps.index(Path(workspace))
    ranking = maps.ranking(index, MapRequest(task, chat=tuple(chat)))
    return maps.draw(index, ranking, MapOptions(tokens=tokens, badges=False))


@dataclass(frozen=True, slots=True)
class Found:
    """A definition that a name means."""

    path: str
    name: str
    kind: str
    line: int
    end_line: int
    signature: str
    docstring: str
    definition_index: int


def find_symbol(index: Index, name: str) -> list[Found]:
    """Definitions called `name`: ``path::Class.method``, ``Class.method`` or ``method``; exact case first.

    Raises:
        SymbolUnknown: there is none; near names are told.
    """
    from hal9.ripmap.index.index_data import index_data_of  # noqa: PLC0415 - brings numpy

    index_data = index_data_of(index)
    path, separator, wanted = name.rpartition("::")
    last = wanted.rpartition(".")[2]
    within = path if separator else None
    exact = _named(index, index_data, index_data.definers(last).tolist(), wanted, within)
    if exact:
        return exact
    names = index_data.symbols.names
    alike = [text for text in names if text.lower() == last.lower()]
    loose = [symbol for text in alike for symbol in index_data.definers(text).tolist()]
    found = _named(index, index_data, sorted(loose), wanted, within)
    if not found:
        import difflib  # noqa: PLC0415 - only a wrong name is compared with others

        known = {names[number] for number in set(index_data.symbols.name.tolist())}
        close = sorted(text for text in known if abs(len(text) - len(last)) <= _NEAR)
        near = tuple(difflib.get_close_matches(last, close, 3))
        raise SymbolUnknown(name=name, root=str(index.root), near=near)
    return found


def _named(
    index: Index, index_data: "IndexData", symbols: Sequence[int], wanted: str, within: str | None
) -> list[Found]:
    """Those of the symbols that the wanted name means, in the file `within` if it says one."""
    table = index_data.symbols
    found: list[Found] = []
    for symbol in symbols:
        file_index = int(table.file_index[symbol])
        qualified = f".{table.qualified(symbol)}".lower()
        if not qualified.endswith(f".{wanted}".lower()) and "." in wanted:
            continue
        if within is not None and index_data.paths[file_index] != within:
            continue
        found.append(_found(index, index_data.paths[file_index], symbol - int(table.start[file_index])))
        if len(found) == _MOST_FOUND:
            break
    return found


def _found(index: Index, path: str, definition_index: int) -> Found:
    entry = index.outline(path).definitions[definition_index]
    return Found(
        path,
        entry.qualified,
        entry.kind,
        entry.line,
        entry.end_line,
        entry.signature,
        entry.docstring,
        definition_index,
    )
