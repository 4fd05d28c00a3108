import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal9.errors.passing import EvidenceContradictory, PassingExtraMissing, PassingInvalid
from hal9.passing import BayesNet, load_bif

DATA = Path(__file__).parent / "data"


def read(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["asia", "alarm"])
def test_published_networks_agree_with_variable_elimination(name: str) -> None:
    """The reference figures were computed by pgmpy and are stored beside the tables."""
    data = read(name)
    net = BayesNet.from_tables(data)
    found = net.marginals()
    for variable, share in data["marginals"].items():
        np.testing.assert_allclose(found[variable], share, atol=1e-12)
    assert net.infer().exact
    assert net.infer().log_z == pytest.approx(0.0, abs=1e-12)
    after = net.marginals(data["evidence"])
    for variable, share in data["posterior"].items():
        np.testing.assert_allclose(after[variable], share, atol=1e-12)


def test_the_known_answers_of_asia() -> None:
    """P(dyspnoea), P(x-ray), P(lung cancer) as Lauritzen and Spiegelhalter print them, four decimals."""
    found = BayesNet.from_tables(read("asia")).marginals()
    states = read("asia")["states"]
    printed = {"dysp": 0.4360, "xray": 0.1103, "lung": 0.0550, "tub": 0.0104, "bronc": 0.4500}
    for name, figure in printed.items():
        assert found[name][states[name].index("yes")] == pytest.approx(figure, abs=5e-5)


def test_loopy_passing_on_alarm_is_far_off_which_is_why_exact_comes_first() -> None:
    data = read("alarm")
    net = BayesNet.from_tables(data)
    loopy = net.infer(method="bp")
    worst = max(np.abs(loopy.marginals[net.number(v)] - p).max() for v, p in data["marginals"].items())
    assert loopy.converged
    assert not loopy.exact
    assert 0.1 < worst < 0.4


def test_evidence_by_name() -> None:
    net = BayesNet.from_tables(read("asia"))
    with pytest.raises(PassingInvalid, match="not in this network"):
        net.marginals({"weather": "yes"})
    with pytest.raises(PassingInvalid, match="has states"):
        net.marginals({"asia": "perhaps"})
    with pytest.raises(EvidenceContradictory):
        net.marginals({"tub": "yes", "either": "no"})
    with pytest.raises(PassingInvalid, match="distribution"):
        net.add("asia", [], [0.5, 0.6])


def write_bif(path: Path, data: Any) -> None:
    lines = ["network test {", "}"]
    for name, states in data["states"].items():
        lines += [f"variable {name} {{", f"  type discrete [ {len(states)} ] {{ {', '.join(states)} }};", "}"]
    for t in data["tables"]:
        values = np.array(t["values"])
        if not t["parents"]:
            lines += [f"probability ( {t['child']} ) {{", f"  table {', '.join(map(str, values))};", "}"]
            continue
        lines.append(f"probability ( {t['child']} | {', '.join(t['parents'])} ) {{")
        for at in np.ndindex(values.shape[1:]):
            given = ", ".join(data["states"][p][i] for p, i in zip(t["parents"], at, strict=True))
            lines.append(f"  ({given}) {', '.join(map(str, values[(slice(None), *at)]))};")
        lines.append("}")
    path.write_text("\n".join(lines))


def test_a_bif_file_reads_back_as_the_same_network(tmp_path: Path) -> None:
    pytest.importorskip("pyagrum")
    data = read("asia")
    write_bif(tmp_path / "asia.bif", data)
    net = load_bif(tmp_path / "asia.bif")
    found = net.marginals(data["evidence"])
    for variable, share in data["posterior"].items():
        np.testing.assert_allclose(found[variable], share, atol=1e-12)


def test_files_that_are_no_bif_are_named(tmp_path: Path) -> None:
    pytest.importorskip("pyagrum")
    with pytest.raises(PassingInvalid, match="does not exist"):
        load_bif(tmp_path / "none.bif")
    (tmp_path / "bad.bif").write_text("hello {")
    with pytest.raises(PassingInvalid, match="cannot be read"):
        load_bif(tmp_path / "bad.bif")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyagrum", None)
    with pytest.raises(PassingExtraMissing, match=r"pip install 'hal9\[bayes\]'"):
        load_bif(tmp_path / "asia.bif")


class Conditional:
    """What a pgmpy tabular distribution offers, as its documentation states it."""

    def __init__(self, scope: list[str], values: Any, state_names: dict[str, list[str]]) -> None:
        self.variable, self.variables = scope[0], scope
        self.values, self.state_names = np.array(values), state_names


class Model:
    def __init__(self, data: Any) -> None:
        self.data = data

    def get_cpds(self) -> list[Conditional]:
        return [
            Conditional([t["child"], *t["parents"]], t["values"], self.data["states"])
            for t in self.data["tables"]
        ]


def test_pgmpy_models_are_read_by_shape() -> None:
    data = read("asia")
    found = BayesNet.from_pgmpy(Model(data)).marginals()
    for variable, share in data["marginals"].items():
        np.testing.assert_allclose(found[variable], share, atol=1e-12)
