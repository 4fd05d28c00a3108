"""Numerical strategies run like a mind's: same evaluator, same record, same budget, same resume."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hal9.clock import Clock, SystemClock
from hal9.ripmap.parameters import Parameters
from hal9.trainer.changes import NOISE
from hal9.trainer.evaluator import TrainingEvaluator, paired_gain
from hal9.trainer.scratchpad import Scratchpad
from hal9.trainer.space import Space
from hal9.trainer.strategies import open_strategy
from hal9.trainer.walking import PATIENCE, Walk

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
    """Which strategy, how many evaluations (the start included), from where, and what scales the noise.

    `walk` is the patience of a `Walk`, by which `steps` moves.
    """

    strategy: str
    budget: int
    seed: int = 0
    noise: float = NOISE
    start: Parameters = field(default_factory=Parameters)
    walk: int = PATIENCE


def run_baseline(
    settings: BaselineSettings,
    evaluator: TrainingEvaluator,
    space: Space,
    scratchpad: Scratchpad,
    *,
    clock: Clock | None = None,
    listener: Callable[[dict[str, object]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BaselineResult:
    """Spend the budget of evaluations; goes on where the record ends.

    `steps` keeps points by the rule that holds for minds (see `Walk`). For every other strategy the best is
    what scores highest, by whatever little.

    Raises:
        TrainerSettingInvalid, OptimiserMissing: see `open_strategy`.
    """
    clock = clock or SystemClock()
    name, budget, seed = settings.strategy, settings.budget, settings.seed
    search = open_strategy(name, space, budget=budget, seed=seed, start=settings.start)
    walk: Walk | None = None
    for entry in scratchpad.entries:
        at = entry["working"]["params"] if "working" in entry else entry["params"]
        search.tell(search.ask(), entry["ndcg"], at=Parameters(at))
    if scratchpad.entries:
        last = scratchpad.entries[-1]
        walk = Walk(evaluator.evaluate(Parameters(last["params"])), settings.noise, settings.walk)
        if record := last.get("working"):
            walk.take_up(evaluator.evaluate(Parameters(record["params"])), record)
    while len(scratchpad.entries) < budget and not stop():
        began = clock.monotonic()
        point = search.ask()
        made = evaluator.evaluate(space.parameters(point, settings.start))
        told = {"gain": 0.0, "error": 0.0, "kept": True}
        if walk is None:
            walk = Walk(made, settings.noise, settings.walk)
        elif name == "steps":
            judged = walk.judge(made, tried=len(scratchpad.entries))
            if judged.leans:
                walk.advance(made)
            told = {**judged.to_json(), "tentative": judged.leans, "returned": walk.give_up()}
        else:
            gain = paired_gain(made, walk.best)
            told = {"gain": gain.mean, "error": gain.error, "kept": made.score > walk.best.score}
            if told["kept"]:
                walk.stand_on(made)
        search.tell(point, made.score, at=walk.point.parameters)
        written = scratchpad.append(
            {
                "episode": len(scratchpad.entries),
                "timestamp": clock.now(),
                "duration_secs": round(clock.monotonic() - began, 4),
                "candidate": made.parameters.changes(),
                "ndcg": made.score,
                **told,
                "best_ndcg": walk.best.score,
                "params": walk.best.parameters.changes(),
                "working": walk.to_json(),
            }
        )
        if listener is not None:
            listener(written)
    start = evaluator.evaluate(settings.start)
    best = walk.best if walk is not None else start
    return BaselineResult(best.parameters, best.score, start.score, len(scratchpad.entries))
