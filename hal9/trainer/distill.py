"""From records to what the ranker loads: a preset, heuristics that look at the repository, warnings.

Nothing is taken on a mind's word. Changes that carry no training gain are dropped, a preset must not lose on
validation, a heuristic must gain beyond the noise on validation repositories that meet its condition, and a
warning cites the measured loss. What fails is told and left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.ranking.presets import Heuristic, Preset, Warn, features_of, load_preset, save_preset
from hal9.trainer.evaluation.evaluator import Evaluation, Gain, TrainingEvaluator, paired_gain
from hal9.trainer.evaluation.preparing import Preparation
from hal9.trainer.record.changes import NOISE, verdict
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData, compare_on
from hal9.trainer.session import TrainOptions, open_corpus

__all__ = ["Distilled", "best_split", "confirmed", "distill", "distill_command"]

_TRIALS = 24
_WARNINGS = 8
_HEURISTICS = 3
_CERTAIN = 2.0
_LEAST = 0.002
"""Gains below this are not worth a rule."""


@dataclass(frozen=True, slots=True)
class Distilled:
    """The preset, and one line for every candidate that was left out."""

    preset: Preset | None
    left_out: tuple[str, ...]
    validation: dict[str, Any] | None


def distill(pads: Sequence[RunLog], ground: EvaluationData, name: str) -> Distilled:
    """Distil records into one preset; the preset is None when nothing survives validation."""
    left_out: list[str] = []
    start = Parameters()
    candidates = {Parameters(pad.entries[-1]["params"]) for pad in pads if pad.entries} - {start}
    best, cell = start, None
    for candidate in candidates:
        pruned = prune(candidate, ground.train)
        compared = compare_on(ground.split("validation"), pruned, start, ground.seed)
        if not pruned.changes():
            left_out.append("a run's parameters: none of their changes carries the training gain")
        elif compared["gain"] < 0:
            told = ", ".join(pruned.changes())
            left_out.append(
                f"parameters {told}: lose on validation ({compared['gain']:+.4f}, p {compared['p']:.3f})"
            )
        elif cell is None or compared["gain"] > cell["gain"]:
            best, cell = pruned, compared
    trials = _single_trials(pads)
    heuristics = _heuristics(trials, best, ground, left_out)
    warnings = _warnings(trials)
    if not best.changes() and not heuristics and not warnings:
        return Distilled(None, tuple(left_out), None)
    evidence = {
        "records": len(pads),
        "corpus": {"name": ground.corpus.name, "queries": ground.corpus.queries},
        "validation": cell,
        "warnings": [trial.evidence() for trial in _harmful(trials)],
        "left_out": left_out,
    }
    told = (
        f"NDCG@10 on validation {cell['gain']:+.4f} (p {cell['p']:.3f})"
        if cell
        else "parameters as by default"
    )
    preset = Preset(
        name, best, f"Distilled from {len(pads)} records; {told}.", heuristics, warnings, evidence
    )
    return Distilled(preset, tuple(left_out), cell)


def prune(parameters: Parameters, train: TrainingEvaluator) -> Parameters:
    """Put changes back, the least moved first, as long as the training score does not fall."""
    kept = train.evaluate(parameters)
    changes = parameters.changes()

    def moved(name: str) -> float:
        item = PARAMETERS[name]
        return abs(item.to_unit(changes[name]) - item.to_unit(item.default))

    for name in sorted(changes, key=moved):
        without = train.evaluate(kept.parameters.changed({name: PARAMETERS[name].default}))
        if without.score >= kept.score - 1e-12:
            kept = without
    return kept.parameters


@dataclass(frozen=True, slots=True)
class _Single:
    """A measured step of one parameter."""

    name: str
    before: float
    after: float
    gain: float
    error: float

    def evidence(self) -> dict[str, Any]:
        return {
            "parameter": self.name,
            "from": self.before,
            "to": self.after,
            "gain": self.gain,
            "error": self.error,
        }


def _single_trials(pads: Sequence[RunLog]) -> list[_Single]:
    found: dict[tuple[str, float], _Single] = {}
    for pad in pads:
        for entry in pad.entries:
            for trial in entry.get("trials", ()):
                if len(trial["moved"]) == 1:
                    (name, (before, after)), *_ = trial["moved"].items()
                    found[name, round(after, 6)] = _Single(name, before, after, trial["gain"], trial["error"])
    return sorted(found.values(), key=lambda trial: (-abs(trial.gain), trial.name))


def _harmful(trials: Sequence[_Single]) -> list[_Single]:
    worst: dict[tuple[str, bool], _Single] = {}
    for trial in trials:
        if trial.gain < -_CERTAIN * trial.error and trial.gain < -_LEAST:
            key = (trial.name, trial.after > trial.before)
            mildest = worst.get(key)
            # The bound nearest to the good values warns earliest.
            if mildest is None or abs(trial.after - trial.before) < abs(mildest.after - mildest.before):
                worst[key] = trial
    return list(worst.values())[:_WARNINGS]


def _warnings(trials: Sequence[_Single]) -> tuple[Warn, ...]:
    made = []
    for trial in _harmful(trials):
        sign = ">=" if trial.after > trial.before else "<="
        text = (
            f"{trial.name} {sign} {trial.after:.4g} lost {-trial.gain:.4f} NDCG@10 "
            f"(± {trial.error:.4f}) against {trial.before:.4g} in training"
        )
        made.append(Warn(((trial.name, sign, trial.after),), text))
    return tuple(made)


def _heuristics(
    trials: Sequence[_Single], base: Parameters, ground: EvaluationData, left_out: list[str]
) -> tuple[Heuristic, ...]:
    """Steps that help some repositories and harm others, split by a feature, and confirmed elsewhere."""
    made: list[Heuristic] = []
    start = ground.train.evaluate(base)
    features = _features(ground.train)
    looked = 0
    for trial in trials[:_TRIALS]:
        if len(made) == _HEURISTICS:
            break
        changed = ground.train.evaluate(base.changed({trial.name: trial.after}))
        split = best_split(_by_tree(ground.train, changed, start), features)
        if split is None:
            continue
        feature, sign, bound, gain = split
        bound = float(f"{bound:.3g}")
        told = f"{trial.name} = {trial.after:.4g} where {feature} {sign} {bound:g}"
        changes = {trial.name: trial.after}
        seen = confirmed(ground.split("validation"), base, changes, (feature, sign, bound))
        if seen is None:
            left_out.append(f"heuristic {told}: no validation repository meets it")
            continue
        looked += 1
        # Every look at validation is a chance to be lucky there, so the bound grows with the looks.
        why = verdict(seen[0], noise=NOISE, tried=looked)
        if why:
            left_out.append(f"heuristic {told}: {seen[0].mean:+.4f} on validation, {why}")
            continue
        because = (
            f"{gain:+.4f} NDCG@10 on training repositories, {seen[0].mean:+.4f} ± {seen[0].error:.4f} "
            f"on {seen[1]} unseen cases"
        )
        made.append(Heuristic(((feature, sign, bound),), changes, because))
    return tuple(made)


def _features(evaluator: TrainingEvaluator) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for item, owner in zip(evaluator.prepared, evaluator.repositories, strict=True):
        if owner not in found:
            found[owner] = features_of(item.evidence.index_data)
    return found


def _by_tree(evaluator: TrainingEvaluator, changed: Evaluation, base: Evaluation) -> dict[str, float]:
    trees = np.array(evaluator.repositories)
    difference = changed.ndcg - base.ndcg
    return {str(tree): float(difference[trees == tree].mean()) for tree in np.unique(trees)}


def best_split(
    gains: Mapping[str, float], features: Mapping[str, Mapping[str, float]]
) -> tuple[str, str, float, float] | None:
    """The feature and bound that leave the largest mean gain on one side and a loss on the other."""
    best: tuple[str, str, float, float] | None = None
    for feature in next(iter(features.values()), {}):
        values = sorted({features[tree][feature] for tree in gains})
        for low, high in pairwise(values):
            bound = (low + high) / 2
            above = [gain for tree, gain in gains.items() if features[tree][feature] > bound]
            below = [gain for tree, gain in gains.items() if features[tree][feature] <= bound]
            for sign, inside, outside in ((">", above, below), ("<=", below, above)):
                gain = float(np.mean(inside))
                if gain > _LEAST and float(np.mean(outside)) <= 0 and (best is None or gain > best[3]):
                    best = (feature, sign, bound, gain)
    return best


def confirmed(
    evaluator: TrainingEvaluator,
    base: Parameters,
    changes: Mapping[str, float],
    condition: tuple[str, str, float],
) -> tuple[Gain, int] | None:
    """The paired gain, and the number of cases, on repositories that meet a condition; None without any."""
    feature, sign, bound = condition
    features = _features(evaluator)
    meets = {tree for tree, values in features.items() if (values[feature] > bound) == (sign == ">")}
    rows = np.array([owner in meets for owner in evaluator.repositories])
    if not rows.any():
        return None
    changed, start = (evaluator.evaluate(at).only(rows) for at in (base.changed(dict(changes)), base))
    return paired_gain(changed, start), int(rows.sum())


def distill_command(
    scratchpads: Sequence[Path],
    options: TrainOptions,
    folder: Path | None,
    name: str,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Distil records into the user's preset folder (or `folder`); returns what to tell.

    Raises:
        ScratchpadInvalid: a record cannot be read.
        PresetInvalid: the written preset does not load (a fault of this program).
    """
    pads = [RunLog.load(path) for path in scratchpads]
    watch = Preparation(say=say)
    ground = EvaluationData(open_corpus(options, say), options.space, options.workers, options.seed, watch)
    try:
        made = distill(pads, ground, name)
    finally:
        ground.close()
    lines = [f"left out: {text}" for text in made.left_out]
    if made.preset is None:
        return [*lines, "nothing survived validation; no preset was written"]
    target = folder or _user_presets()
    path = save_preset(made.preset, target)
    loaded = load_preset(path)
    counts = (len(loaded.parameters.changes()), len(loaded.heuristics), len(loaded.warnings))
    return [
        *lines,
        "{} parameters, {} heuristics, {} warnings".format(*counts),
        f"written to {path}; use it with `ripmap --preset {name if folder is None else path}`",
    ]


def _user_presets() -> Path:
    from platformdirs import user_config_path  # noqa: PLC0415 - only when no folder is given

    return user_config_path("ripmap", appauthor=False) / "presets"
