"""What becomes of records: parameters, conditions and warnings, each held against validation."""

from pathlib import Path
from typing import Any

from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.presets import load_preset
from hal9.trainer.distill import best_split, confirmed, distill, prune
from hal9.trainer.record.changes import verdict
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.test_commands import train


def record(folder: Path, params: dict[str, float], trials: list[dict[str, Any]]) -> RunLog:
    pad = RunLog.create(folder / "scratchpad.json", "inner", {})
    pad.append({"episode": 0, "params": params, "best_ndcg": 0.8, "kept": False, "trials": trials})
    return pad


def trial(name: str, before: float, after: float, gain: float, error: float) -> dict[str, Any]:
    measured = {"params": {name: after}, "ndcg": 0.8, "kept": False}
    return {"moved": {name: [before, after]}, "gain": gain, "error": error, **measured}


def test_pruning_keeps_what_carries_the_gain(ground: EvaluationData) -> None:
    start = Parameters({"weight_tests": 1.75, "role_docs": 0.2, "field_docs": 0.5})
    pruned = prune(start, ground.train)
    assert set(pruned.changes()) <= set(start.changes())
    assert "role_docs" not in pruned.changes()
    assert ground.train.evaluate(pruned).score >= ground.train.evaluate(start).score - 1e-12


def test_what_loses_on_validation_is_left_out_and_told(ground: EvaluationData, tmp_path: Path) -> None:
    harmful = {"weight_pairs": 3.0, "weight_test_names": 0.0}
    made = distill([record(tmp_path, harmful, [])], ground, "bad")
    assert made.preset is None
    assert len(made.left_out) == 1


def test_warnings_cite_measured_losses(ground: EvaluationData, tmp_path: Path) -> None:
    trials = [
        trial("weight_pairs", 1.0, 2.05, -0.2, 0.04),
        trial("weight_pairs", 1.0, 1.5, -0.1, 0.04),
        trial("weight_path", 1.0, 0.5, -0.01, 0.02),
    ]
    made = distill([record(tmp_path, {}, trials)], ground, "careful")
    assert made.preset is not None
    texts = made.preset.warnings_for(Parameters({"weight_pairs": 1.6}))
    assert len(texts) == 1
    assert "lost 0.1000 NDCG@10" in texts[0]
    assert made.preset.warnings_for(Parameters()) == []
    assert made.preset.warnings_for(Parameters({"weight_path": 0.4})) == []


def test_the_ranker_loads_what_was_distilled(here: Path) -> None:
    train("--strategy", "steps", "--budget", "30", "--run-name", "one", "--no-test")
    trials = [trial("weight_pairs", 1.0, 2.05, -0.2, 0.04)]
    record(here / "extra", {}, trials)
    done = train(
        "--distill", "--scratchpad", "training/runs/one/scratchpad.json", "--scratchpad", "extra/scratchpad.json",
        "--presets", "presets", "--preset-name", "mine",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    preset = load_preset(here / "presets" / "mine.json")
    assert len(preset.warnings) == 1
    cell = preset.evidence["validation"]
    assert cell is None or cell["gain"] >= 0


def test_a_condition_is_confirmed_on_the_repositories_that_meet_it(ground: EvaluationData) -> None:
    validation = ground.split("validation")
    helps, harms = {"weight_tests": 1.75}, {"weight_words": 3.0}
    everywhere = confirmed(validation, Parameters(), helps, ("files", ">", 1.0))
    assert everywhere is not None
    assert everywhere[1] == len(validation.prepared)
    assert everywhere[0].mean > 0
    assert confirmed(validation, Parameters(), helps, ("files", ">", 1e6)) is None
    against = confirmed(validation, Parameters(), harms, ("files", "<=", 1e6))
    assert against is not None
    assert against[0].mean < 0
    assert verdict(against[0], noise=0.6)


def test_a_split_has_the_gain_on_one_side_and_none_on_the_other() -> None:
    features = {
        "small": {"files": 10.0, "mean_depth": 2.0},
        "middle": {"files": 12.0, "mean_depth": 4.0},
        "large": {"files": 30.0, "mean_depth": 3.0},
    }
    assert best_split({"small": 0.02, "middle": 0.02, "large": -0.01}, features) == (
        "files",
        "<=",
        21.0,
        0.02,
    )
    deep = best_split({"small": -0.02, "middle": 0.03, "large": 0.0}, features)
    assert deep == ("mean_depth", ">", 3.5, 0.03)
    assert best_split({"small": 0.02, "middle": 0.01, "large": 0.01}, features) is None
    assert best_split({"small": 0.001, "middle": 0.001, "large": -0.01}, features) is None
