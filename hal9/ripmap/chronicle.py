"""The history as the ranker sees it: words of commit messages, and which files changed together and when."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hal9.ripmap.codec import Packed, pack, unpack
from hal9.ripmap.index import Index
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.query import PARTS, Query
from hal9.ripmap.tokenize import STOP_WORDS, identifier_parts, words

__all__ = ["CHRONICLE_VERSION", "Chronicle", "chronicle_of"]

CHRONICLE_VERSION = 1
Array = NDArray[np.float64]
Ints = NDArray[np.int32]
_DAY = 86_400.0
_WIDEST_KIN = 12
"""A commit that touches more files says little about each (similar messages)."""
_WIDEST_COUPLING = 20
_KIN = 40
_CHURN_WINDOW = 500
"""Churn counts the newest commits only."""
_K, _B = 1.2, 0.5


@dataclass(eq=False)
class Chronicle:
    """Commits newest first.

    Attributes:
        files: how many files the index has.
        times: seconds since the epoch.
        widths: files each commit touched, those now gone included.
        vocabulary: message words.
        messages: (commits x words) counts, CSC.
        touched: (commits x files) ones.
    """

    files: int
    times: Array
    widths: Ints
    vocabulary: list[str]
    messages: sp.csc_matrix
    touched: sp.csr_matrix

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: column for column, word in enumerate(self.vocabulary)}

    @cached_property
    def _lengths(self) -> Array:
        return np.asarray(self.messages.sum(axis=1), np.float64).ravel()

    def _visible(self, before: float | None) -> NDArray[np.bool_]:
        return np.ones(len(self.times), np.bool_) if before is None else self.times < before

    def kin(self, query: Query, parameters: Parameters, before: float | None) -> Array:
        """Files of the commits whose messages are most like the task, wide commits counting less.

        Shape (files,). BM25 over the messages; the best forty weigh their squared relative score.
        """
        seen = self._visible(before) & (self.widths <= _WIDEST_KIN) & (self.widths > 0)
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
            column = self._columns.get(token)
            if column is None:
                continue
            entries = slice(self.messages.indptr[column], self.messages.indptr[column + 1])
            rows = self.messages.indices[entries]
            kept = seen[rows]
            rows, counts = rows[kept], self.messages.data[entries][kept]
            idf = np.log1p((total - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[rows] += weight * idf * counts / (counts + _K * (1 - _B + _B * relative[rows]))
        best = np.argsort(-scores, kind="stable")[:_KIN]
        best = best[scores[best] > 0]
        if not len(best):
            return np.zeros(self.files)
        strength = (scores[best] / scores[best[0]]) ** 2 / np.sqrt(self.widths[best])
        return np.asarray(strength @ self.touched[best]).ravel()

    def boosts(self, parameters: Parameters, before: float | None) -> tuple[Array, Array]:
        """Natural logarithms of each file's recency and churn factors.

        recency = 1 + (max - 1)·exp(-days / decay), days before the newest commit that counts;
        churn = 1 + (max - 1)·(1 - exp(-(commits - threshold)⁺ / threshold)) over the newest 500 commits.
        """
        seen = np.flatnonzero(self._visible(before))
        if not len(seen):
            return np.zeros(self.files), np.zeros(self.files)
        now = before if before is not None else float(self.times[seen].max())
        last = np.full(self.files, -np.inf)
        part = self.touched[seen].tocoo()
        np.maximum.at(last, part.col, self.times[seen][part.row])
        days = np.where(np.isfinite(last), np.maximum(0.0, now - last) / _DAY, np.inf)
        recency = np.log1p(
            (parameters["git_recency_max_boost"] - 1.0) * np.exp(-days / parameters["git_recency_decay_days"])
        )
        counts = np.asarray(self.touched[seen[:_CHURN_WINDOW]].sum(axis=0)).ravel()
        threshold = parameters["git_churn_threshold"]
        over = np.maximum(0.0, counts - threshold) / threshold
        churn = np.log1p((parameters["git_churn_max_boost"] - 1.0) * (1.0 - np.exp(-over)))
        return recency, churn

    def coupled(self, anchors: NDArray[np.intp], before: float | None) -> Array:
        """Largest Jaccard overlap of each file's commits with an anchor's; the anchors themselves are 0."""
        found = np.zeros(self.files)
        seen = np.flatnonzero(self._visible(before) & (self.widths <= _WIDEST_COUPLING))
        if not len(seen) or not len(anchors):
            return found
        touched = self.touched[seen]
        counts = np.asarray(touched.sum(axis=0)).ravel()
        columns = touched.tocsc()
        for anchor in anchors:
            own = columns.indices[columns.indptr[anchor] : columns.indptr[anchor + 1]]
            if not len(own):
                continue
            together = np.asarray(touched[own].sum(axis=0)).ravel()
            found = np.maximum(found, together / np.maximum(1.0, counts + len(own) - together))
        found[anchors] = 0.0
        return found


def chronicle_of(index: Index) -> Chronicle:
    """The index's chronicle, from the cache or made from its history; empty without git."""
    blob = index.artifact("chronicle", CHRONICLE_VERSION, lambda: pack(_packed(index)), with_history=True)
    return _unpacked(len(index.paths), unpack(blob))


def _packed(index: Index) -> Packed:
    positions = {path: position for position, path in enumerate(index.paths)}
    vocabulary: dict[str, int] = {}
    times: list[float] = []
    widths: list[int] = []
    message: list[tuple[int, int, int]] = []
    touched: list[tuple[int, int]] = []
    for row, commit in enumerate(index.history.commits):
        times.append(commit.time)
        widths.append(len(commit.files))
        counts = Counter(
            t for word in words(commit.message) for t in identifier_parts(word) if t not in STOP_WORDS
        )
        message += [
            (row, vocabulary.setdefault(token, len(vocabulary)), count) for token, count in counts.items()
        ]
        touched += [(row, positions[path]) for path in commit.files if path in positions]
    return {
        "times": np.array(times, np.float64),
        "widths": np.array(widths, np.int32),
        "vocabulary": list(vocabulary),
        "message": np.array(message, np.int32).reshape(-1, 3),
        "touched": np.array(touched, np.int32).reshape(-1, 2),
    }


def _unpacked(files: int, found: Packed) -> Chronicle:
    times, widths, vocabulary = found["times"], found["widths"], found["vocabulary"]
    message, touched = np.asarray(found["message"]), np.asarray(found["touched"])
    commits = len(times)
    return Chronicle(
        files=files,
        times=np.asarray(times, np.float64),
        widths=np.asarray(widths, np.int32),
        vocabulary=list(vocabulary),
        messages=sp.csc_matrix(
            (message[:, 2].astype(np.float64), (message[:, 0], message[:, 1])),
            shape=(commits, len(vocabulary)),
        ),
        touched=sp.csr_matrix(
            (np.ones(len(touched)), (touched[:, 0], touched[:, 1])), shape=(commits, files)
        ),
    )
