"""Numerical strategies run like a mind's: same evaluator, same record, same budget, same resume."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hal9.clock import Clock, SystemClock
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator, paired_gain
from hal9.trainer.record.changes import NOISE, verdict
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.search.optimisers import open_strategy
from hal9.trainer.search.space import Space

__all__ = ["BaselineResult", "BaselineSettings", "run_baseline"]


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """The best point by training score, and the defaults it began with."""

    best: Parameters
    score: float
    start_score: float
    evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """Which strategy, how many evaluations (the start included), from where, and what scales the noise."""

    strategy: str
    budget: int
    seed: int = 0
    noise: float = NOISE
    start: Parameters = field(default_factory=Parameters)


@dataclass(slots=True)
class _Progress:
    start: Evaluation | None = None
    best: Evaluation | None = None


def run_baseline(
    settings: BaselineSettings,
    evaluator: TrainingEvaluator,
    space: Space,
    scratchpad: RunLog,
    *,
    clock: Clock | None = None,
    listener: Callable[[dict[str, object]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BaselineResult:
    """Spend the budget of evaluations; goes on where the record ends.

    Every point better than the best by any amount becomes the best; `kept` tells whether it was so by more
    than the settings' noise, which is what the `steps` strategy moves by.

    Raises:
        TrainerSettingInvalid, OptimiserMissing: see `open_strategy`.
    """
    clock = clock or SystemClock()
    name, budget, seed = settings.strategy, settings.budget, settings.seed
    search = open_strategy(name, space, budget=budget, seed=seed, start=settings.start)
    state = _Progress()
    for entry in scratchpad.entries:
        search.tell(search.ask(), entry["ndcg"], kept=entry["kept"])
    if scratchpad.entries:
        state.start = evaluator.evaluate(settings.start)
        state.best = evaluator.evaluate(Parameters(scratchpad.entries[-1]["params"]))
    while len(scratchpad.entries) < budget and not stop():
        began = clock.monotonic()
        point = search.ask()
        made = evaluator.evaluate(space.parameters(point, settings.start))
        state.start = state.start or made
        reference = state.best or made
        gain = paired_gain(made, reference)
        tried = len(scratchpad.entries)
        kept = state.best is None or not verdict(gain, noise=settings.noise, tried=tried)
        if settings.strategy == "steps":
            state.best = made if kept else reference
        else:
            state.best = made if made.score > reference.score else reference
        search.tell(point, made.score, kept=kept)
        written = scratchpad.append(
            {
                "episode": len(scratchpad.entries),
                "timestamp": clock.now(),
                "duration_secs": round(clock.monotonic() - began, 4),
                "candidate": made.parameters.changes(),
                "ndcg": made.score,
                "gain": gain.mean,
                "error": gain.error,
                "kept": kept,
                "best_ndcg": state.best.score,
                "params": state.best.parameters.changes(),
            }
        )
        if listener is not None:
            listener(written)
    start = state.start or evaluator.evaluate(settings.start)
    best = state.best or start
    return BaselineResult(best.parameters, best.score, start.score, len(scratchpad.entries))
