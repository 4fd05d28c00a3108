"""Words of a repository as sparse matrices, and BM25 over them.

A file is cut into *chunks*: one per outermost function or method, one for the rest of each class, one for the rest of
the file. Chunk rows sum to file rows, so one matrix serves both granularities. Beside the body every file has fields:
names it defines, its path, what it imports, its documentation.

BM25F: Robertson, Zaragoza, Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hal9.ripmap.model import Definition, FileRecord
from hal9.ripmap.tokenize import identifier_parts, stem, words

__all__ = ["FIELDS", "FileWords", "Lexicon", "assemble", "file_words", "path_words"]

FIELDS = ("names", "path", "imports", "docs")
"""Fields beside the body."""

_FUNCTIONS = frozenset({"function", "method", "macro"})
_CONTAINERS = frozenset({"class", "interface", "struct", "enum", "trait", "type", "heading"})
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FileWords:
    """Token counts of one file, against its own vocabulary.

    `chunk_of[i]`, `token[i]`, `count[i]` are the body's entries. `owner[c]` is the position of the definition that
    chunk c belongs to (-1: the file itself). `fields[name]` are (tokens, counts).
    """

    vocabulary: tuple[str, ...]
    owner: Ints
    chunk_of: Ints
    token: Ints
    count: Floats
    fields: dict[str, tuple[Ints, Floats]]


def path_words(path: str) -> list[str]:
    """Tokens of a path without its extension; the file's own name counts twice."""
    folder, _, name = path.rpartition("/")
    base = name.rpartition(".")[0] or name
    found = [token for word in words(folder.replace(".", "/")) for token in identifier_parts(word)]
    own = [token for word in words(base) for token in identifier_parts(word)]
    return found + own + own


def chunk_lines(record: FileRecord) -> tuple[list[int], list[int]]:
    """Which chunk each line belongs to, and the definition that owns each chunk.

    Returns:
        (chunk of each line, 0-based lines; owner of each chunk, -1 for the file). Chunk 0 is the file's own.
    """
    of_line = [0] * (record.lines + 1)
    owners = [-1]
    taken: list[tuple[int, int]] = []
    order = sorted(
        range(len(record.definitions)),
        key=lambda i: (record.definitions[i].line, -record.definitions[i].end_line),
    )
    for position in order:
        definition = record.definitions[position]
        if not _owns_chunk(definition):
            continue
        inside_function = any(start <= definition.line and definition.end_line <= end for start, end in taken)
        if inside_function:
            continue
        chunk = len(owners)
        owners.append(position)
        first, last = max(1, definition.line), min(record.lines, definition.end_line)
        of_line[first - 1 : last] = [chunk] * max(0, last - first + 1)
        if definition.kind in _FUNCTIONS:
            taken.append((first, last))
            taken = [span for span in taken if span[1] >= first]
    return of_line, owners


def _owns_chunk(definition: Definition) -> bool:
    return definition.kind in _FUNCTIONS or definition.kind in _CONTAINERS


def file_words(record: FileRecord, text: str) -> FileWords:
    """Count the tokens of one file."""
    of_line, owners = chunk_lines(record)
    vocabulary: dict[str, int] = {}
    chunk_of: list[int] = []
    token: list[int] = []
    count: list[float] = []
    for chunk, body in _chunk_texts(text, of_line, len(owners)):
        totals: Counter[str] = Counter()
        for word, times in Counter(words(body)).items():
            for part in identifier_parts(word):
                totals[part] += times
        chunk_of += [chunk] * len(totals)
        count += totals.values()
        token += [vocabulary.setdefault(part, len(vocabulary)) for part in totals]
    fields = {}
    for name, counts in _fields(record).items():
        ids = [vocabulary.setdefault(part, len(vocabulary)) for part in counts]
        fields[name] = (np.array(ids, np.int32), np.array(list(counts.values()), np.float32))
    return FileWords(
        tuple(vocabulary),
        np.array(owners, np.int32),
        np.array(chunk_of, np.int32),
        np.array(token, np.int32),
        np.array(count, np.float32),
        fields,
    )


def _chunk_texts(text: str, of_line: list[int], chunks: int) -> list[tuple[int, str]]:
    lines = text.split("\n")
    parts: list[list[str]] = [[] for _ in range(chunks)]
    for number, line in enumerate(lines):
        parts[of_line[number] if number < len(of_line) else 0].append(line)
    return [(chunk, "\n".join(part)) for chunk, part in enumerate(parts)]


