"""Any sentence-transformers model, for those who have torch anyway."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.errors.base import install_hint
from hal9.errors.memory import EmbedderUnavailable

__all__ = ["DEFAULT_MODEL", "SentenceTransformersEmbedder"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class SentenceTransformersEmbedder:
    """Vectors of a sentence-transformers model on the processor.

    Args:
        model: a hub name or a folder.

    Raises:
        EmbedderUnavailable: the library or the model is missing.
    """

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        try:
            # By name: it loads torch, is optional, and carries no types.
            sentence_transformers: Any = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise EmbedderUnavailable(
                embedder="sentence-transformers",
                missing=f"the library {error.name}",
                remedy=f"Install it with `{install_hint('sentence-transformers')}`, or use onnx-minilm.",
            ) from error
        try:
            self._model: Any = sentence_transformers.SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise EmbedderUnavailable(
                embedder="sentence-transformers",
                missing=f"the model {model}",
                remedy=f"Download it while online, or name a folder that holds it ({type(error).__name__}).",
            ) from error
        self._name = model

    @property
    def model_id(self) -> str:
        """The library's name and the model's."""
        return f"sentence-transformers:{self._name}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Returns:
            Array of shape (len(texts), dimension), float32, rows of unit length.
        """
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)
