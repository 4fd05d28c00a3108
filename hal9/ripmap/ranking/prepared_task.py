"""What a task says about a repository, before any parameter weighs it.

A `PreparedTask` is made once per task; `features` and `ranker` weigh it under as many parameter sets as
wanted.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.postings.module_paths import is_package_file
from hal9.ripmap.postings.symbols import shingles_of
from hal9.ripmap.query.task_query import Mention, Part, Query, parse_task
from hal9.ripmap.ranking.bm25f import Slice, TaskWords, chunk_slice, file_slice, task_words
from hal9.ripmap.ranking.clues import option_holders, scope_files
from hal9.ripmap.ranking.commits import CommitIndex
from hal9.ripmap.ranking.mentions import dotted_symbols, named_files
from hal9.ripmap.records import Role
from hal9.ripmap.storage.sparse import distinct
from hal9.ripmap.text.tokenize import STOP_WORDS, identifier_parts, is_code_like, pair_codes, stem, words

__all__ = ["PreparedTask", "Task", "prepare_query"]

Array = NDArray[np.float64]
_PART_STRENGTH: dict[Part, float] = {
    "title": 1.0,
    "prose": 0.8,
    "code": 0.4,
    "output": 0.2,
    "traceback": 0.3,
    "diff": 0.6,
    "configuration": 0.3,
    "command": 0.3,
}
_MARKED, _PLAIN = 1.0, 0.6
_MOST_FRAMES = 40
_MOST_STEMS = 2000
_PROSE_STEM = 0.5


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of the ranker.

    Attributes:
        text: the task in words; may be empty.
        focus: words whose matches, and what lies near them in the graph, should lead.
        chat: files already in the conversation (paths of the index).
        mentions: further names or paths that matter, as if the text named them.
        time: only history before this moment counts (seconds since the epoch); None is all of it.
    """

    text: str = ""
    focus: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    time: float | None = None


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """A task's evidence in one repository.

    Attributes:
        words: the task's words; `files` and `chunks` their counts.
        mentioned: per file, strength of names it defines.
        mentioned_symbols: symbol to strength.
        named: per file, how clearly the task names it, 0 to 1.
        frames: (file_index, share) pairs per stack frame in the repository, innermost first.
        errors: per file, matched error texts and quotations, rare ones more.
        pairs: per file, summed rarity of the title's word pairs it holds, and of the prose's others.
        stems: per file, how rare the words of its own name are, where title or prose have them all.
        options: per file, options of the task that it and few others hold.
        scope: per file, whether the part of the project that the title begins with is a folder it lies in.
        chat: `file_index` of each chat file.
        focus: per file, how well it matches the focus words.
        commit_index: the history; None without git.
        memory: what is worth keeping between parameter sets.
    """

    index_data: IndexData
    task: Task
    query: Query
    words: TaskWords
    files: Slice
    chunks: Slice
    mentioned: Array
    mentioned_symbols: dict[int, float]
    named: Array
    frames: tuple[tuple[tuple[int, float], ...], ...]
    errors: Array
    pairs: tuple[Array, Array]
    stems: Array
    options: Array
    scope: Array
    chat: NDArray[np.intp]
    focus: Array
    commit_index: CommitIndex | None = None
    memory: dict[Hashable, Array] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether there is any evidence to rank by beyond structure."""
        return bool(len(self.words.columns) or self.named.any() or self.frames or self.focus.any())


def prepare_query(index_data: IndexData, task: Task, commit_index: CommitIndex | None = None) -> PreparedTask:
    """Collect a task's evidence; without a commit index history has no say."""
    text = (
        task.text if not task.mentions else f"{task.text}\n" + " ".join(f"`{name}`" for name in task.mentions)
    )
    query = parse_task(text)
    found = task_words(index_data, query, _identifier_tokens(query))
    by_file = file_slice(index_data, found)
    mentioned, symbols = _mentioned(index_data, query)
    return PreparedTask(
        index_data=index_data,
        task=task,
        query=query,
        words=found,
        files=by_file,
        chunks=chunk_slice(index_data, found),
        mentioned=mentioned,
        mentioned_symbols=symbols,
        named=named_files(index_data, query),
        frames=_frames(index_data, query),
        errors=_errors(index_data, query),
        pairs=_pairs(index_data, query),
        stems=_stems(index_data, query, by_file),
        options=option_holders(index_data, query),
        scope=scope_files(index_data, query),
        chat=_file_indexes(index_data, task.chat),
        focus=_focus(index_data, task.focus),
        commit_index=commit_index,
    )


