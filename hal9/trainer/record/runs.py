"""Runs on disk: where they lie, how one is opened, what is written when it ends."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hal9.errors.trainer import (
    ScratchpadInvalid,
    TrainerSettingInvalid,
    TrainingRunExists,
    TrainingRunUnknown,
)
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.corpus import Corpus
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator, paired_gain
from hal9.trainer.evaluation.preparing import Preparation, PreparationStopped
from hal9.trainer.evaluation.ranking_pool import RankingPool
from hal9.trainer.record.run_log import RunLog, write_json
from hal9.trainer.search.space import Life, Space, liveness, space_of, why_still

__all__ = [
    "EvaluationData",
    "RunFolder",
    "checked_run_name",
    "compare_on",
    "final_results",
    "list_runs",
    "paired_p",
    "stopped_results",
]

RUNS = Path("training") / "runs"
_PERMUTATIONS = 10_000
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked_run_name(name: str) -> str:
    """The name, when it is one of a folder right below the runs.

    Raises:
        TrainerSettingInvalid: it would lead elsewhere, or is no plain name.
    """
    if not _RUN_NAME.fullmatch(name):
        raise TrainerSettingInvalid(
            name="run name",
            detail=f"{name!r} is not made of letters, digits, dots, dashes and underscores alone",
        )
    return name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's files below ``training/runs/NAME``."""

    root: Path
    name: str

    def __post_init__(self) -> None:
        checked_run_name(self.name)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.root / self.name

    @property
    def scratchpad(self) -> Path:
        """The record."""
        return self.path / "scratchpad.json"

    def open(self, kind: str, settings: Mapping[str, Any], *, resume: bool) -> RunLog:
        """Begin the run, or go on with it.

        Raises:
            TrainingRunExists: it exists and `resume` is not asked for.
            ScratchpadInvalid: it exists with other settings, or its record is damaged.
        """
        if not self.scratchpad.is_file():
            return RunLog.create(self.scratchpad, kind, settings)
        found = RunLog.load(self.scratchpad)
        if not found.entries:
            # It ended before its first episode (no mind, no corpus): nothing is there to be kept.
            return RunLog.create(self.scratchpad, kind, settings)
        if not resume:
            raise TrainingRunExists(run=self.name, folder=str(self.root))
        wanted = json.loads(json.dumps(dict(settings)))
        differing = [
            key for key in wanted if found.settings.get(key) != wanted[key] and key not in _MAY_CHANGE
        ]
        if found.kind != kind or differing:
            raise ScratchpadInvalid(
                path=str(self.scratchpad),
                detail=f"the run was started with other settings ({', '.join(differing) or found.kind})",
            )
        return found


_MAY_CHANGE = ("episodes", "budget", "workers", "executor", "limits", "score_test")
"""What a resumed run may be given anew: how long it goes on."""


def list_runs(root: Path) -> list[str]:
    """Names of all runs."""
    return sorted(path.parent.name for path in root.glob("*/scratchpad.json")) if root.is_dir() else []


def load_run(root: Path, name: str) -> RunLog:
    """A run's record.

    Raises:
        TrainingRunUnknown: there is no such run.
        ScratchpadInvalid: its record is damaged.
    """
    path = root / name / "scratchpad.json"
    if not path.is_file():
        raise TrainingRunUnknown(run=name, folder=str(root), known=tuple(list_runs(root)))
    return RunLog.load(path)


@dataclass(eq=False)
class EvaluationData:
    """What runs are measured on: the training evaluator, the space, other splits when asked for.

    Attributes:
        watch: told how preparing goes, and asked whether to stop.
        make_pool: who ranks the training cases instead of `workers` processes of this machine.

    Raises:
        CorpusUnavailable: there are no training cases.
        PreparationStopped: `watch` ended it; what was prepared of a repository's history is kept.
    """

    corpus: Corpus
    space_name: str = "live"
    workers: int = 1
    seed: int = 0
    watch: Preparation = field(default_factory=Preparation)
    make_pool: Callable[[TrainingEvaluator], RankingPool] | None = None
    train: TrainingEvaluator = field(init=False)
    space: Space = field(init=False)
    alive: dict[str, Life] = field(init=False)
    _others: dict[str, TrainingEvaluator] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.train = self._prepared("train", self.workers)
        self.train.make_pool = self.make_pool
        if self.corpus.cache is not None and self.corpus.cases.get("validation"):
            # So that a run that is stopped can be judged all the same.
            self._others["validation"] = self._prepared("validation")
        self.alive = dict(liveness(self.train.cases, self.train.repositories))
        alive = [name for name, life in self.alive.items() if life == "alive"]
        try:
            self.space = space_of(self.space_name, alive)
        except TrainerSettingInvalid as error:
            raise TrainerSettingInvalid(name=error.name, detail=error.detail + self._left_out()) from None

    def told(self) -> str:
        """What a run is measured on, in a sentence."""
        count = len(set(self.train.repositories))
        figure = self.train.evaluate().score
        whose = f"{count} repositories" if count > 1 else "one repository"
        return (
            f"{self.corpus.name}: {len(self.train.cases)} training cases of {whose}, "
            f"{len(self.space.names)} parameters ({self.space.name}); the defaults reach NDCG@10 {figure:.4f}"
            + self._left_out()
        )

    def _left_out(self) -> str:
        """Of a space that somebody named: which of its parameters move nothing, and why."""
        if self.space_name not in ("seed", "weights"):
            return ""
        wanted = space_of(self.space_name).names
        lines = [f"  {name}: {why}" for name in wanted if (why := why_still(name, self.alive[name]))]
        return "\n".join(["", f"{len(lines)} of its {len(wanted)} parameters move nothing here:", *lines])

    def split(self, name: str) -> TrainingEvaluator:
        """The evaluator of a split; prepared when first asked for."""
        if name == "train":
            return self.train
        if name not in self._others:
            self._others[name] = self._prepared(name)
        return self._others[name]

    def ready(self, name: str) -> bool:
        """Whether a split can be scored at once."""
        return name == "train" or name in self._others

    def _prepared(self, split: str, workers: int = 1) -> TrainingEvaluator:
        prepared = self.corpus.prepare(split, self.watch)
        owners = tuple(self.corpus.repository(item.case) for item in prepared)
        return TrainingEvaluator(prepared, workers=workers, seed=self.seed, repositories=owners)

    def close(self) -> None:
        """End workers."""
        for evaluator in (self.train, *self._others.values()):
            evaluator.close()


