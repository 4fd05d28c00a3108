"""Older index data brought up to date where few files changed, without joining the others again.

Words and names keep their numbers and new ones get the next; those that nothing has any more stay behind
without entries, which no ranking can see.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.postings.file_postings import names_part, words_part
from hal9.ripmap.postings.merge import MergedPostings, import_links, primary_files
from hal9.ripmap.postings.module_paths import Names
from hal9.ripmap.postings.symbols import Symbols, import_texts, symbols_of
from hal9.ripmap.postings.words import MATRICES, FileWords, Postings, by_token, pairs_of, read_file
from hal9.ripmap.storage.array_codec import unpack
from hal9.ripmap.storage.sparse import CsrMatrix
from hal9.ripmap.text.string_table import TermDictionary
from hal9.ripmap.text.tokenize import stem

__all__ = ["patched"]

_MOST_CHANGED = 30
Ints = NDArray[np.int32]
_Code = TypeVar("_Code", np.uint32, np.uint64)


def patched(
    old: MergedPostings,
    older_indexes: Sequence[int],
    paths: Sequence[str],
    roles: Ints,
    facts: Callable[[], list[bytes]],
) -> MergedPostings | None:
    """The merged postings of the tree as it is now, or None where joining all files is the better way.

    Args:
        old: those of an earlier state.
        older_indexes: for every file now, its `file_index` then; -1 where its contents are new.
        paths: of the files now, and
        roles: theirs, shape (files,).
        facts: gives the facts of the files that changed, in order.
    """
    changed = _changed(old, older_indexes, roles)
    if not changed:
        return None
    primary = primary_files(roles)
    made = facts()
    blobs = {file_index: names_part(fact) for file_index, fact in zip(changed, made, strict=True)}
    word_blobs = {file_index: words_part(fact) for file_index, fact in zip(changed, made, strict=True)}
    gone = np.zeros(len(older_indexes), np.bool_)
    gone[changed] = True
    symbols, names, uses = _names(old, gone, blobs)
    texts = list(old.import_texts)
    for file_index, blob in blobs.items():
        texts[file_index] = import_texts(blob)
    known = all(texts[file_index] == old.import_texts[file_index] for file_index in changed)
    pairs, pair_file = _merged(
        old.pairs,
        old.pair_file,
        gone,
        {file_index: pairs_of(blob) for file_index, blob in word_blobs.items() if primary[file_index]},
    )
    shingles, shingle_file = _merged(
        old.shingles,
        old.shingle_file,
        gone,
        {file_index: _shingles(blob) for file_index, blob in blobs.items()},
    )
    return MergedPostings(
        roles=roles,
        postings=_postings(
            old.postings,
            gone,
            {file_index: read_file(blob) for file_index, blob in word_blobs.items()},
            primary,
        ),
        symbols=symbols,
        names=names,
        uses=uses,
        imports=old.imports if known else import_links(Names(paths, roles), texts),
        import_texts=texts,
        pairs=pairs,
        pair_file=pair_file,
        shingles=shingles,
        shingle_file=shingle_file,
    )


def _shingles(blob: bytes) -> NDArray[np.uint64]:
    return np.asarray(unpack(blob)["shingles"]).astype(np.uint64)


def _changed(old: MergedPostings, older_indexes: Sequence[int], roles: Ints) -> list[int]:
    """The files with new contents; none where they are too many, or files came, went or changed roles."""
    changed = [file_index for file_index, older_index in enumerate(older_indexes) if older_index < 0]
    same_files = len(older_indexes) == len(old.roles) and all(
        older_index in (-1, file_index) for file_index, older_index in enumerate(older_indexes)
    )
    if not same_files or len(changed) > _MOST_CHANGED:
        return []
    return changed if np.array_equal(primary_files(roles), primary_files(old.roles)) else []


def _numbers(known: TermDictionary, added: dict[str, int], words: Sequence[str]) -> Ints:
    """Numbers of words; unknown ones are put into `added` under the next."""
    found = np.empty(len(words), np.int32)
    for index, word in enumerate(words):
        number = known.get(word)
        found[index] = number if number >= 0 else added.setdefault(word, len(known) + len(added))
    return found


def _merged(
    codes: NDArray[_Code], files: Ints, gone: NDArray[np.bool_], fresh: dict[int, NDArray[_Code]]
) -> tuple[NDArray[_Code], Ints]:
    """Codes in ascending order with their files, those of some files replaced."""
    kept = ~gone[files]
    every = np.concatenate([codes[kept], *fresh.values()]).astype(codes.dtype)
    file_indexes = np.concatenate(
        [files[kept], *(np.full(len(part), file_index, np.int32) for file_index, part in fresh.items())]
    )
    order = np.lexsort((file_indexes, every))
    return every[order], file_indexes[order].astype(np.int32)


def _names(
    old: MergedPostings, gone: NDArray[np.bool_], blobs: dict[int, bytes]
) -> tuple[Symbols, TermDictionary, Ints]:
    """Definitions, their names, and references, with those of some files replaced."""
    symbols = old.symbols
    added: dict[str, int] = {}
    kept = ~gone[symbols.file_index]
    columns = (symbols.name, symbols.parent, symbols.kind, symbols.line, symbols.end_line, symbols.file_index)
    rows = [np.column_stack(columns)[kept]]
    uses = [np.asarray(old.uses)[~gone[old.uses[:, 4]]]]
    for file_index, blob in blobs.items():
        found = unpack(blob)
        numbers = _numbers(old.names, added, found["names"])  # type: ignore[arg-type]
        defined, used = np.array(found["definitions"]), np.array(found["uses"])
        defined[:, :3] = numbers[defined[:, :3]] if len(defined) else defined[:, :3]
        used[:, 1:3] = numbers[used[:, 1:3]] if len(used) else used[:, 1:3]
        rows.append(np.column_stack([defined, np.full(len(defined), file_index, np.int32)]))
        uses.append(np.column_stack([used, np.full(len(used), file_index, np.int32)]))
    every = np.concatenate(rows).astype(np.int32)
    every = every[np.argsort(every[:, 5], kind="stable")]
    used = np.concatenate(uses).astype(np.int32)
    names = old.names.extended(list(added))
    made = symbols_of(list(names.texts), every[:, :5], np.bincount(every[:, 5], minlength=len(gone)))
    return made, names, used[np.argsort(used[:, 4], kind="stable")]


def _postings(
    old: Postings, gone: NDArray[np.bool_], fresh: dict[int, FileWords], primary: NDArray[np.bool_]
) -> Postings:
    """The words of all files, with those of some files replaced."""
    added: dict[str, int] = {}
    columns = {
        file_index: _numbers(old.vocabulary, added, words.vocabulary) for file_index, words in fresh.items()
    }
    vocabulary = old.vocabulary.extended(list(added))
    sizes = np.bincount(old.chunk_file, minlength=len(gone))
    before = np.concatenate([[0], np.cumsum(sizes)])
    for file_index, words in fresh.items():
        sizes[file_index] = len(words.owner)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    moved = np.arange(len(old.chunk_file)) + (starts - before)[old.chunk_file]
    lost = np.zeros((len(vocabulary), len(fresh)), np.bool_)
    column_of = {file_index: column for column, file_index in enumerate(fresh)}
    of_changed = np.full(len(gone), -1)
    of_changed[list(column_of)] = list(column_of.values())
    matrices: dict[str, CsrMatrix] = {}
    lengths: dict[str, NDArray[np.float32]] = {}
    for name in MATRICES:
        by_chunk = name in ("body", "head")
        matrix = old.matrices[name]
        tokens = matrix.row_of_entry
        files = old.chunk_file[matrix.indices] if by_chunk else matrix.indices
        out = gone[files]
        lost[tokens[out], of_changed[files[out]]] = True
        rows = [(moved[matrix.indices] if by_chunk else matrix.indices)[~out]]
        words_, counts = [tokens[~out]], [matrix.data[~out]]
        for file_index, item in fresh.items():
            row, token, count = item.matrices[name]
            rows.append(row + (starts[file_index] if by_chunk else file_index))
            words_.append(columns[file_index][token])
            counts.append(count)
        height = int(starts[-1]) if by_chunk else len(gone)
        row, count = np.concatenate(rows).astype(np.int32), np.concatenate(counts).astype(np.float32)
        matrices[name] = by_token(
            row, np.concatenate(words_).astype(np.int32), count, (height, len(vocabulary))
        )
        lengths[name] = np.bincount(row, count, height).astype(np.float32)
    chunk_file = np.repeat(np.arange(len(gone), dtype=np.int32), sizes)
    lengths["file"] = np.bincount(chunk_file, lengths["body"], len(gone)).astype(np.float32)
    counted = np.concatenate([old.document_count, np.zeros(len(added), np.float32)])
    for file_index, column in column_of.items():
        if primary[file_index]:
            counted -= lost[:, column]
            counted[columns[file_index]] += 1.0
    return replace(
        _stems(old, vocabulary, list(added)),
        matrices=matrices,
        chunk_file=chunk_file,
        chunk_owner=_owners(old, gone, fresh, moved, len(chunk_file), starts),
        lengths=lengths,
        document_count=counted.astype(np.float32),
    )


def _owners(
    old: Postings,
    gone: NDArray[np.bool_],
    fresh: dict[int, FileWords],
    moved: NDArray[np.int64],
    height: int,
    starts: NDArray[np.int64],
) -> Ints:
    owner = np.empty(height, np.int32)
    kept = ~gone[old.chunk_file]
    owner[moved[kept]] = old.chunk_owner[kept]
    for file_index, words in fresh.items():
        owner[starts[file_index] : starts[file_index + 1]] = words.owner
    return owner


def _stems(old: Postings, vocabulary: TermDictionary, added: list[str]) -> Postings:
    """The postings with new words at the end of their vocabulary, related to others by stem."""
    new: dict[str, int] = {}
    stem_of = np.concatenate([old.stem_of, _numbers(old.stems, new, [stem(word) for word in added])])
    stems = old.stems.extended(list(new))
    start = np.concatenate([[0], np.cumsum(np.bincount(stem_of, minlength=len(stems)))])
    return replace(
        old,
        vocabulary=vocabulary,
        stem_of=stem_of.astype(np.int32),
        stems=stems,
        stem_columns=np.argsort(stem_of, kind="stable").astype(np.int32),
        stem_start=start.astype(np.int32),
    )
