"""Embedding models behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["Embedder"]


class Embedder(Protocol):
    """Turns texts into unit vectors. `model_id` is stored with every vector it made."""

    @property
    def model_id(self) -> str:
        """Name and version of the model, stable across processes."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Returns:
            Array of shape (len(texts), dimension), float32, rows of unit length.
        """
        ...
