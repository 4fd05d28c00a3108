"""The default embedder: all-MiniLM-L6-v2 as int8 ONNX, 384 dimensions, about 8 ms a text on one core."""

import importlib
import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.errors.base import install_hint
from hal9.errors.memory import EmbedderUnavailable
from hal9.memory.embedding.embedder_download import MINILM, checked, weights_folder

__all__ = ["OnnxMiniLM"]

_MAX_TOKENS = 256
_DIMENSION = 384


class OnnxMiniLM:
    """Mean-pooled, normalised MiniLM vectors.

    Each text runs alone: the int8 model scales its activations by what is in a batch, so only then does a
    text have one vector, whatever it is embedded with.

    Args:
        folder: where the weights lie; None is the user's cache.
        threads: of ONNX Runtime. One is fastest per processor second and does not spin beside other work.

    Raises:
        EmbedderUnavailable: library or weights are missing.
        WeightsMismatch: the weights are not the right ones.
    """

    def __init__(self, folder: Path | None = None, *, threads: int = 1) -> None:
        for library in ("onnxruntime", "tokenizers"):
            if importlib.util.find_spec(library) is None:
                raise EmbedderUnavailable(
                    embedder="onnx-minilm",
                    missing=f"the library {library}",
                    remedy=f"Install it with `{install_hint('onnx')}`, or name another embedder.",
                )
        place = folder or weights_folder() / "minilm-int8"
        self._model, self._vocabulary = (checked(place, file) for file in MINILM)
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def _load(self) -> tuple[Any, Any]:
        """Session and tokenizer: 190 MB that a cluster which embeds nothing need not hold."""
        with self._loading:
            if self._loaded is None:
                # By name: they load slowly, are optional, and carry no types.
                onnxruntime: Any = importlib.import_module("onnxruntime")
                tokenizers: Any = importlib.import_module("tokenizers")
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self._threads
                options.inter_op_num_threads = 1
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                session = onnxruntime.InferenceSession(
                    str(self._model), sess_options=options, providers=["CPUExecutionProvider"]
                )
                tokenizer = tokenizers.Tokenizer.from_file(str(self._vocabulary))
                tokenizer.enable_truncation(max_length=_MAX_TOKENS)
                tokenizer.no_padding()
                self._loaded = session, tokenizer
            return self._loaded

    @property
    def model_id(self) -> str:
        """Name and the weights' hash."""
        return f"all-MiniLM-L6-v2-onnx-int8@{MINILM[0].sha256[:8]}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, the first 256 tokens of each.

        Returns:
            Array of shape (len(texts), 384), float32, rows of unit length.
        """
        session, tokenizer = self._load()
        vectors = np.zeros((len(texts), _DIMENSION), dtype=np.float32)
        for index, text in enumerate(texts):
            tokens = np.asarray([tokenizer.encode(text).ids], dtype=np.int64)
            feeds = {
                "input_ids": tokens,
                "attention_mask": np.ones_like(tokens),
                "token_type_ids": np.zeros_like(tokens),
            }
            hidden = session.run(["last_hidden_state"], feeds)[0][0]
            mean = hidden.mean(axis=0)
            vectors[index] = mean / np.linalg.norm(mean)
        return vectors
