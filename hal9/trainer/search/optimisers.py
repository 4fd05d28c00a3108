"""Numerical optimisers behind one ask/tell interface: the honest baselines.

Every strategy begins at its start, works in the unit cube of a `Space`, and depends on its seed alone, so
that telling it the recorded scores again brings it back to where it was.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hal9.errors.trainer import OptimiserMissing, TrainerSettingInvalid
from hal9.ripmap.parameters import Parameters
from hal9.trainer.search.space import DIRECTIONS, MAGNITUDES, Change, Space, apply_changes

__all__ = ["STRATEGIES", "Strategy", "open_strategy"]

STRATEGIES = ("random", "lhs", "tpe", "cmaes", "steps")
_SIGMA = 0.15
"""CMA-ES begins with steps of this share of a range: a medium step of a mind."""
Vector = NDArray[np.float64]


class Strategy(Protocol):
    """Proposes points of the unit cube; higher scores are better."""

    def ask(self) -> Vector:
        """The next point."""
        ...

    def tell(self, point: Vector, score: float, *, kept: bool) -> None:
        """What the last point scored, and whether it beat the best by more than the noise."""
        ...


def open_strategy(
    name: str, space: Space, *, budget: int, seed: int, start: Parameters | None = None
) -> Strategy:
    """A strategy by name.

    Args:
        name: random (uniform), lhs (Latin hypercube of `budget` points), tpe (optuna), cmaes (cma), or steps
            (the steps a mind may take, drawn at random and kept by the same rule: what a mind must beat).
        space: what is moved.
        budget: evaluations in all, the start included.
        seed: fixes every draw.
        start: what is measured first; None is the defaults.

    Raises:
        TrainerSettingInvalid: there is no such strategy.
        OptimiserMissing: its library is not installed.
    """
    makers: dict[str, Any] = {
        "random": _Random,
        "lhs": _Hypercube,
        "tpe": _Tpe,
        "cmaes": _Cmaes,
        "steps": _Steps,
    }
    if name not in makers:
        raise TrainerSettingInvalid(name="strategy", detail=f"{name!r} is none of {', '.join(STRATEGIES)}")
    made: Strategy = makers[name](space, budget, seed, start or Parameters())
    return made


class _Random:
    def __init__(self, space: Space, budget: int, seed: int, start: Parameters) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._first: Vector | None = space.vector(start)
        self._size = len(space.names)

    def ask(self) -> Vector:
        first, self._first = self._first, None
        return first if first is not None else self._rng.random(self._size)

    def tell(self, point: Vector, score: float, *, kept: bool) -> None:
        return None


class _Hypercube(_Random):
    def __init__(self, space: Space, budget: int, seed: int, start: Parameters) -> None:
        from scipy.stats import qmc  # noqa: PLC0415 - slow to import

        super().__init__(space, budget, seed, start)
        sampler = qmc.LatinHypercube(len(space.names), rng=np.random.default_rng([seed, 2]))
        self._points = iter(sampler.random(max(1, budget - 1)))

    def ask(self) -> Vector:
        first, self._first = self._first, None
        return first if first is not None else np.asarray(next(self._points), np.float64)


class _Tpe:
    def __init__(self, space: Space, budget: int, seed: int, start: Parameters) -> None:
        try:
            import optuna  # noqa: PLC0415 - an optional library
        except ImportError as error:
            raise OptimiserMissing(strategy="tpe", library="optuna") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._names = space.names
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(20, max(5, budget // 5)))
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial(dict(zip(self._names, map(float, space.vector(start)), strict=True)))
        self._trial: Any = None

    def ask(self) -> Vector:
        self._trial = self._study.ask()
        return np.array([self._trial.suggest_float(name, 0.0, 1.0) for name in self._names])

    def tell(self, point: Vector, score: float, *, kept: bool) -> None:
        self._study.tell(self._trial, score)


class _Cmaes:
    def __init__(self, space: Space, budget: int, seed: int, start: Parameters) -> None:
        try:
            import cma  # noqa: PLC0415 - an optional library
        except ImportError as error:
            raise OptimiserMissing(strategy="cmaes", library="cma") from error
        self._start: Vector | None = space.vector(start)
        # A start on the boundary would have half of all steps clipped away.
        inner = np.clip(self._start, 0.02, 0.98)
        rng = np.random.default_rng([seed, 4])
        # Draws of its own: the library's seed would set numpy's global one, which others disturb.
        options = {
            "bounds": [0.0, 1.0],
            "seed": float("nan"),
            "randn": lambda *shape: rng.standard_normal(shape),
            "verbose": -9,
            "verb_log": 0,
        }
        self._search = cma.CMAEvolutionStrategy(inner, _SIGMA, options)
        self._waiting: list[Vector] = []
        self._told: list[tuple[Vector, float]] = []

    def ask(self) -> Vector:
        if self._start is not None:
            return self._start
        if not self._waiting:
            self._waiting = [np.asarray(point, np.float64) for point in self._search.ask()]
        return self._waiting[0]

    def tell(self, point: Vector, score: float, *, kept: bool) -> None:
        if self._start is not None:
            self._start = None
            return
        self._told.append((self._waiting.pop(0), -score))
        if not self._waiting:
            self._search.tell([p for p, _ in self._told], [s for _, s in self._told])
            self._told = []


class _Steps:
    """Random proposals through the machinery that minds use: one to three steps from the best so far."""

    def __init__(self, space: Space, budget: int, seed: int, start: Parameters) -> None:
        self._space = space
        self._rng = np.random.default_rng([seed, 3])
        self._best = start
        self._first = True

    def ask(self) -> Vector:
        if self._first:
            return self._space.vector(self._best)
        while True:
            count = int(self._rng.integers(1, 4))
            names: Sequence[str] = [
                str(name) for name in self._rng.choice(self._space.names, count, replace=False)
            ]
            changes = [
                Change(name, DIRECTIONS[self._rng.integers(2)], MAGNITUDES[self._rng.integers(3)])
                for name in names
            ]
            applied = apply_changes(self._best, changes, self._space)
            if applied.moved:
                return self._space.vector(applied.parameters)

    def tell(self, point: Vector, score: float, *, kept: bool) -> None:
        self._first = False
        if kept:
            self._best = self._space.parameters(point, self._best)
