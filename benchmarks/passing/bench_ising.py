"""Sum- and max-product on a 100 x 100 binary Ising grid, 50 parallel rounds, against PGMax."""

import jax
import numpy as np
from paired import paired, report
from pgmax import fgraph, fgroup, infer, vgroup

from hal9.passing import FactorGraph, Loopy

SIDE, ROUNDS = 100, 50


def main() -> None:
    jax.config.update("jax_platform_name", "cpu")
    rng = np.random.default_rng(0)
    ids = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    pairs = np.concatenate(
        [
            np.stack([ids[:, :-1].ravel(), ids[:, 1:].ravel()], 1),
            np.stack([ids[:-1].ravel(), ids[1:].ravel()], 1),
        ]
    )
    coupling, field = 0.4 * rng.normal(size=len(pairs)), 0.3 * rng.normal(size=SIDE * SIDE)
    spins = np.array([-1.0, 1.0])
    tables = coupling[:, None, None] * np.outer(spins, spins)
    unary = field[:, None] * spins

    ours = FactorGraph([2] * SIDE * SIDE)
    ours.add_many(ids.reshape(-1, 1), unary)
    ours.add_many(pairs, tables)
    settings = Loopy(schedule="parallel", damping=0.0, tol=None, max_iter=ROUNDS)

    variables = vgroup.NDVarArray(num_states=2, shape=(SIDE, SIDE))
    theirs = fgraph.FactorGraph(variable_groups=[variables])
    theirs.add_factors(
        fgroup.PairwiseFactorGroup(
            variables_for_factors=[
                [variables[a // SIDE, a % SIDE], variables[b // SIDE, b % SIDE]] for a, b in pairs
            ],
            log_potential_matrix=tables,
        )
    )
    inferers = {t: infer.build_inferer(theirs.bp_state, backend="bp") for t in (1.0, 0.0)}
    evidence = {variables: unary.reshape(SIDE, SIDE, 2)}

    def pgmax(temperature: float, *, jit: bool):
        inferer = inferers[temperature]
        start = inferer.init(evidence_updates=evidence)

        def run(arrays):
            return inferer.run(arrays, num_iters=ROUNDS, damping=0.0, temperature=temperature)

        return (jax.jit(run) if jit else run), start, inferer

    tables_out, notes = {}, {}
    for mode, temperature in (("sum", 1.0), ("max", 0.0)):
        fast, start, inferer = pgmax(temperature, jit=True)
        slow, start_slow, _ = pgmax(temperature, jit=False)
        got = ours.infer(method="bp", mode=mode, loopy=settings).marginals.stack()
        beliefs = inferer.get_beliefs(fast(start))[variables].reshape(-1, 2)
        if mode == "sum":
            wanted = np.asarray(infer.get_marginals({variables: beliefs})[variables])
            notes["largest difference of marginals"] = float(np.abs(got - wanted).max())
        tables_out[f"{mode}-product, {ROUNDS} rounds"] = paired(
            {
                "hal9": lambda mode=mode: ours.infer(method="bp", mode=mode, loopy=settings),
                "PGMax + jax.jit (user's)": lambda fast=fast, start=start: jax.block_until_ready(fast(start)),
                "PGMax as it comes": lambda slow=slow, start=start_slow: jax.block_until_ready(slow(start)),
            },
            rounds=15,
            warm=2,
        )
    report("ising", tables_out, notes, "pgmax", "jax", "jaxlib")


main()
