"""Which definition each reference means: candidates with reasons, and two passes that weigh them.

For every reference all definitions of the same name are candidates, each with the reasons for it: same file,
the receiver's known class, an import of the defining file, or the bare name. A pass (`strategy`) turns
reasons into confidence, accepts softly and chooses softly. The *shadow* pass is tuned for recall and feeds
spreading; the *final* pass is tuned for precision and feeds PageRank and call relations.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.parameters import Parameters
from hal9.ripmap.records import FileRecord, Import
from hal9.ripmap.reference_table import ReferenceTable
from hal9.ripmap.storage.array_codec import Packed, pack, unpack
from hal9.ripmap.storage.sparse import CsrMatrix

__all__ = [
    "Candidates",
    "Symbols",
    "find_candidates",
    "import_texts",
    "imports_in",
    "join_names",
    "join_shingles",
    "names_of_file",
    "resolve",
    "shingles_of",
    "symbols_of",
]

Pass = Literal["shadow", "final"]
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_SAME_FILE, _TYPE_HINT, _IMPORT, _NAME = 1, 2, 4, 8
_NEAR = 16
_WORD = re.compile(r"\w+")
_CONFIDENCE = {
    "same_file": (0.9, _SAME_FILE),
    "type_hint": (0.85, _TYPE_HINT),
    "import": (0.8, _IMPORT),
    "name_match": (0.5, _NAME),
}
_MOST_NAMESAKES = 12
_STORED_AS = {"file_index": "file"}
"""Attributes of `Symbols` that artifacts have under an older name."""
_BETWEEN, _WITHIN, _IMPORTS = "\x1f", "\x1e", "\x1d"
_RESERVED = str.maketrans(dict.fromkeys("\0\x1d\x1e\x1f"))
_BLOCK = 4_000_000
"""A name defined more often than this is only resolved within its file, by type or by import."""


_TOO_MANY = 64
"""A name defined more often than this (`__init__`, `setUp`) is not resolved: costs most, tells least."""


def names_of_file(record: FileRecord, text: str) -> bytes:
    """A file's definitions, references and imports as arrays, for the index's per-file cache."""
    del text  # the cache hands it to every builder
    told = [text for item in record.definitions for text in (item.name, item.parent, item.kind)]
    scope, said, times = _uses(ReferenceTable.of(record.references))
    every = [*told, *said]
    names = {text: number for number, text in enumerate(dict.fromkeys(every))}
    numbers = np.fromiter(map(names.__getitem__, every), np.int32, len(every))
    lines = np.array([(item.line, item.end_line) for item in record.definitions], np.int32).reshape(-1, 2)
    definitions = np.hstack([numbers[: len(told)].reshape(-1, 3), lines])
    uses = np.column_stack([scope, numbers[len(told) :].reshape(-1, 2), times])
    shingles = {one for item in record.strings for one in shingles_of(item.text)}
    return pack(
        {
            "names": list(names),
            "definitions": definitions,
            "uses": uses,
            "shingles": np.array(sorted(shingles), np.uint64),
            "imports": [_import_text(item) for item in record.imports],
        },
    )


def _uses(references: ReferenceTable) -> tuple[Ints, list[str], Ints]:
    """Each distinct use in order of the first: scopes; names and receivers' classes in turn; how often."""
    texts = references.texts
    canonical: dict[str, int] = {}
    whole = np.array([canonical.setdefault(text, len(canonical)) for text in texts])
    name, _, _, scope, _, declared = references.columns.astype(np.int64)
    last = np.zeros(len(texts), np.int64)
    for number in np.unique(declared).tolist():
        last[number] = canonical.setdefault(texts[number].rpartition(".")[2], len(canonical))
    name, declared, width = whole[name], last[declared], len(canonical)
    _, first, times = np.unique(
        (scope * width + name) * width + declared, return_index=True, return_counts=True
    )
    order = np.argsort(first)
    chosen = first[order]
    listed = list(canonical)
    said = np.column_stack([name[chosen], declared[chosen]]).ravel().tolist()
    return (
        scope[chosen].astype(np.int32),
        [listed[number] for number in said],
        times[order].astype(np.int32),
    )


def _import_text(item: Import) -> str:
    words = (_free(item.module), _WITHIN.join(map(_free, item.names)), _free(item.alias))
    return _BETWEEN.join((*words, str(item.line), str(item.level)))


def _free(text: str) -> str:
    return text.translate(_RESERVED) if not text.isprintable() else text


def import_texts(blob: bytes) -> str:
    """All imports that `names_of_file` kept, as one text."""
    return _IMPORTS.join(unpack(blob)["imports"])


def imports_in(text: str) -> tuple[Import, ...]:
    """The imports of such a text."""
    found: list[Import] = []
    for item in text.split(_IMPORTS) if text else ():
        module, names, alias, line, level = item.split(_BETWEEN)
        found.append(
            Import(module, tuple(names.split(_WITHIN)) if names else (), alias, int(line), int(level))
        )
    return tuple(found)


