"""Word evidence: BM25F over files and over definitions, for the words of one task.

A `Slice` holds the counts of the task's words alone, so that scoring it under new parameters costs a fraction
of a millisecond. BM25F: Robertson, Zaragoza, Taylor, "Simple BM25 extension to multiple weighted fields",
CIKM 2004.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.query.task_query import PARTS, Query
from hal9.ripmap.ranking.abbreviations import learned_abbreviations
from hal9.ripmap.storage.sparse import CsrMatrix, numbered
from hal9.ripmap.text.tokenize import BOILERPLATE

__all__ = ["Slice", "TaskWords", "best_per_file", "chunk_slice", "file_slice", "task_words"]

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
_MOST_WORDS = 300
"""Long pasted logs are cut to the words that tell most."""


@dataclass(frozen=True, slots=True)
class TaskWords:
    """The task's words that the repository knows.

    Attributes:
        tokens: the words.
        columns: their columns in the vocabulary, -1 where only relatives by stem are known.
        relatives, relative_of: columns of words with the same stem, and the number of the word they stand
        for.
        short, short_of: the same for abbreviations that the repository teaches.
        parts: (parts x words) counts.
        idf: inverse document frequency among source files.
        identifiers: which words belong to names of the task.
        boilerplate: which words speak of the change rather than of the code.
    """

    tokens: tuple[str, ...]
    columns: Ints
    relatives: Ints
    relative_of: Ints
    short: Ints
    short_of: Ints
    parts: Array
    idf: Array
    identifiers: NDArray[np.bool_]
    boilerplate: NDArray[np.bool_]

    def weights(self, parameters: Parameters) -> Array:
        """How much each word counts, by the part it stands in. Shape (words,)."""
        soft = parameters["query_saturation"]
        counted = self.parts * (soft + 1.0) / (self.parts + soft)
        factors = np.array([parameters[f"query_{part}"] for part in PARTS])
        return self._damped(factors @ counted, parameters)

    def title_weights(self, parameters: Parameters) -> Array:
        """The same for the title alone. Shape (words,)."""
        soft = parameters["query_saturation"]
        title = self.parts[0]
        return self._damped(title * (soft + 1.0) / (title + soft), parameters)

    def _damped(self, weights: Array, parameters: Parameters) -> Array:
        return np.where(self.boilerplate, weights * parameters["query_boilerplate"], weights)

    @property
    def spoken(self) -> NDArray[np.bool_]:
        """Words of title and prose that speak of the code. Shape (words,)."""
        return (self.parts[:2] > 0).any(axis=0) & ~self.boilerplate


def task_words(index_data: IndexData, query: Query, names: frozenset[str]) -> TaskWords:
    """Look the task's words up; `names` are the tokens of the task's identifiers."""
    postings = index_data.postings
    # `new` in code marks is the name of something.
    spoken = BOILERPLATE - {mention.text for mention in query.identifiers if mention.quoted}
    tokens: list[str] = []
    columns: list[int] = []
    relatives: list[int] = []
    relative_of: list[int] = []
    for token in query.tokens:
        column = postings.vocabulary.get(token)
        kin = postings.relatives(token)
        if column < 0 and not len(kin):
            continue
        relatives.extend(kin)
        relative_of.extend([len(tokens)] * len(kin))
        tokens.append(token)
        columns.append(column)
    if spoken.issuperset(tokens):
        spoken = frozenset()  # nothing else is said: "add" alone is the name of something
    found = np.array(columns, np.intp)
    counts = np.where(found >= 0, postings.document_count[np.maximum(found, 0)] if len(found) else 0.0, 0.0)
    kin_counts = (
        np.bincount(relative_of, postings.document_count[relatives], len(tokens))
        if relatives
        else np.zeros(len(tokens))
    )
    counts = np.where(found >= 0, counts, np.minimum(kin_counts, postings.documents))
    idf = np.log1p((postings.documents - counts + 0.5) / (counts + 0.5))
    parts = np.array([[query.counts[part][token] for token in tokens] for part in PARTS], np.float64).reshape(
        len(PARTS), -1
    )
    kept = np.arange(len(tokens))
    if len(tokens) > _MOST_WORDS:
        kept = np.sort(
            np.argsort(-(parts.sum(axis=0) ** 0.5 * idf + 1e3 * (parts[0] > 0)), kind="stable")[:_MOST_WORDS]
        )
    kept_index = np.full(len(tokens), -1, np.intp)
    kept_index[kept] = np.arange(len(kept))
    owner = kept_index[np.array(relative_of, np.intp)] if relatives else np.zeros(0, np.intp)
    short = _abbreviations(index_data, [tokens[index] for index in kept], parts[:, kept], idf[kept])
    return TaskWords(
        tokens=tuple(tokens[index] for index in kept),
        short=short[:, 1],
        short_of=short[:, 0],
        columns=found[kept],
        relatives=np.array(relatives, np.intp)[owner >= 0],
        relative_of=owner[owner >= 0],
        parts=parts[:, kept],
        idf=idf[kept],
        identifiers=np.array([tokens[index] in names for index in kept], np.bool_),
        boilerplate=np.array([tokens[index] in spoken for index in kept], np.bool_),
    )


_MOST_ABBREVIATED = 40


def _abbreviations(index_data: IndexData, tokens: list[str], parts: Array, idf: Array) -> Ints:
    """Number of the word and column of its abbreviation, for title and prose. Shape (found, 2)."""
    spoken = np.flatnonzero((parts[:2] > 0).any(axis=0))
    chosen = spoken[np.argsort(-idf[spoken], kind="stable")[:_MOST_ABBREVIATED]]
    found = [
        (int(chosen[number]), column)
        for number, column in learned_abbreviations(index_data.postings, [tokens[n] for n in chosen])
        if index_data.postings.vocabulary.get(tokens[chosen[number]]) != column
    ]
    return np.array(found, np.intp).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Slice:
    """Counts of the task's words in several fields of the same rows.

    Attributes:
        rows, words: the entries where any field counts a word.
        exact, related, short: field to counts there; of the word itself, of words with its stem, and of its
        abbreviations.
        relative_length: field to row length over the mean of primary rows; fields without it are not
        discounted.
        height: how many rows there are.
    """

    rows: Ints
    words: Ints
    exact: Mapping[str, Array]
    related: Mapping[str, Array]
    short: Mapping[str, Array]
    relative_length: Mapping[str, Array]
    height: int

    def counts(self, field: str, word_weights: tuple[float, float]) -> Array:
        """Counts of a field, with stems and abbreviations at these weights. Shape (entries,)."""
        found = self.exact[field]
        for weight, others in zip(word_weights, (self.related, self.short), strict=True):
            if weight and others[field].any():
                found = found + weight * others[field]
        return found

    def saturated(
        self, fields: Mapping[str, float], word_weights: tuple[float, float], k: float, b: float
    ) -> Array:
        """BM25F's term weight at each entry, before idf and the task's weights. Shape (entries,)."""
        total = np.zeros(len(self.rows))
        for name, weight in fields.items():
            if weight == 0.0:
                continue
            counts = self.counts(name, word_weights)
            if b and name in self.relative_length:
                counts = counts / np.maximum(1.0 - b + b * self.relative_length[name], 1e-9)[self.rows]
            total += weight * counts
        return total / (total + k)

    def scores(self, saturated: Array, weights: Array) -> Array:
        """Sum over words, shape (height,)."""
        summed: Array = np.bincount(self.rows, saturated * weights[self.words], self.height).astype(
            np.float64
        )
        return summed


def _slice(
    matrices: Mapping[str, CsrMatrix],
    words: TaskWords,
    relative_length: Mapping[str, Array],
    height: int,
    file_of_body: NDArray[np.int32] | None = None,
) -> Slice:
    """Gather the task's columns; `file_of_body` adds the body's chunk rows up to files."""
    width = max(1, len(words.columns))
    keys: list[Ints] = []
    values: list[tuple[str, int, Array]] = []
    for name, matrix in matrices.items():
        for kind, columns, owners in (
            (0, words.columns[words.columns >= 0], np.flatnonzero(words.columns >= 0)),
            (1, words.relatives, words.relative_of),
            (2, words.short, words.short_of),
        ):
            rows, indices, counts = matrix.select(columns)
            if file_of_body is not None and name == "body":
                rows = file_of_body[rows].astype(np.intp)
            keys.append(rows * width + owners[indices])
            values.append((name, kind, counts))
    union, inverse = numbered(np.concatenate(keys)) if keys else (np.zeros(0, np.intp), np.zeros(0, np.intp))
    tables: tuple[dict[str, Array], dict[str, Array], dict[str, Array]] = ({}, {}, {})
    start = 0
    for name, kind, counts in values:
        end = start + len(counts)
        tables[kind][name] = np.bincount(inverse[start:end], counts, len(union)).astype(np.float64)
        start = end
    return Slice(union // width, union % width, *tables, relative_length, height)


def _relative(length: NDArray[np.floating], primary: NDArray[np.bool_]) -> Array:
    mean = float(length[primary].mean()) if primary.any() else 0.0
    return np.asarray(length, np.float64) / mean if mean > 0 else np.ones(len(length))


def file_slice(index_data: IndexData, words: TaskWords) -> Slice:
    """Files by body, names, path, imports and documentation."""
    matrices, lengths = index_data.postings.matrices, index_data.postings.lengths
    fields: Sequence[str] = ("names", "path", "imports", "docs")
    relative = {name: _relative(lengths[name], index_data.primary) for name in fields}
    relative["body"] = _relative(lengths["file"], index_data.primary)
    chosen = {name: matrices[name] for name in ("body", *fields)}
    return _slice(chosen, words, relative, len(index_data.paths), index_data.postings.chunk_file)


def chunk_slice(index_data: IndexData, words: TaskWords) -> Slice:
    """Definitions by body, head and their file's path."""
    postings = index_data.postings
    relative = {"body": _relative(postings.lengths["body"], index_data.primary[postings.chunk_file])}
    matrices = {name: postings.matrices[name] for name in ("body", "head")}
    height = len(postings.chunk_file)
    found = _slice(matrices, words, relative, height)
    by_file = _slice({"path": postings.matrices["path"]}, words, {}, len(index_data.paths))
    return _with_path(found, by_file, postings.chunk_file, max(1, len(words.columns)))


