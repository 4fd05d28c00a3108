"""What is joined of all files into one table: from every file's facts, or from an older state's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.postings.file_postings import names_part, words_part
from hal9.ripmap.postings.module_paths import ModuleMap, Names
from hal9.ripmap.postings.package_links import PackageLinks
from hal9.ripmap.postings.symbols import Symbols, import_texts, imports_in, join_names, join_shingles
from hal9.ripmap.postings.words import Postings, assemble, join_pairs
from hal9.ripmap.records import Import, Role
from hal9.ripmap.storage.array_codec import Packed
from hal9.ripmap.storage.sparse import CsrMatrix, csr_matrix
from hal9.ripmap.text.string_table import TermDictionary

__all__ = ["MergedPostings", "import_links", "merge_postings", "primary_files", "rarity_of"]

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MergedPostings:
    """All files' facts joined; the attributes are told at `IndexData`.

    `import_texts` holds each file's imports as one text, so that a change of them is seen.
    """

    roles: Ints
    postings: Postings
    symbols: Symbols
    names: TermDictionary
    uses: Ints
    imports: CsrMatrix
    import_texts: Sequence[str]
    pairs: NDArray[np.uint32]
    pair_file: Ints
    shingles: NDArray[np.uint64]
    shingle_file: Ints

    def packed(self) -> Packed:
        """Arrays for `codec.pack`: these, and what follows from them."""
        postings, symbols = self.postings, self.symbols
        token, file_index = _definers(postings, symbols, primary_files(self.roles))
        counts = np.bincount(symbols.name, minlength=len(symbols.names))
        values: Packed = {
            "roles": self.roles,
            "uses": self.uses,
            "import_texts": self.import_texts,
            "shingles": self.shingles,
            "shingle_file": self.shingle_file,
            "pairs": self.pairs,
            "pair_file": self.pair_file,
            "definers.token": token,
            "definers.file": file_index,
            "names.codes": self.names.codes,
            "names.order": self.names.order,
            "head_rarity": _head_rarity(postings),
            "by_name": np.argsort(symbols.name, kind="stable").astype(np.int32),
            "name_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        }
        values |= {f"postings.{name}": value for name, value in postings.packed().items()}
        values |= {f"symbols.{name}": value for name, value in symbols.packed().items()}
        return (
            values | self.imports.packed("imports") | _test_words(postings, self.roles).packed("test_words")
        )

    @classmethod
    def unpacked(cls, found: Packed) -> "MergedPostings":
        """The inverse of `packed`."""
        groups: dict[str, dict[str, Any]] = {"postings": {}, "symbols": {}}
        for name, value in found.items():
            label, _, rest = name.partition(".")
            if label in groups:
                groups[label][rest] = value
        symbols = Symbols.unpacked(groups["symbols"])
        return cls(
            roles=found["roles"],  # type: ignore[arg-type]
            postings=Postings.unpacked(groups["postings"]),
            symbols=symbols,
            names=TermDictionary(symbols.names, found["names.codes"], found["names.order"]),  # type: ignore[arg-type]
            uses=found["uses"],  # type: ignore[arg-type]
            imports=CsrMatrix.unpacked("imports", found),
            import_texts=found["import_texts"],  # type: ignore[arg-type]
            pairs=found["pairs"],  # type: ignore[arg-type]
            pair_file=found["pair_file"],  # type: ignore[arg-type]
            shingles=found["shingles"],  # type: ignore[arg-type]
            shingle_file=found["shingle_file"],  # type: ignore[arg-type]
        )


def merge_postings(paths: Sequence[str], roles: Ints, facts: Sequence[bytes]) -> MergedPostings:
    """Join the facts of all files, which are in the order of `paths` and `roles`.

    `roles` has shape (files,).
    """
    blobs, word_blobs = [names_part(fact) for fact in facts], [words_part(fact) for fact in facts]
    primary = primary_files(roles)
    symbols, uses = join_names(blobs)
    texts = [import_texts(blob) for blob in blobs]
    pairs, pair_file = join_pairs(word_blobs, primary)
    shingles, shingle_file = join_shingles(blobs)
    return MergedPostings(
        roles=roles,
        postings=assemble(word_blobs, primary),
        symbols=symbols,
        names=TermDictionary.of(symbols.names),
        uses=uses,
        imports=import_links(Names(paths, roles), texts),
        import_texts=texts,
        pairs=pairs,
        pair_file=pair_file,
        shingles=shingles,
        shingle_file=shingle_file,
    )


def primary_files(roles: Ints) -> Bools:
    """Source that is nothing else besides; where there is none, every file. In and out of shape (files,)."""
    others = Role.TEST | Role.EXAMPLE | Role.GENERATED | Role.VENDORED | Role.DOCS
    found: Bools = ((roles & int(Role.SOURCE)) > 0) & ((roles & int(others)) == 0)
    return found if found.any() else np.ones(len(roles), np.bool_)


def rarity_of(postings: Postings) -> Array:
    """Inverse document frequency of every word among primary files. Shape (words,)."""
    counts = postings.document_count.astype(np.float64)
    return np.log1p((postings.documents - counts + 0.5) / (counts + 0.5))


def _head_rarity(postings: Postings) -> Array:
    head = postings.matrices["head"]
    rarity = np.repeat(rarity_of(postings), head.sizes)
    return np.bincount(head.indices, rarity, head.across).astype(np.float64)


def _test_words(postings: Postings, roles: Ints) -> CsrMatrix:
    body = postings.matrices["body"]
    tests = (roles & int(Role.TEST) > 0) & (roles & int(Role.SOURCE) > 0)
    kept = np.flatnonzero(tests[postings.chunk_file][body.indices])
    rows = body.indices[kept]
    order = np.argsort(rows, kind="stable")
    tokens = body.row_of_entry[kept][order].astype(np.int32)
    counts = np.bincount(rows, minlength=body.across)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(body.indptr.dtype)
    return CsrMatrix(np.ones(len(tokens), np.int8), tokens, indptr, len(body))


def _definers(postings: Postings, symbols: Symbols, primary: Bools) -> tuple[Ints, Ints]:
    """(token, file) pairs, distinct and ascending, where a primary file defines the whole name."""
    columns = {word: column for column, word in enumerate(postings.vocabulary)}
    column = np.array([columns.get(name.strip("_").lower(), -1) for name in symbols.names], np.int64)
    token = column[symbols.name]
    keep = (token >= 0) & primary[symbols.file_index]
    pairs = np.unique(np.column_stack([token[keep], symbols.file_index[keep]]), axis=0).astype(np.int32)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def import_links(names: Names, texts: Sequence[str]) -> CsrMatrix:
    """Files x files: 1 where an import names something the file defines, 0.5 for a package on the way.

    Shape (files, files).
    """
    every: list[tuple[Import, ...]] = [imports_in(text) for text in texts]
    modules = ModuleMap(names, every)
    packages = PackageLinks(names, modules, every)
    beside = packages.beside_tests()
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for source, imports in enumerate(every):
        reached: dict[int, float] = dict(beside.get(source, {}))
        for item in imports:
            found = {} if packages.alone(source) else modules.targets(source, item)
            found = found or packages.targets(source, item)
            for target, directness in found.items():
                reached[target] = max(directness, reached.get(target, 0.0))
        rows += [source] * len(reached)
        columns += reached
        values += reached.values()
    size = len(names.paths)
    return csr_matrix(
        np.array(rows, np.int64), np.array(columns, np.int64), np.array(values, np.float32), (size, size)
    )
