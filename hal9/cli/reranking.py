"""What `ripmap --rerank NAME` may look again with: the embedders of memory, and any mind."""

import asyncio

from hal9.errors.memory import EmbedderUnknown
from hal9.ripmap.ranking.ranker import Ranking
from hal9.ripmap.ranking.reranker import Reranker, rerank_by_embedding, rerank_by_mind

__all__ = ["by_embedding", "by_mind"]

_MOST_TOKENS = 100


def by_embedding(spec: str, weight: float) -> Reranker:
    """Likeness of the task to each file's path and names.

    Raises:
        EmbedderUnknown: no such embedder.
        EmbedderUnavailable: its library or weights are missing.
    """
    from hal9.memory import EMBEDDERS, open_embedder

    embedder = open_embedder(spec)
    if embedder is None:
        raise EmbedderUnknown(spec=spec, known=tuple(EMBEDDERS))
    return lambda ranking: rerank_by_embedding(ranking, embedder, weight=weight)


def by_mind(spec: str, weight: float) -> Reranker:
    """A language model's choice among the best files.

    Raises:
        MindError: the spec names no mind, or it cannot answer.
    """
    from hal9.minds import Message, Request, open_mind

    async def reordered(ranking: Ranking) -> list[str]:
        async with open_mind(spec) as mind:

            async def ask(prompt: str) -> str:
                request = Request(messages=(Message(role="user", content=prompt),), max_tokens=_MOST_TOKENS)
                return (await mind.think(request)).text

            return await rerank_by_mind(ranking, ask, weight=weight)

    return lambda ranking: asyncio.run(reordered(ranking))
