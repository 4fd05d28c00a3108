"""A repository as the ranker sees it: words, names, imports and roles, before any task or parameter.

Made once per state of the tree and kept through the index's artifact cache; a query never touches the files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.codec import Packed, pack, unpack
from hal9.ripmap.facts import FACTS, FACTS_VERSION, facts_of_file, names_part, words_part
from hal9.ripmap.graph import Candidates, Symbols, find_candidates, imports_of, join_names, join_shingles
from hal9.ripmap.index import Index
from hal9.ripmap.lexical import Lexicon, assemble, join_pairs
from hal9.ripmap.model import Import, Role
from hal9.ripmap.modules import ModuleMap, Names, PathFinder
from hal9.ripmap.sparse import Lines, lines_of
from hal9.ripmap.texts import Vocabulary

__all__ = ["TERRAIN_VERSION", "Terrain", "build_terrain", "terrain_of"]

TERRAIN_VERSION = 8
_LINKS_VERSION = 1
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Array = NDArray[np.float64]

_KEPT: "WeakKeyDictionary[Index, Terrain]" = WeakKeyDictionary()


def _unkept(make: Callable[[], bytes]) -> bytes:
    return make()


@dataclass(eq=False)
class Terrain:
    """Everything that ranking needs of a repository.

    Attributes:
        paths: files, in the index's order.
        roles: their `Role` bits.
        lexicon: words.
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
    lexicon: Lexicon
    symbols: Symbols
    uses: Ints
    imports: Lines
    shingles: NDArray[np.uint64]
    shingle_file: Ints
    pairs: NDArray[np.uint32]
    pair_file: Ints
    definers_by_token: Lines
    head_rarity: Array
    test_words: Lines
    by_name: Ints
    name_start: Ints
    names: Vocabulary
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
    def modules(self) -> PathFinder:
        """Finds files by path and module name."""
        return PathFinder(Names(self.paths, self.roles))

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

    def definers(self, name: str) -> Ints:
        """Symbols of exactly this name; empty when there is none."""
        number = self.names.get(name)
        if number < 0:
            return self.by_name[:0]
        return self.by_name[self.name_start[number] : self.name_start[number + 1]]

    @cached_property
    def rarity(self) -> Array:
        """Inverse document frequency of every word among primary files."""
        return _rarity(self.lexicon)

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
        found.keep = _keeper(index)
        _KEPT[index] = found
    return found


def _keeper(index: Index) -> Callable[[Callable[[], bytes]], "bytes | memoryview"]:
    """Keeps candidates among the index's artifacts; a terrain that outlives its index does without."""
    owner = ref(index)

    def keep(make: Callable[[], bytes]) -> "bytes | memoryview":
        alive = owner()
        return make() if alive is None else alive.artifact("links", _LINKS_VERSION, make)

    return keep


def build_terrain(index: Index) -> Terrain:
    """Build it anew, around the cache."""
    return _unpacked(index.paths, _packed(index))


