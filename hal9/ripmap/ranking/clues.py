"""Clues that name one place: an option that few files hold, and the part of a project a title begins with."""

import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.query.task_query import Query
from hal9.ripmap.storage.sparse import distinct
from hal9.ripmap.text.tokenize import STOP_WORDS, pair_codes

__all__ = ["option_holders", "scope_files"]

Array = NDArray[np.float64]
_MOST_HOLDERS = 3
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_OPTION = re.compile(r"(?<![\w/-])--([A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*)(?![\w-])")
_SCOPE = re.compile(r"^(?:[A-Za-z]+\(([\w./ -]{2,40})\)!?:|([\w./-]{2,40})!?:|\[([\w./ -]{2,40})\]:?)\s")
_KINDS = frozenset(
    {"fix", "feat", "feature", "bug", "bugfix", "docs", "doc", "chore", "test", "tests", "refactor", "perf",
     "build", "ci", "style", "revert", "add", "remove", "update", "support", "allow", "use", "make", "handle"}
)  # fmt: skip


def option_holders(index_data: IndexData, query: Query) -> Array:
    """Primary files that hold an option of the task, where at most three do. Shape (files,)."""
    found = np.zeros(len(index_data.paths))
    spoken = f"{query.title}\n{query.prose}\n{query.command}"
    for option in dict.fromkeys(match.group(1).lower() for match in _OPTION.finditer(spoken)):
        files = _holders(index_data, option)
        files = files[index_data.primary[files]]
        if 0 < len(files) <= _MOST_HOLDERS:
            found[files] += 1.0 / len(files)
    return found


def _holders(index_data: IndexData, option: str) -> NDArray[np.intp]:
    """Files that have the option's words in a row; of an option with one telling word, those that have it."""
    codes = pair_codes(option.replace("-", " "))
    if not len(codes):
        telling = [word for word in option.split("-") if word not in STOP_WORDS]
        column = index_data.postings.vocabulary.get(telling[0]) if telling else -1
        if column < 0:
            return np.zeros(0, np.intp)
        chunks = index_data.postings.matrices["body"].line(column)[0]
        return distinct(index_data.postings.chunk_file[chunks]).astype(np.intp)
    kept: NDArray[np.intp] | None = None
    for code in codes:
        start, end = (int(np.searchsorted(index_data.pairs, code, side)) for side in _SIDES)
        files = distinct(index_data.pair_file[start:end]).astype(np.intp)
        kept = files if kept is None else np.intersect1d(kept, files)
    return kept if kept is not None else np.zeros(0, np.intp)


def scope_files(index_data: IndexData, query: Query) -> Array:
    """Files below a folder that is called like the scope of the title ("ignore: ...", "fix(parser): ..."): 1.

    Nothing where no folder is called so, or where the folder holds most of the project. Shape (files,).
    """
    found = np.zeros(len(index_data.paths))
    scope = title_scope(query.title)
    if not scope:
        return found
    wanted = f"/{scope}/"
    rows = [row for row, path in enumerate(index_data.paths) if wanted in f"/{path.lower()}"]
    rows = [row for row in rows if index_data.primary[row]]
    if 0 < len(rows) <= index_data.primary.sum() // 2:
        found[rows] = 1.0
    return found


def title_scope(title: str) -> str:
    """The part of a project that a title says it is about, "" where it says none."""
    match = _SCOPE.match(title)
    named = next((group for group in match.groups() if group), "").lower() if match else ""
    return "" if named in _KINDS else named.strip("/").replace(" ", "-")
