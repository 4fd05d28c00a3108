"""Why a file or a symbol ranks where it does, in words and figures."""

from typing import TYPE_CHECKING

from hal9.ripmap.index.index import Index
from hal9.ripmap.records import Role
from hal9.ripmap.rendering.repository_map import find_symbol, relative_path
from hal9.ripmap.text.display import shown, shown_text

if TYPE_CHECKING:
    from hal9.ripmap.ranking.ranker import Ranking

__all__ = ["explain_text", "role_names"]

_PARSED = {
    "partial": "parsed in part: what its grammar cannot read was gone around",
    "overtime": "parsed in part: what its grammar cannot read took more time than a file may take",
    "words": "known by its words alone: there is no grammar for it here",
    "oversized": "not read: it is larger than max_file_bytes",
    "unreadable": "not read: it cannot be opened, or is not in this clone",
}


def role_names(roles: Role) -> str:
    """The names of roles, such as "source, test"."""
    names = [str(role.name).lower() for role in Role if role and role in roles]
    return ", ".join(names) or "no special role"


def explain_text(index: Index, ranking: "Ranking", target: str) -> str:
    """Each signal's share of a file's or symbol's score.

    Raises:
        SymbolUnknown: the target is neither a file nor a definition.
    """
    path = relative_path(index, target)
    lines: list[str] = []
    if path not in index:
        found = find_symbol(index, target)
        chosen = found[0]
        path = chosen.path
        lines.append(f"{chosen.kind} {chosen.name}, {shown(path)}:{chosen.line}-{chosen.end_line}")
        rank, total = ranking.symbol_rank(index.file_index(path), chosen.definition_index)
        lines.append(f"symbol rank {rank} of {total}" if rank else "the task gives this symbol no score")
        lines.extend(f"also: {shown(other.path)}:{other.line} {other.name}" for other in found[1:6])
    return shown_text("\n".join([*lines, *_file_lines(index, ranking, path)]))


def _file_lines(index: Index, ranking: "Ranking", path: str) -> list[str]:
    from hal9.ripmap.parameters import PARAMETERS  # noqa: PLC0415 - brings numpy

    file_index = index.file_index(path)
    file = ranking.file(file_index)
    rank = int((ranking.order == file_index).nonzero()[0][0]) + 1
    lines = [f"{shown(path)}: rank {rank} of {len(index)}, score {file.score:.4f}"]
    whole = sum(file.shares.values())
    for name, share in sorted(file.shares.items(), key=lambda item: -item[1]):
        entry = PARAMETERS.get(f"weight_{name}")
        meaning = entry.meaning if entry is not None else name.replace("_", " ")
        best = float(ranking.signal(name).max())
        own = float(ranking.signal(name)[file_index])
        lines.append(f"  {share / whole:6.1%}  {name:<12} {own:.3f} (best file {best:.3f})  {meaning}")
    factor = ranking.role_factor(file_index)
    lines.append(f"  times {factor:.2f}  for what the file is: {role_names(index.roles[file_index])}")
    status = str(index.entries[file_index].status)
    if status in _PARSED:
        lines.append(
            f"  {_PARSED[status]}{_hidden(index, path) if status in {'partial', 'overtime'} else ''}"
        )
    if not file.shares:
        lines.append("  nothing in the task speaks for this file")
    return lines


def _hidden(index: Index, path: str) -> str:
    from hal9.ripmap.extraction.extractor import lost_definitions  # noqa: PLC0415 - a warm query never parses

    text = index.text(path).encode("utf-8", "replace")
    lost = lost_definitions(index.entries[index.file_index(path)].language, text)
    return f", which hides {lost} definitions" if lost else ", no definition is hidden by it"
