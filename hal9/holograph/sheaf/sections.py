"""Local sections on overlapping contexts: restriction, descent, glue, and measures of locality and gluing.

Every context i holds its own belief θ_i over its variables. Two contexts agree when the latent projections of
θ_i and θ_j onto their shared variables are equal; the descent loss is the squared Frobenius distance. A
single global θ restricted everywhere agrees with itself by transitivity, so only separate sections matter.
Variables are matched by name, never by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray, Projection, State, project_arrays

__all__ = ["Cover", "Descent", "GluingMeasures", "Overlap", "descent", "glue", "gluing_measures"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two contexts and the observed variables they share, in sorted order."""

    first: str
    second: str
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """Contexts by name, with the variables of each."""

    contexts: Mapping[str, tuple[str, ...]]

    def overlaps(self) -> tuple[Overlap, ...]:
        """All pairs of contexts that share at least one variable."""
        found = []
        for first, second in combinations(self.contexts, 2):
            shared = tuple(sorted(set(self.contexts[first]) & set(self.contexts[second])))
            if shared:
                found.append(Overlap(first, second, shared))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Descent:
    """Descent loss with its gradients and residuals.

    Attributes:
        value: Σ over overlaps of ‖W̃_i - W̃_j‖² + ‖M̃_i - M̃_j‖².
        gradients: per section (∂/∂W, ∂/∂M), each shape (n_i, n_i).
        residuals: per overlap, the two projections' differences (ΔW̃, ΔM̃), first minus second.
    """

    value: float
    gradients: dict[str, tuple[FloatArray, FloatArray]]
    residuals: dict[Overlap, tuple[FloatArray, FloatArray]]


def _zero_gradients(sections: Mapping[str, State]) -> dict[str, tuple[FloatArray, FloatArray]]:
    return {name: (np.zeros((s.size, s.size)), np.zeros((s.size, s.size))) for name, s in sections.items()}


def descent(sections: Mapping[str, State], overlaps: Sequence[Overlap]) -> Descent:
    """Frobenius descent loss between separate local sections.

    Raises:
        numpy.linalg.LinAlgError: a hidden block has a unit feedback loop.
    """
    gradients = _zero_gradients(sections)
    noises = {name: section.noise for name, section in sections.items()}
    rows = {name: {v: k for k, v in enumerate(section.names)} for name, section in sections.items()}
    residuals: dict[Overlap, tuple[FloatArray, FloatArray]] = {}
    total = 0.0
    for overlap in overlaps:
        sides: list[Projection] = []
        for name in (overlap.first, overlap.second):
            keep = np.array([rows[name][v] for v in overlap.shared], dtype=np.intp)
            sides.append(project_arrays(sections[name].weights, noises[name], keep))
        delta_w = sides[0].weights - sides[1].weights
        delta_m = sides[0].noise - sides[1].noise
        residuals[overlap] = (delta_w, delta_m)
        total += float(np.vdot(delta_w, delta_w) + np.vdot(delta_m, delta_m))
        for name, side, sign in ((overlap.first, sides[0], 2.0), (overlap.second, sides[1], -2.0)):
            pulled_w, pulled_m = side.pull_back(sign * delta_w, sign * delta_m)
            gradients[name][0][...] += pulled_w
            gradients[name][1][...] += pulled_m
    return Descent(total, gradients, residuals)


def glue(
    whole: State, sections: Mapping[str, State]
) -> tuple[float, dict[str, tuple[FloatArray, FloatArray]]]:
    """Glue loss Σ_i ‖θ restricted to i - θ_i‖² over weights and noise.

    Args:
        whole: the global belief.
        sections: local beliefs over subsets of its variables.

    Returns:
        The loss, and gradients by section name with the key "" for the whole.
    """
    gradients = _zero_gradients(sections)
    gradients[""] = (np.zeros((whole.size, whole.size)), np.zeros((whole.size, whole.size)))
    noise = whole.noise
    total = 0.0
    for name, section in sections.items():
        side = project_arrays(whole.weights, noise, whole.indices(section.names))
        delta_w = side.weights - section.weights
        delta_m = side.noise - section.noise
        total += float(np.vdot(delta_w, delta_w) + np.vdot(delta_m, delta_m))
        pulled_w, pulled_m = side.pull_back(2.0 * delta_w, 2.0 * delta_m)
        gradients[""][0][...] += pulled_w
        gradients[""][1][...] += pulled_m
        gradients[name][0][...] -= 2.0 * delta_w
        gradients[name][1][...] -= 2.0 * delta_m
    return total, gradients


@dataclass(frozen=True, slots=True)
class GluingMeasures:
    """Linear algebra of the restriction maps at a consistent point (the restrictions of one global belief).

    Attributes:
        h0: dim ker δ⁰, the families of local tangents that agree on all overlaps.
        h1: dim ker δ¹ / im δ⁰, the disagreements consistent on triple overlaps that no change of sections
        removes. invisible: dim ker of global → sections, the global directions that no context can see
        (failure of locality).
        unglued: h0 minus the rank of global → sections, agreeing families that come from no global one.
        residual: ‖r‖ of the given sections' disagreement.
        obstruction: ‖(1 - P) r‖ with P the projector onto im δ⁰, the part that no averaging can remove.
    """

    h0: int
    h1: int
    invisible: int
    unglued: int
    residual: float
    obstruction: float


