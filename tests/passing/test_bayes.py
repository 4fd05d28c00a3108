import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal9.errors.passing import EvidenceContradictory, PassingInvalid, TableBudgetExceeded
from hal9.passing import ApproximateWarning, BayesNet, FactorGraph, load_bif
from hal9.passing.exact.elimination import Elimination
from hal9.passing.models import factor_graph

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
    data = read("asia")
    write_bif(tmp_path / "asia.bif", data)
    net = load_bif(tmp_path / "asia.bif")
    found = net.marginals(data["evidence"])
    for variable, share in data["posterior"].items():
        np.testing.assert_allclose(found[variable], share, atol=1e-12)


def test_files_that_are_no_bif_are_named(tmp_path: Path) -> None:
    with pytest.raises(PassingInvalid, match="does not exist"):
        load_bif(tmp_path / "none.bif")
    (tmp_path / "bad.bif").write_text("hello {")
    with pytest.raises(PassingInvalid, match="cannot be read"):
        load_bif(tmp_path / "bad.bif")


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


def layered(width: int, depth: int, states: int, seed: int) -> BayesNet:
    """Every variable has two parents in the layer before it; the widest cliques span layers."""
    rng = np.random.default_rng(seed)
    names = [f"v{d}.{w}" for d in range(depth) for w in range(width)]
    net = BayesNet({name: [str(s) for s in range(states)] for name in names})
    for d in range(depth):
        for w in range(width):
            parents = [f"v{d - 1}.{w}", f"v{d - 1}.{(w + 1) % width}"] if d else []
            table = rng.dirichlet(np.ones(states), size=[states] * len(parents))
            net.add(f"v{d}.{w}", parents, np.moveaxis(table, -1, 0))
    return net


SEEN = {"v3.0": "1", "v3.1": "2", "v1.1": "0"}


@pytest.mark.parametrize("seen", [{}, SEEN])
@pytest.mark.parametrize("order", ["auto", "min-fill", "min-weight"])
def test_large_networks_are_exact_by_lists_of_tables(
    seen: dict[str, str], order: Elimination, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = layered(3, 4, 3, 0)
    net.graph.elimination = order
    whole = net.infer(seen)
    # As if the network were too large for whole clique tables.
    monkeypatch.setattr(factor_graph, "_DENSE", 0)
    pruned = net.infer(seen)
    assert pruned.exact
    assert pruned.log_z == pytest.approx(whole.log_z, abs=1e-12)
    for mine, theirs in zip(pruned.marginals, whole.marginals, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    for factor in range(net.graph.factors):
        np.testing.assert_allclose(pruned.factor_marginal(factor), whole.factor_marginal(factor), atol=1e-12)


def test_factors_that_are_no_distributions_are_summed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    graph = FactorGraph([3] * 9)
    for a, b in [
        (0, 1),
        (1, 2),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (0, 3),
        (3, 6),
        (1, 4),
        (4, 7),
        (2, 5),
        (5, 8),
    ]:
        graph.add([a, b], rng.normal(size=(3, 3)))
    unary = {4: np.array([0.0, -5.0, 2.0])}
    whole = graph.infer(unary=unary)
    monkeypatch.setattr(factor_graph, "_DENSE", 0)
    pruned = graph.infer(unary=unary)
    assert pruned.log_z == pytest.approx(whole.log_z, abs=1e-10)
    np.testing.assert_allclose(pruned.marginals.stack(), whole.marginals.stack(), atol=1e-12)


def test_tables_around_a_circle_or_given_twice_are_not_taken_to_sum_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = BayesNet({"a": ["0", "1"], "b": ["0", "1"]})
    net.add("a", ["b"], [[0.9, 0.2], [0.1, 0.8]])
    net.add("b", ["a"], [[0.7, 0.4], [0.3, 0.6]])
    twice = BayesNet({"a": ["0", "1"]})
    twice.add("a", [], [0.9, 0.1])
    twice.add("a", [], [0.6, 0.4])
    for made in (net, twice):
        whole = made.infer()
        with monkeypatch.context() as patched:
            patched.setattr(factor_graph, "_DENSE", 0)
            pruned = made.infer()
        assert pruned.log_z == pytest.approx(whole.log_z, abs=1e-12)
        np.testing.assert_allclose(pruned.marginals[0], whole.marginals[0], atol=1e-12)


def test_contradicting_evidence_is_found_in_large_networks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factor_graph, "_DENSE", 0)
    net = BayesNet.from_tables(read("asia"))
    with pytest.raises(EvidenceContradictory):
        net.marginals({"tub": "yes", "either": "no"})


def test_numbers_too_small_for_the_linear_scale_are_worked_out_as_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = FactorGraph([2, 2, 2])
    graph.add([0, 1], [[-900.0, 0.0], [-np.inf, -np.inf]])
    graph.add([1, 2], [[0.0, -2.0], [-np.inf, -np.inf]])
    monkeypatch.setattr(factor_graph, "_DENSE", 0)
    found = graph.infer()
    assert found.exact
    np.testing.assert_allclose(found.marginals[2], np.exp([0, -2.0]) / np.exp([0, -2.0]).sum())


def test_a_question_is_answered_without_what_cannot_matter_for_it() -> None:
    net = layered(9, 5, 4, 0)
    with pytest.raises(TableBudgetExceeded, match="GiB"):
        net.infer(method="exact", table_budget=2**18)
    found = net.marginals(query=["v2.0"], table_budget=2**18)
    assert found.exact
    assert list(found) == ["v2.0"]
    assert found["v2.0"].sum() == pytest.approx(1.0)
    small = layered(3, 4, 3, 0)
    np.testing.assert_allclose(
        small.marginals(SEEN, query=["v2.2"])["v2.2"], small.marginals(SEEN)["v2.2"], atol=1e-12
    )


def test_what_is_approximate_says_so_and_warns() -> None:
    net = BayesNet.from_tables(read("alarm"))
    assert net.marginals().exact
    with pytest.warns(ApproximateWarning, match="approximate"):
        found = net.marginals(table_budget=10)
    assert not found.exact
    assert found.method == "bp"
    assert "exceed" in found.fallback
    assert "exact=False" in repr(found)
    with pytest.raises(TableBudgetExceeded):
        net.marginals(table_budget=10, on_failure="raise")


def test_states_of_any_spelling_and_packed_files_are_read(tmp_path: Path) -> None:
    text = """network unknown { }
    variable "Chest X" { type discrete [ 2 ] { Asy/Patch, <5 }; }  // a comment
    variable B { type discrete[2]{12+,5-12}; }
    probability ( "Chest X" ) { table 0.25, 0.75; }
    probability ( B | "Chest X" ) { (Asy/Patch) 0.1, 0.9; default 0.5, 0.5; }
    """
    packed = tmp_path / "odd.bif.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    net = load_bif(packed)
    assert net.marginals()["B"][0] == pytest.approx(0.25 * 0.1 + 0.75 * 0.5)
    (tmp_path / "short.bif").write_text(text.replace("default 0.5, 0.5;", ""))
    with pytest.raises(PassingInvalid, match="a row is missing"):
        load_bif(tmp_path / "short.bif")
    (tmp_path / "none.bif").write_text(text.replace('probability ( "Chest X" ) { table 0.25, 0.75; }', ""))
    with pytest.raises(PassingInvalid, match="no table for 1"):
        load_bif(tmp_path / "none.bif")
