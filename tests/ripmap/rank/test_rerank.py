from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hal9.errors.ripmap import RerankFailed
from hal9.ripmap import Index
from hal9.ripmap.ranking.ranker import rank
from hal9.ripmap.ranking.reranker import mind_prompt, rerank_by_embedding, rerank_by_mind, summary


class FirstLetters:
    """Counts letters: texts with like letters are alike."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array(
            [[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32
        )
        unit: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit


def test_embedding_reorders_the_head_and_keeps_the_rest(shop: Index) -> None:
    ranking = rank(shop, "rounding of amounts")
    paths = rerank_by_embedding(ranking, FirstLetters(), top=4, weight=5.0)
    assert sorted(paths[:4]) == sorted(ranking.paths[:4])
    assert paths[4:] == ranking.paths[4:]
    assert rerank_by_embedding(ranking, FirstLetters(), top=4, weight=0.0) == ranking.paths


def test_summaries_name_what_suits_the_task(shop: Index) -> None:
    assert summary(rank(shop, "round_amount"), "shop/money.py").startswith("shop/money.py: round_amount")


async def test_what_a_mind_names_rises_by_its_weight(shop: Index) -> None:
    ranking = rank(shop, "rounding of amounts")
    asked: list[str] = []

    async def ask(prompt: str) -> str:
        asked.append(prompt)
        return "3, 1, 99"

    paths = await rerank_by_mind(ranking, ask, top=5, weight=10.0)
    assert asked == [mind_prompt(ranking, top=5)]
    assert paths[:2] == [ranking.paths[2], ranking.paths[0]]
    assert sorted(paths) == sorted(ranking.paths)
    assert await rerank_by_mind(ranking, ask, top=5, weight=0.0) == ranking.paths


async def test_an_answer_that_names_nothing_is_an_error(shop: Index) -> None:
    async def ask(prompt: str) -> str:
        return "I cannot say."

    with pytest.raises(RerankFailed, match="cannot say"):
        await rerank_by_mind(rank(shop, "rounding"), ask)
