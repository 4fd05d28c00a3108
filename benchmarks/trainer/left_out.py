"""Are the defaults better than what stands near them, where nothing was chosen on the cases?

The defaults were chosen on all repositories of the corpus. So candidates near them are measured on every repository;
for each, the best of the *other* repositories is taken, and judged on the one left out. Histories of repositories
that chose nothing say how many candidates improve on the defaults there.

    python -m benchmarks.trainer left-out --fresh ../flask ../requests
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.corpus import Corpus, history_corpus, localization_corpus
from hal9.trainer.evaluation.evaluator import TrainingEvaluator
from hal9.trainer.evaluation.preparing import Preparation
from hal9.trainer.search.space import liveness

Array = NDArray[np.float64]
_MOVED, _STEP = 4, 0.15


def near_defaults(names: list[str], count: int, seed: int) -> list[Parameters]:
    """Candidates with some parameters moved by a medium step's length."""
    rng = np.random.default_rng([seed, 71])
    made = []
    for _ in range(count):
        chosen = [str(name) for name in rng.choice(names, _MOVED, replace=False)]
        units = {name: PARAMETERS[name].to_unit(PARAMETERS[name].default) for name in chosen}
        moved = {name: float(np.clip(unit + rng.normal(0, _STEP), 0, 1)) for name, unit in units.items()}
        made.append(Parameters({name: PARAMETERS[name].from_unit(unit) for name, unit in moved.items()}))
    return made


def prepared(corpus: Corpus, splits: tuple[str, ...]) -> tuple[TrainingEvaluator, list[str]]:
    """All cases of some splits, and the parameters that move them."""
    watch = Preparation(say=lambda line: print(line, flush=True))
    items = [item for split in splits for item in corpus.prepare(split, watch)]
    owners = tuple(corpus.repository(item.case) for item in items)
    evaluator = TrainingEvaluator(items, repositories=owners)
    alive = [name for name, life in liveness(evaluator.cases, owners).items() if life == "alive"]
    return evaluator, alive


def gains_of(evaluator: TrainingEvaluator, candidates: list[Parameters]) -> Array:
    """Shape (candidates, cases): gain in NDCG@10 over the defaults."""
    base = evaluator.evaluate().ndcg
    made = []
    for candidate in candidates:
        made.append(evaluator.evaluate(candidate).ndcg - base)
        evaluator._known.clear()
    return np.array(made)


def run(count: int, fresh: list[Path], limit: int, seed: int = 0) -> None:
    evaluator, alive = prepared(localization_corpus(), ("train", "validation"))
    candidates = near_defaults(alive, count, seed)
    gains = gains_of(evaluator, candidates)
    owners = np.array(evaluator.repositories)
    names = sorted(set(owners.tolist()))
    by_tree = np.array([gains[:, owners == name].mean(axis=1) for name in names])
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        others = np.delete(by_tree, number, axis=0).mean(axis=0)
        best = int(others.argmax())
        rows.append(
            {
                "repository": name,
                "cases": int((owners == name).sum()),
                "on the others": float(others[best]),
                "left out": float(by_tree[number, best]),
                "improve": float((by_tree[number] > 0).mean()),
            }
        )
    whole = by_tree.mean(axis=0)
    chosen = candidates[int(whole.argmax())]
    figures: dict[str, Any] = {
        "left_out": rows,
        "improve_all": float((whole > 0).mean()),
        "best": chosen.changes(),
    }
    for path in fresh:
        history = history_corpus(path, limit=limit)
        judged, _ = prepared(history, tuple(history.cases))
        own = gains_of(judged, candidates).mean(axis=1)
        taken = judged.evaluate(chosen).ndcg - judged.evaluate().ndcg
        figures.setdefault("fresh", []).append(
            {
                "repository": history.name,
                "cases": len(judged.cases),
                "improve": float((own > 0).mean()),
                "best of all ten": float(taken.mean()),
                "error": float(taken.std(ddof=1) / len(taken) ** 0.5),
            }
        )
    table = [
        [
            one["repository"],
            one["cases"],
            f"{one['on the others']:+.4f}",
            f"{one['left out']:+.4f}",
            f"{one['improve']:.0%}",
        ]
        for one in rows
    ]
    columns = [
        "left out",
        "cases",
        "best candidate, on the others",
        "on the one left out",
        "candidates that improve it",
    ]
    report.table(f"{count} candidates near the defaults", columns, table)
    mean = float(np.mean([one["left out"] for one in rows]))
    print(f"mean on what was left out {mean:+.4f}; {figures['improve_all']:.1%} improve all ten together")
    for one in figures.get("fresh", []):
        print(
            f"{one['repository']} ({one['cases']} cases that chose nothing): {one['improve']:.0%} of the candidates improve it; "
            f"the best of all ten {one['best of all ten']:+.4f} ± {one['error']:.4f}"
        )
    report.write("trainer-left-out", {"candidates": count, "limit": limit, "seed": seed}, figures)
