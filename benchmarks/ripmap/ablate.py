"""What each signal adds: the corpus with one coordinate switched off, or on where it is off by default.

Run: python -m benchmarks.ripmap --ablate.
"""

import numpy as np

from benchmarks.ripmap.accuracy_corpus import evaluators, write_result
from hal9.ripmap.evaluation.evaluation import Report
from hal9.ripmap.parameters import Parameters

OFF = {
    "words of the whole file": {"weight_words": 0.0},
    "best definitions": {"weight_chunks": 0.0},
    "title alone": {"weight_title": 0.0},
    "path": {"weight_path": 0.0},
    "names covered by the task": {"weight_heads": 0.0},
    "word pairs": {"weight_pairs": 0.0},
    "identifiers": {"weight_identifiers": 0.0},
    "exact mentions": {"weight_mentions": 0.0},
    "named files": {"weight_named_files": 0.0},
    "stack traces": {"weight_traceback": 0.0},
    "imports of tests": {"weight_tests": 0.0},
    "names in tests": {"weight_test_names": 0.0},
    "imports of the leaders": {"weight_imported": 0.0},
    "error texts": {"weight_errors": 0.0},
    "stems": {"stem_weight": 0.0},
    "heads of definitions": {"chunk_head": 0.0},
    "boilerplate left in": {"query_boilerplate": 1.0},
    "parts weighed alike": {"query_title": 1.0, "query_code": 1.0, "query_traceback": 1.0},
}
ON = {
    "+ PageRank 0.1": {"weight_structure": 0.1},
    "+ PageRank 0.3": {"weight_structure": 0.3},
    "+ callees 0.3": {"weight_callees": 0.3},
    "+ documentation field": {"field_docs": 1.0},
    "+ mixing 0.3": {"interaction_mixing": 0.3},
}


def _score(reports: dict[str, Report]) -> float:
    """Mean NDCG@10 over all cases of all splits."""
    return float(np.mean([result.ndcg for report in reports.values() for result in report.results]))


def main() -> None:
    corpus = evaluators()
    rng = np.random.default_rng(7)

    def run(changes: dict[str, float]) -> dict[str, Report]:
        return {name: evaluator.evaluate(Parameters(changes)) for name, evaluator in corpus.items()}

    base = run({})
    rows: dict[str, object] = {}
    print(f"{'':28}" + "".join(f"{name:>22}" for name in corpus) + "   mean NDCG")

    def show(label: str, reports: dict[str, Report]) -> None:
        cells = []
        for name, report in reports.items():
            cells.append("/".join(f"{100 * report.figures.accuracy[k]:.1f}" for k in (1, 3, 5)))
            paired = report.against(base[name], rng)
            rows.setdefault(label, {})[name] = {  # type: ignore[index]
                "accuracy": report.figures.accuracy,
                "ndcg": report.figures.ndcg,
                "difference": paired.ndcg_difference,
                "interval": paired.interval,
            }
        difference = 100 * (_score(reports) - _score(base))
        print(
            f"{label:28}"
            + "".join(f"{cell:>22}" for cell in cells)
            + f"   {100 * _score(reports):.2f} ({difference:+.2f})"
        )

    show("all", base)
    for label, changes in OFF.items():
        show(f"- {label}", run(changes))
    for label, changes in ON.items():
        show(label, run(changes))
    print("written to", write_result("ripmap-ablation", rows))


if __name__ == "__main__":
    main()
