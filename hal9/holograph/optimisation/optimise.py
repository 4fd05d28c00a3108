"""Minimising the objective: natural gradient on the interventional metric, and plainer methods beside it.

Every step is accepted only if the loss does not rise; a refused natural step raises its damping (Levenberg,
Marquardt), a refused plain step halves its rate. So the loss is monotone whatever the method.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from hal9.holograph.model.state import FloatArray, State
from hal9.holograph.optimisation.fisher import InterventionalFisher, Layout, conjugate_gradient
from hal9.holograph.optimisation.objective import Evaluation, Objective, moved

__all__ = ["METHODS", "Method", "Optimiser", "StepReport"]

Method = Literal["natural", "diagonal", "adam", "sgd"]
METHODS: tuple[Method, ...] = ("natural", "diagonal", "adam", "sgd")
DENSE_LIMIT = 16
"""Largest section whose metric is formed and factored; above it conjugate gradients take over."""
_TRIES = 12


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did.

    Attributes:
        before, after: loss. accepted: whether anything moved. damping: used for the step (0 for plain
        methods). iterations: conjugate-gradient iterations over all sections.
    """

    before: float
    after: float
    accepted: bool
    damping: float
    iterations: int


@dataclass(slots=True)
class Optimiser:
    """Steps on the sections of an objective; its state follows sections that grow.

    Attributes:
        method: which direction to take.
        rate: step size tried first.
        damping: Tikhonov damping of the metric, adapted from step to step.
        masks: per section, boolean (W, L) entries that may move; all when absent.
    """

    method: Method = "natural"
    rate: float = 1.0
    damping: float = 1.0
    masks: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = field(default_factory=dict)
    _moments: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    _count: int = 0

    def step(self, sections: dict[str, State], objective: Objective) -> tuple[dict[str, State], StepReport]:
        """One accepted step, or none when no tried one keeps the loss from rising."""
        start = objective.evaluate(sections)
        gradients = {name: self._flat(name, sections[name], start) for name in sections}
        self._count += 1
        if self.method == "natural":
            return self._natural(sections, objective, start, gradients)
        directions = {name: self._plain_direction(name, sections[name], gradients[name]) for name in sections}
        rate = self.rate
        for _ in range(_TRIES):
            tried = self._moved(sections, directions, rate)
            value = objective.value(tried)
            if value <= start.value:
                return tried, StepReport(start.value, value, accepted=True, damping=0.0, iterations=0)
            rate *= 0.5
        return sections, StepReport(start.value, start.value, accepted=False, damping=0.0, iterations=0)

    def minimise(
        self, sections: dict[str, State], objective: Objective, *, steps: int, tolerance: float = 1e-7
    ) -> tuple[dict[str, State], list[StepReport]]:
        """Steps until the decrease is below the tolerance, none is accepted, or `steps` are done."""
        reports: list[StepReport] = []
        for _ in range(steps):
            sections, report = self.step(sections, objective)
            reports.append(report)
            if not report.accepted or report.before - report.after <= tolerance * (1 + abs(report.before)):
                break
        return sections, reports

    def resize(self, name: str, old: State, new: State) -> None:
        """Carry the running moments of a section over to one that gained variables."""
        if name not in self._moments:
            return
        place = new.indices(old.names)
        grown = []
        for moment in self._moments[name]:
            weights, factor = Layout(old.size).unpack(moment)
            wide_w, wide_l = np.zeros((new.size, new.size)), np.zeros((new.size, new.size))
            wide_w[np.ix_(place, place)] = weights
            wide_l[np.ix_(place, place)] = factor
            grown.append(Layout(new.size).pack(wide_w, wide_l))
        self._moments[name] = (grown[0], grown[1])

    def _flat(self, name: str, section: State, found: Evaluation) -> FloatArray:
        grad = Layout(section.size).pack(*found.gradients[name])
        if name in self.masks:
            grad = grad * self._mask(name, section)
        return grad

    def _mask(self, name: str, section: State) -> FloatArray:
        mask_w, mask_l = self.masks[name]
        return Layout(section.size).pack(mask_w.astype(float), mask_l.astype(float))

    @staticmethod
    def _moved(
        sections: Mapping[str, State], directions: Mapping[str, FloatArray], rate: float
    ) -> dict[str, State]:
        moved_sections = {}
        for name, section in sections.items():
            d_weights, d_factor = Layout(section.size).unpack(directions[name])
            moved_sections[name] = moved(section, d_weights, d_factor, rate)
        return moved_sections

    def _plain_direction(self, name: str, section: State, gradient: FloatArray) -> FloatArray:
        if self.method == "sgd":
            return -gradient
        if self.method == "diagonal":
            return -gradient / (InterventionalFisher(section).diagonal() + self.damping)
        first, second = self._moments.get(name, (np.zeros_like(gradient), np.zeros_like(gradient)))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        self._moments[name] = (first, second)
        scale = np.sqrt(second / (1 - 0.999**self._count)) + 1e-8
        return np.asarray(-(first / (1 - 0.9**self._count)) / scale)

    def _natural(
        self,
        sections: dict[str, State],
        objective: Objective,
        start: Evaluation,
        gradients: Mapping[str, FloatArray],
    ) -> tuple[dict[str, State], StepReport]:
        metrics = {name: InterventionalFisher(section) for name, section in sections.items()}
        dense = {name: m.dense() for name, m in metrics.items() if sections[name].size <= DENSE_LIMIT}
        iterations = 0
        for _ in range(_TRIES):
            directions = {}
            for name, metric in metrics.items():
                if name in dense:
                    system = dense[name] + self.damping * np.eye(metric.layout.count)
                    direction = cho_solve(cho_factor(system), gradients[name])
                else:
                    direction, solved = conjugate_gradient(
                        metric, gradients[name], damping=self.damping, tolerance=1e-2
                    )
                    iterations += solved.iterations
                if name in self.masks:
                    direction = direction * self._mask(name, sections[name])
                directions[name] = -direction
            tried = self._moved(sections, directions, self.rate)
            value = objective.value(tried)
            used = self.damping
            if value <= start.value:
                self.damping = max(1e-6, 0.4 * self.damping)
                return tried, StepReport(start.value, value, True, used, iterations)
            self.damping = min(1e6, 4.0 * self.damping)
        return sections, StepReport(start.value, start.value, False, self.damping, iterations)