def _fields(record: FileRecord) -> dict[str, Counter[str]]:
    names = Counter[str]()
    docs = Counter[str]()
    for definition in record.definitions:
        names.update(identifier_parts(definition.name))
        if definition.docstring:
            docs.update(token for word in words(definition.docstring) for token in identifier_parts(word))
    docs.update(token for word in words(record.docstring) for token in identifier_parts(word))
    imports = Counter[str]()
    for item in record.imports:
        for word in (*item.module.split("."), *item.names):
            imports.update(identifier_parts(word))
    return {"names": names, "path": Counter(path_words(record.path)), "imports": imports, "docs": docs}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The whole repository's words.

    Attributes:
        vocabulary: token to column.
        body: (chunks × tokens) counts, CSC.
        fields: name to (files × tokens) counts, CSC.
        chunk_file: file of each chunk.
        chunk_owner: definition position of each chunk within its file, -1 for the file's own.
        chunk_length, file_length: sums of counts.
        field_length: name to sums of counts.
        document_count: files of role source that hold each token in any field.
        documents: how many files have role source.
        stems: stem to the columns that share it.
    """

    vocabulary: dict[str, int]
    body: sp.csc_matrix
    fields: dict[str, sp.csc_matrix]
    chunk_file: Ints
    chunk_owner: Ints
    chunk_length: Floats
    file_length: Floats
    field_length: dict[str, Floats]
    document_count: Floats
    documents: int
    stems: dict[str, list[int]]


def assemble(files: Sequence[FileWords], primary: NDArray[np.bool_]) -> Lexicon:
    """Join the files' counts into matrices.

    Args:
        files: one per file of the index, in its order.
        primary: which files are source code; document frequencies are theirs.
    """
    vocabulary: dict[str, int] = {}
    columns = [
        np.fromiter(
            (vocabulary.setdefault(word, len(vocabulary)) for word in item.vocabulary),
            np.int32,
            len(item.vocabulary),
        )
        for item in files
    ]
    starts = np.cumsum([0, *(len(item.owner) for item in files)])
    size = len(vocabulary)
    body = _csc(
        [item.chunk_of + start for item, start in zip(files, starts, strict=False)],
        [mapping[item.token] for item, mapping in zip(files, columns, strict=True)],
        [item.count for item in files],
        (int(starts[-1]), size),
    )
    fields = {
        name: _csc(
            [np.full(len(item.fields[name][0]), row, np.int32) for row, item in enumerate(files)],
            [mapping[item.fields[name][0]] for item, mapping in zip(files, columns, strict=True)],
            [item.fields[name][1] for item in files],
            (len(files), size),
        )
        for name in FIELDS
    }
    chunk_file = np.repeat(np.arange(len(files), dtype=np.int32), [len(item.owner) for item in files])
    chunk_length = np.asarray(body.sum(axis=1), np.float32).ravel()
    stems: dict[str, list[int]] = {}
    for word, column in vocabulary.items():
        stems.setdefault(stem(word), []).append(column)
    return Lexicon(
        vocabulary=vocabulary,
        body=body,
        fields=fields,
        chunk_file=chunk_file,
        chunk_owner=np.concatenate([item.owner for item in files]) if files else np.zeros(0, np.int32),
        chunk_length=chunk_length,
        file_length=np.bincount(chunk_file, chunk_length, len(files)).astype(np.float32),
        field_length={
            name: np.asarray(matrix.sum(axis=1), np.float32).ravel() for name, matrix in fields.items()
        },
        document_count=_document_count(files, columns, primary, size),
        documents=int(primary.sum()),
        stems={key: members for key, members in stems.items() if len(members) > 1},
    )


def _csc(
    rows: list[Ints], columns: list[Ints], values: list[Floats], shape: tuple[int, int]
) -> sp.csc_matrix:
    if not rows:
        return sp.csc_matrix(shape, dtype=np.float32)
    return sp.csc_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=shape,
        dtype=np.float32,
    )


def _document_count(
    files: Sequence[FileWords], columns: list[Ints], primary: NDArray[np.bool_], size: int
) -> Floats:
    counted = np.zeros(size, np.float32)
    for row, mapping in enumerate(columns):
        if primary[row]:
            counted[mapping] += 1.0
    return counted
