"""Graphs from tables alone, beside eight peers: structural models, public networks, tables that were measured.

    python -m benchmarks.holograph discovery [--peers PYTHON] [--real FOLDER] [--seeds 5] [--problems gauss15,…]

PYTHON has causal-learn, lingam, dagma, gcastle and pgmpy (README.md); networks come from its pgmpy. FOLDER: see `real`. Every fit
is stored as it comes; a second call computes only what is missing. Problems are KIND SIZE with an optional -raw
(gauss15, curved30-raw), NETWORK@ROWS (alarm@1000), sachs853, sachs7466 and the same with -log.
"""

import argparse
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks import report
from benchmarks.holograph import real
from benchmarks.holograph.compare import credited
from benchmarks.holograph.fits import (
    DATA_PEERS,
    Fits,
    as_entry,
    as_graph,
    digest_of,
    digest_of_code,
    fit_peers,
)
from benchmarks.holograph.sems import KINDS, sem
from hal9.holograph.data.dag_search import fitted_graph
from hal9.holograph.data.edge_probabilities import DECIDED, edge_leads, probabilities
from hal9.holograph.data.table import Table
from hal9.holograph.evaluation.graph_distance import mean_interval, score
from hal9.holograph.model.graph import MixedGraph, equivalence_class

SEMS = tuple(f"{kind}{size}{raw}" for size in (15, 30, 60) for kind in KINDS for raw in ("", "-raw"))
TABLES = tuple(
    f"{net}@{rows}" for net in ("sachs", "insurance", "alarm", "hailfinder") for rows in (200, 1000, 10000)
)
REAL = ("sachs853", "sachs853-log", "sachs7466", "sachs7466-log")
_DAGS = ("dagma", "lingam")
"""Peers whose directions are meant, all of them."""


def make(problem, seed, args):
    """The data set of a problem's name."""
    if (found := re.fullmatch(r"([a-z]+)(\d+)(-raw)?", problem)) and found[1] in KINDS:
        return sem(found[1], int(found[2]), 3, args.rows, seed, raw=bool(found[3]))
    if problem in REAL:
        return real.sachs(args.real, everything="7466" in problem, logs=problem.endswith("-log"))[0]
    name, _, rows = problem.partition("@")
    return real.network(name, int(rows), np.random.default_rng([seed, 78]), args.networks)


def ours(data, seed, *, measured):
    """A table's graph as `holograph fit` finds it, pairs it leaves undecided, and seconds of search and weighing."""
    names = data.truth.names
    table = Table.of(names, data.values, scale="discrete" if data.discrete else "auto")
    # Only rows that were measured have an order.
    table = replace(table, ordered=measured)
    start = time.process_time()
    found = fitted_graph(table, seed=seed)
    searched = time.process_time()
    _, directed = probabilities(edge_leads(table, found.scorer, found.dag, seed=seed))
    weighed = time.process_time()
    place = {name: k for k, name in enumerate(names)}
    ends = {name for pair in found.graph.bidirected for name in pair}
    either = [
        (a, b)
        for a, b in sorted(found.graph.directed)
        if not {a, b} & ends and directed[place[a], place[b]] < DECIDED
    ]
    return {
        **as_entry(found.graph),
        "undecided": either,
        "family": type(found.scorer).__name__,
        "seconds": searched - start,
        "weighing": weighed - searched,
    }


def drawn(entry, truth, kind):
    """The graph of an entry; with `kind`, undecided edges get the true direction where there is one."""
    graph = as_graph(truth.names, entry)
    if not kind:
        return graph
    edges = set(graph.directed)
    for a, b in map(tuple, entry["undecided"]):
        if (b, a) in truth.directed:
            edges = edges - {(a, b)} | {(b, a)}
    return MixedGraph(graph.names, frozenset(edges), graph.bidirected)


def scored(fits, problem, seed, data, args):
    """Per method (Scores, seconds), or why there are none."""
    truth, found = data.truth, {}
    digest = digest_of(data, digest_of_code())
    entry = fits.get(problem, seed, "hal9", digest)
    if entry is None and not args.stored:
        entry = {
            "problem": problem,
            "seed": seed,
            "method": "hal9",
            "digest": digest,
            **ours(data, seed, measured=problem in REAL),
        }
        fits.add(entry)
    if entry is not None:
        found["hal9"] = (score(drawn(entry, truth, True), truth), entry["seconds"])
        found["hal9 as drawn"] = (
            score(drawn(entry, truth, False), truth),
            entry["seconds"] + entry["weighing"],
        )
    for peer in DATA_PEERS:
        entry = fits.get(problem, seed, peer, digest_of(data))
        if entry is None:
            continue
        if "matrix" not in entry:
            found[peer] = entry.get("over", entry.get("error"))
            continue
        matrix = np.array(entry["matrix"])
        if peer == "pgmpy":
            matrix = equivalence_class(matrix.astype(bool))
        found[peer] = (score(credited(truth.names, matrix, truth), truth), entry["seconds"])
    found["empty"] = (score(MixedGraph(truth.names), truth), 0.0)
    return found