def _with_path(chunks: Slice, files: Slice, chunk_file: NDArray[np.int32], width: int) -> Slice:
    """Give each entry of a chunk the path's count of the same word (a path names a word once)."""
    keys = files.rows * width + files.words
    wanted = chunk_file[chunks.rows].astype(np.intp) * width + chunks.words

    def looked_up(counts: Array) -> Array:
        if not len(keys):
            return np.zeros(len(wanted))
        nearest = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[nearest] == wanted, np.minimum(counts[nearest], 1.0), 0.0)

    exact = {**chunks.exact, "path": looked_up(files.exact["path"])}
    related = {**chunks.related, "path": looked_up(files.related["path"])}
    short = {**chunks.short, "path": looked_up(files.short["path"])}
    return Slice(chunks.rows, chunks.words, exact, related, short, chunks.relative_length, chunks.height)


def best_per_file(
    scores: Array, chunk_file: NDArray[np.int32], files: int, decay: float, most: int = 5
) -> Array:
    """Sum of each file's best chunks, the j-th weighing decay**j.

    `scores` and `chunk_file` have shape (chunks,), the result (files,).
    """
    live = np.flatnonzero(scores > 0)
    if not len(live):
        return np.zeros(files)
    owner, value = chunk_file[live], scores[live]
    if decay == 0.0 or most == 1:
        best = np.zeros(files)
        np.maximum.at(best, owner, value)
        return best
    order = np.lexsort((-value, owner))
    owner, value = owner[order], value[order]
    first = np.r_[True, owner[1:] != owner[:-1]]
    indices = np.arange(len(owner))
    nth = indices - np.maximum.accumulate(np.where(first, indices, 0))
    kept = nth < most
    summed: Array = np.bincount(owner[kept], value[kept] * decay ** nth[kept], files).astype(np.float64)
    return summed
