"""The loss over a global belief and its local sections, term by term, with gradients for W and L."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hal9.holograph.model.state import MIN_FACTOR_DIAGONAL, FloatArray, State
from hal9.holograph.optimisation.losses import (
    Claims,
    acyclicity_exponential,
    acyclicity_logdet,
    semantic_energy,
    spectral_penalty,
)
from hal9.holograph.sheaf.sections import Overlap, descent, glue

__all__ = ["WHOLE", "Evaluation", "Objective", "Sections", "Weights", "gaussian_fit"]

WHOLE = ""
"""Key of the global belief among the sections."""
Sections = Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts.

    Attributes:
        semantic: answers. descent: agreement of contexts. glue: agreement of the whole with each context.
        acyclic: acyclicity. spectral: stability margin. ridge: pull of W to zero and L to the identity.
        fit: Gaussian likelihood of data, per row-normalised nat.
    """

    semantic: float = 1.0
    descent: float = 1.0
    glue: float = 1.0
    acyclic: float = 1.0
    spectral: float = 0.1
    ridge: float = 0.02
    fit: float = 1.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Loss, its parts, and gradients per section.

    Attributes:
        value: total, infinite outside the domain.
        terms: each weighted part. gradients: per section (∂/∂W with zero diagonal, ∂/∂L lower triangular).
    """

    value: float
    terms: dict[str, float]
    gradients: dict[str, tuple[FloatArray, FloatArray]]


def gaussian_fit(state: State, sample: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """½ (log det Σ + tr Σ⁻¹ S) - ½ (log det S-free constant); value, ∂/∂W, ∂/∂M.

    Args:
        state: belief.
        sample: covariance of the data over the same variables, shape (n, n).
    """
    size = state.size
    system = np.eye(size) - state.weights
    mixing = np.linalg.solve(system, state.factor)
    spread = mixing @ mixing.T
    whiten = np.linalg.solve(state.factor, system)
    precision = whiten.T @ whiten
    sign, logdet = np.linalg.slogdet(system)
    if sign <= 0:
        return float("inf"), np.zeros_like(spread), np.zeros_like(spread)
    log_spread = 2.0 * float(np.log(np.diag(state.factor)).sum()) - 2.0 * float(logdet)
    value = 0.5 * (log_spread + float(np.vdot(precision, sample)))
    grad = 0.5 * (precision - precision @ sample @ precision)
    # With T = (I - W)⁻¹ the gradients are 2 Tᵀ G Σ and Tᵀ G T.
    pulled: FloatArray = np.asarray(np.linalg.solve(system.T, grad), dtype=np.float64)
    outer: FloatArray = np.asarray(np.linalg.solve(system.T, pulled.T), dtype=np.float64)
    return value, 2.0 * pulled @ spread, outer


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised.

    Attributes:
        claims: per section, the answers given there.
        overlaps: pairs of contexts that must agree.
        weights: of the terms. acyclicity: which measure.
        sample: data covariance over the whole's variables, or None.
    """

    claims: Mapping[str, Claims]
    overlaps: tuple[Overlap, ...] = ()
    weights: Weights = field(default_factory=Weights)
    acyclicity: Literal["exponential", "logdet"] = "exponential"
    sample: FloatArray | None = None

    def evaluate(self, sections: Sections) -> Evaluation:
        """Loss and gradients; infinite, with zero gradients, where a term does not exist."""
        try:
            return self._evaluate(sections)
        except np.linalg.LinAlgError:
            zero = {n: (np.zeros((s.size, s.size)), np.zeros((s.size, s.size))) for n, s in sections.items()}
            return Evaluation(float("inf"), {}, zero)

    def _evaluate(self, sections: Sections) -> Evaluation:
        terms = dict.fromkeys(("semantic", "acyclic", "spectral", "ridge", "descent", "glue", "fit"), 0.0)
        grad_w = {name: np.zeros((s.size, s.size)) for name, s in sections.items()}
        grad_m = {name: np.zeros((s.size, s.size)) for name, s in sections.items()}
        for name, section in sections.items():
            self._local_terms(name, section, terms, grad_w[name], grad_m[name])
        local = {name: section for name, section in sections.items() if name != WHOLE}
        if local and self.overlaps:
            found = descent(local, self.overlaps)
            self._collect(
                "descent", self.weights.descent, found.value, found.gradients, terms, (grad_w, grad_m)
            )
        if local and WHOLE in sections:
            value, gradients = glue(sections[WHOLE], local)
            self._collect("glue", self.weights.glue, value, gradients, terms, (grad_w, grad_m))
        gradients = {}
        for name, section in sections.items():
            symmetric = grad_m[name] + grad_m[name].T
            pull = symmetric @ section.factor + self.weights.ridge * (section.factor - np.eye(section.size))
            np.fill_diagonal(grad_w[name], 0.0)
            gradients[name] = (grad_w[name], np.tril(pull))
        return Evaluation(sum(terms.values()), terms, gradients)

    @staticmethod
    def _collect(
        term: str,
        weight: float,
        value: float,
        gradients: Mapping[str, tuple[FloatArray, FloatArray]],
        terms: dict[str, float],
        into: tuple[dict[str, FloatArray], dict[str, FloatArray]],
    ) -> None:
        terms[term] += weight * value
        for name, (part_w, part_m) in gradients.items():
            into[0][name] += weight * part_w
            into[1][name] += weight * part_m

    def _local_terms(
        self, name: str, section: State, terms: dict[str, float], grad_w: FloatArray, grad_m: FloatArray
    ) -> None:
        weights = self.weights
        if name in self.claims:
            value, part_w, part_m = semantic_energy(section.weights, section.noise, self.claims[name])
            terms["semantic"] += weights.semantic * value
            grad_w += weights.semantic * part_w
            grad_m += weights.semantic * part_m
        measure = acyclicity_exponential if self.acyclicity == "exponential" else acyclicity_logdet
        value, part_w = measure(section.weights)
        terms["acyclic"] += weights.acyclic * value
        grad_w += weights.acyclic * part_w
        value, part_w = spectral_penalty(section.weights)
        terms["spectral"] += weights.spectral * value
        grad_w += weights.spectral * part_w
        offset = section.factor - np.eye(section.size)
        terms["ridge"] += (
            0.5 * weights.ridge * float(np.vdot(section.weights, section.weights) + np.vdot(offset, offset))
        )
        grad_w += weights.ridge * section.weights
        if name == WHOLE and self.sample is not None:
            value, part_w, part_m = gaussian_fit(section, self.sample)
            terms["fit"] += weights.fit * value
            grad_w += weights.fit * part_w
            grad_m += weights.fit * part_m

    def value(self, sections: Sections) -> float:
        """The loss alone; infinite when a factor's diagonal falls below its floor."""
        if any((np.diag(s.factor) < MIN_FACTOR_DIAGONAL).any() for s in sections.values()):
            return float("inf")
        return self.evaluate(sections).value


def moved(section: State, d_weights: FloatArray, d_factor: FloatArray, rate: float) -> State:
    """The section after a step."""
    return replace(
        section, weights=section.weights + rate * d_weights, factor=section.factor + rate * d_factor
    )
