"""Data sets that were measured, and public networks; fetched by whoever runs this, never shipped.

`folder` is a checkout of the CC0 repository https://github.com/cmu-phil/example-causal-datasets: its `real/` has Sachs'
cytometry with its experimental conditions, auto-mpg, and the Tübingen cause-effect pairs. Networks are the BIF files
that pgmpy's package carries.
"""

from pathlib import Path

import numpy as np

from benchmarks.holograph.datasets import DataSet, sampled_from
from hal9.holograph.evaluation.query_curves import known_graph
from hal9.holograph.model.graph import MixedGraph
from hal9.passing import load_bif

TARGETS = {
    "aktinhib": "akt",
    "g0076": "pkc",
    "psitect": "pip2",
    "u0126": "mek",
    "pma": "pkc",
    "b2camp": "pka",
}
"""What each reagent of Sachs et al. (2005) acts upon; the LY compound acts on PI3K, which was not measured."""
_NAMES = {"raf": "Raf", "mek": "Mek", "plc": "Plcg", "pip2": "PIP2", "pip3": "PIP3", "erk": "Erk", "akt": "Akt",
          "pka": "PKA", "pkc": "PKC", "p38": "P38", "jnk": "Jnk"}  # fmt: skip
TIERS = (
    ("modelyear", "origin", "weight"),
    ("cylinders",),
    ("displacement",),
    ("horsepower",),
    ("acceleration", "mpg"),
)
"""What is known of auto-mpg: nothing later causes anything earlier."""


def _table(path):
    lines = path.read_text().splitlines()
    rows = [["nan" if cell == "*" else cell for cell in line.split("\t")] for line in lines[1:]]
    return lines[0].split("\t"), np.array(rows, dtype=float)


def sachs(folder, *, everything, logs):
    """(DataSet with the consensus graph of 17 edges, per row the number of the variable acted upon or -1)."""
    stem = "sachs.2005.continuous.discrete.experimental.mixed.maximum.2.txt"
    header, values = _table(Path(folder) / "real/sachs/data" / stem)
    truth, _ = known_graph("sachs")
    place = {_NAMES[name]: k for k, name in enumerate(header) if name in _NAMES}
    numbers = values[:, [place[name] for name in truth.names]]
    targets = np.full(len(values), -1)
    for reagent, name in TARGETS.items():
        targets[values[:, header.index(reagent)] > 0] = truth.names.index(_NAMES[name])
    plain = (values[:, header.index("cd3_cd28")] > 0) & (values[:, 12:].sum(axis=1) == 0)
    if not everything:
        numbers, targets = numbers[plain], targets[plain]
    # The file holds log(x + 10).
    numbers = numbers if logs else np.exp(numbers) - 10.0
    return DataSet(truth, (numbers - numbers.mean(0)) / numbers.std(0), False), targets


def auto_mpg(folder):
    """(names, values) of 392 cars."""
    return _table(Path(folder) / "real/auto-mpg/data/auto-mpg.data.mixed.max.3.categories.txt")


def pairs(folder):
    """Of each pair of two numbers: (number, values with the cause first, weight)."""
    root = Path(folder) / "real/pairs"
    for line in (root / "ground.truth/pairmeta.txt").read_text().splitlines():
        number, first, last, effect, _, weight = line.split()
        if first != last or (int(first), int(effect)) not in ((1, 2), (2, 1)):
            continue
        _, values = _table(root / f"data/pair.{int(number)}.txt")
        both = values[:, [int(first) - 1, int(effect) - 1]]
        both = both[np.isfinite(both).all(axis=1)]
        if len(both):
            yield int(number), both, float(weight)


def network(name, rows, rng, folder):
    """A table sampled from a BIF network of pgmpy's."""
    net = load_bif(Path(folder) / f"{name}.bif.gz")
    nodes = {}
    for group in net.graph._single.values():
        for factor, scope, logs in group:
            nodes[net.graph.conditionals[factor]] = (scope[1:].tolist(), np.exp(logs))
    edges = frozenset((net.names[p], net.names[c]) for c, (parents, _) in nodes.items() for p in parents)
    return sampled_from(MixedGraph(tuple(net.names), edges), nodes, rows, rng)
