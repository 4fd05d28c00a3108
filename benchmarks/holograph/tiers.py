"""Cars by a known order: how many of the arrows that are drawn point backwards.

    python -m benchmarks.holograph tiers --peers PYTHON --real FOLDER

Nobody knows all causes in the table of 392 cars (auto-mpg), but what comes first: year, origin and weight, then cylinders,
displacement, horsepower, and last acceleration and consumption. Arguments are those of `discovery`.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks import report
from benchmarks.holograph import real
from benchmarks.holograph.datasets import DataSet
from benchmarks.holograph.discovery import drawn, ours
from benchmarks.holograph.fits import DATA_PEERS, Fits, digest_of, fit_peers
from hal9.holograph.model.graph import MixedGraph, equivalence_class


def counted(matrix, place):
    """Pairs joined, arrows, arrows backwards and arrows forwards, of a matrix [source, target]."""
    joined = np.triu(matrix | matrix.T).sum()
    arrows = matrix & ~matrix.T
    earlier = place[:, None] > place[None, :]
    return [int(joined), int(arrows.sum()), int((arrows & earlier).sum()), int((arrows & earlier.T).sum())]


def main(arguments=None):
    """Fit what is missing, print and write everything."""
    parser = argparse.ArgumentParser(prog="tiers", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", required=True)
    parser.add_argument("--real", metavar="FOLDER", required=True)
    parser.add_argument("--limit", type=float, default=60, help="CPU seconds per fit of a peer")
    parser.add_argument("--fits", default=str(report.RESULTS / "holograph-discovery.jsonl"))
    args = parser.parse_args(arguments)
    header, values = real.auto_mpg(args.real)
    kept = np.isfinite(values).all(axis=1)
    names = tuple(name for tier in real.TIERS for name in tier)
    values = values[kept][:, [header.index(name) for name in names]]
    place = np.array([k for k, tier in enumerate(real.TIERS) for _ in tier])
    data = DataSet(MixedGraph(names), (values - values.mean(0)) / values.std(0), False)
    fits = Fits(args.fits)
    fit_peers(fits, args.peers, "auto-mpg", {0: data}, limit=args.limit, give_up=1, peers=DATA_PEERS)
    # Our own fit sees the units, by which categories are known.
    entry = ours(DataSet(data.truth, values, False), 0, measured=True)
    matrix = drawn(entry, data.truth, False).adjacency()
    for a, b in entry["undecided"]:
        matrix[names.index(b), names.index(a)] = matrix[names.index(a), names.index(b)] = True
    figures = {"hal9": counted(matrix, place)}
    for peer in DATA_PEERS:
        stored = fits.get("auto-mpg", 0, peer, digest_of(data))
        if stored and "matrix" in stored:
            found = np.array(stored["matrix"]).astype(bool)
            figures[peer] = counted(equivalence_class(found) if peer == "pgmpy" else found, place)
    for method, row in figures.items():
        print(f"{method:10} joined {row[0]:3}  arrows {row[1]:3}  backwards {row[2]:3}  forwards {row[3]:3}")
    print("written to", report.write("holograph-tiers", vars(args), figures, "numpy", "scipy"))


if __name__ == "__main__":
    main()
