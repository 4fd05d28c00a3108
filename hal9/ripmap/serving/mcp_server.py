"""The MCP server: four quick tools over warm indexes, on standard input and output."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hal9 import __version__
from hal9.errors.base import Hal9Error
from hal9.errors.ripmap import OutsideRoots, RipmapExtraMissing
from hal9.ripmap.index.index import Index
from hal9.ripmap.ranking.ranker import Ranking
from hal9.ripmap.rendering.budget import MapOptions
from hal9.ripmap.rendering.explain import explain_text
from hal9.ripmap.rendering.repository_map import MapRequest, MapService, find_symbol
from hal9.ripmap.text.display import shown, shown_text

__all__ = ["Service", "make_server", "serve"]

_T = TypeVar("_T")
_MOST_FILES = 100
_SOURCE_LINES = 200
_FRESH_SECONDS = 1.0
_INSTRUCTIONS = (
    "Finds the files and symbols of a repository that a task needs. Give the task in its own words: an "
    "issue's text, a traceback and names help. Start with `map` (an outline within a token budget) or `rank` "
    "(paths and scores)."
)


@dataclass(slots=True)
class Service:
    """What the tools do, without the protocol. One question at a time."""

    roots: Sequence[Path]
    overrides: dict[str, Any] = field(default_factory=dict)
    _maps: MapService = field(default_factory=MapService)
    _fresh: dict[Path, tuple[float, Index]] = field(default_factory=dict)

    def _index(self, repository: str) -> Index:
        root = self._allowed(repository)
        known = self._fresh.get(root)
        if known is not None and time.monotonic() - known[0] < _FRESH_SECONDS:
            return known[1]
        index = self._maps.index(root, **self.overrides)
        self._fresh[root] = (time.monotonic(), index)
        return index

    def _allowed(self, repository: str) -> Path:
        roots = [root.resolve() for root in self.roots]
        given = Path(repository) if repository else roots[0]
        path = (given if given.is_absolute() else roots[0] / given).resolve()
        if not any(path == root or path.is_relative_to(root) for root in roots):
            raise OutsideRoots(path=str(path), roots=tuple(str(root) for root in roots))
        return path

    def _ranked(self, repository: str, question: MapRequest) -> tuple[Index, Ranking]:
        index = self._index(repository)
        return index, self._maps.ranking(index, question)

    def rank(self, task: str, repository: str, limit: int, chat: list[str], focus: str) -> dict[str, Any]:
        """Best files and symbols with scores and what speaks for them."""
        question = MapRequest(task, tuple(focus.split()), tuple(chat))
        index, ranking = self._ranked(repository, question)
        limit = max(1, min(limit, _MOST_FILES))
        files = [
            {"path": shown(file.path), "score": round(file.score, 4), "why": _reasons(file.shares)}
            for file in ranking.files(limit)
        ]
        symbols = [
            {
                "symbol": shown(symbol.id),
                "kind": symbol.kind,
                "line": symbol.line,
                "score": round(symbol.score, 4),
            }
            for symbol in ranking.symbols(limit)
        ]
        return {"root": shown(str(index.root)), "files": files, "symbols": symbols, "total_files": len(index)}

    def map(
        self, task: str, repository: str, tokens: int, chat: list[str], focus: str, *, calls: bool
    ) -> str:
        """The map within `tokens`."""
        question = MapRequest(task, tuple(focus.split()), tuple(chat))
        index, ranking = self._ranked(repository, question)
        return self._maps.draw(index, ranking, MapOptions(tokens=tokens, calls=calls))

    def explain(self, target: str, task: str, repository: str) -> str:
        """Why a file or symbol ranks where it does."""
        index, ranking = self._ranked(repository, MapRequest(task))
        return explain_text(index, ranking, target)

    def symbol(self, name: str, repository: str, *, source: bool) -> dict[str, Any]:
        """Where a name is defined, with its source."""
        index = self._index(repository)
        found: list[dict[str, Any]] = []
        for entry in find_symbol(index, name):
            item: dict[str, Any] = {
                "path": shown(entry.path),
                "name": entry.name,
                "kind": entry.kind,
                "line": entry.line,
                "end_line": entry.end_line,
                "signature": entry.signature,
                "docstring": entry.docstring,
            }
            if source and len(found) < 3:
                lines = index.text(entry.path).split("\n")[entry.line - 1 : entry.end_line]
                item["source"] = shown_text("\n".join(lines[:_SOURCE_LINES]))
                item["truncated"] = len(lines) > _SOURCE_LINES
            found.append(item)
        return {"root": shown(str(index.root)), "definitions": found}


def _reasons(shares: dict[str, float]) -> dict[str, float]:
    whole = sum(shares.values()) or 1.0
    best = sorted(shares.items(), key=lambda item: -item[1])[:4]
    return {name: round(share / whole, 3) for name, share in best}


def make_server(service: Service) -> Any:
    """The MCP server over `service`.

    Raises:
        RipmapExtraMissing: the package mcp is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - an extra, and slow to load
        from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415
        from mcp.server.mcpserver.tools import Tool  # noqa: PLC0415
    except ImportError as error:
        raise RipmapExtraMissing(package="mcp", extra="mcp") from error
    turn = asyncio.Lock()

    async def answer(work: Callable[[], _T]) -> _T:
        async with turn:
            try:
                return await asyncio.to_thread(work)
            except Hal9Error as error:
                raise ToolError(str(error)) from error

    async def rank(
        task: str, repository: str = "", limit: int = 10, chat: list[str] | None = None, focus: str = ""
    ) -> dict[str, Any]:
        """Rank files and symbols for a task. `chat`: files already open; `focus`: words that should lead."""
        return await answer(lambda: service.rank(task, repository, limit, chat or [], focus))

    async def map(  # noqa: A001 - the tool's public name
        task: str = "",
        repository: str = "",
        tokens: int = 4096,
        chat: list[str] | None = None,
        focus: str = "",
        calls: bool = False,
    ) -> str:
        """Outline the files a task needs (classes, functions, signatures) within a token budget."""
        return await answer(lambda: service.map(task, repository, tokens, chat or [], focus, calls=calls))

    async def explain(target: str, task: str, repository: str = "") -> str:
        """Tell why a file (path) or symbol (Class.method) ranks where it does for a task."""
        return await answer(lambda: service.explain(target, task, repository))

    async def symbol(
        name: str,
        repository: str = "",
        source: bool = True,
    ) -> dict[str, Any]:
        """Find where a class, function or method is defined, with its source."""
        return await answer(lambda: service.symbol(name, repository, source=source))

    server: Any = MCPServer(
        "ripmap",
        version=__version__,
        instructions=_INSTRUCTIONS,
        log_level="WARNING",
        tools=[_strict(Tool.from_function(tool)) for tool in (rank, map, explain, symbol)],
    )
    return server


def _strict(tool: Any) -> Any:
    """The tool, refusing arguments it does not know: a misspelt one would be dropped and the default used."""
    model = tool.fn_metadata.arg_model
    model.model_config["extra"] = "forbid"
    model.model_rebuild(force=True)
    tool.parameters["additionalProperties"] = False
    return tool


def serve(roots: Sequence[Path], overrides: dict[str, Any]) -> None:
    """Serve until standard input ends, and everything asked before has been answered."""
    server = make_server(Service(roots, overrides))
    from hal9.ripmap.serving.answered_streams import run_until_answered  # noqa: PLC0415 - needs the mcp extra

    asyncio.run(run_until_answered(server))
