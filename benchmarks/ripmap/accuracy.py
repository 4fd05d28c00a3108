"""File accuracy on the shared corpus, beside BM25, paired. Run: python -m benchmarks.ripmap.accuracy."""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.ripmap.accuracy_corpus import SPLITS, evaluators, write_result
from hal9.ripmap.evaluation.evaluation import CaseResult, Evaluator, PreparedCase, Report, gold_ranks
from hal9.ripmap.evaluation.metrics import ndcg_at
from hal9.ripmap.parameters import Parameters

FLOORS = {"train": (55, 77, 84), "dev": (63, 76, 86), "dev issue-like": (68, 82, 88)}
_K, _B, _PATH = 1.2, 0.75, 3.0


def bm25(evaluator: Evaluator) -> Report:
    """BM25 over content plus three times the path, every word of the task counting once per use."""
    return Report(Parameters(), tuple(_bm25_result(item) for item in evaluator.cases))


def _bm25_result(item: PreparedCase) -> CaseResult:
    words, files = item.evidence.words, item.evidence.files
    terms = files.saturated({"body": 1.0, "path": _PATH}, 0.0, _K, _B)
    scores = files.scores(terms, words.idf * words.parts.sum(axis=0))
    ranks = gold_ranks(scores, item)
    return CaseResult(item.case, ranks, ndcg_at({rank: item.case.gold[path] for path, rank in ranks.items()}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", nargs="*", default=list(SPLITS))
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(7)
    results: dict[str, object] = {}
    for name, evaluator in evaluators(tuple(chosen.splits)).items():
        evaluator.evaluate()
        started = time.perf_counter()
        ours = evaluator.evaluate()
        seconds = time.perf_counter() - started
        theirs = bm25(evaluator)
        paired = ours.against(theirs, rng)
        low, high = ours.interval(rng)
        print(f"{name:18} ripmap {ours.figures}  NDCG [{low:.3f}, {high:.3f}]  {seconds:.2f} s")
        print(f"{'':18} BM25   {theirs.figures}")
        for k, (wins, losses, p) in paired.cuts.items():
            print(f"{'':18} Acc@{k}: {wins} won, {losses} lost, p={p:.2g}")
        if name in FLOORS:
            reached = [
                100 * ours.figures.accuracy[k] >= floor
                for k, floor in zip((1, 3, 5), FLOORS[name], strict=True)
            ]
            print(f"{'':18} floor {FLOORS[name]}: {reached}")
        results[name] = {
            "ripmap": ours.figures.accuracy | {"mrr": ours.figures.mrr, "ndcg": ours.figures.ndcg},
            "bm25": theirs.figures.accuracy | {"mrr": theirs.figures.mrr, "ndcg": theirs.figures.ndcg},
            "interval": (low, high),
            "paired": dict(paired.cuts),
            "evaluation_seconds": seconds,
            "trees": {tree: str(figures) for tree, figures in ours.by_tree.items()},
        }
    print("written to", write_result("ripmap-accuracy", results))


if __name__ == "__main__":
    main()