def stopped_results(
    corpus: Corpus, stopped: PreparationStopped, *, reason: str, detail: str
) -> dict[str, Any]:
    """What a run amounts to that was stopped before anything could be measured."""
    told = f"{stopped}; what was prepared is kept, and the same command goes on from there"
    return {
        "schema_version": 1,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": "not judged: nothing was measured",
        "corpus": {"name": corpus.name, "queries": corpus.queries, **corpus.describe()},
        "changed": {},
        "splits": {},
        "reason": reason,
        "detail": f"{detail}; {told}" if detail else told,
        "evaluations": 0,
        "episodes": 0,
    }


def paired_p(ours: Evaluation, theirs: Evaluation, seed: int = 0) -> float:
    """Two-sided p of the weighted mean difference: signs of paired differences flipped at random.

    Source:
        Smucker, Allan, Carterette, "A comparison of statistical significance tests for information retrieval
        evaluation", CIKM 2007 (the randomization test).
    """
    share = ours.weights / ours.weights.sum()
    difference = (ours.ndcg - theirs.ndcg) * share
    difference = difference[np.abs(difference) > 1e-12]
    if not len(difference):
        return 1.0
    signs = np.random.default_rng([seed, 31]).choice([-1.0, 1.0], (_PERMUTATIONS, len(difference)))
    extreme = np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12
    return float((1 + extreme.sum()) / (1 + _PERMUTATIONS))


def compare_on(
    evaluator: TrainingEvaluator, best: Parameters, base: Parameters, seed: int = 0
) -> dict[str, Any]:
    """Figures of both on one split, with the paired gain, its bootstrap interval and p."""
    from hal9.ripmap.evaluation.metrics import bootstrap_interval  # noqa: PLC0415 - keeps imports of readers short

    ours, theirs = evaluator.evaluate(best), evaluator.evaluate(base)
    gain = paired_gain(ours, theirs)
    low, high = bootstrap_interval(
        (ours.ndcg - theirs.ndcg).tolist(), np.random.default_rng([seed, 37]), weights=ours.weights.tolist()
    )
    return {
        "cases": len(ours.ndcg),
        "start": theirs.figures(),
        "best": ours.figures(),
        "gain": gain.mean,
        "interval": [low, high],
        "p": paired_p(ours, theirs, seed),
        "won": gain.won,
        "lost": gain.lost,
    }


def final_results(
    ground: EvaluationData,
    best: Parameters,
    start: Parameters,
    *,
    facts: Mapping[str, Any],
    score_test: bool = True,
) -> dict[str, Any]:
    """What a run amounts to on every split; the test split is scored here and nowhere else.

    A run that was stopped is scored on what is prepared already: who stops a run does not want to wait. Going
    on with it scores the rest.
    """
    splits = [name for name, cases in ground.corpus.cases.items() if cases and (score_test or name != "test")]
    if facts.get("stopped"):
        splits = [name for name in splits if ground.ready(name)]
    compared: dict[str, dict[str, Any]] = {}
    for name in splits:
        with suppress(PreparationStopped):  # stopped at the very end; what is scored is reported
            compared[name] = compare_on(ground.split(name), best, start, ground.seed)
    judged = compared.get("validation")
    if judged is None:
        verdict = "not judged: validation was not scored"
    elif judged["p"] < 0.05 and judged["gain"] != 0:
        verdict = f"{'better' if judged['gain'] > 0 else 'worse'} than its start on validation"
    else:
        verdict = "no difference from its start beyond noise on validation"
    return {
        "schema_version": 1,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": verdict,
        "evaluator": ground.train.mode,
        "corpus": {"name": ground.corpus.name, "queries": ground.corpus.queries, **ground.corpus.describe()},
        "space": {"name": ground.space.name, "size": len(ground.space.names)},
        "changed": best.changes(),
        "splits": compared,
        **facts,
    }


def write_results(folder: Path, results: Mapping[str, Any], best: Parameters) -> None:
    """Write results.json and results.trained.json."""
    write_json(folder / "results.json", dict(results))
    write_trained(folder, str(results.get("verdict", "")), best)


def write_trained(folder: Path, description: str, parameters: Parameters) -> None:
    """Write results.trained.json, which `ripmap --params` reads."""
    write_json(folder / "results.trained.json", {"description": description, "parameters": dict(parameters)})