def _basis(size: int) -> tuple[FloatArray, FloatArray]:
    """Tangent basis of (W, M): all of W, symmetric M; two arrays of shape (d, n, n)."""
    lower = np.tril_indices(size)
    count_w, count_m = size * size, lower[0].size
    d_weights = np.zeros((count_w + count_m, size, size))
    d_noise = np.zeros((count_w + count_m, size, size))
    d_weights[:count_w].reshape(count_w, -1)[np.arange(count_w), np.arange(count_w)] = 1.0
    where = count_w + np.arange(count_m)
    d_noise[where, lower[0], lower[1]] = 1.0
    d_noise[where, lower[1], lower[0]] = 1.0
    return d_weights, d_noise


def _flat(d_weights: FloatArray, d_noise: FloatArray) -> FloatArray:
    """Coordinates of tangents, shape (d, n² + n(n+1)/2)."""
    size = d_weights.shape[-1]
    lower = np.tril_indices(size)
    count = d_weights.shape[0]
    return np.concatenate([d_weights.reshape(count, -1), d_noise[:, lower[0], lower[1]]], axis=1)


def _restriction(state: State, names: Sequence[str]) -> FloatArray:
    """Jacobian of the projection onto `names`, shape (coordinates of names, coordinates of state)."""
    side = project_arrays(state.weights, state.noise, state.indices(names))
    return _flat(*side.push_forward(*_basis(state.size))).T


def _rank(matrix: FloatArray) -> int:
    return int(np.linalg.matrix_rank(matrix, tol=1e-9)) if matrix.size else 0


def _coboundary(
    blocks: Mapping[str, int], rows: Sequence[tuple[int, Sequence[tuple[str, float, FloatArray]]]]
) -> FloatArray:
    """Stack block rows: each row has a height and signed blocks keyed by column name."""
    starts: dict[str, int] = {}
    width = 0
    for name, size in blocks.items():
        starts[name] = width
        width += size
    matrix = np.zeros((sum(height for height, _ in rows), width))
    top = 0
    for height, entries in rows:
        for name, sign, block in entries:
            matrix[top : top + height, starts[name] : starts[name] + block.shape[1]] += sign * block
        top += height
    return matrix


def _coordinates(size: int) -> int:
    return size * size + size * (size + 1) // 2


def gluing_measures(whole: State, cover: Cover, sections: Mapping[str, State]) -> GluingMeasures:
    """Dimensions of the linearised Čech complex of a cover, and how far given sections are from gluing.

    The maps are linearised at the restrictions of `whole`, where they compose exactly. Cost grows with the
    sixth power of the context size; meant for contexts of up to about 12 variables.
    """
    contexts = list(cover.contexts)
    overlaps = cover.overlaps()
    local = {c: _project_state(whole, cover.contexts[c]) for c in contexts}
    sizes0 = {c: _coordinates(len(cover.contexts[c])) for c in contexts}
    rows0 = [
        (
            _coordinates(len(o.shared)),
            [
                (o.first, 1.0, _restriction(local[o.first], o.shared)),
                (o.second, -1.0, _restriction(local[o.second], o.shared)),
            ],
        )
        for o in overlaps
    ]
    delta0 = _coboundary(sizes0, rows0)
    delta1 = _delta1(whole, cover, overlaps)
    to_sections = np.concatenate([_restriction(whole, cover.contexts[c]) for c in contexts], axis=0)
    rank0, rank1, rank_global = _rank(delta0), _rank(delta1), _rank(to_sections)
    h0 = delta0.shape[1] - rank0
    residual = _residual(sections, overlaps)
    obstruction = 0.0
    if residual.size:
        fitted = delta0 @ np.linalg.lstsq(delta0, residual, rcond=None)[0]
        obstruction = float(np.linalg.norm(residual - fitted))
    return GluingMeasures(
        h0=h0,
        h1=delta0.shape[0] - rank1 - rank0,
        invisible=to_sections.shape[1] - rank_global,
        unglued=h0 - rank_global,
        residual=float(np.linalg.norm(residual)),
        obstruction=obstruction,
    )


def _project_state(state: State, names: Sequence[str]) -> State:
    side = project_arrays(state.weights, state.noise, state.indices(names))
    return State(tuple(names), side.weights, np.asarray(np.linalg.cholesky(side.noise), dtype=np.float64))


def _delta1(whole: State, cover: Cover, overlaps: Sequence[Overlap]) -> FloatArray:
    pair = {frozenset((o.first, o.second)): o for o in overlaps}
    states = {o: _project_state(whole, o.shared) for o in overlaps}
    keys = {o: f"{o.first}\0{o.second}" for o in overlaps}
    rows: list[tuple[int, list[tuple[str, float, FloatArray]]]] = []
    for a, b, c in combinations(cover.contexts, 3):
        shared = tuple(sorted(set(cover.contexts[a]) & set(cover.contexts[b]) & set(cover.contexts[c])))
        if not shared:
            continue
        ab, ac, bc = (pair[frozenset(two)] for two in ((a, b), (a, c), (b, c)))
        signed = ((bc, 1.0), (ac, -1.0), (ab, 1.0))
        entries = [(keys[o], sign, _restriction(states[o], shared)) for o, sign in signed]
        rows.append((_coordinates(len(shared)), entries))
    return _coboundary({keys[o]: _coordinates(len(o.shared)) for o in overlaps}, rows)


def _residual(sections: Mapping[str, State], overlaps: Sequence[Overlap]) -> NDArray[np.float64]:
    found = descent(sections, overlaps).residuals
    parts = [_flat(found[o][0][None], found[o][1][None])[0] for o in overlaps]
    return np.concatenate(parts) if parts else np.zeros(0)
