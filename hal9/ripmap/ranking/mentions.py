"""Files and definitions that a task names outright: by path, by module, or by a dotted name."""

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.postings.module_paths import is_package_file
from hal9.ripmap.query.task_query import Mention, Part, Query

__all__ = ["dotted_symbols", "named_files"]

Array = NDArray[np.float64]
_STRENGTH: dict[Part, float] = {
    "title": 1.0,
    "prose": 1.0,
    "code": 0.25,
    "output": 0.0,
    "traceback": 0.0,
    "diff": 1.0,
    "configuration": 0.0,
    "command": 0.25,
}
"""A script imports what shows the fault, not what is at fault; stack frames speak for themselves.

A diff in a task is somebody's idea of the change: its files are named as clearly as in prose.
"""
_PACKAGE = 0.3
"""Who names a package means something in it, seldom its `__init__`."""
_MOST_NAMED = 3
"""A name that fits more files than this names none of them."""


def named_files(index_data: IndexData, query: Query) -> Array:
    """Per file, how clearly the task names it: 1 in title and prose, less in code, 0 unnamed.

    Shape (files,).
    """
    named = np.zeros(len(index_data.paths))
    for mention in query.paths:
        _name(named, index_data.modules.tail(mention.text), index_data.primary, _STRENGTH[mention.part])
    for mention in query.dotted:
        found, share = _files_of_dotted(index_data, mention)
        _name(named, found, index_data.primary, share * _STRENGTH[mention.part])
    return named


def _name(named: Array, found: list[int], primary: NDArray[np.bool_], strength: float) -> None:
    first = [file_index for file_index in found if primary[file_index]] or found
    if first and len(first) <= _MOST_NAMED:
        named[first] = np.maximum(named[first], strength)


def _files_of_dotted(index_data: IndexData, mention: Mention) -> tuple[list[int], float]:
    """Files of a dotted name's longest leading module; of a package, those that define the name after it."""
    parts = mention.text.split(".")
    for end in range(len(parts), 0, -1):
        found = index_data.modules.module(".".join(parts[:end]))
        packages = [file_index for file_index in found if is_package_file(index_data.paths[file_index])]
        if end > 1 and len(packages) < len(found):
            return [file_index for file_index in found if file_index not in packages], 1.0
        if packages and end < len(parts):
            within = _defined_within(index_data, packages, parts[end])
            if within:
                return within, 1.0
        if packages and end > 1:
            return packages, _PACKAGE
    return [], 0.0


def _defined_within(index_data: IndexData, packages: list[int], name: str) -> list[int]:
    """Primary files below the packages that define a name; of them those that the packages import, if any."""
    folders = tuple(index_data.paths[file_index].rpartition("/")[0] + "/" for file_index in packages)
    table = index_data.symbols
    files = {
        int(table.file_index[symbol])
        for symbol in index_data.definers(name).tolist()
        if not table.parent[symbol]
    }
    found = sorted(
        file_index
        for file_index in files
        if index_data.primary[file_index] and index_data.paths[file_index].startswith(folders)
    )
    shown = {int(target) for file_index in packages for target in index_data.imports.line(file_index)[0]}
    return [file_index for file_index in found if file_index in shown or file_index in packages] or found


def dotted_symbols(index_data: IndexData, dotted: str) -> list[int]:
    """Definitions that `Class.method` or `module.function` means, when that is not more than three."""
    head, _, name = dotted.rpartition(".")
    symbols = index_data.definers(name)
    if not len(symbols):
        return []
    owner = head.rpartition(".")[2]
    table = index_data.symbols
    modules = set(_modules(index_data, head))
    found = [
        symbol
        for symbol in symbols.tolist()
        if table.names[table.parent[symbol]].rpartition(".")[2] == owner
        or int(table.file_index[symbol]) in modules
    ]
    found = [symbol for symbol in found if index_data.primary[table.file_index[symbol]]]
    return found if len(found) <= _MOST_NAMED else []


def _modules(index_data: IndexData, dotted: str) -> list[int]:
    """Files of the longest leading part of a dotted name that is a module."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        found = index_data.modules.module(".".join(parts[:end]))
        if found:
            return found
    return []
