"""What reordering the first twenty adds, with the hashing embedder that memory ships.

Run: python -m benchmarks.ripmap.rerank.
"""

import argparse

import numpy as np

from benchmarks.ripmap.accuracy_corpus import evaluators, write_result
from hal9.memory.hashing import HashingEmbedder
from hal9.ripmap.metrics import accuracy_at, mcnemar
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.rerank import rerank_by_embedding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weight", type=float, default=0.5)
    chosen = parser.parse_args()
    embedder, at = HashingEmbedder(), Parameters()
    results: dict[str, object] = {}
    for name, evaluator in evaluators(("dev",)).items():
        before: list[list[int]] = []
        after: list[list[int]] = []
        for item in evaluator.cases:
            ranking = evaluator.ranking(item, at)
            allowed = {path for path, one in zip(ranking.terrain.paths, item.candidates, strict=True) if one}
            for ranks, paths in (
                (before, ranking.paths),
                (after, rerank_by_embedding(ranking, embedder, weight=chosen.weight)),
            ):
                order = [path for path in paths if path in allowed]
                ranks.append([order.index(path) for path in item.case.gold])
        row: dict[str, object] = {}
        for k in (1, 3, 5):
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
        print(name, row)
        results[name] = row
    print("written to", write_result("ripmap-rerank", results))


if __name__ == "__main__":
    main()
