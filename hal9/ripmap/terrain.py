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

TERRAIN_VERSION = 2
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
    def definers(self) -> dict[str, Ints]:
        """Symbols by exact name."""
        order = np.argsort(self.symbols.name, kind="stable").astype(np.int32)
        names, starts = np.unique(self.symbols.name[order], return_index=True)
        ends = np.r_[starts[1:], len(order)]
        table = self.symbols.names
        return {table[name]: order[start:end] for name, start, end in zip(names, starts, ends, strict=True)}

    @cached_property
    def definer_matrix(self) -> tuple[sp.csr_matrix, Floats]:
        """(tokens x files) 1/definers where a file defines that whole name, and how many files do."""
        lexicon, symbols = self.lexicon, self.symbols
        column = np.array(
            [lexicon.vocabulary.get(name.strip("_").lower(), -1) for name in symbols.names], np.int64
        )
        token = column[symbols.name] if len(symbols.name) else np.zeros(0, np.int64)
        keep = (token >= 0) & self.primary[symbols.file]
        pairs = np.unique(np.column_stack([token[keep], symbols.file[keep]]), axis=0)
        size = len(lexicon.vocabulary)
        definers = np.bincount(pairs[:, 0], minlength=size).astype(np.float32)
        share = 1.0 / np.maximum(definers[pairs[:, 0]], 1.0)
        matrix = sp.csr_matrix((share, (pairs[:, 0], pairs[:, 1])), shape=(size, len(self.paths)))
        return matrix, definers

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

    @cached_property
    def body_rows(self) -> sp.csr_matrix:
        """The chunks x tokens matrix by rows."""
        return self.lexicon.matrices["body"].tocsr()

    @cached_property
    def file_body(self) -> sp.csc_matrix:
        """Files x tokens counts of the bodies."""
        lexicon = self.lexicon
        chunks = len(lexicon.chunk_file)
        join = sp.csr_matrix(
            (np.ones(chunks, np.float32), (lexicon.chunk_file, np.arange(chunks))),
            shape=(len(self.paths), chunks),
        )
        return (join @ lexicon.matrices["body"]).tocsc()

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
    word_blobs = index.file_artifacts("words", TERRAIN_VERSION, words_of_file)
    lexicon = assemble(word_blobs, primary_files(roles))
    pairs, pair_file = join_pairs(word_blobs, primary_files(roles))
    imports = _imports(index)
    folders: dict[str, int] = {}
    folder = [folders.setdefault(path.rpartition("/")[0], len(folders)) for path in index.paths]
    blobs = index.file_artifacts("names", TERRAIN_VERSION, names_of_file)
    symbols, candidates = find_candidates(blobs, imports, np.array(folder, np.int32))
    shingles, shingle_file = join_shingles(blobs)
    values: Packed = {
        "roles": roles,
        "shingles": shingles,
        "shingle_file": shingle_file,
        "pairs": pairs,
        "pair_file": pair_file,
    }
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
    size = len(paths)
    imports = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
    return Terrain(
        paths=paths,
        roles=found["roles"],  # type: ignore[arg-type]
        lexicon=Lexicon.unpacked(group("lexicon")),
        symbols=Symbols(**group("symbols")),
        candidates=Candidates(**group("candidates")),
        imports=imports,
        shingles=found["shingles"],  # type: ignore[arg-type]
        shingle_file=found["shingle_file"],  # type: ignore[arg-type]
        pairs=found["pairs"],  # type: ignore[arg-type]
        pair_file=found["pair_file"],  # type: ignore[arg-type]
    )


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