def _identifier_tokens(query: Query) -> frozenset[str]:
    names: set[str] = set()
    for mention in query.identifiers:
        if mention.marked or is_code_like(mention.text):
            names.update(identifier_parts(mention.text))
    for mention in query.dotted:
        names.update(_tokens(mention.text))
    return frozenset(names - STOP_WORDS)


def _tokens(text: str) -> Iterable[str]:
    for word in words(text):
        yield from identifier_parts(word)


def _mentioned(index_data: IndexData, query: Query) -> tuple[Array, dict[int, float]]:
    """Files and symbols whose names the task writes exactly; a name that many define tells less of each."""
    by_file = np.zeros(len(index_data.paths))
    by_symbol: dict[int, float] = {}
    primary = index_data.primary
    for mention in query.identifiers:
        symbols = index_data.definers(mention.text)
        if not len(symbols) or not _speaks(mention):
            continue
        symbols = symbols[primary[index_data.symbols.file_index[symbols]]]
        files = distinct(index_data.symbols.file_index[symbols])
        strength = _PART_STRENGTH[mention.part] * (_MARKED if mention.marked else _PLAIN)
        by_file[files] += strength / max(1, len(files))
        for symbol in symbols.tolist():
            by_symbol[symbol] = max(by_symbol.get(symbol, 0.0), strength / max(1, len(symbols)) ** 0.5)
    for mention in query.dotted:
        for symbol in dotted_symbols(index_data, mention.text):
            by_symbol[symbol] = max(by_symbol.get(symbol, 0.0), _PART_STRENGTH[mention.part])
            by_file[index_data.symbols.file_index[symbol]] += 0.5 * _PART_STRENGTH[mention.part]
    return by_file, by_symbol


def _speaks(mention: Mention) -> bool:
    return mention.marked or is_code_like(mention.text) or mention.text[:1].isupper()


