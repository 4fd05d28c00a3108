"""Which embedder: chosen by name, never silently replaced."""

from hal9.errors.memory import EmbedderUnknown, MemoryInvalid
from hal9.memory.embedding.protocol import Embedder

__all__ = ["DEFAULT_EMBEDDER", "EMBEDDERS", "open_embedder"]

DEFAULT_EMBEDDER = "onnx-minilm"
EMBEDDERS = ("onnx-minilm", "sentence-transformers[:MODEL]", "hashing[:DIMENSION]", "none")
_DIMENSIONS = range(16, 4097)


def open_embedder(spec: str = DEFAULT_EMBEDDER) -> Embedder | None:
    """Open the embedder that a setting names.

    Args:
        spec: ``onnx-minilm``, ``sentence-transformers`` (or ``sentence-transformers:MODEL``), ``hashing`` (or
            ``hashing:DIMENSION``), or ``none`` for search by words alone.

    Raises:
        EmbedderUnknown: no such name.
        EmbedderUnavailable: its library or weights are missing; the message says how to get them.
        WeightsMismatch: its weights are not the right ones.
    """
    name, _, argument = spec.partition(":")
    if name == "none" and not argument:
        return None
    if name == "onnx-minilm" and not argument:
        from hal9.memory.embedding.onnx_minilm import OnnxMiniLM  # noqa: PLC0415  loads what it needs only when named

        return OnnxMiniLM()
    if name == "sentence-transformers":
        from hal9.memory.embedding.sentence_transformers_embedder import (  # noqa: PLC0415
            DEFAULT_MODEL,
            SentenceTransformersEmbedder,
        )

        return SentenceTransformersEmbedder(argument or DEFAULT_MODEL)
    if name == "hashing":
        from hal9.memory.embedding.hashing import HashingEmbedder  # noqa: PLC0415

        if argument and not (argument.isdecimal() and int(argument) in _DIMENSIONS):
            raise MemoryInvalid(
                what=f"embedder {spec!r}", why="its dimension must be a number from 16 to 4096"
            )
        return HashingEmbedder(int(argument)) if argument else HashingEmbedder()
    raise EmbedderUnknown(spec=spec, known=EMBEDDERS)
