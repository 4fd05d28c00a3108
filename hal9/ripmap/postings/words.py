"""Words of a repository as sparse matrices.

A file is cut into *chunks*: one per outermost function or method, one for the rest of each class, one for the
rest of the file. Chunk rows sum to file rows, so one matrix serves both granularities. A chunk has a head
(its name and what encloses it); a file has fields: the names it defines, its path, what it imports, its
documentation.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.records import Definition, FileRecord, Role
from hal9.ripmap.storage.array_codec import Packed, pack, unpack
from hal9.ripmap.storage.sparse import CsrMatrix, ascending
from hal9.ripmap.text.string_table import TermDictionary
from hal9.ripmap.text.tokenize import identifier_parts, join_codes, stem, stem_codes, words
from hal9.ripmap.text.word_positions import RunningWords, read_words

__all__ = [
    "FIELDS",
    "MATRICES",
    "FileWords",
    "Postings",
    "assemble",
    "by_token",
    "file_words",
    "join_pairs",
    "pairs_of",
    "path_words",
    "read_file",
    "words_of_file",
]

FIELDS = ("names", "path", "imports", "docs")
"""A file's fields beside the body."""
MATRICES = ("body", "head", *FIELDS)
"""By chunk the first two, by file the others."""
_PARENT_WEIGHT = 0.5
"""What encloses a chunk counts half of its own name."""

_FUNCTIONS = frozenset({"function", "method", "macro"})
_CONTAINERS = frozenset({"class", "interface", "struct", "enum", "trait", "type", "heading"})
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FileWords:
    """Token counts of one file, against its own vocabulary.

    `owner[c]` is the `definition_index` that chunk c belongs to (-1: the file itself). Each matrix is
    (row, token, count); rows are chunks for "body" and "head", 0 for the fields.
    """

    vocabulary: list[str]
    owner: Ints
    matrices: dict[str, tuple[Ints, Ints, Floats]]


def path_words(path: str) -> list[str]:
    """Tokens of a path without its extension; the file's own name counts twice."""
    folder, _, name = path.rpartition("/")
    base = name.rpartition(".")[0] or name
    found = [token for word in words(folder) for token in identifier_parts(word)]
    own = [token for word in words(base) for token in identifier_parts(word)]
    return found + own + own


def chunk_lines(record: FileRecord) -> tuple[list[int], list[int]]:
    """Which chunk each line belongs to, and the definition that owns each chunk.

    Returns:
        (chunk of each line, 0-based lines; owner of each chunk, -1 for the file). Chunk 0 is the file's own.
    """
    of_line = [0] * (record.lines + 1)
    owners = [-1]
    function_end = 0
    definitions = record.definitions
    order = sorted(range(len(definitions)), key=lambda i: (definitions[i].line, -definitions[i].end_line))
    for definition_index in order:
        definition = definitions[definition_index]
        if definition.kind not in _FUNCTIONS and definition.kind not in _CONTAINERS:
            continue
        if definition.end_line <= function_end:
            continue
        first, last = max(1, definition.line), min(record.lines, definition.end_line)
        of_line[first - 1 : last] = [len(owners)] * max(0, last - first + 1)
        owners.append(definition_index)
        if definition.kind in _FUNCTIONS:
            function_end = max(function_end, last)
    return of_line, owners


def file_words(record: FileRecord, text: str) -> FileWords:
    """Count the tokens of one file."""
    of_line, owners = chunk_lines(record)
    return _counted(record, read_words(text, of_line), owners)


