"""The history as the ranker sees it: words of commit messages, and which files changed together and when."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index import Index
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.query.task_query import PARTS, Query
from hal9.ripmap.storage.array_codec import Packed, pack, unpack
from hal9.ripmap.storage.sparse import CsrMatrix, csr_matrix
from hal9.ripmap.text.string_table import TermDictionary
from hal9.ripmap.text.tokenize import STOP_WORDS, identifier_parts, words

__all__ = [
    "COMMIT_INDEX_VERSION",
    "CommitIndex",
    "commit_index_of",
    "packed_commit_index",
    "unpack_commit_index",
]

COMMIT_INDEX_VERSION = 2
Array = NDArray[np.float64]
Ints = NDArray[np.int32]
_DAY = 86_400.0
_WIDEST_SIMILAR = 12
"""A commit that touches more files says little about each (similar messages)."""
_WIDEST_COUPLING = 20
_UNSEEN = 2.0
_MOST_SIMILAR = 40
_CHURN_WINDOW = 500
"""Churn counts the newest commits only."""
_K, _B = 1.2, 0.5


@dataclass(eq=False)
class CommitIndex:
    """Commits newest first.

    Attributes:
        files: how many files the index has.
        times: seconds since the epoch.
        widths: files each commit touched, those now gone included.
        vocabulary: message words.
        messages: (words x commits) counts.
        touched: (commits x files) ones; touching: the same by file.
    """

    files: int
    times: Array
    widths: Ints
    vocabulary: TermDictionary
    messages: CsrMatrix
    touched: CsrMatrix
    touching: CsrMatrix

    @cached_property
    def _lengths(self) -> Array:
        return self.messages.summed()

    def _visible(self, before: float | None) -> NDArray[np.bool_]:
        return np.ones(len(self.times), np.bool_) if before is None else self.times < before

    def similar_commits(self, query: Query, parameters: Parameters, before: float | None) -> Array:
        """Files of the commits whose messages are most like the task, wide commits counting less.

        Shape (files,). BM25 over the messages; the best forty weigh their squared relative score.
        """
        seen = self._visible(before) & (self.widths <= _WIDEST_SIMILAR) & (self.widths > 0)
        total = int(seen.sum())
        if not total:
            return np.zeros(self.files)
        weights: Counter[str] = Counter()
        soft = parameters["query_saturation"]
        for part in PARTS:
            for token, times in query.counts[part].items():
                weights[token] += parameters[f"query_{part}"] * times * (soft + 1) / (times + soft)  # type: ignore[assignment]
        relative = self._lengths / max(1e-9, float(self._lengths[seen].mean()))
        scores = np.zeros(len(self.times))
        for token, weight in weights.items():
            column = self.vocabulary.get(token)
            if column < 0:
                continue
            rows, counts = self.messages.line(column)
            kept = seen[rows]
            rows, counts = rows[kept], counts[kept]
            idf = np.log1p((total - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[rows] += weight * idf * counts / (counts + _K * (1 - _B + _B * relative[rows]))
        best = np.argsort(-scores, kind="stable")[:_MOST_SIMILAR]
        best = best[scores[best] > 0]
        if not len(best):
            return np.zeros(self.files)
        strength = (scores[best] / scores[best[0]]) ** 2 / np.sqrt(self.widths[best])
        return self.touched.weighted(best, strength)

    def boosts(self, parameters: Parameters, before: float | None) -> tuple[Array, Array]:
        """Natural logarithms of each file's recency and churn factors.

        recency = 1 + (max - 1)·exp(-days / decay), days before the newest commit that counts;
        churn = 1 + (max - 1)·(1 - exp(-(commits - threshold)⁺ / threshold)) over the newest 500 commits.

        Both of shape (files,).
        """
        seen = np.flatnonzero(self._visible(before))
        if not len(seen):
            return np.zeros(self.files), np.zeros(self.files)
        now = before if before is not None else float(self.times[seen].max())
        last = np.full(self.files, -np.inf)
        file_indexes, which, _ = self.touched.select(seen)
        np.maximum.at(last, file_indexes, self.times[seen][which])
        days = np.where(np.isfinite(last), np.maximum(0.0, now - last) / _DAY, np.inf)
        recency = np.log1p(
            (parameters["git_recency_max_boost"] - 1.0) * np.exp(-days / parameters["git_recency_decay_days"])
        )
        newest = seen[:_CHURN_WINDOW]
        counts = self.touched.weighted(newest, np.ones(len(newest)))
        threshold = parameters["git_churn_threshold"]
        over = np.maximum(0.0, counts - threshold) / threshold
        churn = np.log1p((parameters["git_churn_max_boost"] - 1.0) * (1.0 - np.exp(-over)))
        return recency, churn

    def together(self, anchor: int, before: float | None) -> Array:
        """Chance that a commit of the anchor touches each other file, a little pessimistic. Shape (files,).

        A commit shares its say among the other files it touched; two commits that touched none are added to
        those of the anchor, so that one common commit does not make a certainty.
        """
        own, _ = self.touching.line(anchor)
        own = own[(self._visible(before) & (self.widths <= _WIDEST_COUPLING))[own]]
        if not len(own):
            return np.zeros(self.files)
        share = 1.0 / np.maximum(1.0, self.widths[own] - 1.0)
        found = self.touched.weighted(own, share) / (len(own) + _UNSEEN)
        found[anchor] = 0.0
        return found

    def cochange(self, anchors: NDArray[np.intp], before: float | None) -> Array:
        """Largest Jaccard overlap of each file's commits with an anchor's; the anchors themselves are 0.

        Shape (files,); `anchors` (anchors,).
        """
        found = np.zeros(self.files)
        seen = np.flatnonzero(self._visible(before) & (self.widths <= _WIDEST_COUPLING))
        if not len(seen) or not len(anchors):
            return found
        visible = np.zeros(len(self.times), np.bool_)
        visible[seen] = True
        counts = self.touched.weighted(seen, np.ones(len(seen)))
        for anchor in anchors:
            own, _ = self.touching.line(int(anchor))
            own = own[visible[own]]
            if not len(own):
                continue
            together = self.touched.weighted(own, np.ones(len(own)))
            found = np.maximum(found, together / np.maximum(1.0, counts + len(own) - together))
        found[anchors] = 0.0
        return found


def commit_index_of(index: Index) -> CommitIndex:
    """The commit index, from the cache or made from its history; empty without git."""
    return unpack_commit_index(len(index.paths), packed_commit_index(index))


def packed_commit_index(index: Index) -> memoryview:
    """The commit index as one block of bytes, which `unpack_commit_index` reads anywhere."""
    return index.artifact(
        "commit_index", COMMIT_INDEX_VERSION, lambda: pack(_packed(index)), with_history=True
    )


def unpack_commit_index(files: int, packed: "bytes | memoryview") -> CommitIndex:
    """The commit index of an index with so many files."""
    return _unpacked(files, unpack(packed))


@lru_cache(maxsize=1 << 15)
def _message_words(message: str) -> tuple[tuple[str, int], ...]:
    """A message's words and how often it has each; whoever opens many revisions meets the same messages."""
    counts = Counter(t for word in words(message) for t in identifier_parts(word) if t not in STOP_WORDS)
    return tuple(counts.items())


