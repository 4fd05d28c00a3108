"""Symbol accuracy: all changed functions, methods and classes within the first k, beside BM25 on bodies.

Run: python -m benchmarks.ripmap.symbols.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.ripmap.accuracy_corpus import evaluators, write_result
from hal9.ripmap.evaluation.evaluation import PreparedCase
from hal9.ripmap.evaluation.metrics import accuracy_at, mcnemar
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.ranker import rank_prepared, symbol_scores

CUTS = (1, 5, 10)
_KINDS = ("function", "method", "class")


def _gold(item: PreparedCase) -> list[int]:
    index_data, table = item.evidence.index_data, item.evidence.index_data.symbols
    file_indexes = [file_index for file_index, path in enumerate(index_data.paths) if path in item.case.gold]
    known = {
        f"{index_data.paths[file_index]}::{table.qualified(symbol)}": symbol
        for file_index in file_indexes
        for symbol in range(table.start[file_index], table.start[file_index + 1])
    }
    return [known[symbol] for symbol in item.case.gold_symbols if symbol in known]


def _eligible(item: PreparedCase) -> NDArray[np.bool_]:
    table = item.evidence.index_data.symbols
    kinds = [number for number, name in enumerate(table.names) if name in _KINDS]
    return item.candidates[table.file_index] & np.isin(table.kind, kinds)


def _bm25(item: PreparedCase) -> NDArray[np.float64]:
    index_data, words, chunks = item.evidence.index_data, item.evidence.words, item.evidence.chunks
    terms = chunks.saturated({"body": 1.0}, 0.0, 1.2, 0.75)
    by_chunk = chunks.scores(terms, words.idf * words.parts.sum(axis=0))
    scores = np.zeros(len(index_data.symbols.name))
    owned = np.flatnonzero(index_data.postings.chunk_owner >= 0)
    scores[
        index_data.symbols.start[index_data.postings.chunk_file[owned]]
        + index_data.postings.chunk_owner[owned]
    ] = by_chunk[owned]
    return scores


def _ranks(scores: NDArray[np.float64], eligible: NDArray[np.bool_], gold: list[int]) -> list[int]:
    """Ranks among eligible symbols; equals share the middle place, so that silence earns nothing."""
    values = np.where(eligible, scores, -np.inf)
    return [int((values > values[one]).sum() + (values == values[one]).sum() // 2) for one in gold]


def main() -> None:
    results: dict[str, object] = {}
    at = Parameters()
    for name, evaluator in evaluators(issues=False).items():
        ours: list[list[int]] = []
        theirs: list[list[int]] = []
        for item in evaluator.cases:
            gold = _gold(item)
            if len(gold) < len(item.case.gold_symbols) or not gold:
                continue
            eligible = _eligible(item)
            ours.append(
                _ranks(
                    symbol_scores(item.evidence, at, rank_prepared(item.evidence, at).scores), eligible, gold
                )
            )
            theirs.append(_ranks(_bm25(item), eligible, gold))
        row: dict[str, object] = {"cases": len(ours)}
        for label, ranks in (("ripmap", ours), ("bm25", theirs)):
            row[label] = {
                k: float(np.mean([accuracy_at(case_ranks, k) for case_ranks in ranks])) for k in CUTS
            }
            row[f"{label} any"] = {
                k: float(np.mean([min(case_ranks) < k for case_ranks in ranks])) for k in CUTS
            }
        for k in CUTS:
            wins = sum(max(a) < k <= max(b) for a, b in zip(ours, theirs, strict=True))
            losses = sum(max(b) < k <= max(a) for a, b in zip(ours, theirs, strict=True))
            row[f"p@{k}"] = mcnemar(wins, losses)
        print(name, row)
        results[name] = row
    print("written to", write_result("ripmap-symbols", results))


if __name__ == "__main__":
    main()
