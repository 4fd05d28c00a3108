"""Graph recovery beside DAGMA, NOTEARS, GES and PC, with chance, empty-graph and language-only lines.

    python -m benchmarks.holograph compare [--peers PYTHON] [--seeds 5] [--problems a,b] [--accuracy 0.8]

PYTHON is an interpreter that has dagma, gcastle and causal-learn; without it peers come from stored fits only. Every fit
is stored as it comes (`--fits`); a second call computes only what is missing.
"""

import argparse
import asyncio
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks import report
from benchmarks.holograph.datasets import make
from benchmarks.holograph.fits import PEERS, Fits, as_entry, as_graph, digest_of, digest_of_code, fit_peers
from hal9.holograph.data.dag_search import best_graph
from hal9.holograph.data.table import Table
from hal9.holograph.evaluation.graph_distance import (
    THRESHOLDS,
    best_fixed_threshold,
    chance_scores,
    mean_interval,
    score,
    threshold_curve,
)
from hal9.holograph.model.graph import MixedGraph, equivalence_class, graph_from_belief
from hal9.holograph.queries.answerers import ScriptedOracle
from hal9.holograph.runs.inquiry import DiscoveryState, Settings
from hal9.holograph.spec import Problem, Variable

FIGURES = ("shd", "sid", "f1", "skeleton_f1", "bidirected_f1")
PROBLEMS = (
    *(f"asia-{kind}" for kind in ("linear", "linear-std", "table")),
    *(f"sachs-{kind}" for kind in ("linear", "linear-std", "table")),
    *("er20", "er20-std", "er20-latent", "er20-latent-std"),
    *(f"child-{kind}" for kind in ("linear", "linear-std", "table")),
    *(f"alarm-{kind}" for kind in ("linear", "linear-std", "table")),
    *("er50", "er50-std", "er50-latent", "er50-latent-std"),
)


def credited(names, matrix, truth):
    """Undirected edges take the true direction where there is one: the kindest reading of an equivalence class."""
    edges = set()
    for i, j in zip(*np.nonzero(matrix), strict=True):
        a, b = names[i], names[j]
        if matrix[j, i] and (b, a) in truth.directed:
            continue
        if matrix[j, i] and (a, b) not in truth.directed and i > j:
            continue
        edges.add((a, b))
    return MixedGraph(truth.names, frozenset(edges))


def credited_class(graph, truth):
    """Our graph of data alone, read as kindly as GES and PC are, whose results are equivalence classes.

    A bidirected edge points at both its ends and so settles edges there; those stay as they are drawn.
    """
    drawn = graph.adjacency()
    ends = np.array([any(name in pair for pair in graph.bidirected) for name in graph.names])
    settled = ends[:, None] | ends[None, :]
    kind = credited(truth.names, np.where(settled, drawn, equivalence_class(drawn)), truth)
    return MixedGraph(kind.names, kind.directed, graph.bidirected)


async def _ask(inquiry, oracle):
    for _ in range(inquiry.settings.budget_queries):
        choice = inquiry.choose()
        if choice is None:
            return
        asked = await oracle.ask(choice.question)
        if asked.answer is not None:
            inquiry.take(choice.question, asked.answer)


def settings_of(data, accuracy):
    """One question per pair, at most 400, to an oracle of known accuracy."""
    size = len(data.truth.names)
    pairs = size * (size - 1) // 2
    return Settings(
        budget_queries=min(pairs, 400), accuracy=accuracy, known_accuracy=True, abstain=0.02, fit_every=0
    )


def fit_ours(method, data, accuracy, seed):
    """Data only, language only, or both: the graph; for language only also what other thresholds would draw."""
    names = data.truth.names
    table = Table.of(names, data.values, scale="discrete" if data.discrete else "gaussian")
    if method == "data only":
        return best_graph(table, seed=seed), {}
    problem = Problem(tuple(Variable(name=name) for name in names))
    given = table if method == "hybrid" else None
    inquiry = DiscoveryState(problem, settings_of(data, accuracy), given)
    asyncio.run(_ask(inquiry, ScriptedOracle(data.truth, accuracy, 0.02, seed)))
    if given is not None:
        return inquiry.graph(), {}
    graphs = {t: graph_from_belief(inquiry.belief, threshold=t) for t in THRESHOLDS}
    return graphs[0.5], threshold_curve(graphs.__getitem__, data.truth)


def stored_ours(fits, problem, seed, data, accuracy, *, fit):
    """Our three graphs of a data set, from the store where the code is the same, else fitted if `fit`."""
    found = {}
    for method in ("data only", "language only", "hybrid"):
        digest = digest_of(data, digest_of_code(), accuracy if method != "data only" else None)
        entry = fits.get(problem, seed, method, digest)
        if entry is None and not fit:
            continue
        if entry is None:
            start = time.process_time()
            graph, curve = fit_ours(method, data, accuracy, seed)
            entry = {"problem": problem, "seed": seed, "method": method, "digest": digest, **as_entry(graph)}
            entry["seconds"] = time.process_time() - start
            entry["f1_at"] = {str(t): f1 for t, f1 in curve.items()}
            fits.add(entry)
        found[method] = (
            as_graph(data.truth.names, entry),
            entry["seconds"],
            {float(t): f1 for t, f1 in entry["f1_at"].items()},
        )
    return found


