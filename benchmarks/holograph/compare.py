"""Graph recovery beside DAGMA, NOTEARS, GES and PC, with chance, empty-graph and language-only lines.

    python -m benchmarks.holograph.compare --peers PYTHON [--seeds 5] [--problems a,b] [--accuracy 0.8]

PYTHON is an interpreter that has dagma, gcastle and causal-learn; without it only our own lines are printed.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks.holograph.datasets import make
from hal9.holograph.asking import ScriptedOracle
from hal9.holograph.graph import MixedGraph, equivalence_class, graph_from_belief
from hal9.holograph.inquiry import Inquiry, Settings
from hal9.holograph.metrics import chance_scores, mean_interval, score
from hal9.holograph.search import best_graph
from hal9.holograph.spec import Problem, Variable
from hal9.holograph.table import Table

PEERS = ("dagma", "notears", "ges", "pc")
PROBLEMS = (
    *(f"{n}-linear{s}" for n in ("asia", "sachs", "child", "alarm") for s in ("", "-std")),
    *(f"{n}-table" for n in ("asia", "sachs", "child", "alarm")),
    *(
        "er20",
        "er20-std",
        "er20-latent",
        "er20-latent-std",
        "er50",
        "er50-std",
        "er50-latent",
        "er50-latent-std",
    ),
)


def _credited(names, matrix, truth):
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


def ours(data, accuracy, seed):
    """Data only, language only and both: graph and CPU seconds of each."""
    names = data.truth.names
    table = Table.of(names, data.values, scale="discrete" if data.discrete else "gaussian")
    found = {}
    start = time.process_time()
    found["data only"] = (best_graph(table, seed=seed), time.process_time() - start)
    pairs = len(names) * (len(names) - 1) // 2
    settings = Settings(
        budget_queries=min(pairs, 400), accuracy=accuracy, known_accuracy=True, abstain=0.02, fit_every=0
    )
    problem = Problem(tuple(Variable(name=name) for name in names))
    oracle = ScriptedOracle(data.truth, accuracy, 0.02, seed)
    for label, given in (("language only", None), ("hybrid", table)):
        start = time.process_time()
        inquiry = Inquiry(problem, settings, given)
        asyncio.run(_ask(inquiry, oracle))
        graph = inquiry.graph() if given is not None else graph_from_belief(inquiry.belief)
        found[label] = (graph, time.process_time() - start)
    return found


async def _ask(inquiry, oracle):
    for _ in range(inquiry.settings.budget_queries):
        choice = inquiry.choose()
        if choice is None:
            return
        asked = await oracle.ask(choice.question)
        if asked.answer is not None:
            inquiry.take(choice.question, asked.answer)


def run_peers(python, sets, limit):
    """Matrices of every peer for every data set."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for key, data in sets.items():
            np.savez(Path(folder) / f"{key}.npz", x=data.values, discrete=data.discrete)
        script = Path(__file__).with_name("peers.py")
        for peer in PEERS:
            subprocess.run(
                [python, str(script), peer, folder, str(limit)],
                check=False,
                capture_output=True,
                timeout=1200,
            )
            path = Path(folder) / f"{peer}.json"
            results[peer] = json.loads(path.read_text()) if path.exists() else {}
    return results


def rows_of(problem, sets, peers, accuracy):
    """One row per method."""
    methods = {}
    for seed, data in sets.items():
        for method, (found, seconds) in ours(data, accuracy, int(seed)).items():
            graph = found
            if method == "data only" and (data.discrete or problem.endswith("-std")):
                # These scores cannot tell equivalent graphs apart, so ours is read as kindly as GES and PC are.
                graph = _credited(data.truth.names, equivalence_class(found.adjacency()), data.truth)
            methods.setdefault(method, []).append((score(graph, data.truth), seconds))
        for peer, matrices in peers.items():
            entry = matrices.get(seed)
            if entry and "matrix" in entry:
                graph = _credited(data.truth.names, np.array(entry["matrix"]), data.truth)
                methods.setdefault(peer, []).append((score(graph, data.truth), entry["seconds"]))
        rng = np.random.default_rng(int(seed))
        methods.setdefault("chance", []).append(
            (chance_scores(data.truth, len(data.truth.directed), rng, draws=10), 0.0)
        )
        methods.setdefault("empty", []).append((score(MixedGraph(data.truth.names), data.truth), 0.0))
    rows = []
    for method, runs in methods.items():
        row = {"problem": problem, "method": method, "runs": len(runs)}
        for figure in ("shd", "sid", "f1", "skeleton_f1"):
            mean, half = mean_interval([getattr(s, figure) for s, _ in runs])
            row[figure], row[f"{figure}_half"] = mean, half
        row["seconds"] = float(np.median([seconds for _, seconds in runs]))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--accuracy", type=float, default=0.8)
    parser.add_argument("--limit", type=int, default=60, help="seconds per fit of a peer")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--out", default="benchmarks/results/holograph-compare.json")
    args = parser.parse_args()
    everything = []
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for problem in args.problems.split(","):
        sets = {str(seed): make(problem, seed, args.rows) for seed in range(args.seeds)}
        peers = run_peers(args.peers, sets, args.limit) if args.peers else {}
        rows = rows_of(problem, sets, peers, args.accuracy)
        everything += rows
        print(f"\n{problem} ({args.rows} rows, {args.seeds} seeds, oracle {args.accuracy:.0%})")
        for r in sorted(rows, key=lambda r: r["shd"]):
            print(
                f"  {r['method']:14} SHD {r['shd']:6.1f}±{r['shd_half']:5.1f}  SID {r['sid']:7.1f}±{r['sid_half']:6.1f}  "
                f"F1 {r['f1']:.2f}±{r['f1_half']:.2f}  skeleton {r['skeleton_f1']:.2f}  {r['seconds']:7.2f} s ({r['runs']})",
                flush=True,
            )
        machine = {"python": platform.python_version(), "machine": platform.processor() or platform.machine()}
        out.write_text(json.dumps({"machine": machine, "settings": vars(args), "rows": everything}, indent=1))


if __name__ == "__main__":
    main()