def _packed(index: Index) -> Packed:
    file_indexes = {path: file_index for file_index, path in enumerate(index.paths)}
    vocabulary: dict[str, int] = {}
    times: list[float] = []
    widths: list[int] = []
    message: list[tuple[int, int, int]] = []
    touched: list[tuple[int, int]] = []
    for row, commit in enumerate(index.history.commits):
        times.append(commit.time)
        widths.append(len(commit.files))
        message += [
            (row, vocabulary.setdefault(token, len(vocabulary)), count)
            for token, count in _message_words(commit.message)
        ]
        touched += [(row, file_indexes[path]) for path in commit.files if path in file_indexes]
    commits = len(times)
    words_of = np.array(message, np.int64).reshape(-1, 3)
    files = np.array(touched, np.int64).reshape(-1, 2)
    ones = np.ones(len(files))
    return {
        "times": np.array(times, np.float64),
        "widths": np.array(widths, np.int32),
        **TermDictionary.of(vocabulary).packed("vocabulary"),
        **csr_matrix(
            words_of[:, 1], words_of[:, 0], words_of[:, 2].astype(np.float64), (len(vocabulary), commits)
        ).packed("messages"),
        **csr_matrix(files[:, 0], files[:, 1], ones, (commits, len(index.paths))).packed("touched"),
        **csr_matrix(files[:, 1], files[:, 0], ones, (len(index.paths), commits)).packed("touching"),
    }


def _unpacked(files: int, found: Packed) -> CommitIndex:
    return CommitIndex(
        files=files,
        times=np.asarray(found["times"], np.float64),
        widths=np.asarray(found["widths"], np.int32),
        vocabulary=TermDictionary.unpacked("vocabulary", found),
        messages=CsrMatrix.unpacked("messages", found),
        touched=CsrMatrix.unpacked("touched", found),
        touching=CsrMatrix.unpacked("touching", found),
    )