def rows_of(problem, fits, sets, args):
    """One row per method."""
    runs = {}
    for seed, data in sets.items():
        for method, found in scored(fits, problem, seed, data, args).items():
            runs.setdefault(method, []).append(found)
    rows = []
    for method, found in runs.items():
        done = [f for f in found if isinstance(f, tuple)]
        row = {"problem": problem, "method": method, "runs": len(done)}
        row["missed"] = [f for f in found if not isinstance(f, tuple)]
        for figure in ("shd", "sid", "skeleton_f1", "f1") if done else ():
            row[figure], row[f"{figure}_half"] = mean_interval([getattr(s, figure) for s, _ in done])
        if done:
            row["seconds"] = float(np.median([seconds for _, seconds in done]))
            row["shds"] = [s.shd for s, _ in done]
        rows.append(row)
    return rows


def shown(row):
    """A row as text."""
    missed = f"  not: {row['missed'][0]}" if row["missed"] else ""
    if not row["runs"]:
        return f"  {row['method']:14}{missed}"
    return (
        f"  {row['method']:14} SHD {row['shd']:6.1f}±{row['shd_half']:5.1f}  SID {row['sid']:7.1f}±{row['sid_half']:6.1f}"
        f"  skeleton {row['skeleton_f1']:.2f}  F1 {row['f1']:.2f}  {row['seconds']:7.2f} s ({row['runs']}){missed}"
    )


def markdown(rows):
    """SHD / SID / seconds per problem and method."""
    methods = ("hal9", "hal9 as drawn", *DATA_PEERS, "empty")
    by_problem = {}
    for row in rows:
        by_problem.setdefault(row["problem"], {})[row["method"]] = row
    lines = ["| problem | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for problem, found in by_problem.items():
        cells = []
        for method in methods:
            row = found.get(method)
            if row is None or not row["runs"]:
                missed = row["missed"][0] if row and row["missed"] else None
                cells.append(f"> {missed:g} s" if isinstance(missed, float | int) else "\N{EN DASH}")
                continue
            cell = f"{row['shd']:.1f} / {row['sid']:.0f}"
            cell += f" / {row['seconds']:.2f}" if row["seconds"] else ""
            fewer = row["runs"] < max(other["runs"] for other in found.values())
            cells.append(f"{cell} ({row['runs']} of the seeds)" if fewer else cell)
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def directions(folder):
    """Of the Tübingen pairs: how often a decided direction is right, and how many are left open, by weight."""
    right = wrong = left = apart = 0.0
    number_of, total = 0, 0.0
    for number, everything, weight in real.pairs(folder):
        values = everything[np.random.default_rng(number).permutation(len(everything))[:2000]]
        table = Table.of(("cause", "effect"), (values - values.mean(0)) / values.std(0))
        found = fitted_graph(table, hidden=False)
        _, directed = probabilities(edge_leads(table, found.scorer, found.dag))
        way = float(directed[0, 1])
        if not found.graph.directed:
            apart += weight
        elif max(way, 1.0 - way) < DECIDED:
            left += weight
        elif way > 0.5:
            right += weight
        else:
            wrong += weight
        number_of, total = number_of + 1, total + weight
    return {
        "pairs": number_of,
        "weight": round(total, 2),
        "decided right": round(right, 2),
        "decided wrong": round(wrong, 2),
        "left open": round(left, 2),
        "not joined": round(apart, 2),
    }


def peers_python(path):
    """The interpreter, and the folder of its pgmpy's networks."""
    asked = "import importlib.util as u; print(u.find_spec('pgmpy').submodule_search_locations[0])"
    done = subprocess.run([path, "-c", asked], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()) / "utils/example_models"


def main(arguments=None):
    """Fit what is missing, print and write everything."""
    parser = argparse.ArgumentParser(prog="discovery", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", required=True)
    parser.add_argument("--real", metavar="FOLDER")
    parser.add_argument("--methods", default=",".join(DATA_PEERS), help="peers to fit")
    parser.add_argument("--peers-only", action="store_true", help="fit peers and stop")
    parser.add_argument("--stored", action="store_true", help="fit nothing; show what is stored")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000, help="of structural models")
    parser.add_argument("--limit", type=float, default=60, help="CPU seconds per fit of a peer")
    parser.add_argument(
        "--give-up", type=int, default=1, help="fits over the limit after which a peer is left out"
    )
    parser.add_argument("--problems", default=",".join((*SEMS, *TABLES, *REAL)))
    parser.add_argument("--pairs", action="store_true", help="directions of the Tübingen pairs too")
    parser.add_argument("--fits", default=str(report.RESULTS / "holograph-discovery.jsonl"))
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args(arguments)
    args.networks = peers_python(args.peers)
    fits, rows = Fits(args.fits), []
    for problem in filter(None, args.problems.split(",")):
        seeds = 1 if problem in REAL else args.seeds
        sets = {seed: make(problem, seed, args) for seed in range(seeds)}
        if not args.stored:
            peers = [peer for peer in args.methods.split(",") if peer in DATA_PEERS]
            fit_peers(fits, args.peers, problem, sets, limit=args.limit, give_up=args.give_up, peers=peers)
        if args.peers_only:
            continue
        rows += rows_of(problem, fits, sets, args)
        print(f"\n{problem} ({len(sets)} seeds)")
        for row in sorted((r for r in rows if r["problem"] == problem), key=lambda r: r.get("shd", 1e9)):
            print(shown(row), flush=True)
    if args.markdown:
        print("\n" + markdown(rows))
    figures = {"graphs": rows}
    if args.pairs:
        figures["pairs"] = directions(args.real)
        print("Tübingen:", figures["pairs"])
    print(
        "\nwritten to",
        report.write("holograph-discovery", vars(args) | {"networks": ""}, figures, "numpy", "scipy"),
    )


if __name__ == "__main__":
    main()
