"""Cells joined by gap junctions: voltages that flow, leak, are clamped, and settle into patterns.

C dV/dt = sum over neighbours of g (V_j - V_i) - leak (V - reversal) + current(V).

Source: equivalent-circuit models of tissue bioelectricity, e.g. Pietak and Levin 2016.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.result import Array, OnFailure, Passing, fixed_point

__all__ = ["GapJunctions", "VoltageGate", "turing_pattern"]

Current = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class VoltageGate:
    """Junctions that close as the voltage across them grows.

    The open share is `floor + (1 - floor) * exp(-(dV / width)^2)`: even in dV, so that conductance stays
    symmetric and no charge is made.

    Attributes:
        width: Voltage across the junction at which it is mostly closed.
        floor: Share that never closes, in [0, 1].
    """

    width: float
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.width <= 0 or not 0.0 <= self.floor <= 1.0:
            raise PassingInvalid(what="gate", detail="needs width > 0 and floor in [0, 1]")

    def open_share(self, across: Array) -> Array:
        """How far each junction is open. In and out of shape (..., junctions)."""
        share: Array = self.floor + (1.0 - self.floor) * np.exp(-((across / self.width) ** 2))
        return share


class GapJunctions:
    """A tissue: cells are nodes, junctions are edges whose weight is their conductance."""

    def __init__(
        self,
        graph: Graph,
        *,
        leak: Any = 0.0,
        reversal: Any = 0.0,
        clamp: Mapping[int, float] | None = None,
        gate: VoltageGate | None = None,
        capacitance: float = 1.0,
    ) -> None:
        """Describe the tissue.

        Args:
            graph: Edges in both directions with equal, non-negative weights (conductance, 1 by default).
            leak: Leak conductance, a number or shape (n,).
            reversal: Voltage towards which cells leak, a number or shape (n,).
            clamp: Cells held at a voltage.
            gate: Makes junctions voltage-gated.
            capacitance: Of every cell.
        """
        conductance = graph.edge_weight()
        partner = graph.reverse
        if (partner < 0).any() or not np.array_equal(conductance, conductance[partner]):
            raise PassingInvalid(
                what="graph",
                detail="conductance is not the same both ways, so charge would appear from nowhere",
                remedy="Build it with Graph.undirected",
            )
        if (conductance < 0).any() or not np.isfinite(conductance).all():
            raise PassingInvalid(what="conductance", detail="must be finite and non-negative")
        self.graph = graph
        self.conductance: Array = conductance
        self.leak: Array = np.broadcast_to(np.asarray(leak, dtype=float), (graph.n,))
        self.reversal: Array = np.broadcast_to(np.asarray(reversal, dtype=float), (graph.n,))
        if (self.leak < 0).any() or capacitance <= 0:
            raise PassingInvalid(what="leak and capacitance", detail="leak must be >= 0, capacitance > 0")
        self.gate = gate
        self.capacitance = float(capacitance)
        held = dict(clamp or {})
        if any(not 0 <= cell < graph.n for cell in held):
            raise PassingInvalid(what="clamp", detail=f"cells are 0..{graph.n - 1}, not {sorted(held)}")
        self.clamped: Array = np.array(sorted(held), dtype=np.intp)
        self.clamp_voltage: Array = np.array([held[int(c)] for c in self.clamped], dtype=float)
        self._free = np.setdiff1d(np.arange(graph.n), self.clamped)
        self._solvers: dict[float, Any] = {}

    def _open(self, v: Array) -> Array:
        if self.gate is None:
            return self.conductance
        return self.conductance * self.gate.open_share(v[self.graph.src] - v[self.graph.dst])

    def flow(self, v: Array) -> Array:
        """Current into each cell through its junctions, shape (n,)."""
        g = self._open(v)
        total = np.bincount(self.graph.dst, weights=g, minlength=self.graph.n)
        out: Array = self.graph.matrix(g) @ v - total * v
        return out

    def _operator(self, v: Array, extra: float) -> Any:
        """Laplacian + leak + extra on the diagonal, as a sparse matrix."""
        from scipy.sparse import diags_array  # noqa: PLC0415 - importing the room must stay cheap

        g = self._open(v)
        total = np.bincount(self.graph.dst, weights=g, minlength=self.graph.n)
        return diags_array(total + self.leak + extra) - self.graph.matrix(g)

    def _solve(self, v: Array, right: Array, extra: float) -> Array:
        from scipy.sparse.linalg import splu  # noqa: PLC0415 - importing the room must stay cheap

        if self.gate is not None or extra not in self._solvers:
            operator = self._operator(v, extra).tocsr()[self._free]
            solver = splu(operator[:, self._free].tocsc()) if len(self._free) else None
            pull = operator[:, self.clamped] @ self.clamp_voltage
            if self.gate is None:
                self._solvers[extra] = (solver, pull)
        else:
            solver, pull = self._solvers[extra]
        out = np.empty(self.graph.n)
        out[self.clamped] = self.clamp_voltage
        if solver is not None:
            out[self._free] = solver.solve(right[self._free] - pull)
        return out

    def step(
        self, v: Any, dt: float, *, implicit: bool = True, current: Current | Array | None = None
    ) -> Array:
        """Voltages after `dt`.

        The implicit step is stable for any `dt`; gates and `current` are taken at the start of the step.

        Args:
            v: Voltages, shape (n,).
            dt: Time.
            implicit: Backward Euler, or forward Euler.
            current: Extra current into each cell, shape (n,), or a function of all voltages (channels).
        """
        now = np.array(v, dtype=float)
        if now.shape != (self.graph.n,) or dt <= 0:
            raise PassingInvalid(
                what="step", detail=f"needs {self.graph.n} voltages and dt > 0, found {now.shape}, {dt}"
            )
        now[self.clamped] = self.clamp_voltage
        push = current(now) if callable(current) else 0.0 if current is None else current
        if implicit:
            rate = self.capacitance / dt
            return self._solve(now, rate * now + self.leak * self.reversal + push, rate)
        change = self.flow(now) - self.leak * (now - self.reversal) + push
        new: Array = now + dt / self.capacitance * change
        new[self.clamped] = self.clamp_voltage
        return new

    def run(
        self,
        v: Any,
        dt: float,
        steps: int,
        *,
        current: Current | Array | None = None,
        tol: float | None = None,
    ) -> Passing:
        """Many implicit steps; with `tol` until no voltage changes by more than that in one.

        `v` has shape (..., cells).
        """
        return fixed_point(
            lambda now: self.step(now, dt, current=current),
            np.array(v, dtype=float),
            tol=tol,
            max_iter=steps,
            what="GapJunctions.run",
        )

    def steady_state(
        self, *, tol: float = 1e-10, max_iter: int = 1000, on_failure: OnFailure = "warn"
    ) -> Passing:
        """Voltages at which nothing flows on: one linear solve, or repeated ones while gates adapt.

        Raises:
            PassingInvalid: Some connected part has neither leak nor clamp, so any constant would do.
        """
        self._anchored()
        start = np.full(self.graph.n, float(self.clamp_voltage.mean()) if len(self.clamped) else 0.0)
        right = self.leak * self.reversal
        if self.gate is None:
            state = self._solve(start, right, 0.0)
            return Passing(state=state, converged=True, iterations=1, residuals=np.zeros(1))
        start = (
            GapJunctions(
                self.graph,
                leak=self.leak,
                reversal=self.reversal,
                clamp=dict(zip(self.clamped.tolist(), self.clamp_voltage.tolist(), strict=True)),
            )
            .steady_state()
            .state
        )
        return fixed_point(
            lambda v: 0.5 * v + 0.5 * self._solve(v, right, 0.0),
            start,
            tol=tol,
            max_iter=max_iter,
            what="GapJunctions.steady_state",
            on_failure=on_failure,
        )

    def _anchored(self) -> None:
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - importing the room must stay cheap

        joined = self.graph.matrix((self.conductance > 0).astype(float))
        joined.eliminate_zeros()
        parts, label = connected_components(joined, directed=False)
        anchored = np.zeros(parts, dtype=bool)
        anchored[label[self.leak > 0]] = True
        anchored[label[self.clamped]] = True
        if not anchored.all():
            raise PassingInvalid(
                what="steady state",
                detail="a connected part has neither leak nor clamped cell, so any constant voltage would do",
                remedy="Add a leak or clamp a cell",
            )


def turing_pattern(
    graph: Graph,
    *,
    seed: int,
    steps: int = 2000,
    dt: float = 0.1,
    spread: tuple[float, float] = (0.6, 16.0),
    bias: float = 0.0,
) -> tuple[Array, Array]:
    """A morphogenetic pattern from noise: voltage excites itself nearby and its inhibitor spreads further.

    FitzHugh-Nagumo kinetics in the regime where the uniform state is unstable to one wavelength only
    (Turing 1952): dV = spread_0 L V + V - V^3 - W + bias, dW / 2 = spread_1 L W + 3/2 V - W.

    Args:
        graph: Which cells are joined.
        seed: Of the noise to start from.
        steps: Time steps.
        dt: Time per step.
        spread: Junction conductance for voltage and for inhibitor.
        bias: Shifts stripes (0) towards spots.

    Returns:
        Voltage and inhibitor, shape (n,) each.
    """
    rng = np.random.default_rng(seed)
    v, w = 0.05 * rng.normal(size=(2, graph.n))
    own = graph.edge_weight()
    near = GapJunctions(Graph(graph.src, graph.dst, graph.n, weight=own * spread[0]))
    wide = GapJunctions(
        Graph(graph.src, graph.dst, graph.n, weight=own * spread[1]), capacitance=0.5, leak=1.0
    )
    for _ in range(steps):
        excitation = v - v**3 - w + bias
        v, w = near.step(v, dt, current=excitation), wide.step(w, dt, current=1.5 * v)
    return v, w
