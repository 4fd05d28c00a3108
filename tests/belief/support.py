"""Small worlds for the population's tests."""

import json
from typing import Any

from hal9.belief import Config, ConfigSpace, LocalHost, Outcome, Policy, Population, TurnContext
from hal9.belief.space import Choice
from hal9.belief.synthetic_problems import RandomMutation, SyntheticProblem


def bench_of(land: SyntheticProblem, policy: Policy) -> TurnContext[Config, Choice]:
    return TurnContext(
        space=ConfigSpace(), evaluator=land, policy=policy, proposer=RandomMutation(land.pairs.shape[1])
    )


def population_on(
    land: SyntheticProblem, *, policy: Policy | None = None, **options: Any
) -> Population[Config, Choice]:
    bench = bench_of(land, policy or Policy(patience=300))
    host = options.pop("host", None) or LocalHost(bench)
    population = Population(bench.space, land.items, host, policy=bench.policy, **options)
    population.add("root", land.start)
    return population


async def run_on(
    land: SyntheticProblem, *, policy: Policy | None = None, stepping: Any = "synchronous", **options: Any
) -> tuple[Population[Config, Choice], Outcome[Config]]:
    population = population_on(land, policy=policy, **options)
    return population, await population.run(stepping=stepping, max_steps=5000)


def log_of(population: Population[Any, Any]) -> list[str]:
    return [json.dumps(entry.to_json(), sort_keys=True, default=str) for entry in population.log]
