"""Multi-context scenarios for the obstruction experiment: clean, or contradictory by a latent."""

from dataclasses import dataclass

import numpy as np

from hal9.holograph.evaluation.graph_distance import random_dag
from hal9.holograph.model.graph import MixedGraph
from hal9.holograph.queries.answerers import ScriptedOracle
from hal9.holograph.spec import Context, Problem, Variable

__all__ = ["Scenario", "make_scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A problem with its truth and an oracle; `pair` is the confounded pair, empty when clean."""

    problem: Problem
    truth: MixedGraph
    oracle: ScriptedOracle
    pair: tuple[str, ...]
    latent: str


def make_scenario(seed: int, *, contradictory: bool, accuracy: float = 0.9, size: int = 8) -> Scenario:
    """A random sparse DAG seen through three overlapping contexts.

    In a contradictory scenario a latent drives two variables that two contexts share; the first context takes
    their association for first→second, the second for second→first. The oracle answers with the accuracy
    given, so that clean scenarios contain chance contradictions.
    """
    rng = np.random.default_rng([seed, int(contradictory)])
    names = tuple(f"X{k}" for k in range(size))
    shared = [names[k] for k in rng.permutation(size)[:4]]
    rest = [name for name in names if name not in shared]
    thirds = [tuple(sorted({*shared, *rest[k::3], *rest[(k + 1) % 3 :: 3]})) for k in range(3)]
    dag = random_dag(names, round(1.25 * size), rng)
    pair: tuple[str, ...] = ()
    latents: dict[str, tuple[str, ...]] = {}
    local: dict[str, dict[tuple[str, str], int]] = {}
    chosen = tuple(sorted(str(name) for name in rng.choice(shared, size=2, replace=False)))
    # The third context never sees the two together, in clean scenarios neither, so that all are of one kind.
    thirds[2] = tuple(name for name in thirds[2] if name != chosen[1])
    if contradictory:
        pair = chosen
        latents = {"Z": pair}
        dag = MixedGraph(
            names, frozenset(e for e in dag.directed if set(e) != set(pair)), frozenset({frozenset(pair)})
        )
        local = {"A": {(pair[0], pair[1]): 0}, "B": {(pair[0], pair[1]): 1}}
    truth = MixedGraph(names, dag.directed, dag.bidirected, latents)
    problem = Problem(
        tuple(Variable(name=name) for name in names),
        tuple(Context(name=label, variables=group) for label, group in zip("ABC", thirds, strict=True)),
    )
    return Scenario(
        problem, truth, ScriptedOracle(truth, accuracy, 0.02, seed, local), pair, next(iter(latents), "")
    )
