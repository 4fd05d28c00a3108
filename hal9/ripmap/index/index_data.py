"""A repository as the ranker sees it: words, names, imports and roles, before any task or parameter.

Made once per state of the tree and kept through the index's artifact cache; a query never touches the files.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.files.language_groups import language_group
from hal9.ripmap.index.index import Index, Patch
from hal9.ripmap.postings.file_postings import FACTS, FACTS_VERSION, facts_of_file
from hal9.ripmap.postings.merge import MergedPostings, merge_postings, primary_files, rarity_of
from hal9.ripmap.postings.module_paths import Names, PathFinder
from hal9.ripmap.postings.role_chances import likely_roles, role_chances
from hal9.ripmap.postings.symbols import Candidates, Symbols, find_candidates
from hal9.ripmap.postings.words import Postings
from hal9.ripmap.records import Role
from hal9.ripmap.storage.array_codec import Packed, pack, unpack
from hal9.ripmap.storage.sparse import CsrMatrix
from hal9.ripmap.text.string_table import TermDictionary

__all__ = [
    "INDEX_DATA_VERSION",
    "IndexData",
    "build_index_data",
    "index_data_of",
    "packed_index_data",
    "unpack_index_data",
]

INDEX_DATA_VERSION = 11
_LINKS_VERSION = 2
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Array = NDArray[np.float64]

_KEPT: "WeakKeyDictionary[Index, IndexData]" = WeakKeyDictionary()


def _unkept(make: Callable[[], bytes]) -> bytes:
    return make()


@dataclass(eq=False)
class IndexData:
    """Everything that ranking needs of a repository.

    Attributes:
        paths: files, in the index's order.
        roles: their `Role` bits by path and place.
        postings: words.
        symbols: definitions.
        uses: references by columns: scope, name, receiver's class, times, file.
        imports: files x files; 1 where the import names something the file defines, 0.5 for a package on the
        way.
        shingles, shingle_file: hashes of three words in a row in message-like strings, ascending, and their
        files.
        pairs, pair_file: codes of two word stems in a row, of primary files, ascending, and their files.
        definers_by_token: (tokens x files) ones where a primary file defines that whole name.
        head_rarity: per chunk, the summed rarity of the distinct words in its head.
        test_words: (chunks x tokens) ones where the body of a test's chunk has the word; others are empty.
        by_name: symbols sorted by name; the first of name n is at name_start[n].
        names: numbers of names.
        keep: hands out what a function made, from a cache where there is one.
    """

    paths: tuple[str, ...]
    roles: Ints
    postings: Postings
    symbols: Symbols
    uses: Ints
    imports: CsrMatrix
    shingles: NDArray[np.uint64]
    shingle_file: Ints
    pairs: NDArray[np.uint32]
    pair_file: Ints
    definers_by_token: CsrMatrix
    head_rarity: Array
    test_words: CsrMatrix
    by_name: Ints
    name_start: Ints
    names: TermDictionary
    keep: Callable[[Callable[[], bytes]], "bytes | memoryview"] = field(default=_unkept)

    @cached_property
    def candidates(self) -> Candidates:
        """What references may mean: made when first asked for, as a ranking for a task needs none of it."""
        found = unpack(self.keep(self._packed_candidates))
        return Candidates(**found)  # type: ignore[arg-type]

    def _packed_candidates(self) -> bytes:
        folders: dict[str, int] = {}
        folder = [folders.setdefault(path.rpartition("/")[0], len(folders)) for path in self.paths]
        made = find_candidates(self.symbols, self.uses, self.imports, np.array(folder, np.int32))
        return pack({name: getattr(made, name) for name in made.__slots__})

    @cached_property
    def role_chances(self) -> dict[Role, Array]:
        """Chance that each file plays each role that its path may wrongly give; results of shape (files,)."""
        return role_chances(self.paths, self.roles, self.imports, self.postings)

    @cached_property
    def likely_roles(self) -> Ints:
        """Role bits after a look at who imports each file, and at what it imports. Shape (files,)."""
        return likely_roles(self.roles, self.role_chances)

    def role(self, role: Role) -> Bools:
        """Which files have any of these roles, more likely than not."""
        return (self.likely_roles & int(role)) > 0

    @cached_property
    def primary(self) -> Bools:
        """Source files that are not tests, examples, generated or vendored: what evidence is scaled by."""
        return primary_files(self.likely_roles)

    @cached_property
    def tests(self) -> Bools:
        """Test files with source code."""
        return self.role(Role.TEST) & self.role(Role.SOURCE)

    @cached_property
    def modules(self) -> PathFinder:
        """Finds files by path and module name."""
        return PathFinder(Names(self.paths, self.roles))

    @cached_property
    def depth(self) -> Ints:
        """Folders above each file. Shape (files,)."""
        return np.array([path.count("/") for path in self.paths], np.int32)

    def file_of_node(self, nodes: Ints) -> Ints:
        """File of each node of the symbol graph (definitions first, then one node per file).

        In and out of shape (nodes,).
        """
        count = len(self.symbols.name)
        if not count:
            return nodes
        return np.where(
            nodes < count, self.symbols.file_index[np.minimum(nodes, count - 1)], nodes - count
        ).astype(np.int32)

    def definers(self, name: str) -> Ints:
        """Symbols of exactly this name; empty when there is none. Shape (symbols found,)."""
        number = self.names.get(name)
        if number < 0:
            return self.by_name[:0]
        return self.by_name[self.name_start[number] : self.name_start[number + 1]]

    @cached_property
    def language_groups(self) -> Ints:
        """Number of each file's group in `LANGUAGE_GROUPS`, by its ending. Shape (files,)."""
        return np.array([language_group(path) for path in self.paths], np.int32)

    @cached_property
    def rarity(self) -> Array:
        """Inverse document frequency of every word among primary files. Shape (words,)."""
        return rarity_of(self.postings)

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What depends on parameters and is worth keeping between calls (PageRank, for one)."""
        return {}

    def cached(self, key: Any, build: Callable[[], Any]) -> Any:
        """`build()`, kept under `key`; a few hundred entries at most."""
        if key not in self.cache:
            if len(self.cache) > 200:
                self.cache.clear()
            self.cache[key] = build()
        return self.cache[key]


def index_data_of(index: Index) -> IndexData:
    """The index's data, from memory, from the cache, patched, or built."""
    found = _KEPT.get(index)
    if found is None:
        found = unpack_index_data(index.paths, packed_index_data(index))
        found.keep = _keeper(index)
        _KEPT[index] = found
    return found


