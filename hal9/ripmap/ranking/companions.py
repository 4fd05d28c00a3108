"""What belongs to the file that leads: one change seldom touches one file alone.

Given the leading files, what else is changed with them: what past commits changed together, files beside
them of the same role, and who calls or is called by the definitions that the task means there. Each is a
signal that follows the others, and its values are shares of the leader's own score. Folder and calls never
put a companion before the leader; history may, as what is changed with nearly everything that leads is often
what has to be changed.
"""

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.ranking.features import Features
from hal9.ripmap.records import Role
from hal9.ripmap.text.tokenize import identifier_parts, words

__all__ = ["beside", "calls", "together"]

Array = NDArray[np.float64]
_BEST_DEFINITIONS = 3
_BEST_FILES = 60
_MOST_DEFINERS = 4
_KINDS = Role.SOURCE | Role.TEST | Role.DOCS | Role.EXAMPLE | Role.CONFIG | Role.GENERATED | Role.VENDORED


def leader(features: Features, total: Array) -> int:
    """The primary file that leads so far; -1 when none has a score. `total` has shape (files,)."""
    lead = np.where(features.index_data.primary, total, 0.0)
    best = int(np.argmax(lead)) if len(lead) else -1
    return best if best >= 0 and lead[best] > 0 else -1


def together(features: Features, total: Array) -> Array:
    """What commits that touched the leading file touched besides. In and out of shape (files,)."""
    lead, commits = leader(features, total), features.prepared.commit_index
    if lead < 0 or commits is None:
        return np.zeros(features.size)
    return float(total[lead]) * commits.together(lead, features.prepared.task.time)


def beside(features: Features, total: Array) -> Array:
    """Files of the leader's folder and role, those named alike most. In and out of shape (files,)."""
    lead = leader(features, total)
    if lead < 0:
        return np.zeros(features.size)
    index_data = features.index_data
    rows = _mates(index_data, lead)
    found = np.zeros(features.size)
    if len(rows):
        own = _name_words(index_data.paths[lead])
        alike = np.array([_overlap(own, _name_words(index_data.paths[row])) for row in rows])
        found[rows] = total[lead] * (0.5 + 0.5 * alike)
    return _led(found, lead)


def calls(features: Features, total: Array) -> Array:
    """Files that call or are called by the leader's best definitions. In and out of shape (files,)."""
    lead = leader(features, total)
    if lead < 0:
        return np.zeros(features.size)
    best = _best_definitions(features, lead)
    found = np.zeros(features.size)
    # Weights seldom change who leads and what of it the task means, so what that calls stays as it is.
    key = (float(lead), *best.astype(np.float64).tolist())
    called = features.remembered("(called)", key, lambda: _called(features.index_data, lead, best))
    for made in (called, _calling(features.index_data, lead, best, total)):
        values = np.where(np.arange(features.size) == lead, 0.0, made)
        highest = float(values.max())
        if highest > 0:
            found += 0.5 * values / highest
    return _led(total[lead] * found, lead)


def _called(index_data: IndexData, lead: int, definitions: NDArray[np.intp]) -> Array:
    """Primary files that define what these definitions of a file use, imported files before others."""
    found = np.zeros(len(index_data.paths))
    rows = _uses_of(index_data, lead)
    scopes = definitions - index_data.symbols.start[lead]
    reached = np.zeros(len(found), np.bool_)
    reached[index_data.imports.line(lead)[0]] = True
    for name in np.unique(rows[np.isin(rows[:, 0], scopes), 1]).tolist():
        files = _definers(index_data, name)
        near = files[reached[files]]
        files = near if len(near) else files
        if 0 < len(files) <= _MOST_DEFINERS:
            found[files] += 1.0 / len(files)
    return found


def _calling(index_data: IndexData, lead: int, definitions: NDArray[np.intp], total: Array) -> Array:
    """Files among the best that use the names of these definitions, fully where they import their file."""
    found = np.zeros(len(index_data.paths))
    names = np.unique(index_data.symbols.name[definitions])
    worth = np.array([1.0 / max(1, len(_definers(index_data, name))) for name in names.tolist()])
    rows = np.argsort(-total, kind="stable")[:_BEST_FILES].tolist()
    uses = np.concatenate([_uses_of(index_data, row) for row in rows])
    uses = uses[np.isin(uses[:, 1], names)]
    for row in np.unique(uses[:, 4]).tolist():
        used = np.isin(names, uses[uses[:, 4] == row, 1])
        imports = lead in index_data.imports.line(row)[0]
        found[row] = float(used.sum()) if imports else float(worth[used].sum())
    return found


def _uses_of(index_data: IndexData, row: int) -> NDArray[np.int32]:
    """A file's references, as `IndexData.uses` has them."""
    column = index_data.uses[:, 4]
    return index_data.uses[bisect_left(column, row) : bisect_right(column, row)]


def _definers(index_data: IndexData, name: int) -> NDArray[np.int32]:
    """Primary files that define a name, by its number."""
    symbols = index_data.by_name[index_data.name_start[name] : index_data.name_start[name + 1]]
    files = np.unique(index_data.symbols.file_index[symbols])
    return files[index_data.primary[files]]


def _best_definitions(features: Features, lead: int) -> NDArray[np.intp]:
    """The leader's definitions that match the task best, as symbols. Shape (at most three,)."""
    postings, table = features.index_data.postings, features.index_data.symbols
    first, last = np.searchsorted(postings.chunk_file, [lead, lead + 1])
    chunks = np.arange(first, last)
    chunks = chunks[postings.chunk_owner[chunks] >= 0]
    scores = features.chunk_scores[chunks]
    order = np.argsort(-scores, kind="stable")[:_BEST_DEFINITIONS]
    order = order[scores[order] > 0]
    found: NDArray[np.intp] = (table.start[lead] + postings.chunk_owner[chunks[order]]).astype(np.intp)
    return found


def _mates(index_data: IndexData, lead: int) -> NDArray[np.intp]:
    """The other files of a file's folder that play the same roles."""
    folder = index_data.paths[lead].rpartition("/")[0]
    alike = np.flatnonzero((index_data.roles & int(_KINDS)) == (index_data.roles[lead] & int(_KINDS)))
    rows = [
        row for row in alike.tolist() if row != lead and index_data.paths[row].rpartition("/")[0] == folder
    ]
    return np.array(rows, np.intp)


def _name_words(path: str) -> frozenset[str]:
    name = path.rpartition("/")[2].partition(".")[0]
    return frozenset(part for word in words(name) for part in identifier_parts(word))


def _overlap(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / max(1, len(left | right))


def _led(values: Array, lead: int) -> Array:
    """The leader gets what its best companion gets: it stays ahead of those it brought up."""
    values[lead] = values.max()
    return values
