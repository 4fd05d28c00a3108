"""Predictive coding: layers that predict each other, errors that flow back.

Energy F = sum over layers of precision / 2 * (x - prediction)^2, with prediction_l = W f(x_{l-1}) + b.
States relax down the gradient of F; weights learn from what error remains.

Two identities with backpropagation hold and are tested: with predictions fixed at the forward pass the
errors at equilibrium *are* the backpropagated gradients, and as the output precision goes to 0 the gradients
divided by it approach them. The often-quoted third, that pulling the output only a little towards the target
suffices, does not hold: what is small then is the target's distance, and it cancels.

Sources: Rao and Ballard 1999; Whittington and Bogacz 2017; Millidge, Tschantz and Buckley 2022.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.result import Array, OnFailure, report_failure

__all__ = ["PredictiveCoding", "Relaxation"]

Activation: TypeAlias = Literal["tanh", "relu", "identity"]
_ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: (x > 0).astype(x.dtype)),
    "identity": (lambda x: x, np.ones_like),
}
_SMALLEST_RATE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Relaxation:
    """States after relaxing.

    Attributes:
        states: Per layer, shape (batch, units).
        errors: Per layer but the input, state minus prediction, shape (batch, units).
        energy: Energy at the start and after every step.
        gradient: Largest absolute slope of the energy at a free unit, per step.
        converged: Whether the slope reached the tolerance; None when only steps were asked for.
        rate: The step size in the end (halved whenever a step would have raised the energy).
    """

    states: list[Array]
    errors: list[Array]
    energy: Array
    gradient: Array
    converged: bool | None
    rate: float


class PredictiveCoding:
    """A hierarchy of layers.

    Attributes:
        weights: `weights[l]` maps layer l to the prediction of layer l + 1, shape (out, in).
        biases: Shape (out,) each.
        precisions: Inverse variance of the errors of layers 1..L, a number or shape (units,) each.
    """

    def __init__(
        self,
        weights: Sequence[Array],
        biases: Sequence[Array] | None = None,
        *,
        precision: Sequence[Any] | None = None,
        activation: Activation = "tanh",
    ) -> None:
        self.weights: list[Array] = [np.asarray(w, dtype=np.float64) for w in weights]
        if not self.weights or any(w.ndim != 2 for w in self.weights):
            raise PassingInvalid(what="weights", detail="expected one matrix per pair of layers")
        for below, above in pairwise(self.weights):
            if above.shape[1] != below.shape[0]:
                raise PassingInvalid(
                    what="weights", detail=f"shapes {below.shape} and {above.shape} do not follow"
                )
        given = [np.zeros(len(w)) for w in self.weights] if biases is None else biases
        self.biases: list[Array] = [np.asarray(b, dtype=np.float64) for b in given]
        self.precisions: list[Any] = [1.0] * len(self.weights) if precision is None else list(precision)
        if len(self.biases) != len(self.weights) or len(self.precisions) != len(self.weights):
            raise PassingInvalid(what="biases and precision", detail=f"expected {len(self.weights)} of each")
        if any(np.any(np.asarray(p) <= 0) for p in self.precisions):
            raise PassingInvalid(what="precision", detail="must be positive")
        if activation not in _ACTIVATIONS:
            raise PassingInvalid(
                what="activation", detail=f"{activation!r} is not one of {sorted(_ACTIVATIONS)}"
            )
        self._act, self._slope = _ACTIVATIONS[activation]

    @classmethod
    def random(
        cls,
        sizes: Sequence[int],
        seed: int,
        *,
        precision: Sequence[Any] | None = None,
        activation: Activation = "tanh",
    ) -> "PredictiveCoding":
        """Gaussian weights of variance 1 / inputs."""
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(sizes)]
        return cls(weights, precision=precision, activation=activation)

    def _fire(self, layer: int, x: Array) -> Array:
        # The input is data, not a pre-activation.
        return x if layer == 0 else self._act(x)

    def predictions(self, states: Sequence[Array]) -> list[Array]:
        """What each layer predicts of the next, given all states. Layer n has shape (cases, units of n)."""
        pairs = zip(self.weights, self.biases, states, strict=False)
        return [self._fire(layer, x) @ w.T + b for layer, (w, b, x) in enumerate(pairs)]

    def forward(self, x: Any) -> list[Array]:
        """States without any error, shape (batch, units) per layer."""
        states = [np.atleast_2d(np.asarray(x, dtype=np.float64))]
        if states[0].shape[1] != self.weights[0].shape[1]:
            raise PassingInvalid(
                what="x", detail=f"expected {self.weights[0].shape[1]} inputs, found {states[0].shape}"
            )
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            states.append(self._fire(layer, states[-1]) @ w.T + b)
        return states

    def energy(self, states: Sequence[Array], predictions: Sequence[Array] | None = None) -> float:
        """The energy of all cases together. Layer n has shape (cases, units of n); the energy is a scalar."""
        made = self.predictions(states) if predictions is None else predictions
        terms = zip(self.precisions, states[1:], made, strict=True)
        return float(sum(0.5 * np.sum(p * (x - mu) ** 2) for p, x, mu in terms))

    def _slopes(self, states: list[Array], anchor: list[Array], made: list[Array], top: int) -> list[Array]:
        """Gradient of the energy at layers 1..top; `anchor` is where activations are linearised."""
        errors = [p * (x - mu) for p, x, mu in zip(self.precisions, states[1:], made, strict=True)]
        out = []
        for layer in range(1, top + 1):
            slope = errors[layer - 1]
            if layer < len(self.weights):
                slope = slope - self._slope(anchor[layer]) * (errors[layer] @ self.weights[layer])
            out.append(slope)
        return out

    def relax(
        self,
        x: Any,
        y: Any = None,
        *,
        steps: int = 100,
        rate: float = 0.1,
        tol: float | None = None,
        fixed_prediction: bool = False,
        on_failure: OnFailure = "warn",
    ) -> Relaxation:
        """Let the states find their balance between input and target.

        Args:
            x: Input, clamped, shape (batch, inputs) or (inputs,).
            y: Target, clamped, shape (batch, outputs); None leaves the output free.
            steps: Most gradient steps.
            rate: Step size; halved whenever a step would raise the energy.
            tol: Stop when the largest slope is at most this; None runs all steps.
            fixed_prediction: Keep predictions and slopes of the forward pass (the exact-backprop variant).
            on_failure: What to do when `tol` was not reached.
        """
        states = self.forward(x)
        top = len(self.weights)
        if y is not None:
            target = np.atleast_2d(np.asarray(y, dtype=np.float64))
            if target.shape != states[-1].shape:
                raise PassingInvalid(
                    what="y", detail=f"expected shape {states[-1].shape}, found {target.shape}"
                )
            anchor = states
            states = [*states[:-1], target]
            top -= 1
        else:
            anchor = states
        frozen = self.predictions(anchor) if fixed_prediction else None
        trace, slopes_seen, converged = [self.energy(states, frozen)], [], None if tol is None else False
        for _ in range(steps):
            made = self.predictions(states) if frozen is None else frozen
            slopes = self._slopes(states, states if frozen is None else anchor, made, top)
            slopes_seen.append(max((float(np.abs(s).max(initial=0.0)) for s in slopes), default=0.0))
            if tol is not None and slopes_seen[-1] <= tol:
                converged = True
                break
            states, rate = self._descend(states, slopes, rate, trace, frozen)
        if converged is False:
            last = slopes_seen[-1] if slopes_seen else float("inf")
            report_failure("PredictiveCoding.relax", len(slopes_seen), last, on_failure)
        made = self.predictions(states) if frozen is None else frozen
        return Relaxation(
            states=states,
            errors=[s - mu for s, mu in zip(states[1:], made, strict=True)],
            energy=np.array(trace),
            gradient=np.array(slopes_seen),
            converged=converged,
            rate=rate,
        )

    def _descend(
        self,
        states: list[Array],
        slopes: list[Array],
        rate: float,
        trace: list[float],
        frozen: list[Array] | None,
    ) -> tuple[list[Array], float]:
        """One step; with live predictions a step that raises the energy is retried with half the rate."""
        while True:
            moved = [x - rate * s for x, s in zip(states[1:], slopes, strict=False)]
            new = [states[0], *moved, *states[1 + len(moved) :]]
            energy = self.energy(new, frozen)
            # Fixed predictions follow the backpropagation equations, which descend no energy.
            if frozen is not None or energy <= trace[-1] * (1 + 1e-12) or rate < _SMALLEST_RATE:
                trace.append(energy)
                return new, rate
            rate *= 0.5

    def gradients(self, relaxed: Relaxation, *, fixed_prediction: bool = False) -> list[tuple[Array, Array]]:
        """Energy gradients of (weights, biases) per layer, summed over the batch.

        Of the shapes of the weights and biases.

        Args:
            relaxed: What `relax` returned.
            fixed_prediction: Use the forward pass's activities, as `relax(fixed_prediction=True)` did.
        """
        states = self.forward(relaxed.states[0]) if fixed_prediction else relaxed.states
        out = []
        for layer, (p, error) in enumerate(zip(self.precisions, relaxed.errors, strict=True)):
            weighted = p * error
            out.append((-weighted.T @ self._fire(layer, states[layer]), -weighted.sum(axis=0)))
        return out

    def learn(self, gradients: Sequence[tuple[Array, Array]], rate: float) -> None:
        """Step all weights and biases down their gradients.

        Gradients have the shapes of the weights and biases.
        """
        self.weights = [w - rate * dw for w, (dw, _) in zip(self.weights, gradients, strict=True)]
        self.biases = [b - rate * db for b, (_, db) in zip(self.biases, gradients, strict=True)]

    def graph(self) -> Graph:
        """The hierarchy unit by unit: an edge per weight, numbered layer after layer from the input.

        Predictions are the weighted sum along it, errors flow along the same edges turned round.
        """
        sizes = [self.weights[0].shape[1], *(len(w) for w in self.weights)]
        first = np.concatenate([[0], np.cumsum(sizes)])
        src, dst, weight = [], [], []
        for layer, w in enumerate(self.weights):
            heads, tails = np.indices(w.shape)
            src.append(tails.ravel() + first[layer])
            dst.append(heads.ravel() + first[layer + 1])
            weight.append(w.ravel())
        return Graph(np.concatenate(src), np.concatenate(dst), int(first[-1]), weight=np.concatenate(weight))
