"""All marginals of public networks, without and with evidence, against pyAgrum's lazy propagation.

    python bench_public.py FOLDER [NAME…]

FOLDER has the BIF files (pgmpy's package carries 24 in `pgmpy/utils/example_models`). Both get the same tables in
double precision, built before. hal9 keeps its elimination order between calls, pyAgrum plans anew in each; a third row
builds hal9's network anew too.
"""

import resource
import sys
from pathlib import Path

import numpy as np
from paired import paired, report

from hal9.passing import BayesNet, load_bif

NAMES = (
    "asia", "cancer", "earthquake", "survey", "sachs", "child", "insurance", "alarm", "water", "mildew", "barley",
    "hailfinder", "hepar2", "win95pts", "pathfinder", "andes", "diabetes", "pigs",
)  # fmt: skip
MOST = 4 << 30


def tables_of(net):
    """Per variable: its parents by number, and P(child | parents) with the child first."""
    found = {}
    for group in net.graph._single.values():
        for factor, scope, logs in group:
            found[net.graph.conditionals[factor]] = (scope[1:].tolist(), np.exp(logs))
    return found


def agrum_of(net, tables):
    """The same network in pyAgrum, which takes no state name with a sign in it."""
    import pyagrum

    other = pyagrum.BayesNet()
    for number, states in enumerate(net.states):
        other.add(pyagrum.LabelizedVariable(f"v{number}", "", [f"s{k}" for k in range(len(states))]))
    for child, (parents, _) in tables.items():
        for parent in parents:
            other.addArc(f"v{parent}", f"v{child}")
    for child, (parents, values) in tables.items():
        scope = [f"v{child}", *(f"v{p}" for p in parents)]
        order = [scope.index(name) for name in reversed(other.cpt(f"v{child}").names)]
        other.cpt(f"v{child}")[:] = np.ascontiguousarray(values.transpose(order))
    return other


def contestants(net, tables, seen):
    """Both, given evidence by number; and the largest difference."""
    import pyagrum

    other = agrum_of(net, tables)
    named = {net.names[v]: net.states[v][s] for v, s in seen.items()}

    def ours():
        fresh = BayesNet(dict(zip(net.names, net.states, strict=True)))
        for child, (parents, values) in tables.items():
            fresh.add(net.names[child], [net.names[p] for p in parents], values)
        return fresh.marginals(named)

    def theirs():
        engine = pyagrum.LazyPropagation(other)
        if hasattr(engine, "setMaxNbrOfThreads"):
            engine.setMaxNbrOfThreads(1)
        else:
            engine.setNumberOfThreads(1)
        engine.setEvidence({f"v{v}": s for v, s in seen.items()})
        engine.makeInference()
        return [engine.posterior(f"v{v}").toarray() for v in range(len(net.names))]

    mine, peer = ours(), theirs()
    gap = max(float(np.abs(mine[name] - found).max()) for name, found in zip(net.names, peer, strict=True))
    runs = {"hal9": lambda: net.marginals(named), "pyAgrum": theirs, "hal9, everything built anew": ours}
    return runs, gap, mine


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 * MOST, 2 * MOST))
    folder, names = Path(sys.argv[1]), sys.argv[2:] or NAMES
    tables, notes, ratios = {}, {}, []
    for name in names:
        net = load_bif(folder / f"{name}.bif.gz")
        conditionals = tables_of(net)
        rng = np.random.default_rng(0)
        plain = net.marginals()
        chosen = rng.choice(len(net.names), size=3, replace=False).tolist()
        # The most probable state is never impossible.
        evidence = {v: int(np.argmax(plain[net.names[v]])) for v in chosen}
        for title, seen in (("all", {}), ("3 seen", evidence)):
            runs, gap, mine = contestants(net, conditionals, seen)
            rows = paired(runs, rounds=5)
            tables[f"{name}, {title}"] = rows
            ratio = rows["hal9"]["cpu_ms"] / rows["pyAgrum"]["cpu_ms"]
            ratios.append(ratio)
            notes[f"{name}, {title}"] = {
                "exact": mine.exact,
                "difference": gap,
                "times pyAgrum": round(ratio, 3),
            }
            print(name, title, notes[f"{name}, {title}"], flush=True)
    notes["median of times pyAgrum"] = round(float(np.median(ratios)), 3)
    notes["most"] = round(max(ratios), 3)
    notes["peak of the process in MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    report("public-networks", tables, notes, "pyagrum")


main()
