"""The population against greedy search on landscapes whose truth is known.

    python -m benchmarks.belief [--landscapes 24] [--budget 4000] [--runs 10000]

Prints tables and writes benchmarks/results/belief.json. Every policy gets the same start, the same proposer
(random single choices) and the same budget of item evaluations; the score is the noise-free mean of the
belief it names. Differences are paired by landscape, with Student-t 95% intervals.
"""

import argparse
import asyncio
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import stats

from hal9.belief import Config, ConfigSpace, LocalHost, Policy, Population, TurnContext
from hal9.belief.pictures import draw_genealogy, draw_scores
from hal9.belief.synthetic_problems import RandomMutation, SyntheticProblem, greedy, peaks, rugged

BATCHES = (6, 12, 18, 60)
POLICY = Policy(patience=10**6, trips=50)
"""The budget decides: stagnation and the number of explorations are lifted; all else is the default."""


async def population_on(
    land: SyntheticProblem, seed: int, budget: int, policy: Policy
) -> tuple[Population[Config, Any], Any]:
    bench = TurnContext(space=ConfigSpace(), evaluator=land, policy=policy, proposer=RandomMutation())
    population = Population(
        bench.space, land.items, LocalHost(bench), policy=policy, seed=seed, budget=budget
    )
    population.add("root", land.start)
    return population, await population.run()


def interval(values: np.ndarray) -> tuple[float, float, float]:
    mean, error = float(values.mean()), float(stats.sem(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - reach, mean + reach


async def compare(landscapes: int, budget: int) -> list[dict[str, Any]]:
    rows = []
    for noise in (0.0, 0.15):
        scores: dict[str, list[float]] = {}
        started = time.perf_counter()
        for seed in range(landscapes):
            for name, policy in (("population", POLICY), ("population, default stops", Policy())):
                land = rugged(seed, noise=noise)
                _, outcome = await population_on(land, seed, budget, policy)
                scores.setdefault(name, []).append(land.mean(outcome.winner.belief))
            for batch in BATCHES:
                land = rugged(seed, noise=noise)
                best = await greedy(land.start, land, RandomMutation(), budget=budget, batch=batch, seed=seed)
                scores.setdefault(f"greedy, {batch} items", []).append(land.mean(best))
        ours = np.array(scores["population"])
        for name, values in scores.items():
            mean, low, high = interval(ours - np.array(values)) if name != "population" else (0.0, 0.0, 0.0)
            row = {"noise": noise, "policy": name, "score": float(np.mean(values)), "difference": mean}
            rows.append({**row, "low": low, "high": high})
        print(
            f"\nnoise {noise}, {landscapes} landscapes, {budget} evaluations "
            f"({time.perf_counter() - started:.0f} s)"
        )
        print(f"{'policy':28s} {'score':>7s}   population minus it [95%]")
        for row in rows:
            if row["noise"] == noise:
                shown = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
                print(f"{row['policy']:28s} {row['score']:7.4f}   {shown if row['high'] else ''}")
    return rows


async def specialists(seeds: int) -> list[dict[str, Any]]:
    rows = []
    for noise in (0.0, 0.05, 0.15):
        for groups in (1, 2):
            exact, nodes, reasons = 0, [], []
            for seed in range(seeds):
                land = peaks(groups, seed, noise=noise)
                _, outcome = await population_on(land, seed, 12_000, Policy(patience=10**6))
                tops = {
                    g
                    for g in range(groups)
                    for s in outcome.standings
                    if land.truth(s.belief)[g::groups].mean() > 1 - 1e-9
                }
                exact += len(tops) == groups and len(outcome.standings) == groups
                nodes.append(len(outcome.standings))
                reasons.append(outcome.reason)
            row = {
                "noise": noise,
                "peaks": groups,
                "runs": seeds,
                "exact": exact,
                "nodes": nodes,
                "reasons": reasons,
            }
            rows.append(row)
            print(
                f"noise {noise:4.2f}, {groups} peak(s): {exact} of {seeds} runs end with exactly "
                f"{groups} node(s) on top of the peak(s); nodes {nodes}; "
                f"equilibrium {reasons.count('equilibrium')}, budget {reasons.count('budget')}"
            )
    return rows


async def cap(runs: int) -> dict[str, Any]:
    from tests.belief.test_rules import unruly_run

    most = [await unruly_run(seed) for seed in range(runs)]
    print(
        f"\n{runs} random runs with caps 1 to 19: cap, tokens and items never broken; "
        f"largest population {max(most)}"
    )
    return {"runs": runs, "largest": max(most), "broken": 0}


async def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    population, outcome = await population_on(peaks(2, 1, noise=0.05), 1, 8000, Policy(patience=10**6))
    spent = outcome.spent
    (folder / "genealogy.svg").write_text(
        draw_genealogy(population.genealogy, spent, "Genealogy: two peaks, noise 0.05"), encoding="utf-8"
    )
    (folder / "scores.svg").write_text(
        draw_scores(population.genealogy, spent, "Score on own items over budget: two peaks, noise 0.05"),
        encoding="utf-8",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landscapes", type=int, default=24)
    parser.add_argument("--budget", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--pictures", type=Path, help="also draw a two-peak run into this folder")
    options = parser.parse_args()
    result = {
        "machine": {"cpu": platform.processor() or platform.machine(), "python": platform.python_version()},
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "settings": {"landscapes": options.landscapes, "budget": options.budget, "policy": POLICY.to_json()},
        "greedy": asyncio.run(compare(options.landscapes, options.budget)),
        "peaks": asyncio.run(specialists(options.seeds)),
    }
    if options.runs:
        result["cap"] = asyncio.run(cap(options.runs))
    if options.pictures:
        asyncio.run(pictures(options.pictures))
    target = Path(__file__).resolve().parents[1] / "results" / "belief.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
