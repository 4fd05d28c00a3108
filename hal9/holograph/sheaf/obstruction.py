"""When contexts cannot be glued: noticing it, naming the edge, adding a latent variable."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hal9.holograph.model.edge_posterior import NoiseModel
from hal9.holograph.model.state import FloatArray, State, project_arrays
from hal9.holograph.questions import ANSWERS, Answer, Question
from hal9.holograph.sheaf.sections import Descent, Overlap

__all__ = [
    "Conflict",
    "Plateau",
    "conflicts",
    "heldout_energy",
    "local_posterior",
    "pair_residuals",
    "surgery",
]


@dataclass(slots=True)
class Plateau:
    """Says when the descent loss has stopped falling although it is still high.

    Attributes:
        window: how many values the trend looks at. change: relative fall that still counts as progress.
        floor: descent below which there is nothing to resolve.
    """

    window: int = 4
    change: float = 0.02
    floor: float = 0.02
    smoothing: float = 0.5
    _average: float | None = None
    _history: deque[float] = field(default_factory=deque)

    def update(self, value: float) -> bool:
        """Take in a descent loss after a fit."""
        self._average = (
            value if self._average is None else self.smoothing * value + (1 - self.smoothing) * self._average
        )
        self._history.append(self._average)
        while len(self._history) > self.window:
            self._history.popleft()
        if len(self._history) < self.window or value <= self.floor:
            return False
        return self._history[0] - self._history[-1] <= self.change * self._history[0]

    def reset(self) -> None:
        """Start afresh, after the belief was changed from outside."""
        self._average = None
        self._history.clear()


@dataclass(frozen=True, slots=True)
class Conflict:
    """An edge on which two contexts disagree.

    Attributes:
        overlap: the two contexts. first, second: the pair, in the problem's order.
        kind: "direction" when each claims the other's reverse, "sign" when the effect has opposite signs.
        residual: squared difference that the pair contributes to the descent loss.
    """

    overlap: Overlap
    first: str
    second: str
    kind: str
    residual: float


def conflicts(
    sections: Mapping[str, State], found: Descent, order: Sequence[str], *, least: float = 0.1
) -> list[Conflict]:
    """Edges whose direction or sign is opposed in two contexts, the worst first.

    Args:
        sections: local beliefs.
        found: their descent.
        order: variables in the problem's order.
        least: weights below it claim nothing.
    """
    rank = {name: k for k, name in enumerate(order)}
    opposed: list[Conflict] = []
    for overlap, (delta_w, delta_m) in found.residuals.items():
        sides = []
        for name in (overlap.first, overlap.second):
            section = sections[name]
            sides.append(
                project_arrays(section.weights, section.noise, section.indices(overlap.shared)).weights
            )
        for a in range(len(overlap.shared)):
            for b in range(a + 1, len(overlap.shared)):
                kind = _opposed(sides[0], sides[1], a, b, least)
                if kind is None:
                    continue
                first, second = sorted((overlap.shared[a], overlap.shared[b]), key=rank.__getitem__)
                residual = float(delta_w[a, b] ** 2 + delta_w[b, a] ** 2 + 2 * delta_m[a, b] ** 2)
                opposed.append(Conflict(overlap, first, second, kind, residual))
    return sorted(opposed, key=lambda c: (-c.residual, c.first, c.second))


def _opposed(one: FloatArray, two: FloatArray, a: int, b: int, least: float) -> str | None:
    for left, right in ((one, two), (two, one)):
        ahead = abs(left[b, a]) > max(least, 1.5 * abs(left[a, b]))
        behind = abs(right[a, b]) > max(least, 1.5 * abs(right[b, a]))
        if ahead and behind:
            return "direction"
    for target, source in ((a, b), (b, a)):
        if (
            min(abs(one[target, source]), abs(two[target, source])) > least
            and one[target, source] * two[target, source] < 0
        ):
            return "sign"
    return None


def pair_residuals(found: Descent, order: Sequence[str]) -> dict[str, FloatArray]:
    """Per context, the descent residual of every pair in upper-triangle order, shape (pairs,)."""
    rank = {name: k for k, name in enumerate(order)}
    size = len(order)
    first, second = np.triu_indices(size, 1)
    totals: dict[str, FloatArray] = {}
    for overlap, (delta_w, delta_m) in found.residuals.items():
        place = np.array([rank[name] for name in overlap.shared], dtype=np.intp)
        full = np.zeros((size, size))
        full[np.ix_(place, place)] = delta_w**2 + delta_w.T**2 + 2 * delta_m**2
        for name in (overlap.first, overlap.second):
            totals[name] = totals.get(name, np.zeros(first.size)) + full[first, second]
    return totals


def local_posterior(
    answers: Sequence[tuple[Question, Answer]], noise: NoiseModel, base: float = 0.25
) -> FloatArray:
    """What some answers about one pair, all in one order, say by themselves; P(relation), shape (4,)."""
    logs = np.log([base / 2, base / 2, 1 - base - 0.01, 0.01])
    for question, answer in answers:
        logs = logs + np.log(noise.table(question.kind)[:, ANSWERS[question.kind].index(answer.verdict)])
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def surgery(section: State, latent: str, first: str, second: str, *, least: float = 0.3) -> State:
    """Add a latent common cause Z of two variables, moving their noise covariance into its loadings.

    W gains Z→first and Z→second with loadings a, b such that a·b = M_XY; a², b² and a·b leave M; the direct
    edges between the two are dropped. When nothing else stood between them the marginal covariance is
    unchanged as long as |a·b| needs no lifting to `least`².

    Args:
        section: belief that has both variables and may already have the latent.
        latent: name of Z.
        first: X.
        second: Y.
        least: smallest loading, so that the new variable can be learned about.

    Returns:
        A belief with N + 1 variables (N when Z was there already), M still positive definite.
    """
    size = section.size
    exists = latent in section.names
    names = section.names if exists else (*section.names, latent)
    weights, noise = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    weights[:size, :size] = section.weights
    noise[:size, :size] = section.noise
    if not exists:
        noise[size, size] = 1.0
    x, y, z = names.index(first), names.index(second), names.index(latent)
    shared = noise[x, y]
    direct = weights[y, x] * noise[x, x] + weights[x, y] * noise[y, y]
    sign = np.sign(shared if abs(shared) > 1e-9 else direct) or 1.0
    strength = max(float(np.sqrt(abs(shared))), least)
    room = 0.7 * float(np.sqrt(min(noise[x, x], noise[y, y])))
    load = min(strength, room)
    weights[y, x] = weights[x, y] = 0.0
    weights[x, z] += load
    weights[y, z] += sign * load
    moved = noise.copy()
    moved[x, x] -= load**2
    moved[y, y] -= load**2
    moved[x, y] = moved[y, x] = shared - sign * load**2 if load**2 <= abs(shared) + 1e-12 else 0.0
    return State(names, weights, _factor(moved))


def _factor(noise: FloatArray) -> FloatArray:
    """Cholesky factor, after lifting eigenvalues that the subtraction made too small."""
    values, vectors = np.linalg.eigh(noise)
    if values[0] < 0.01:
        noise = (vectors * np.maximum(values, 0.01)) @ vectors.T
    return np.asarray(np.linalg.cholesky(noise), dtype=np.float64)


def heldout_energy(
    sections: Mapping[str, State],
    answers: Sequence[tuple[Question, Answer]],
    noise: NoiseModel,
    observed: Mapping[str, Sequence[str]],
    *,
    sharpness: float = 8.0,
    rest: float = 0.25,
) -> float:
    """-Σ log P(answer | belief) of answers that no section was fitted to, in nats.

    Args:
        sections: beliefs by context.
        answers: held-out questions with answers.
        noise: answer model.
        observed: per context its observed variables; latents are projected out first.
        sharpness: of the softmax, as in the semantic energy.
        rest: strength that stands for no relation.
    """
    energy = 0.0
    for question, answer in answers:
        section = sections[question.context]
        names = list(observed[question.context])
        side = project_arrays(section.weights, section.noise, section.indices(names))
        x, y = names.index(question.first), names.index(question.second)
        strength = np.array([abs(side.weights[y, x]), abs(side.weights[x, y]), rest, abs(side.noise[x, y])])
        belief = np.exp(sharpness * (strength - strength.max()))
        likelihood = noise.table(question.kind)[:, ANSWERS[question.kind].index(answer.verdict)]
        energy -= float(np.log(belief @ likelihood / belief.sum()))
    return energy
