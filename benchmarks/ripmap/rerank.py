"""What a second look at the first twenty adds: an embedder, or a language model.

Run: python -m benchmarks.ripmap.rerank [--by hashing onnx-minilm] [--mind local --sample 24].
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np

from benchmarks.ripmap.accuracy_corpus import evaluators, write_result
from hal9.errors.base import MindError
from hal9.errors.ripmap import RerankFailed
from hal9.memory import Embedder, open_embedder
from hal9.minds import Message, Mind, Request, open_mind
from hal9.ripmap.evaluation.evaluation import Evaluator, PreparedCase
from hal9.ripmap.evaluation.metrics import accuracy_at, mcnemar
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.ranker import Ranking
from hal9.ripmap.ranking.reranker import Ask, rerank_by_embedding, rerank_by_mind

CUTS = (1, 3, 5)
Reorder = Callable[[Ranking], Awaitable[list[str]]]


def _sample(evaluator: Evaluator, size: int) -> list[PreparedCase]:
    cases = list(evaluator.cases)
    if not size or size >= len(cases):
        return cases
    chosen = np.sort(np.random.default_rng(7).choice(len(cases), size, replace=False))
    return [cases[index] for index in chosen]


async def _measure(cases: list[PreparedCase], reorder: Reorder) -> dict[str, object]:
    before: list[list[int]] = []
    after: list[list[int]] = []
    failed = 0
    seconds = 0.0
    for item in cases:
        ranking = Evaluator([item]).ranking(item, Parameters())
        allowed = {path for path, one in zip(ranking.index_data.paths, item.candidates, strict=True) if one}
        ranking.put_in_order(
            [*(p for p in ranking.paths if p in allowed), *(p for p in ranking.paths if p not in allowed)]
        )
        started = time.perf_counter()
        try:
            paths = await reorder(ranking)
        except (RerankFailed, MindError):
            paths, failed = ranking.paths, failed + 1
        seconds += time.perf_counter() - started
        for ranks, order in ((before, ranking.paths), (after, paths)):
            ranks.append([order.index(path) for path in item.case.gold])
    row: dict[str, object] = {"cases": len(cases), "unusable": failed, "seconds": seconds / len(cases)}
    for k in CUTS:
        wins = sum(max(a) < k <= max(b) for a, b in zip(after, before, strict=True))
        losses = sum(max(b) < k <= max(a) for a, b in zip(after, before, strict=True))
        means = [float(np.mean([accuracy_at(ranks, k) for ranks in group])) for group in (before, after)]
        row[f"@{k}"] = {
            "before": means[0],
            "after": means[1],
            "won": wins,
            "lost": losses,
            "p": mcnemar(wins, losses),
        }
    return row


def _by_likeness(embedder: Embedder, weight: float) -> Reorder:
    async def reorder(ranking: Ranking) -> list[str]:
        return rerank_by_embedding(ranking, embedder, weight=weight)

    return reorder


def _remembered(mind: Mind) -> Ask:
    """Asks every question once, however many weights its answer is tried with."""
    answers: dict[str, str] = {}

    async def ask(prompt: str) -> str:
        if prompt not in answers:
            request = Request(messages=(Message(role="user", content=prompt),), max_tokens=100)
            answers[prompt] = (await mind.think(request)).text
        return answers[prompt]

    return ask


def _by_choice(ask: Ask, weight: float) -> Reorder:
    async def reorder(ranking: Ranking) -> list[str]:
        return await rerank_by_mind(ranking, ask, weight=weight)

    return reorder


def _shown(row: dict[str, object]) -> str:
    cells = [row[f"@{k}"] for k in CUTS]
    figures = ["/".join(f"{100 * cell[when]:.1f}" for cell in cells) for when in ("before", "after")]  # type: ignore[index]
    return f"{figures[0]} -> {figures[1]}  n={row['cases']}  unusable={row['unusable']}  {row['seconds']:.2f} s each"


async def _run(chosen: argparse.Namespace) -> dict[str, dict[str, object]]:
    corpus = evaluators((chosen.split,))
    results: dict[str, dict[str, object]] = {}

    async def over(label: str, reorder: Reorder, size: int) -> None:
        for name, evaluator in corpus.items():
            row = await _measure(_sample(evaluator, size), reorder)
            results.setdefault(label, {})[name] = row
            print(f"{label:14} {name:16} {_shown(row)}", flush=True)

    for spec in chosen.by:
        embedder = open_embedder(spec)
        assert embedder is not None
        for weight in chosen.weights:
            await over(f"{spec} {weight:g}", _by_likeness(embedder, weight), chosen.sample)
    for spec in chosen.mind:
        async with open_mind(spec) as mind:
            ask = _remembered(mind)
            for weight in chosen.weights:
                await over(f"{spec} {weight:g}", _by_choice(ask, weight), chosen.mind_sample)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--by", nargs="*", default=["hashing", "onnx-minilm"], help="embedders")
    parser.add_argument("--weights", nargs="*", type=float, default=[0.2])
    parser.add_argument("--sample", type=int, default=0, help="cases per set for embedders; 0 takes all")
    parser.add_argument("--mind", nargs="*", default=[], help="language models")
    parser.add_argument("--mind-sample", type=int, default=24, help="cases per set for language models")
    chosen = parser.parse_args()
    print("written to", write_result("ripmap-rerank", asyncio.run(_run(chosen))))


if __name__ == "__main__":
    main()