def _counted(record: FileRecord, said: RunningWords, owners: list[int]) -> FileWords:
    parts = said.each(identifier_parts)
    flat = list(chain.from_iterable(parts))
    vocabulary = {part: number for number, part in enumerate(dict.fromkeys(flat))}

    def coded(rows: list[tuple[int, dict[str, float]]]) -> tuple[Ints, Ints, Floats]:
        row = [number for number, counts in rows for _ in counts]
        token = [vocabulary.setdefault(part, len(vocabulary)) for _, counts in rows for part in counts]
        count = [times for _, counts in rows for times in counts.values()]
        return np.array(row, np.int32), np.array(token, np.int32), np.array(count, np.float32)

    numbers = np.fromiter(map(vocabulary.__getitem__, flat), np.int64, len(flat))
    came, token = said.spelled_out(list(map(len, parts)), numbers)
    width = max(1, len(vocabulary))
    key, times = np.unique(said.chunk[came].astype(np.int64) * width + token, return_counts=True)
    body = ((key // width).astype(np.int32), (key % width).astype(np.int32), times.astype(np.float32))
    heads = [(chunk, _head(record.definitions[owner])) for chunk, owner in enumerate(owners) if owner >= 0]
    matrices = {"body": body, "head": coded(heads)}
    for name, counts in _fields(record).items():
        matrices[name] = coded([(0, counts)])
    return FileWords(list(vocabulary), np.array(owners, np.int32), matrices)


def words_of_file(record: FileRecord, text: str) -> bytes:
    """`file_words` as bytes, for the index's per-file cache."""
    of_line, owners = chunk_lines(record)
    said = read_words(text, of_line)
    counted = _counted(record, said, owners)
    pairs = np.zeros(0, np.uint32)
    if record.roles & Role.SOURCE and not record.roles & Role.TEST:
        coded = said.each(stem_codes)
        flat = list(chain.from_iterable(coded))
        _, codes = said.spelled_out(list(map(len, coded)), np.array(flat, np.int64))
        pairs = np.unique(join_codes(codes.astype(np.uint32)))
    columns = [np.concatenate(column) for column in zip(*counted.matrices.values(), strict=True)]
    return pack(
        {
            "vocabulary": counted.vocabulary,
            "owner": counted.owner,
            "pairs": pairs,
            "sizes": np.array([len(row) for row, _, _ in counted.matrices.values()], np.int32),
            "row": _narrow(columns[0]),
            "token": _narrow(columns[1]),
            "count": _halves(columns[2]),
        },
    )


def join_pairs(blobs: Sequence[bytes], primary: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], Ints]:
    """Word pairs of the primary files in ascending order, and the file of each.

    `primary` has shape (files,), the results (pairs,).
    """
    chosen = np.flatnonzero(primary)
    parts = [pairs_of(blobs[int(file_index)]) for file_index in chosen]
    if not parts:
        return np.zeros(0, np.uint32), np.zeros(0, np.int32)
    every = np.concatenate(parts)
    file_indexes = np.repeat(chosen.astype(np.int32), [len(part) for part in parts])
    order = np.argsort(every, kind="stable")
    return every[order], file_indexes[order]


def _narrow(numbers: NDArray[np.integer]) -> NDArray[np.integer]:
    """In two bytes each where they fit."""
    return numbers.astype(np.uint16) if not len(numbers) or numbers.max() < 1 << 16 else numbers


def _halves(counts: Floats) -> NDArray[np.generic]:
    """Twice the counts, which are whole then, in one byte each where they fit."""
    doubled = counts * 2
    return doubled.astype(np.uint8) if not len(counts) or doubled.max() < 1 << 8 else counts


def pairs_of(blob: bytes) -> NDArray[np.uint32]:
    """The word pairs that `words_of_file` kept. Shape (pairs,)."""
    return np.asarray(unpack(blob)["pairs"], np.uint32)


def read_file(blob: bytes) -> FileWords:
    """The counts that `words_of_file` kept."""
    found = unpack(blob)
    ends = np.cumsum(found["sizes"]).tolist()
    counts = np.asarray(found["count"])
    columns = (
        np.asarray(found["row"]).astype(np.int32),
        np.asarray(found["token"]).astype(np.int32),
        counts.astype(np.float32) / 2 if counts.dtype == np.uint8 else counts,
    )
    matrices = {
        name: tuple(column[start:end] for column in columns)
        for name, start, end in zip(MATRICES, [0, *ends], ends, strict=False)
    }
    return FileWords(found["vocabulary"], found["owner"], matrices)  # type: ignore[arg-type]


def _head(definition: Definition) -> dict[str, float]:
    totals: dict[str, float] = {}
    for part in identifier_parts(definition.name):
        totals[part] = totals.get(part, 0.0) + 1.0
    for word in words(definition.parent.replace(".", " ")) if definition.parent else ():
        for part in identifier_parts(word):
            totals[part] = totals.get(part, 0.0) + _PARENT_WEIGHT
    return totals


def _counts(spoken: Iterable[str]) -> dict[str, float]:
    """How often each token is among the parts of these words."""
    return dict(Counter(chain.from_iterable(map(identifier_parts, spoken))))


def _fields(record: FileRecord) -> dict[str, dict[str, float]]:
    told = [*(definition.docstring for definition in record.definitions), record.docstring]
    return {
        "names": _counts(definition.name for definition in record.definitions),
        "path": dict(Counter(path_words(record.path))),
        "imports": _counts(
            word for item in record.imports for part in (item.module, *item.names) for word in words(part)
        ),
        "docs": _counts(words("\n".join(filter(None, told)))),
    }


@dataclass(frozen=True, slots=True)
class Postings:
    """The whole repository's words.

    Attributes:
        vocabulary: token to column.
        matrices: "body" and "head" (chunks x tokens), the fields (files x tokens); counts, by token.
        chunk_file: file of each chunk, ascending.
        chunk_owner: `definition_index` of each chunk within its file, -1 for the file's own.
        lengths: per matrix, row sums; "file" is the body's by file.
        document_count: files of role source that hold each token anywhere.
        documents: how many files have role source.
        stem_of: stem number of each column.
        stem_columns, stem_start: columns sorted by stem, and where each stem's begin.
        stems: stem to its number.
    """

    vocabulary: TermDictionary
    matrices: dict[str, CsrMatrix]
    chunk_file: Ints
    chunk_owner: Ints
    lengths: dict[str, Floats]
    document_count: Floats
    documents: int
    stem_of: Ints
    stem_columns: Ints
    stem_start: Ints
    stems: TermDictionary

    def relatives(self, token: str) -> Ints:
        """Columns of other tokens with the same stem. Shape (columns found,)."""
        number = self.stems.get(stem(token))
        if number < 0:
            return np.zeros(0, np.int32)
        columns = self.stem_columns[self.stem_start[number] : self.stem_start[number + 1]]
        own = self.vocabulary.get(token)
        others: Ints = columns[columns != own]
        return others

    def packed(self) -> Packed:
        """Arrays for `codec.pack`."""
        values: Packed = {
            **self.vocabulary.packed("vocabulary"),
            **self.stems.packed("stems"),
            "chunk_file": self.chunk_file,
            "chunk_owner": self.chunk_owner,
            "document_count": self.document_count,
            "documents": np.array([self.documents], np.int64),
            "stem_of": self.stem_of,
            "stem_columns": self.stem_columns,
            "stem_start": self.stem_start,
        }
        for name, matrix in self.matrices.items():
            values |= matrix.packed(name)
        for name, length in self.lengths.items():
            values[f"length.{name}"] = length
        return values

    @classmethod
    def unpacked(cls, found: Packed) -> "Postings":
        """The inverse of `packed`."""
        return cls(
            vocabulary=TermDictionary.unpacked("vocabulary", found),
            matrices={name: CsrMatrix.unpacked(name, found) for name in MATRICES},
            chunk_file=found["chunk_file"],  # type: ignore[arg-type]
            chunk_owner=found["chunk_owner"],  # type: ignore[arg-type]
            lengths={name[7:]: value for name, value in found.items() if name.startswith("length.")},  # type: ignore[misc]
            document_count=found["document_count"],  # type: ignore[arg-type]
            documents=int(found["documents"][0]),
            stem_of=found["stem_of"],  # type: ignore[arg-type]
            stem_columns=found["stem_columns"],  # type: ignore[arg-type]
            stem_start=found["stem_start"],  # type: ignore[arg-type]
            stems=TermDictionary.unpacked("stems", found),
        )


def assemble(blobs: Sequence[bytes], primary: NDArray[np.bool_]) -> Postings:
    """Join the files' counts into matrices.

    `primary` has shape (files,).

    Args:
        blobs: `words_of_file` of every file of the index, in its order.
        primary: which files are source code; document frequencies are theirs.
    """
    files = [read_file(blob) for blob in blobs]
    told = list(chain.from_iterable(item.vocabulary for item in files))
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(told))}
    every = np.fromiter(map(vocabulary.__getitem__, told), np.int32, len(told))
    columns = np.split(every, np.cumsum([len(item.vocabulary) for item in files])[:-1])
    chunks = [len(item.owner) for item in files]
    starts = np.concatenate([[0], np.cumsum(chunks)]).astype(np.int64)
    matrices: dict[str, CsrMatrix] = {}
    lengths: dict[str, Floats] = {}
    for name in MATRICES:
        by_chunk = name in ("body", "head")
        height = int(starts[-1]) if by_chunk else len(files)
        offsets = starts if by_chunk else np.arange(len(files))
        rows, tokens, counts = _joined(name, files, columns, offsets)
        lengths[name] = np.bincount(rows, counts, height).astype(np.float32)
        matrices[name] = by_token(rows, tokens, counts, (height, len(vocabulary)))
    chunk_file = np.repeat(np.arange(len(files), dtype=np.int32), chunks)
    lengths["file"] = np.bincount(chunk_file, lengths["body"], len(files)).astype(np.float32)
    counted = np.zeros(len(vocabulary), np.float32)
    for row in np.flatnonzero(primary):
        counted[columns[row]] += 1.0
    stems: dict[str, int] = {}
    stem_of = np.fromiter(
        (stems.setdefault(stem(word), len(stems)) for word in vocabulary), np.int32, len(vocabulary)
    )
    return Postings(
        vocabulary=TermDictionary.of(vocabulary),
        matrices=matrices,
        chunk_file=chunk_file,
        chunk_owner=np.concatenate([item.owner for item in files]) if files else np.zeros(0, np.int32),
        lengths=lengths,
        document_count=counted,
        documents=int(primary.sum()),
        stem_of=stem_of,
        stem_columns=np.argsort(stem_of, kind="stable").astype(np.int32),
        stem_start=np.concatenate([[0], np.cumsum(np.bincount(stem_of, minlength=len(stems)))]).astype(
            np.int32
        ),
        stems=TermDictionary.of(stems),
    )


def _joined(
    name: str, files: list[FileWords], columns: list[Ints], offsets: NDArray[np.int64]
) -> tuple[Ints, Ints, Floats]:
    """Rows, tokens and counts of all files in one numbering; rows ascend from file to file."""
    if not files:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    starts = offsets.astype(np.int32)
    return (
        np.concatenate([item.matrices[name][0] + start for item, start in zip(files, starts, strict=False)]),
        np.concatenate([known[item.matrices[name][1]] for item, known in zip(files, columns, strict=True)]),
        np.concatenate([item.matrices[name][2] for item in files]),
    )


def by_token(rows: Ints, tokens: Ints, counts: Floats, shape: tuple[int, int]) -> CsrMatrix:
    """The matrix by columns; `rows` ascend, and so they do within each column.

    `rows`, `tokens` and `counts` have shape (entries,).
    """
    order = ascending(tokens)
    sizes = np.bincount(tokens, minlength=shape[1])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    wide = np.int64 if len(tokens) > 2**31 - 1 else np.int32
    return CsrMatrix(counts[order], rows[order], indptr.astype(wide), shape[0])