def _packed(index: Index) -> Packed:
    roles = np.array([entry.roles for entry in index.entries], np.int32)
    facts = index.file_artifacts(FACTS, FACTS_VERSION, facts_of_file)
    blobs, word_blobs = [names_part(fact) for fact in facts], [words_part(fact) for fact in facts]
    lexicon = assemble(word_blobs, primary_files(roles))
    pairs, pair_file = join_pairs(word_blobs, primary_files(roles))
    imports = _imports(Names(index.paths, roles), [imports_of(blob) for blob in blobs])
    symbols, uses = join_names(blobs)
    shingles, shingle_file = join_shingles(blobs)
    values: Packed = {
        "roles": roles,
        "uses": uses,
        "shingles": shingles,
        "shingle_file": shingle_file,
        "pairs": pairs,
        "pair_file": pair_file,
    }
    token, file = _definers(lexicon, symbols, primary_files(roles))
    values |= {"definers.token": token, "definers.file": file}
    values |= {f"lexicon.{name}": value for name, value in lexicon.packed().items()}
    values |= {f"symbols.{name}": getattr(symbols, name) for name in symbols.__slots__}
    counts = np.bincount(symbols.name, minlength=len(symbols.names))
    names = Vocabulary.of(symbols.names)
    return (
        values
        | imports.packed("imports")
        | _test_words(lexicon, roles).packed("test_words")
        | {
            "names.codes": names.codes,
            "names.order": names.order,
            "head_rarity": _head_rarity(lexicon),
            "by_name": np.argsort(symbols.name, kind="stable").astype(np.int32),
            "name_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        }
    )


def _rarity(lexicon: Lexicon) -> Array:
    counts = lexicon.document_count.astype(np.float64)
    return np.log1p((lexicon.documents - counts + 0.5) / (counts + 0.5))


def _head_rarity(lexicon: Lexicon) -> Array:
    head = lexicon.matrices["head"]
    rarity = np.repeat(_rarity(lexicon), head.sizes)
    return np.bincount(head.indices, rarity, head.across).astype(np.float64)


def _test_words(lexicon: Lexicon, roles: Ints) -> Lines:
    body = lexicon.matrices["body"]
    tests = (roles & int(Role.TEST) > 0) & (roles & int(Role.SOURCE) > 0)
    kept = np.flatnonzero(tests[lexicon.chunk_file][body.indices])
    rows = body.indices[kept]
    order = np.argsort(rows, kind="stable")
    tokens = body.line_of_entry[kept][order].astype(np.int32)
    counts = np.bincount(rows, minlength=body.across)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(body.indptr.dtype)
    return Lines(np.ones(len(tokens), np.int8), tokens, indptr, len(body))


def _unpacked(paths: tuple[str, ...], found: Packed) -> Terrain:
    groups: dict[str, dict[str, Any]] = {"lexicon": {}, "symbols": {}}
    for name, value in found.items():
        label, _, rest = name.partition(".")
        if label in groups:
            groups[label][rest] = value
    lexicon = Lexicon.unpacked(groups["lexicon"])
    symbols = Symbols(**groups["symbols"])
    return Terrain(
        paths=paths,
        roles=found["roles"],  # type: ignore[arg-type]
        lexicon=lexicon,
        symbols=symbols,
        uses=found["uses"],  # type: ignore[arg-type]
        imports=Lines.unpacked("imports", found),
        shingles=found["shingles"],  # type: ignore[arg-type]
        shingle_file=found["shingle_file"],  # type: ignore[arg-type]
        pairs=found["pairs"],  # type: ignore[arg-type]
        pair_file=found["pair_file"],  # type: ignore[arg-type]
        definers_by_token=_ones(
            found["definers.token"], found["definers.file"], (len(lexicon.vocabulary), len(paths))
        ),
        head_rarity=found["head_rarity"],  # type: ignore[arg-type]
        test_words=Lines.unpacked("test_words", found),
        by_name=found["by_name"],  # type: ignore[arg-type]
        name_start=found["name_start"],  # type: ignore[arg-type]
        names=Vocabulary(symbols.names, found["names.codes"], found["names.order"]),  # type: ignore[arg-type]
    )


def _ones(rows: Any, columns: Any, shape: tuple[int, int]) -> Lines:
    """A matrix of ones from coordinates that are sorted by row."""
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]).astype(np.int32)
    return Lines(np.ones(len(rows), np.float32), columns, indptr, shape[1])


def _definers(lexicon: Lexicon, symbols: Symbols, primary: Bools) -> tuple[Ints, Ints]:
    """(token, file) pairs, distinct and ascending, where a primary file defines the whole name."""
    columns = {word: column for column, word in enumerate(lexicon.vocabulary)}
    column = np.array([columns.get(name.strip("_").lower(), -1) for name in symbols.names], np.int64)
    token = column[symbols.name]
    keep = (token >= 0) & primary[symbols.file]
    pairs = np.unique(np.column_stack([token[keep], symbols.file[keep]]), axis=0).astype(np.int32)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _imports(names: Names, every: Sequence[tuple[Import, ...]]) -> Lines:
    modules = ModuleMap(names, every)
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for source, imports in enumerate(every):
        reached: dict[int, float] = {}
        for item in imports:
            for target, directness in modules.targets(source, item).items():
                reached[target] = max(directness, reached.get(target, 0.0))
        rows += [source] * len(reached)
        columns += reached
        values += reached.values()
    size = len(names.paths)
    return lines_of(
        np.array(rows, np.int64), np.array(columns, np.int64), np.array(values, np.float32), (size, size)
    )
