"""A repository as the ranker sees it: words, names, imports and roles, before any task or parameter.

Made once per state of the tree and kept through the index's artifact cache; a query never touches the files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hal9.ripmap.codec import Packed, pack, unpack
from hal9.ripmap.graph import Candidates, Symbols, find_candidates, join_shingles, names_of_file
from hal9.ripmap.index import Index
from hal9.ripmap.lexical import Lexicon, assemble, join_pairs, words_of_file
from hal9.ripmap.model import Role
from hal9.ripmap.modules import ModuleMap, Names

__all__ = ["TERRAIN_VERSION", "Terrain", "build_terrain", "terrain_of"]

TERRAIN_VERSION = 4
_FILE_VERSION = 3
"""Of what is kept per file; it changes with `words_of_file` and `names_of_file` only."""
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Array = NDArray[np.float64]

_KEPT: "WeakKeyDictionary[Index, Terrain]" = WeakKeyDictionary()


@dataclass(eq=False)
class Terrain:
    """Everything that ranking needs of a repository.

    Attributes:
        paths: files, in the index's order.
        roles: their `Role` bits.
        lexicon: words.
        symbols: definitions; candidates: what references may mean.
        imports: files x files; 1 where the import names something the file defines, 0.5 for a package on the
        way.
        shingles, shingle_file: hashes of three words in a row in message-like strings, ascending, and their
        files.
        pairs, pair_file: codes of two word stems in a row, of primary files, ascending, and their files.
        definers_by_token: (tokens x files) ones where a primary file defines that whole name.
    """

    paths: tuple[str, ...]
    roles: Ints
    lexicon: Lexicon
    symbols: Symbols
    candidates: Candidates
    imports: sp.csr_matrix
    shingles: NDArray[np.uint64]
    shingle_file: Ints
    pairs: NDArray[np.uint32]
    pair_file: Ints
    definers_by_token: sp.csr_matrix

    def role(self, role: Role) -> Bools:
        """Which files have any of these roles."""
        return (self.roles & int(role)) > 0

    @cached_property
    def primary(self) -> Bools:
        """Source files that are not tests, examples, generated or vendored: what evidence is scaled by."""
        return primary_files(self.roles)

    @cached_property
    def tests(self) -> Bools:
        """Test files with source code."""
        return self.role(Role.TEST) & self.role(Role.SOURCE)

    @cached_property
    def modules(self) -> ModuleMap:
        """Finds files by path and module name."""
        return ModuleMap(Names(self.paths, self.roles))

    @cached_property
    def depth(self) -> Ints:
        """Folders above each file."""
        return np.array([path.count("/") for path in self.paths], np.int32)

    def file_of_node(self, nodes: Ints) -> Ints:
        """File of each node of the symbol graph (definitions first, then one node per file)."""
        count = len(self.symbols.name)
        if not count:
            return nodes
        return np.where(nodes < count, self.symbols.file[np.minimum(nodes, count - 1)], nodes - count).astype(
            np.int32
        )

    @cached_property
    def _by_name(self) -> tuple[dict[str, int], Ints, Ints]:
        """Numbers of names, symbols sorted by name, and where each name's begin."""
        names = {name: number for number, name in enumerate(self.symbols.names)}
        order = np.argsort(self.symbols.name, kind="stable").astype(np.int32)
        counts = np.bincount(self.symbols.name, minlength=len(names))
        return names, order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def definers(self, name: str) -> Ints:
        """Symbols of exactly this name; empty when there is none."""
        names, order, starts = self._by_name
        number = names.get(name)
        return order[:0] if number is None else order[starts[number] : starts[number + 1]]

    @cached_property
    def rarity(self) -> Array:
        """Inverse document frequency of every word among primary files."""
        counts = self.lexicon.document_count.astype(np.float64)
        return np.log1p((self.lexicon.documents - counts + 0.5) / (counts + 0.5))

    @cached_property
    def head_rarity(self) -> Array:
        """Per chunk, the summed rarity of the distinct words in its head."""
        head = self.lexicon.matrices["head"]
        ones = sp.csc_matrix((np.ones(len(head.data)), head.indices, head.indptr), shape=head.shape)
        return np.asarray(ones @ self.rarity).ravel()

    def words_in(self, chunks: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Words of a few chunks' bodies: position in `chunks`, and column, of every distinct word."""
        body = self.lexicon.matrices["body"]
        place = np.full(body.shape[0], -1, np.int32)
        place[chunks] = np.arange(len(chunks))
        found = place[body.indices]
        entries = np.flatnonzero(found >= 0)
        columns = np.searchsorted(body.indptr, entries, side="right") - 1
        return found[entries].astype(np.intp), columns

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


def primary_files(roles: Ints) -> Bools:
    """Source that is nothing else besides; where there is none, every file."""
    others = Role.TEST | Role.EXAMPLE | Role.GENERATED | Role.VENDORED | Role.DOCS
    found: Bools = ((roles & int(Role.SOURCE)) > 0) & ((roles & int(others)) == 0)
    return found if found.any() else np.ones(len(roles), np.bool_)


def terrain_of(index: Index) -> Terrain:
    """The index's terrain, from memory, from the cache, or built."""
    found = _KEPT.get(index)
    if found is None:
        found = _unpacked(
            index.paths, unpack(index.artifact("terrain", TERRAIN_VERSION, lambda: pack(_packed(index))))
        )
        _KEPT[index] = found
    return found


def build_terrain(index: Index) -> Terrain:
    """Build it anew, around the cache."""
    return _unpacked(index.paths, _packed(index))


def _packed(index: Index) -> Packed:
    roles = np.array([int(record.roles) for record in index.files], np.int32)
    word_blobs = index.file_artifacts("words", _FILE_VERSION, words_of_file)
    lexicon = assemble(word_blobs, primary_files(roles))
    pairs, pair_file = join_pairs(word_blobs, primary_files(roles))
    imports = _imports(index)
    folders: dict[str, int] = {}
    folder = [folders.setdefault(path.rpartition("/")[0], len(folders)) for path in index.paths]
    blobs = index.file_artifacts("names", _FILE_VERSION, names_of_file)
    symbols, candidates = find_candidates(blobs, imports, np.array(folder, np.int32))
    shingles, shingle_file = join_shingles(blobs)
    values: Packed = {
        "roles": roles,
        "shingles": shingles,
        "shingle_file": shingle_file,
        "pairs": pairs,
        "pair_file": pair_file,
    }
    token, file = _definers(lexicon, symbols, primary_files(roles))
    values |= {"definers.token": token, "definers.file": file}
    values |= {f"lexicon.{name}": value for name, value in lexicon.packed().items()}
    for label, record in (("symbols", symbols), ("candidates", candidates)):
        values |= {f"{label}.{name}": getattr(record, name) for name in record.__slots__}
    return values | {
        "imports.data": imports.data,
        "imports.indices": imports.indices,
        "imports.indptr": imports.indptr,
    }


def _unpacked(paths: tuple[str, ...], found: Packed) -> Terrain:
    def group(label: str) -> dict[str, Any]:
        return {
            name[len(label) + 1 :]: value for name, value in found.items() if name.startswith(f"{label}.")
        }

    arrays = group("imports")
    lexicon = Lexicon.unpacked(group("lexicon"))
    size = len(paths)
    imports = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
    return Terrain(
        paths=paths,
        roles=found["roles"],  # type: ignore[arg-type]
        lexicon=lexicon,
        symbols=Symbols(**group("symbols")),
        candidates=Candidates(**group("candidates")),
        imports=imports,
        shingles=found["shingles"],  # type: ignore[arg-type]
        shingle_file=found["shingle_file"],  # type: ignore[arg-type]
        pairs=found["pairs"],  # type: ignore[arg-type]
        pair_file=found["pair_file"],  # type: ignore[arg-type]
        definers_by_token=_ones(
            found["definers.token"], found["definers.file"], (len(lexicon.vocabulary), size)
        ),
    )


def _ones(rows: Any, columns: Any, shape: tuple[int, int]) -> sp.csr_matrix:
    """A matrix of ones from coordinates that are sorted by row."""
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]).astype(np.int32)
    return sp.csr_matrix((np.ones(len(rows), np.float32), columns, indptr), shape=shape)


def _definers(lexicon: Lexicon, symbols: Symbols, primary: Bools) -> tuple[Ints, Ints]:
    """(token, file) pairs, distinct and ascending, where a primary file defines the whole name."""
    column = np.array(
        [lexicon.vocabulary.get(name.strip("_").lower(), -1) for name in symbols.names], np.int64
    )
    token = column[symbols.name]
    keep = (token >= 0) & primary[symbols.file]
    pairs = np.unique(np.column_stack([token[keep], symbols.file[keep]]), axis=0).astype(np.int32)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _imports(index: Index) -> sp.csr_matrix:
    roles = np.array([int(record.roles) for record in index.files], np.int32)
    modules = ModuleMap(Names(index.paths, roles), [record.imports for record in index.files])
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for source, record in enumerate(index.files):
        reached: dict[int, float] = {}
        for item in record.imports:
            for target, directness in modules.targets(source, item).items():
                reached[target] = max(directness, reached.get(target, 0.0))
        rows += [source] * len(reached)
        columns += reached
        values += reached.values()
    size = len(index.files)
    return sp.csr_matrix(
        (np.array(values, np.float32), (rows, columns)), shape=(size, size), dtype=np.float32
    )
