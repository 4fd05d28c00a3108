"""How likely a file plays the role that its place gives it, from what its neighbours do with it.

A path is a guess: `_task_spec.py` that half the package imports is no test, and a server that nothing but
tests import is none of the product. Each piece of evidence adds to the log-odds of a role; most files are
beyond doubt and are left alone.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.postings.words import Postings
from hal9.ripmap.records import Role
from hal9.ripmap.storage.sparse import CsrMatrix

__all__ = ["ASIDE", "likely_roles", "role_chances"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]

ASIDE = (Role.TEST, Role.DOCS, Role.EXAMPLE)
"""The roles that a folder's or a file's name may wrongly give or hold back."""
_PLACED, _UNPLACED = 2.5, -3.0
"""Log-odds that the path alone gives, for a role it speaks for and for a test it does not speak for."""
_USED_BY_SOURCE, _EACH_DOUBLING = -2.5, -0.5
_USED_BY_TESTS_ALONE = 1.5
_TEST_LIBRARY = 2.0
_TEST_WORD = 1.5
_SIBLINGS = 2.0
_USUAL = 0.1
_MOST_SIBLINGS = 200
_LIBRARIES = frozenset(
    {"pytest", "unittest", "doctest", "nose", "hypothesis", "junit", "testng", "mockito", "assertj",
     "hamcrest", "xunit", "nunit", "mstest", "moq", "vitest", "jest", "mocha", "chai", "jasmine",
     "cypress", "playwright", "rspec", "minitest", "phpunit", "gtest", "gmock", "catch2", "testify", "ginkgo",
     "gomega", "quickcheck", "proptest"}
)  # fmt: skip
_WORDS = frozenset(
    {"test", "tests", "testing", "mock", "mocks", "fake", "fakes", "stub", "stubs", "fixture", "fixtures",
     "testutil", "testutils", "testserver", "testhelper"}
)  # fmt: skip


def role_chances(
    paths: Sequence[str], roles: Ints, imports: CsrMatrix, postings: Postings
) -> dict[Role, Array]:
    """Chance, 0 to 1, that each file plays each role of `ASIDE`; every result has shape (files,).

    Args:
        paths: the files, sorted.
        roles: their role bits by path and place, shape (files,).
        imports: files x files.
        postings: their words, of which those of imports and paths are looked at.
    """
    source = (roles & int(Role.SOURCE)) > 0
    others = int(Role.TEST | Role.DOCS | Role.EXAMPLE | Role.VENDORED | Role.GENERATED)
    plain = source & ((roles & others) == 0)
    tests = source & ((roles & int(Role.TEST)) > 0)
    by_source, by_tests = _importers(imports, plain), _importers(imports, tests)
    library = _holders(postings, "imports", _LIBRARIES, plain)
    word = _holders(postings, "path", _WORDS, plain)
    used = np.where(by_source > 0, _USED_BY_SOURCE + _EACH_DOUBLING * np.log2(np.maximum(1, by_source)), 0.0)
    found: dict[Role, Array] = {}
    for role in ASIDE:
        placed = (roles & int(role)) > 0
        chance = placed.astype(np.float64)
        doubtful = placed & source & (by_source > 0)
        odds = np.where(placed, _PLACED, _UNPLACED) + used
        if role is Role.TEST:
            alone = (by_tests > 0) & (by_source == 0)
            odds += _USED_BY_TESTS_ALONE * alone + _TEST_LIBRARY * library + _TEST_WORD * word
            # Public modules of a library are often used by its tests alone: it takes another sign as well.
            doubtful |= plain & ((alone & word) | library)
        for file_index in np.flatnonzero(doubtful).tolist():
            beside = _share_beside(paths, placed, source, file_index)
            chance[file_index] = 1.0 / (1.0 + np.exp(-odds[file_index] - _SIBLINGS * (beside - 0.5)))
        found[role] = chance
    return found


def likely_roles(roles: Ints, chances: Mapping[Role, Array]) -> Ints:
    """The role bits with those of `ASIDE` set where their chance is a half or more. Shape (files,)."""
    found = roles.copy()
    for role, chance in chances.items():
        found = np.where(chance >= 0.5, found | int(role), found & ~int(role)).astype(np.int32)
    return found


def _importers(imports: CsrMatrix, readers: Bools) -> Array:
    """How many of these files import each file. Shape (files,)."""
    kept = readers[imports.row_of_entry]
    counted: Array = np.bincount(imports.indices[kept], minlength=len(readers)).astype(np.float64)
    return counted


def _holders(postings: Postings, field: str, words: frozenset[str], plain: Bools) -> Bools:
    """Files that have any of these words in a field. Shape (files,).

    A word that many plain source files have is what the project is about; in a test library it is no sign.
    """
    matrix = postings.matrices[field]
    found = np.zeros(matrix.across, np.bool_)
    for word in sorted(words):
        column = postings.vocabulary.get(word)
        rows = matrix.line(column)[0] if column >= 0 else np.zeros(0, np.int32)
        if np.count_nonzero(plain[rows]) <= max(1.0, _USUAL * np.count_nonzero(plain)):
            found[rows] = True
    return found


def _share_beside(paths: Sequence[str], placed: Bools, source: Bools, file_index: int) -> float:
    """Share of the folder's other source files that have the role; a half where there are none."""
    folder = paths[file_index].rpartition("/")[0] + "/"
    first = bisect_left(paths, folder) if folder != "/" else 0
    seen = total = 0
    for row in range(first, min(first + _MOST_SIBLINGS, len(paths))):
        path = paths[row]
        if folder != "/" and not path.startswith(folder):
            break
        if row != file_index and source[row] and "/" not in path[len(folder) if folder != "/" else 0 :]:
            total += 1
            seen += int(placed[row])
    return seen / total if total else 0.5
