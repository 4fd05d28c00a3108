"""Does the nearest memory belong to the same kind of error? Words against vectors against their fusion.

Leave-one-out over labelled texts: the nearest other text should have the same label. `--tune` prints the grid
over the fusion's two settings on the development texts; the test texts never choose anything.

    python -m benchmarks.memory.accuracy [--tune] [--embedder onnx-minilm]
"""

import argparse
import random
from pathlib import Path

import yaml

from benchmarks.memory.report import write
from hal9.memory import Fusion, MemoryStore, NewMemory, open_embedder, search
from hal9.memory.embedding.protocol import Embedder

HERE = Path(__file__).parent
Labelled = list[tuple[str, str]]


def load(*names: str) -> Labelled:
    texts: Labelled = []
    for name in names:
        groups = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
        texts += [(group, text) for group, members in groups.items() for text in members]
    return texts


class Corpus:
    """Labelled texts in a memory of their own."""

    def __init__(self, texts: Labelled, embedder: Embedder) -> None:
        self.texts = texts
        self.store = MemoryStore(":memory:", embedder=embedder).__enter__()
        self.ids = self.store.remember_many([NewMemory(kind="error", content=text) for _, text in texts])
        self.label = {one: group for one, (group, _) in zip(self.ids, texts, strict=True)}

    def ranking(self, index: int, mode: str, fusion: Fusion | None = None) -> list[int]:
        hits = search(self.store, self.texts[index][1], limit=60, mode=mode, fusion=fusion)  # type: ignore[arg-type]
        return [hit.memory.id for hit in hits if hit.memory.id != self.ids[index]]

    def equal_ranks(self, index: int) -> list[int]:
        """What is usually done: reciprocal ranks, equal weights (Cormack et al., SIGIR 2009; k = 60)."""
        scores: dict[int, float] = {}
        for mode in ("words", "vectors"):
            for rank, one in enumerate(self.ranking(index, mode), start=1):
                scores[one] = scores.get(one, 0.0) + 1.0 / (60 + rank)
        return sorted(scores, key=lambda one: (-scores[one], one))

    def right(self, mode: str, fusion: Fusion | None = None) -> list[bool]:
        outcome = []
        for index, (group, _) in enumerate(self.texts):
            ranked = self.equal_ranks(index) if mode == "equal ranks" else self.ranking(index, mode, fusion)
            outcome.append(bool(ranked) and self.label[ranked[0]] == group)
        return outcome


def interval(first: list[bool], second: list[bool], *, rounds: int = 2_000) -> tuple[float, float]:
    """95% paired bootstrap interval of the difference in accuracy, second minus first."""
    rng = random.Random(7)
    differences = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    means = sorted(
        sum(rng.choices(differences, k=len(differences))) / len(differences) for _ in range(rounds)
    )
    return means[int(0.025 * rounds)], means[int(0.975 * rounds)]


def tune(embedder: Embedder) -> None:
    corpora = {
        name: Corpus(load(*name.split("+")), embedder)
        for name in ("errors_dev", "codes_dev", "errors_dev+codes_dev")
    }
    print(f"{'w':>5} {'c':>5}  " + "  ".join(f"{name:>20}" for name in corpora))
    for weight in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0):
        for half in (0.5, 1.0, 2.0, 4.0):
            fusion = Fusion(word_weight=weight, half_bm25=half)
            cells = [sum(corpus.right("fused", fusion)) / len(corpus.texts) for corpus in corpora.values()]
            print(f"{weight:5} {half:5}  " + "  ".join(f"{cell:20.3f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--embedder", default="onnx-minilm")
    options = parser.parse_args()
    embedder = open_embedder(options.embedder)
    if embedder is None:
        parser.error("an embedder is needed")
    if options.tune:
        tune(embedder)
        return
    modes = ("words", "vectors", "fused", "equal ranks")
    figures = []
    print(f"nearest neighbour of the same group, {embedder.model_id}")
    print(
        f"{'texts':<24} {'n':>4} {'groups':>6} "
        + " ".join(f"{mode:>11}" for mode in modes)
        + "   fused - best side [95%]"
    )
    for names in (("errors_test",), ("codes_test",), ("errors_test", "codes_test")):
        corpus = Corpus(load(*names), embedder)
        outcome = {mode: corpus.right(mode) for mode in modes}
        share = {mode: sum(right) / len(right) for mode, right in outcome.items()}
        better = max(("words", "vectors"), key=share.__getitem__)
        low, high = interval(outcome[better], outcome["fused"])
        groups = len(set(corpus.label.values()))
        print(
            f"{'+'.join(names):<24} {len(corpus.texts):>4} {groups:>6} "
            + " ".join(f"{share[mode]:11.3f}" for mode in modes)
            + f"   {share['fused'] - share[better]:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
        figures.append(
            {
                "texts": "+".join(names),
                "n": len(corpus.texts),
                "groups": groups,
                "accuracy": share,
                "fused_minus_better": {"mean": share["fused"] - share[better], "low": low, "high": high},
                "fused_not_below_better": share["fused"] >= share[better],
            }
        )
        corpus.store.close()
    fusion = Fusion()
    settings = {
        "embedder": embedder.model_id,
        "word_weight": fusion.word_weight,
        "half_bm25": fusion.half_bm25,
    }
    print(f"written: {write('accuracy', settings, figures)}")


if __name__ == "__main__":
    main()
