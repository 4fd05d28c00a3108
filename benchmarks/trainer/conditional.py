"""Do coordinates that switch on features of the query or the repository gain on repositories never seen?

Every single step of every living parameter, alone or where a feature lies on one side of a bound, is measured on
the training repositories. What passes the gate is ranked by gain over noise. The best ten are looked at on the
validation repositories, the very best one, once, on the test repositories.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.presets import features_of
from hal9.trainer.evaluation.corpus import localization_corpus
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator, paired_gain
from hal9.trainer.record.changes import NOISE, verdict
from hal9.trainer.record.runs import paired_p
from hal9.trainer.search.space import DIRECTIONS, Change, apply_changes, liveness, space_of

Array = NDArray[np.float64]
_LEAST = 0.001
_SHOWN = 10
_QUANTILES = (0.33, 0.5, 0.67)
_PATH = re.compile(r"\w/\w|\.py\b")
_NAME = re.compile(r"\b[a-z]+_[a-z_]+\b|\b[A-Z][a-z]+[A-Z]\w+\b")


@dataclass(frozen=True)
class Condition:
    feature: str
    above: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.feature} {'>' if self.above else '<='} {self.bound:.4g}" if self.feature else "always"

    def rows(self, features: dict[str, Array], count: int) -> NDArray[np.bool_]:
        if not self.feature:
            return np.ones(count, bool)
        found: NDArray[np.bool_] = (features[self.feature] > self.bound) == self.above
        return found


def features(evaluator: TrainingEvaluator) -> dict[str, Array]:
    """Of the query (as any ranker can measure them) and of the repository, per case."""
    rows: list[dict[str, float]] = []
    trees: dict[str, dict[str, float]] = {}
    for item in evaluator.prepared:
        text = item.case.text
        if item.case.tree not in trees:
            trees[item.case.tree] = features_of(item.evidence.index_data)
        rows.append(
            {
                "query words": float(len(text.split())),
                "query lines": float(text.count("\n")),
                "query code": float("`" in text),
                "query traceback": float("Traceback" in text or 'File "' in text),
                "query paths": float(bool(_PATH.search(text))),
                "query names": float(len(_NAME.findall(text))),
                **{f"repository {name}": value for name, value in trees[item.case.tree].items()},
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def conditions(found: dict[str, Array]) -> list[Condition]:
    made = [Condition("", above=True, bound=0.0)]
    for name, values in found.items():
        bounds = dict.fromkeys(float(np.quantile(values, q)) for q in _QUANTILES)
        made += [Condition(name, above, bound) for bound in bounds for above in (True, False)]
    count = len(next(iter(found.values())))
    return [one for one in made if not one.feature or 0 < one.rows(found, count).mean() < 1]


def where(changed: Evaluation, base: Evaluation, rows: NDArray[np.bool_]) -> Evaluation:
    """The changed parameters where the condition holds, the base elsewhere."""
    return Evaluation(
        changed.parameters, np.where(rows, changed.ndcg, base.ndcg), (), base.weights, base.trees
    )


def main(per_tree: int = 4) -> None:
    corpus = localization_corpus(queries="both")
    train = TrainingEvaluator(corpus.prepare("train"))
    alive = [name for name, life in liveness(train.cases, per_tree=per_tree).items() if life == "alive"]
    space, base, seen = space_of("live", alive), train.evaluate(), features(train)
    tried, passed = 0, []
    for name in space.names:
        for direction in DIRECTIONS:
            for magnitude in ("medium", "large"):
                applied = apply_changes(Parameters(), [Change(name, direction, magnitude)], space)
                if not applied.moved:
                    continue
                changed = train.evaluate(applied.parameters)
                train._known.pop(applied.parameters, None)
                for condition in conditions(seen):
                    tried += 1
                    gain = paired_gain(where(changed, base, condition.rows(seen, len(base.ndcg))), base)
                    if gain.mean > _LEAST and not verdict(gain, noise=NOISE):
                        passed.append((gain.mean / max(gain.error, 1e-9), applied, condition, gain))
    passed.sort(key=lambda one: -one[0])
    print(f"{len(space.names)} living parameters, {tried} steps with conditions, {len(passed)} pass the gate")
    judged = TrainingEvaluator(corpus.prepare("validation"))
    rows = [_row(judged, *one[1:]) for one in passed[:_SHOWN]]
    figures: dict[str, Any] = {"tried": tried, "passed": len(passed), "validation": rows}
    if passed:
        figures["test"] = _row(TrainingEvaluator(corpus.prepare("test")), *passed[0][1:])
    _print(rows, figures.get("test"))
    path = report.write("trainer-conditional", {"queries": "both", "space": "live"}, figures, "numpy")
    print(f"written to {path}")


def _row(evaluator: TrainingEvaluator, applied: Any, condition: Condition, found: Any) -> dict[str, Any]:
    base, changed = evaluator.evaluate(), evaluator.evaluate(applied.parameters)
    ours = where(changed, base, condition.rows(features(evaluator), len(base.ndcg)))
    gain = paired_gain(ours, base)
    ((name, (before, after)),) = applied.moved.items()
    return {
        "step": f"{name} {before:.3g} -> {after:.3g}",
        "where": str(condition),
        "train": [found.mean, found.error, found.won, found.lost],
        "gain": [gain.mean, gain.error, gain.won, gain.lost],
        "p": paired_p(ours, base),
    }


def _print(rows: list[dict[str, Any]], test: dict[str, Any] | None) -> None:
    def line(split: str, row: dict[str, Any]) -> list[str]:
        told = [f"{m:+.4f} ± {e:.4f}, {w}/{n}" for m, e, w, n in (row["train"], row["gain"])]
        return [split, row["step"], row["where"], *told, f"{row['p']:.3f}"]

    table = [line("validation", row) for row in rows] + ([line("test", test)] if test else [])
    columns = ["split", "step", "where", "gain in training, won/lost", "gain here, won/lost", "p"]
    report.table("steps with conditions, NDCG@10 paired with the defaults", columns, table)


if __name__ == "__main__":
    main()
