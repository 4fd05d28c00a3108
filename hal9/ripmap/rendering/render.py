"""A map as text: for a terminal, as Markdown, as JSON, or as bare paths; never above its token budget."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from hal9.ripmap.index.index import Index
from hal9.ripmap.ranking.ranker import Ranking
from hal9.ripmap.rendering.budget import FileView, MapOptions, MapView, SymbolView, compose
from hal9.ripmap.text.display import shown, shown_text
from hal9.ripmap.text.token_count import TokenCounter, token_counter

__all__ = ["Format", "draw_file", "draw_map"]

Format = Literal["map", "paths", "json", "md"]

_NAMES_WIDTH = 76
_DOC_WIDTH = 90


def draw_map(
    index: Index,
    ranking: Ranking,
    options: MapOptions,
    *,
    form: Format = "map",
    counter: TokenCounter | None = None,
) -> str:
    """The map of `ranking`, at most `options.tokens` tokens by `counter`.

    Raises:
        BudgetTooSmall: not even one line fits.
    """
    count = counter or token_counter()
    draw = _DRAWERS[form]
    view = compose(index, ranking, options, draw=draw, count=count)
    view.exact = count.exact
    text = _assemble(view, form, draw)
    view.tokens = count(text)
    while view.tokens > options.tokens and view.files:
        # Joined text can need a token or two more than its parts; the last files give way.
        over = max(1, int(len(view.files) * (view.tokens - options.tokens) / view.tokens))
        view.files = view.files[:-over]
        text = _assemble(view, form, draw)
        view.tokens = count(text)
    return _assemble(view, form, draw, final=True) if form == "map" else text


def _assemble(view: MapView, form: Format, draw: Callable[[FileView], str], *, final: bool = False) -> str:
    if form == "json":
        head: dict[str, Any] = {
            "root": shown(view.root),
            "files": [_as_json(file) for file in view.files],
            "total_files": view.total_files,
            "ranked_mass": round(view.mass, 4),
            "budget": view.budget,
        }
        return json.dumps(head, ensure_ascii=False, separators=(",", ":"))
    body = "\n".join(draw(file) for file in view.files)
    if form == "paths":
        return body
    footer = _footer(view, final=final)
    return f"{body}\n\n{footer}" if body else footer


def _footer(view: MapView, *, final: bool) -> str:
    # While packing, the widest figures stand in for those that are not known yet.
    tokens = f"{view.tokens}" if final else f"{view.budget}"
    kind = "" if view.exact else "≈"
    percent = f"{view.mass:.0%}" if final else "100%"
    return (
        f"{len(view.files)} of {view.total_files} files, {percent} of the ranked mass, "
        f"{kind}{tokens} of {view.budget} tokens"
    )


# --- one file ---


def draw_file(file: FileView) -> str:
    """One file of the plain map."""
    head = shown(file.path)
    if file.badges:
        head += f"  [{', '.join(file.badges)}]"
    lines = [head]
    if file.why:
        lines.append("  why: " + ", ".join(f"{name} {share:.0%}" for name, share in file.why))
    if file.docstring:
        lines.append(f"  “{_short(file.docstring)}”")
    if file.level == 1:
        lines.extend(_names(file))
    elif file.level >= 2:
        for symbol in file.symbols:
            lines.extend(_symbol_lines(symbol, file.level))
        if file.hidden:
            lines.append(f"  … {file.hidden} more")
    return shown_text("\n".join(lines))


def _symbol_lines(symbol: SymbolView, level: int) -> list[str]:
    indent = "  " * (symbol.depth + 1)
    definition = symbol.definition
    more = f"  ({symbol.overloads} overloads)" if symbol.overloads > 1 else ""
    lines = [f"{indent}{definition.line}: {definition.signature or definition.name}{more}"]
    if level >= 3 and definition.docstring:
        lines.append(f"{indent}    “{_short(definition.docstring)}”")
    if symbol.callers:
        lines.append(f"{indent}    ← {', '.join(symbol.callers)}")
    if symbol.callees:
        lines.append(f"{indent}    → {', '.join(symbol.callees)}")
    return lines


def _names(file: FileView) -> list[str]:
    lines: list[str] = []
    current = "  "
    names = [symbol.definition.qualified for symbol in file.symbols]
    if file.hidden:
        names.append(f"… {file.hidden} more")
    for name in names:
        if len(current) > 2 and len(current) + len(name) > _NAMES_WIDTH:
            lines.append(current.rstrip())
            current = "  "
        current += f"{name}, "
    return [*lines, current.rstrip().rstrip(",")] if names else lines


def _short(text: str) -> str:
    sentence = text.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= _DOC_WIDTH else sentence[: _DOC_WIDTH - 1].rstrip() + "…"


def _draw_markdown(file: FileView) -> str:
    lines = [f"### `{shown(file.path)}`" + (f" ({', '.join(file.badges)})" if file.badges else "")]
    if file.why:
        lines.append("*why:* " + ", ".join(f"{name} {share:.0%}" for name, share in file.why))
    body = draw_file(replace(file, badges=(), why=(), path="")).strip("\n")
    if body:
        fence = {"tsx": "tsx", "csharp": "cs"}.get(file.language, file.language)
        lines.append(f"```{fence}\n{body}\n```")
    return "\n".join(lines)


def _as_json(file: FileView) -> dict[str, Any]:
    out: dict[str, Any] = {"path": shown(file.path), "rank": file.rank, "score": round(file.score, 5)}
    if file.badges:
        out["badges"] = list(file.badges)
    if file.why:
        out["why"] = {name: round(share, 4) for name, share in file.why}
    if file.symbols:
        out["symbols"] = [_symbol_json(symbol, file.level) for symbol in file.symbols]
    return out


def _symbol_json(symbol: SymbolView, level: int) -> dict[str, Any]:
    definition = symbol.definition
    out: dict[str, Any] = {
        "name": definition.qualified,
        "kind": definition.kind,
        "line": definition.line,
        "end_line": definition.end_line,
    }
    if level >= 2 and definition.signature:
        out["signature"] = definition.signature
    if symbol.overloads > 1:
        out["overloads"] = symbol.overloads
    if symbol.callers:
        out["callers"] = list(symbol.callers)
    if symbol.callees:
        out["callees"] = list(symbol.callees)
    return out


def _draw_json(file: FileView) -> str:
    return json.dumps(_as_json(file), ensure_ascii=False, separators=(",", ":"))


_DRAWERS: dict[str, Callable[[FileView], str]] = {
    "map": draw_file,
    "md": _draw_markdown,
    "json": _draw_json,
    "paths": lambda file: shown(file.path),
}
