"""All marginals of asia and alarm, against pgmpy variable elimination or pyAgrum (whichever is installed)."""

import json
from importlib.util import find_spec
from pathlib import Path

from paired import paired, report

from hal9.passing import BayesNet

DATA = Path(__file__).resolve().parents[2] / "tests" / "passing" / "data"


def pgmpy_model(data):
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    model = DiscreteBayesianNetwork([(p, t["child"]) for t in data["tables"] for p in t["parents"]])
    for t in data["tables"]:
        card = {name: len(s) for name, s in data["states"].items()}
        import numpy as np

        values = np.array(t["values"]).reshape(card[t["child"]], -1)
        names = [t["child"], *t["parents"]]
        model.add_cpds(
            TabularCPD(
                t["child"],
                card[t["child"]],
                values,
                t["parents"] or None,
                [card[p] for p in t["parents"]] or None,
                state_names={n: data["states"][n] for n in names},
            )
        )
    return model


def agrum_model(data):
    import numpy as np
    import pyagrum

    net = pyagrum.BayesNet()
    for name, states in data["states"].items():
        net.add(pyagrum.LabelizedVariable(name, name, states))
    for t in data["tables"]:
        for p in t["parents"]:
            net.addArc(p, t["child"])
    for t in data["tables"]:
        values = np.array(t["values"])
        scope = [t["child"], *t["parents"]]
        order = [scope.index(n) for n in reversed(net.cpt(t["child"]).names)]
        net.cpt(t["child"])[:] = np.ascontiguousarray(values.transpose(order))
    return net


def contestants(data, ours):
    runs = {
        "hal9 (exact)": lambda: list(ours.infer().marginals),
        "hal9, everything built anew": lambda: BayesNet.from_tables(data).marginals(),
    }
    gaps = {}
    mine = ours.marginals()
    if find_spec("pgmpy"):
        from pgmpy.inference import VariableElimination

        engine = VariableElimination(pgmpy_model(data))

        def eliminate():
            return {n: engine.query([n], show_progress=False).values for n in data["states"]}

        runs["pgmpy VariableElimination"] = eliminate
        gaps["pgmpy"] = max(abs(v - mine[n]).max() for n, v in eliminate().items())
    if find_spec("pyagrum"):
        import pyagrum

        net = agrum_model(data)
        for name in ("ShaferShenoyInference", "LazyPropagation"):

            def calibrate(name=name):
                kind = getattr(pyagrum, name)
                engine = kind(net)
                engine.setMaxNbrOfThreads(1) if hasattr(
                    engine, "setMaxNbrOfThreads"
                ) else engine.setNumberOfThreads(1)
                engine.makeInference()
                return {n: engine.posterior(n).toarray() for n in data["states"]}

            runs[f"pyAgrum {name}"] = calibrate
            gaps[f"pyAgrum {name}"] = max(abs(v - mine[n]).max() for n, v in calibrate().items())
    return runs, gaps


def main() -> None:
    tables, notes = {}, {}
    for name in ("asia", "alarm"):
        data = json.loads((DATA / f"{name}.json").read_text())
        runs, gaps = contestants(data, BayesNet.from_tables(data))
        tables[f"all marginals of {name}"] = paired(runs, rounds=31, warm=3)
        notes |= {f"{name}, largest difference to {who}": gap for who, gap in gaps.items()}
    report(f"networks-{'pgmpy' if find_spec('pgmpy') else 'pyagrum'}", tables, notes, "pgmpy", "pyagrum")


main()