def packed_index_data(index: Index) -> memoryview:
    """The index's data as one block of bytes; with the paths, `unpack_index_data` reads it anywhere."""
    return index.artifact(
        "index_data", INDEX_DATA_VERSION, lambda: pack(_merged(index).packed()), patch=_patcher(index)
    )


def unpack_index_data(paths: tuple[str, ...], packed: "bytes | memoryview") -> IndexData:
    """The data of an index with these paths, as views of what `packed_index_data` made."""
    return _unpacked(paths, unpack(packed))


def _merged(index: Index) -> MergedPostings:
    facts = index.file_artifacts(FACTS, FACTS_VERSION, facts_of_file)
    return merge_postings(index.paths, _roles(index), facts)


def _roles(index: Index) -> Ints:
    return np.array([entry.roles for entry in index.entries], np.int32)


def _patcher(index: Index) -> Patch:
    def patch(older: memoryview, older_indexes: list[int]) -> bytes | None:
        from hal9.ripmap.postings.incremental import patched  # noqa: PLC0415 - only after an edit

        changed = [file_index for file_index, older_index in enumerate(older_indexes) if older_index < 0]

        def facts() -> list[bytes]:
            return index.file_artifacts(FACTS, FACTS_VERSION, facts_of_file, changed)

        made = patched(
            MergedPostings.unpacked(unpack(older)), older_indexes, index.paths, _roles(index), facts
        )
        return pack(made.packed()) if made is not None else None

    return patch


def _keeper(index: Index) -> Callable[[Callable[[], bytes]], "bytes | memoryview"]:
    """Keeps candidates among the index's artifacts; data that outlive its index does without."""
    owner = ref(index)

    def keep(make: Callable[[], bytes]) -> "bytes | memoryview":
        alive = owner()
        return make() if alive is None else alive.artifact("links", _LINKS_VERSION, make)

    return keep


def build_index_data(index: Index) -> IndexData:
    """Build it anew, around the cache."""
    return _unpacked(index.paths, _merged(index).packed())


def _unpacked(paths: tuple[str, ...], found: Packed) -> IndexData:
    base = MergedPostings.unpacked(found)
    shape = (len(base.postings.vocabulary), len(paths))
    return IndexData(
        paths=paths,
        roles=base.roles,
        postings=base.postings,
        symbols=base.symbols,
        uses=base.uses,
        imports=base.imports,
        shingles=base.shingles,
        shingle_file=base.shingle_file,
        pairs=base.pairs,
        pair_file=base.pair_file,
        definers_by_token=_ones(found["definers.token"], found["definers.file"], shape),
        head_rarity=found["head_rarity"],  # type: ignore[arg-type]
        test_words=CsrMatrix.unpacked("test_words", found),
        by_name=found["by_name"],  # type: ignore[arg-type]
        name_start=found["name_start"],  # type: ignore[arg-type]
        names=base.names,
    )


def _ones(rows: Any, columns: Any, shape: tuple[int, int]) -> CsrMatrix:
    """A matrix of ones from coordinates that are sorted by row."""
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]).astype(np.int32)
    return CsrMatrix(np.ones(len(rows), np.float32), columns, indptr, shape[1])
