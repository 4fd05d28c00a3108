"""Times of the numeric kernels, one thread, CPU milliseconds: minimum and median.

python -m benchmarks.holograph kernels
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks import report
from hal9.holograph.model.edge_posterior import EdgePosterior, NoiseModel
from hal9.holograph.model.state import State, project_arrays
from hal9.holograph.optimisation.fisher import InterventionalFisher, conjugate_gradient
from hal9.holograph.optimisation.losses import acyclicity_exponential, acyclicity_logdet
from hal9.holograph.optimisation.objective import WHOLE, Objective, Weights
from hal9.holograph.optimisation.optimise import METHODS, Optimiser
from hal9.holograph.queries.planner import Planner
from hal9.holograph.sheaf.sections import Cover, descent

REFERENCE = {
    "project N/2 hidden": (0.15, 0.24, 0.51),
    "descent fwd+bwd, 8 contexts": (5.1, 7.8, 17.1),
    "acyclicity fwd+bwd": (0.17, 0.39, 2.2),
    "choose a question": (5.9, 54.0, 643.0),
}
"""What the published implementation took (float32, CPU minimum), from an earlier measurement on like hardware."""


def sparse_state(size, rng, names=None):
    weights = np.tril(rng.normal(0, 0.4, (size, size)) * (rng.random((size, size)) < 3 / size), -1)
    order = rng.permutation(size)
    lower = np.tril(rng.normal(0, 0.3, (size, size)) * (rng.random((size, size)) < 1 / size), -1)
    factor = lower + np.diag(rng.uniform(0.7, 1.3, size))
    return State(tuple(names or (f"v{k:03d}" for k in range(size))), weights[np.ix_(order, order)], factor)


def timed(function, repeats):
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        taken.append(1000 * (time.process_time() - start))
    return min(taken), float(np.median(taken))


def kernels(size):
    rng = np.random.default_rng(size)
    state = sparse_state(size, rng)
    noise, half = state.noise, np.arange(size // 2)
    names = state.names
    groups = {f"c{k}": tuple(names[(k * size // 8 + j) % size] for j in range(size // 2)) for k in range(8)}
    sections = {name: sparse_state(len(group), rng, group) for name, group in groups.items()}
    overlaps = Cover(groups).overlaps()
    belief, planner, model = EdgePosterior(names), Planner(names), NoiseModel.assumed()
    fisher = InterventionalFisher(state)
    vector = rng.normal(size=fisher.layout.count)
    solved = {}

    def solve():
        solved["report"] = conjugate_gradient(fisher, vector, damping=0.01, limit=400)[1]

    yield "project N/2 hidden", timed(lambda: project_arrays(state.weights, noise, half), 50)
    yield "descent fwd+bwd, 8 contexts", timed(lambda: descent(sections, overlaps), 20)
    yield "acyclicity fwd+bwd", timed(lambda: acyclicity_exponential(state.weights), 20)
    yield "acyclicity log-det", timed(lambda: acyclicity_logdet(state.weights), 20)
    yield "choose a question", timed(lambda: planner.choose(belief, model), 20)
    yield "Fisher setup", timed(lambda: InterventionalFisher(state), 3)
    yield "Fisher-vector product", timed(lambda: fisher.product(vector), 5)
    yield "PCG solve, damping .01", timed(solve, 1)
    report = solved["report"]
    yield f"  ({report.iterations} iterations, residual {report.residual:.0e})", (0.0, 0.0)
    if size <= 50:
        total = np.linalg.inv(np.eye(size) - state.weights)
        objective = Objective({}, (), Weights(acyclic=0.1), sample=total @ noise @ total.T)
        start = {WHOLE: State(names, np.zeros((size, size)), np.eye(size))}
        optimiser = Optimiser("natural")
        yield "natural gradient step", timed(lambda: optimiser.step(start, objective), 1)


def optimisers():
    """Loss after equal numbers of steps on well and badly scaled likelihoods; the best of four rates for each."""
    rows = []
    for spread in (1, 6):
        for size in (6, 10):
            state = sparse_state(size, np.random.default_rng(11))
            total = np.linalg.inv(np.eye(size) - state.weights)
            scale = np.exp(np.random.default_rng(0).uniform(-np.log(spread), np.log(spread), size))
            sample = scale[:, None] * (total @ state.noise @ total.T) * scale
            objective = Objective({}, (), Weights(acyclic=0.1, ridge=1e-3), sample=sample)
            start = {WHOLE: State(state.names, np.zeros((size, size)), np.eye(size))}
            row = {"scale spread": spread, "size": size}
            for method in METHODS:
                rates = (1.0,) if method == "natural" else (1.0, 0.3, 0.1, 0.03)
                ends = [
                    Optimiser(method, rate=r).minimise(start, objective, steps=30, tolerance=0)[1]
                    for r in rates
                ]
                row[method] = min(end[-1].after for end in ends)
            rows.append(row)
    return rows


def main():
    table = {}
    for position, size in enumerate((20, 50, 100)):
        for name, (least, median) in kernels(size):
            reference = REFERENCE.get(name, (None,) * 3)[position]
            beside = f"   reference {reference} ms" if reference else ""
            print(f"N={size:3d}  {name:34} {least:9.2f} {median:9.2f} ms{beside}", flush=True)
            table.setdefault(name, {})[size] = {"min": least, "median": median, "reference": reference}
    rows = optimisers()
    for row in rows:
        print("loss after 30 steps:", "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    figures = {"kernels": table, "optimisers": rows}
    print("written to", report.write("holograph-kernels", {"threads": 1}, figures, "numpy", "scipy"))


if __name__ == "__main__":
    main()
