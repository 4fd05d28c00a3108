"""Contradictory and clean multi-context scenarios: detection, false alarms, recovery of the latent, change of SHD.

python -m benchmarks.holograph obstruction [--count 50] [--accuracy 0.95]
"""

import argparse
import asyncio
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks import report
from hal9.holograph import DiscoveryState, MixedGraph, Settings, discover
from hal9.holograph.evaluation.graph_distance import structural_hamming
from hal9.holograph.evaluation.scenarios import make_scenario


def with_latents(graph):
    """The graph with its latents as nodes that cause their children."""
    arrows = {(latent, child) for latent, children in graph.latents.items() for child in children}
    return MixedGraph((*graph.names, *graph.latents), graph.directed | arrows, graph.bidirected)


def one(seed, *, contradictory, accuracy):
    """Figures of one scenario, with the resolver on and off."""
    scenario = make_scenario(seed, contradictory=contradictory, accuracy=accuracy)
    found = {}
    for resolve in (True, False):
        settings = Settings(
            budget_queries=160,
            accuracy=accuracy,
            known_accuracy=True,
            abstain=0.03,
            fit_every=15,
            resolve=resolve,
        )
        found[resolve] = asyncio.run(discover(DiscoveryState(scenario.problem, settings), scenario.oracle))
    alarms = [r for r in found[True].resolutions if r.is_obstruction]
    on_pair = [r for r in alarms if {r.conflict.first, r.conflict.second} == set(scenario.pair)]
    shd = {
        (resolve, latent): structural_hamming(
            *(with_latents(g) if latent else g for g in (found[resolve].inquiry.graph(), scenario.truth))
        )
        for resolve in (True, False)
        for latent in (True, False)
    }
    return {
        "seed": seed,
        "alarm": bool(alarms),
        "detected": bool(on_pair),
        "recovered": any(r.outcome == "latent" and r.latent == scenario.latent for r in on_pair),
        "asked": found[True].asked,
        "asked_without": found[False].asked,
        "shd_latent": (shd[True, True], shd[False, True]),
        "shd_observed": (shd[True, False], shd[False, False]),
        "outcomes": [r.outcome for r in found[True].resolutions],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--accuracy", type=float, default=0.95)
    args = parser.parse_args()
    start = time.process_time()
    results = {
        label: [one(seed, contradictory=flag, accuracy=args.accuracy) for seed in range(args.count)]
        for label, flag in (("contradictory", True), ("clean", False))
    }
    bad, clean = results["contradictory"], results["clean"]
    count = args.count
    summary = {
        "detection": sum(r["detected"] for r in bad) / count,
        "false alarms": sum(r["alarm"] for r in clean) / count,
        "latent recovered": sum(r["recovered"] for r in bad) / count,
        "recovered and SHD (latent as node) lower": sum(
            r["recovered"] and r["shd_latent"][0] < r["shd_latent"][1] for r in bad
        )
        / count,
        "SHD with latent, resolved / not": [sum(r["shd_latent"][k] for r in bad) / count for k in (0, 1)],
        "SHD observed, resolved / not": [sum(r["shd_observed"][k] for r in bad) / count for k in (0, 1)],
        "SHD clean, resolved / not": [sum(r["shd_observed"][k] for r in clean) / count for k in (0, 1)],
        "queries, resolved / not": [sum(r[k] for r in bad) / count for k in ("asked", "asked_without")],
        "cpu seconds": time.process_time() - start,
    }
    print(f"{count} + {count} scenarios, oracle {args.accuracy:.0%}")
    for key, value in summary.items():
        shown = " / ".join(f"{v:.2f}" for v in value) if isinstance(value, list) else f"{value:.2f}"
        print(f"  {key:42} {shown}")
    figures = {"summary": summary, "runs": results}
    print("written to", report.write("holograph-obstruction", vars(args), figures, "numpy", "scipy"))


if __name__ == "__main__":
    main()