def scored(fits, problem, seed, data, accuracy, *, fit):
    """Per method (Scores, seconds), or the limit that it went over."""
    truth, found = data.truth, {}
    for method, (graph, seconds, curve) in stored_ours(fits, problem, seed, data, accuracy, fit=fit).items():
        found[method] = (score(graph, truth), seconds, curve)
        if method == "data only":
            kind = credited_class(graph, truth)
            found["data only, credited"] = (score(kind, truth), seconds)
    for peer in PEERS:
        entry = fits.get(problem, seed, peer, digest_of(data))
        if entry is None:
            continue
        if "matrix" in entry:
            graph = credited(truth.names, np.array(entry["matrix"]), truth)
            found[peer] = (score(graph, truth), entry["seconds"])
        else:
            found[peer] = entry.get("over", entry.get("error"))
    rng = np.random.default_rng(seed)
    found["chance"] = (chance_scores(truth, len(truth.directed), rng, draws=10), 0.0)
    found["empty"] = (score(MixedGraph(truth.names), truth), 0.0)
    return found


def rows_of(problem, fits, sets, accuracy, *, fit=True):
    """One row per method."""
    runs = {}
    for seed, data in sets.items():
        for method, found in scored(fits, problem, seed, data, accuracy, fit=fit).items():
            runs.setdefault(method, []).append(found)
    rows = []
    for method, found in runs.items():
        done = [f for f in found if isinstance(f, tuple)]
        row = {"problem": problem, "method": method, "runs": len(done)}
        row["missed"] = [f for f in found if not isinstance(f, tuple)]
        if done:
            for figure in FIGURES:
                row[figure], row[f"{figure}_half"] = mean_interval([getattr(s, figure) for s, *_ in done])
            row["seconds"] = float(np.median([f[1] for f in done]))
        if method == "language only":
            row["best_threshold"], row["best_threshold_f1"] = best_fixed_threshold([f[2] for f in done])
        rows.append(row)
    return rows


def shown(row):
    """A row as text."""
    missed = f"  not: {row['missed'][0]}" if row["missed"] else ""
    if "best_threshold" in row:
        missed += f"  best threshold {row['best_threshold']}: F1 {row['best_threshold_f1']:.2f}"
    if not row["runs"]:
        return f"  {row['method']:20}{missed}"
    return (
        f"  {row['method']:20} SHD {row['shd']:6.1f}±{row['shd_half']:5.1f}  SID {row['sid']:7.1f}±{row['sid_half']:6.1f}  "
        f"F1 {row['f1']:.2f}±{row['f1_half']:.2f}  skeleton {row['skeleton_f1']:.2f}  "
        f"bidirected {row['bidirected_f1']:.2f}  {row['seconds']:7.2f} s ({row['runs']}){missed}"
    )


def markdown(rows, seeds):
    """The table of the docs: SHD ± half interval / SID / F1 / skeleton F1 / seconds."""
    methods = ("data only", "data only, credited", "language only", "hybrid", *PEERS, "empty", "chance")
    lines = ["| problem | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    by_problem = {}
    for row in rows:
        by_problem.setdefault(row["problem"], {})[row["method"]] = row
    for problem, found in by_problem.items():
        cells = []
        for method in methods:
            row = found.get(method)
            if row is None or not row["runs"]:
                missed = row["missed"][0] if row and row["missed"] else None
                cells.append(f"> {missed:g} s" if isinstance(missed, float | int) else "\N{EN DASH}")
                continue
            cell = f"{row['shd']:.1f}±{row['shd_half']:.1f} / {row['sid']:.0f} / {row['f1']:.2f} / {row['skeleton_f1']:.2f}"
            if "best_threshold" in row:
                cell += f" (best {row['best_threshold_f1']:.2f} at {row['best_threshold']})"
            cell += f" / {row['seconds']:.1f} s" if row["seconds"] else ""
            cells.append(cell if row["runs"] == seeds else f"{cell} ({row['runs']} runs)")
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments=None):
    """Fit what is missing, print and write everything."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--methods", default=",".join(PEERS), help="peers to fit")
    parser.add_argument("--peers-only", action="store_true", help="fit peers and stop")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--accuracy", type=float, default=0.8)
    parser.add_argument("--limit", type=float, default=120, help="CPU seconds per fit of a peer")
    parser.add_argument(
        "--give-up", type=int, default=2, help="fits over the limit after which a peer is left out"
    )
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--fits", default=str(report.RESULTS / "holograph-fits.jsonl"))
    parser.add_argument("--stored", action="store_true", help="fit nothing; show what is stored")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args(arguments)
    fits, rows = Fits(args.fits), []
    for problem in args.problems.split(","):
        sets = {seed: make(problem, seed, args.rows) for seed in range(args.seeds)}
        if args.peers:
            peers = args.methods.split(",")
            fit_peers(fits, args.peers, problem, sets, limit=args.limit, give_up=args.give_up, peers=peers)
        if args.peers_only:
            continue
        rows += rows_of(problem, fits, sets, args.accuracy, fit=not args.stored)
        print(f"\n{problem} ({args.rows} rows, {args.seeds} seeds, oracle {args.accuracy:.0%})")
        for row in sorted((r for r in rows if r["problem"] == problem), key=lambda r: r.get("shd", 1e9)):
            print(shown(row), flush=True)
    if rows:
        if args.markdown:
            print("\n" + markdown(rows, args.seeds))
        print("\nwritten to", report.write("holograph-compare", vars(args), rows, "numpy", "scipy"))


if __name__ == "__main__":
    main()
