"""A deterministic embedder of hashed n-grams, and what the belief takes from embeddings."""

import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray
from hal9.memory.embedding.protocol import Embedder

__all__ = ["HashedEmbedder", "affinity", "statement_gram", "statements"]


@dataclass(frozen=True, slots=True)
class HashedEmbedder:
    """Embeds a text as signed counts of its words and character n-grams, hashed into a fixed dimension.

    Needs no model and no network; it knows spelling, not meaning.
    """

    dimension: int = 512

    @property
    def model_id(self) -> str:
        return f"hashed-ngrams-{self.dimension}-v1"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature, weight in _features(text):
                code = zlib.crc32(feature.encode())
                row[(code >> 1) % self.dimension] += weight if code & 1 else -weight
            norm = float(np.linalg.norm(row))
            # Text without a letter or digit still needs a unit vector.
            row[:] = row / norm if norm > 0 else np.eye(1, self.dimension, dtype=np.float32)[0]
        return rows


def _features(text: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    words = re.findall(r"[^\W_]+", text.lower())
    for word in words:
        found.append((f"w:{word}", 1.0))
        padded = f"^{word}$"
        found.extend((f"c:{padded[k : k + 3]}", 0.5) for k in range(len(padded) - 2))
    found.extend((f"b:{a} {b}", 1.0) for a, b in itertools.pairwise(words))
    return found


def statements(first: str, second: str) -> tuple[str, str, str, str]:
    """The four things that can be true of a pair, in the order of the relations, as sentences."""
    return (
        f"{first} causes {second}: changing {first} changes {second}",
        f"{second} causes {first}: changing {second} changes {first}",
        f"{first} and {second} have no direct effect on each other",
        f"a hidden common cause drives both {first} and {second}",
    )


def statement_gram(embedder: Embedder, first: str, second: str) -> FloatArray:
    """Inner products of the four statements' embeddings, shape (4, 4).

    A small multiple of the identity is added: an embedder may map two statements to nearly one vector, and
    then a wrong belief would cost nothing.
    """
    vectors = embedder.embed(statements(first, second)).astype(np.float64)
    return np.asarray(vectors @ vectors.T + 0.25 * np.eye(4))


def affinity(embedder: Embedder, texts: Sequence[str]) -> FloatArray:
    """How much nearer each pair of descriptions is than pairs are on average.

    Args:
        embedder: any embedder.
        texts: one description per variable.

    Returns:
        Standardised cosine similarity per pair in upper-triangle order, clipped to ±2.
    """
    vectors = embedder.embed(texts).astype(np.float64)
    first, second = np.triu_indices(len(texts), 1)
    cosine = np.einsum("pd,pd->p", vectors[first], vectors[second])
    spread = float(cosine.std())
    if spread < 1e-9:
        return np.zeros(first.size)
    return np.asarray(np.clip((cosine - cosine.mean()) / spread, -2.0, 2.0))