def _frames(index_data: IndexData, query: Query) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Frames that lie in this repository; a frame that fits several files is shared among them."""
    found: list[tuple[tuple[int, float], ...]] = []
    tests = index_data.role(Role.TEST)
    for frame in query.frames[:_MOST_FRAMES]:
        files = [
            file_index for file_index in index_data.modules.longest_tail(frame.path) if not tests[file_index]
        ]
        if files and ("/" in frame.path or len(files) == 1):
            found.append(tuple((file_index, 1.0 / len(files)) for file_index in files))
    return tuple(found)


def _errors(index_data: IndexData, query: Query) -> Array:
    """Shared word triples between the task's messages and the source's strings, shared among holders."""
    score = np.zeros(len(index_data.paths))
    texts = [message for _, message in query.errors if message] + list(query.phrases)
    for shingle in {one for text in texts for one in shingles_of(text)}:
        start, end = np.searchsorted(
            index_data.shingles, [np.uint64(shingle), np.uint64(shingle)], side="left"
        )
        end = np.searchsorted(index_data.shingles, np.uint64(shingle), side="right")
        files = distinct(index_data.shingle_file[start:end])
        files = files[index_data.primary[files]]
        if len(files):
            score[files] += 1.0 / len(files)
    return score


def _pairs(index_data: IndexData, query: Query) -> tuple[Array, Array]:
    """Two words in a row that also stand in a row in a file say more than the two apart."""
    title = distinct(pair_codes(query.title))
    prose = distinct(np.concatenate([pair_codes(line) for line in query.prose.split("\n")]))
    return _pair_score(index_data, title), _pair_score(index_data, prose[~_among(prose, title)])


def _among(values: NDArray[np.uint32], known: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which values are among `known`, which ascends."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def _pair_score(index_data: IndexData, codes: NDArray[np.uint32]) -> Array:
    score = np.zeros(len(index_data.paths))
    starts = np.searchsorted(index_data.pairs, codes, side="left")
    ends = np.searchsorted(index_data.pairs, codes, side="right")
    documents = index_data.postings.documents
    for start, end in zip(starts, ends, strict=True):
        if end > start:
            files = index_data.pair_file[start:end]
            score[files] += np.log1p((documents - (end - start) + 0.5) / (end - start + 0.5))
    return score


def _stems(index_data: IndexData, query: Query, files: Slice) -> Array:
    """A file whose own name is said word for word; of a package file the folder's name counts.

    Parts of a name that are said count by their share of its rarity, squared; words of the prose half.
    """
    score = np.zeros(len(index_data.paths))
    title, prose = set(query.counts["title"]), set(query.counts["prose"])
    said = {**dict.fromkeys(prose, _PROSE_STEM), **dict.fromkeys(title, 1.0)}
    stems = {stem(token): worth for token, worth in said.items()}
    rows = np.unique(files.rows[(files.exact["path"] > 0) | (files.related["path"] > 0)])
    for row in rows[:_MOST_STEMS].tolist():
        parts = _own_name(index_data.paths[row])
        rarity = [_rarity(index_data, part) for part in parts]
        whole = sum(rarity)
        found = sum(
            value * max(said.get(part, 0.0), stems.get(stem(part), 0.0))
            for part, value in zip(parts, rarity, strict=True)
        )
        if whole > 0 and found > 0:
            score[row] = found * (found / whole)
    return score


def _own_name(path: str) -> list[str]:
    """The words of a file's name without its ending; of a package file those of its folder."""
    folder, _, name = path.rpartition("/")
    base = folder.rpartition("/")[2] if is_package_file(path) else name.partition(".")[0] or name
    return [part for word in words(base) for part in _simple_parts(word)]


def _simple_parts(word: str) -> tuple[str, ...]:
    """The parts of a word without the compound itself."""
    parts = identifier_parts(word)
    return parts[:-1] if len(parts) > 1 else parts


def _rarity(index_data: IndexData, token: str) -> float:
    column = index_data.postings.vocabulary.get(token)
    return float(index_data.rarity[column]) if column >= 0 else 0.0


def _file_indexes(index_data: IndexData, paths: Iterable[str]) -> NDArray[np.intp]:
    known = {path: file_index for file_index, path in enumerate(index_data.paths)}
    return np.array([known[path] for path in paths if path in known], np.intp)


def _focus(index_data: IndexData, focus: Iterable[str]) -> Array:
    """Files whose path or names match the focus words: whole name 1, part of a name or path less."""
    match = np.zeros(len(index_data.paths))
    for text in focus:
        wanted = [token for token in _tokens(text) if token not in STOP_WORDS]
        for token in wanted:
            column = index_data.postings.vocabulary.get(token)
            columns = [] if column < 0 else [column]
            for strength, chosen in ((1.0, columns), (0.5, index_data.postings.relatives(token).tolist())):
                for term in chosen:
                    for name, worth in (("path", 1.0), ("names", 0.7)):
                        rows, _ = index_data.postings.matrices[name].line(term)
                        match[rows] = np.maximum(match[rows], strength * worth / max(1, len(wanted)) ** 0.5)
        for file_index in index_data.modules.tail(text) + index_data.modules.folder(text):
            match[file_index] = 1.0
    return match
