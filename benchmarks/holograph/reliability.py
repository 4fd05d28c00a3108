"""Are stated probabilities right? Edges of graphs found in simulated tables, by what was said of them.

python -m benchmarks.holograph reliability [--seeds 4] [--first 0] [--learn] [--kinds mixed,…]

`--learn` fits the curves of `hal9.holograph.data.lead_curves` anew and prints them; use other seeds to check.
"""

import argparse
import os
from collections import defaultdict

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from scipy.optimize import minimize

from benchmarks import report
from benchmarks.holograph.datasets import make
from benchmarks.holograph.sems import KINDS, sem
from hal9.holograph.data.dag_search import best_of_scores
from hal9.holograph.data.edge_probabilities import DECIDED, edge_leads, probabilities
from hal9.holograph.data.lead_curves import JOINED_AT, TURNED_AT, on_scale
from hal9.holograph.data.table import Table

_SMOOTH = 1.0
"""Weight of a curve's squared bends, in nats."""
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def tables(seeds, first):
    """Sets of all families, sizes and numbers of rows."""
    for seed in range(first, first + seeds):
        for kind in KINDS:
            for size, rows in ((10, 200), (15, 1000), (20, 400)):
                yield f"{kind}", sem(kind, size, 3, rows, seed)
        for name in ("asia", "sachs", "child", "alarm"):
            for rows in (200, 1000):
                yield "categorical", make(f"{name}-table", seed, rows)
        yield "raw", make("sachs-linear", seed, 200)
        yield "raw", make("er20", seed, 500)


def edges(data, seed):
    """Per edge found: family, leads, stated probabilities, whether joined and whether it points that way."""
    names = data.truth.names
    table = Table.of(names, data.values, scale="discrete" if data.discrete else "auto")
    scorer, found = best_of_scores(table, seed=seed, restarts=3)
    leads = edge_leads(table, scorer, found, seed=seed)
    joined, directed = probabilities(leads)
    truth = data.truth.adjacency()
    for source, target in np.argwhere(found.adjacency):
        a, b = (target, source) if leads.turned[source, target] < 0 else (source, target)
        yield (
            leads.curve(a, b), leads.joined[a, b], leads.turned[a, b], joined[a, b], directed[a, b],
            truth[a, b] or truth[b, a], truth[a, b],
        )  # fmt: skip


def learned(rows):
    """Curves of an edge and of its direction that make what was found most probable: rising, and smooth."""
    lead, turn = (np.array([r[k] for r in rows], dtype=float) for k in (1, 2))
    right, way = (np.array([bool(r[k]) for r in rows]) for k in (5, 6))
    decided = right & (np.abs(turn) > 0.05)
    edge = _curve(np.array(JOINED_AT), on_scale(lead), right, level=False)
    direction = _curve(np.array(TURNED_AT), on_scale(np.abs(turn[decided])), way[decided], level=True)
    return edge, direction


def _curve(knots, x, right, *, level):
    """Log-odds at the knots; `level` holds the first at nothing."""
    parts = np.array([np.interp(x, knots, row) for row in np.eye(knots.size)]).T
    gaps = np.diff(knots)
    bends = np.diff(np.diff(np.eye(knots.size), axis=0) / gaps[:, None], axis=0)

    def loss(values):
        values = np.concatenate([[0.0], values]) if level else np.asarray(values)
        logits = parts @ values
        # Fewer bends, no falling, nothing endless where all were right.
        held = _SMOOTH * ((bends @ values) ** 2).sum() + 0.02 * (values**2).sum()
        falling = 100 * (np.minimum(np.diff(values), 0.0) ** 2).sum()
        return np.logaddexp(0, np.where(right, -logits, logits)).sum() + held + falling

    found = minimize(loss, np.zeros(knots.size - level), method="L-BFGS-B").x
    values = np.maximum.accumulate(np.concatenate([[0.0], found]) if level else found)
    return tuple(round(float(v), 2) for v in values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--kinds", default=",".join((*KINDS, "categorical", "raw")))
    args = parser.parse_args()
    by_family, by_kind = defaultdict(list), defaultdict(list)
    for number, (kind, data) in enumerate(tables(args.seeds, args.first)):
        if kind not in args.kinds.split(","):
            continue
        for row in edges(data, number):
            by_family[row[0]].append(row)
            by_kind[kind].append(row)
    if args.learn:
        for family, rows in by_family.items():
            print(f'    "{family}": {learned(rows)},  # {len(rows)} edges', flush=True)
    figures = {}
    everything = [row for rows in by_kind.values() for row in rows]
    for kind, found in {
        **by_kind,
        **{f"curve {name}": rows for name, rows in by_family.items()},
        "all": everything,
    }.items():
        stated, right = [], []
        for _, _, _, joined, directed, adjacent, way in found:
            decided = directed >= DECIDED
            stated.append(joined * directed if decided else joined)
            right.append(way if decided else adjacent)
        stated, right = np.array(stated), np.array(right, dtype=float)
        place = np.digitize(stated, BINS[1:-1])
        for k in range(len(BINS) - 1):
            mine = place == k
            if mine.sum() >= 10:
                line = [
                    int(mine.sum()),
                    round(float(stated[mine].mean()), 3),
                    round(float(right[mine].mean()), 3),
                ]
                figures[f"{kind} {BINS[k]}-{BINS[k + 1]}"] = line
                gap = abs(line[1] - line[2])
                flag = "  <-- off" if line[0] >= 50 and gap > 0.05 else ""
                print(
                    f"{kind:12} {BINS[k]:.2f}-{BINS[k + 1]:.2f}  edges {line[0]:5}  stated {line[1]:.3f}  right {line[2]:.3f}{flag}"
                )
    print("written to", report.write("holograph-reliability", vars(args), figures, "numpy", "scipy"))


if __name__ == "__main__":
    main()