def shingles_of(text: str) -> list[int]:
    """Hashes of each three words in a row, lower case; of the two when there are no more."""
    found = [word.lower() for word in _WORD.findall(text)]
    if len(found) == 2:
        found.append("")
    return [_hash(" ".join(found[start : start + 3])) for start in range(len(found) - 2)]


def _hash(text: str) -> int:
    """Equal in every process, unlike `hash`."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def join_shingles(blobs: Sequence[bytes]) -> tuple[NDArray[np.uint64], Ints]:
    """All files' shingles in ascending order, and the file of each. Both of shape (shingles,)."""
    parts = [unpack(blob)["shingles"] for blob in blobs]
    if not parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.int32)
    every = np.concatenate(parts).astype(np.uint64)
    file_indexes = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    order = np.argsort(every, kind="stable")
    return every[order], file_indexes[order]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Every definition of the repository; node i is definition i, node count + f is file f's own code.

    Attributes:
        names: distinct texts (names, parents, kinds).
        name, parent, kind: numbers of texts in `names`, one per definition.
        line, end_line: where, counted from 1.
        file_index: file of each definition, ascending.
        start: first definition of each file; one more entry than files.
    """

    names: Sequence[str]
    name: Ints
    parent: Ints
    kind: Ints
    line: Ints
    end_line: Ints
    file_index: Ints
    start: Ints

    def packed(self) -> Packed:
        """The columns, as the index's artifact names them."""
        return {_STORED_AS.get(name, name): getattr(self, name) for name in self.__slots__}

    @classmethod
    def unpacked(cls, found: Mapping[str, Any]) -> "Symbols":
        """The inverse of `packed`."""
        return cls(**{name: found[_STORED_AS.get(name, name)] for name in cls.__slots__})

    def qualified(self, symbol: int) -> str:
        """Dotted name within the file."""
        parent = self.names[self.parent[symbol]]
        name = self.names[self.name[symbol]]
        return f"{parent}.{name}" if parent else name


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible meanings of references, one row each.

    Attributes:
        source: node that refers.
        target: definition that may be meant.
        reasons: bits: same file, type, import, name, near.
        times: how often the reference occurs.
        group: rows of one reference are adjacent and share this number, ascending.
    """

    source: Ints
    target: Ints
    reasons: NDArray[np.uint8]
    times: Floats
    group: Ints


def join_names(blobs: Sequence[bytes]) -> tuple[Symbols, Ints]:
    """Join the files' names.

    The references have shape (references, 5).

    Args:
        blobs: `names_of_file` of every file.

    Returns:
        The definitions, and the references by columns: scope, name, receiver's class, times, file.
    """
    table: dict[str, int] = {"": 0}
    definitions: list[Ints] = []
    uses: list[Ints] = []
    for file_index, blob in enumerate(blobs):
        found = unpack(blob)
        words: Sequence[str] = found["names"]  # type: ignore[assignment]
        mapping = np.fromiter((table.setdefault(word, len(table)) for word in words), np.int32, len(words))
        rows, used = np.array(found["definitions"]), np.array(found["uses"])
        rows[:, :3] = mapping[rows[:, :3]] if len(rows) else rows[:, :3]
        used[:, 1:3] = mapping[used[:, 1:3]] if len(used) else used[:, 1:3]
        definitions.append(rows)
        uses.append(np.column_stack([used, np.full(len(used), file_index, np.int32)]))
    rows = np.concatenate(definitions) if definitions else np.zeros((0, 5), np.int32)
    symbols = symbols_of(list(table), rows, np.array([len(part) for part in definitions], np.int64))
    every = np.concatenate(uses) if uses else np.zeros((0, 5), np.int32)
    return symbols, every.astype(np.int32)


def symbols_of(names: Sequence[str], rows: Ints, sizes: NDArray[np.integer]) -> Symbols:
    """The table of definitions.

    `rows` has shape (definitions, 5), `sizes` (files,).

    Args:
        names: distinct texts.
        rows: name, parent, kind, line and last line of each definition, file by file.
        sizes: how many definitions each file has.
    """
    name, parent, kind, line, end_line = (
        np.ascontiguousarray(rows[:, column], np.int32) for column in range(5)
    )
    file_index = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return Symbols(names, name, parent, kind, line, end_line, file_index, start)


def find_candidates(symbols: Symbols, uses: Ints, imports: CsrMatrix, folders: Ints) -> Candidates:
    """Pair each use with the definitions of its name.

    `uses` has shape (references, 5), `imports` (files, files), `folders` (files,).

    Args:
        symbols: the definitions, and
        uses: the references, both from `join_names`.
        imports: files x files, positive where one reaches the other by import.
        folders: number of each file's folder.

    Pairs are made and sifted block by block: a common name has as many pairs as uses times definitions,
    nearly all of which are dropped at once.
    """
    by_name = np.argsort(symbols.name, kind="stable").astype(np.int32)
    counts = np.bincount(symbols.name, minlength=len(symbols.names))
    starts = np.concatenate([[0], np.cumsum(counts)])
    uses = uses[(counts[uses[:, 1]] > 0) & (counts[uses[:, 1]] <= _TOO_MANY)]
    last_parent = _last_part(symbols)
    bounds = np.searchsorted(
        np.cumsum(counts[uses[:, 1]]), np.arange(1, counts[uses[:, 1]].sum() // _BLOCK + 1) * _BLOCK
    )
    blocks: list[tuple[Ints, Ints, NDArray[np.uint8], Floats, Ints]] = []
    first = 0
    for last in [*bounds.tolist(), len(uses)]:
        if last <= first and blocks:
            continue
        part = uses[first:last]
        repeat = counts[part[:, 1]]
        group = np.repeat(np.arange(len(part), dtype=np.int32), repeat)
        within = np.arange(len(group)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        target = by_name[starts[part[group, 1]] + within] if len(group) else np.zeros(0, np.int32)
        scope, kind_of_receiver, times, file_index = (part[group, column] for column in (0, 2, 3, 4))
        target_file = symbols.file_index[target]
        reasons = np.zeros(len(group), np.uint8)
        reasons[target_file == file_index] |= _SAME_FILE
        typed = (kind_of_receiver != 0) & (last_parent[symbols.parent[target]] == kind_of_receiver)
        reasons[typed] |= _TYPE_HINT
        reasons[_pairs_in(imports, file_index, target_file)] |= _IMPORT
        reasons[np.repeat(repeat <= _MOST_NAMESAKES, repeat)] |= _NAME
        reasons[folders[file_index] == folders[target_file]] |= _NEAR
        source = np.where(
            scope >= 0, symbols.start[file_index] + scope, len(symbols.name) + file_index
        ).astype(np.int32)
        keep = ((reasons & (_SAME_FILE | _TYPE_HINT | _IMPORT | _NAME)) > 0) & (source != target)
        blocks.append(
            (
                source[keep],
                target[keep],
                reasons[keep],
                times[keep].astype(np.float32),
                group[keep] + np.int32(first),
            )
        )
        first = last
    return Candidates(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


def _last_part(symbols: Symbols) -> Ints:
    """For each name, the number of what follows its last dot."""
    numbers = {name: number for number, name in enumerate(symbols.names)}
    own = np.arange(len(symbols.names), dtype=np.int32)
    for number in np.unique(symbols.parent):
        own[number] = numbers.get(symbols.names[number].rpartition(".")[2], number)
    return own


def _pairs_in(matrix: CsrMatrix, rows: Ints, columns: Ints) -> NDArray[np.bool_]:
    size = np.int64(len(matrix))
    keys = np.unique(matrix.row_of_entry.astype(np.int64) * size + matrix.indices)
    if not len(keys):
        return np.zeros(len(rows), np.bool_)
    wanted = rows.astype(np.int64) * size + columns
    nearest = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: NDArray[np.bool_] = keys[nearest] == wanted
    return found


def resolve(candidates: Candidates, parameters: Parameters, which: Pass) -> tuple[Floats, Floats]:
    """Confidence of each candidate, and the weight of its edge after acceptance and choice.

    Confidence is the best reason's (or, as `evidence_accumulation` rises, the noisy-or of all); acceptance is
    a sigmoid around `acceptance_bias`; choice is a softmax within the reference at `selection_temperature`.

    Both of shape (candidates,).
    """
    strategy = {name: parameters[f"{which}_{name}"] for name in _STRATEGY_NAMES}
    best: Floats = np.zeros(len(candidates.group), np.float32)
    none: Floats = np.ones(len(candidates.group), np.float32)
    for reason, (confidence, bit) in _CONFIDENCE.items():
        value = np.where(candidates.reasons & bit, min(0.99, confidence * strategy[f"weight_{reason}"]), 0.0)
        np.maximum(best, value, out=best)
        none *= (1.0 - value).astype(np.float32)
    trust = best + strategy["evidence_accumulation"] * ((1.0 - none) - best)
    trust = trust + np.where(candidates.reasons & _NEAR, strategy["proximity_boost"], 0.0)
    accepted = 1.0 / (1.0 + np.exp(-strategy["acceptance_slope"] * (trust - strategy["acceptance_bias"])))
    chosen = _softmax(trust, candidates.group, strategy["selection_temperature"])
    return trust.astype(np.float32), (candidates.times**0.5 * accepted * chosen).astype(np.float32)


_STRATEGY_NAMES = (
    "weight_same_file",
    "weight_type_hint",
    "weight_import",
    "weight_name_match",
    "acceptance_bias",
    "acceptance_slope",
    "selection_temperature",
    "evidence_accumulation",
    "proximity_boost",
)


def _softmax(values: NDArray[np.floating], group: Ints, temperature: float) -> NDArray[np.floating]:
    """Softmax within runs of equal, ascending `group`."""
    if not len(group):
        return values
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[starts, len(group)])
    high = np.repeat(np.maximum.reduceat(values, starts), sizes)
    raised = np.exp((values - high) / temperature)
    shares: NDArray[np.floating] = raised / np.repeat(np.add.reduceat(raised, starts), sizes)
    return shares
