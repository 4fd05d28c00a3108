from pathlib import Path

import numpy as np
import pytest

from hal9.errors.holograph import ContextsCyclic, ContextsDoNotOverlap, SpecInvalid, TableInvalid, TooFewRows
from hal9.holograph import load_problem, read_table

VARIABLES = """\
domain: a clinic
variables:
  - {name: smoke, description: the patient smokes}
  - {name: lung, description: lung cancer}
  - {name: xray}
  - {name: dysp}
"""


@pytest.fixture
def variables(tmp_path: Path) -> Path:
    path = tmp_path / "vars.yaml"
    path.write_text(VARIABLES)
    return path


def contexts(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "contexts.yaml"
    path.write_text(text)
    return path


def test_a_good_problem(variables: Path, tmp_path: Path) -> None:
    cover = contexts(
        tmp_path,
        "contexts:\n  - {name: a, variables: [smoke, lung]}\n  - {name: b, variables: [lung, xray]}\n",
    )
    problem = load_problem(variables, cover)
    assert problem.names == ("smoke", "lung", "xray", "dysp")
    assert problem.members() == {"a": ("smoke", "lung"), "b": ("lung", "xray")}
    assert (problem.describe("lung"), problem.describe("xray")) == ("lung cancer", "xray")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("variables:\n  - {name: a}\n  - name: b\n    descripton: x\n", 4, "Did you mean 'description'"),
        ("variabels:\n  - {name: a}\n", 1, "Did you mean 'variables'"),
        ("variables:\n  - {name: a}\n  - {name: a}\n", 3, "appears twice"),
        ("variables:\n  - {name: a}\n", 1, "at least 2"),
        ("variables: [\n", 2, "not YAML"),
        ("- a\n", 1, "must be a mapping"),
        ("variables:\n  - {name: a}\n  - {name: 3}\n", 3, "valid string"),
        ("variables:\n  a: first\n  b: second\n", 1, "must be a list"),
    ],
)
def test_bad_variables_are_located(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(text)
    with pytest.raises(SpecInvalid) as caught:
        load_problem(path)
    assert (caught.value.line, caught.value.path) == (line, str(path))
    assert said in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match="cannot be read"):
        load_problem(tmp_path / "none.yaml")


def test_contexts_with_unknown_names_are_located_with_the_nearest(variables: Path, tmp_path: Path) -> None:
    cover = contexts(tmp_path, "contexts:\n  - name: a\n    variables:\n      - smoke\n      - lungs\n")
    with pytest.raises(SpecInvalid, match="Did you mean 'lung'") as caught:
        load_problem(variables, cover)
    assert caught.value.line == 5


def test_contexts_without_overlap_are_refused(variables: Path, tmp_path: Path) -> None:
    cover = contexts(
        tmp_path,
        "contexts:\n  - {name: a, variables: [smoke, lung]}\n  - {name: b, variables: [xray, dysp]}\n",
    )
    with pytest.raises(ContextsDoNotOverlap, match=r"\{a\} and \{b\}"):
        load_problem(variables, cover)


def test_a_bare_ring_is_refused_and_a_filled_or_allowed_one_is_not(variables: Path, tmp_path: Path) -> None:
    ring = (
        "contexts:\n  - {name: a, variables: [smoke, lung]}\n  - {name: b, variables: [lung, xray]}\n"
        "  - {name: c, variables: [xray, dysp]}\n  - {name: d, variables: [dysp, smoke]}\n"
    )
    with pytest.raises(ContextsCyclic) as caught:
        load_problem(variables, contexts(tmp_path, ring))
    assert set(caught.value.cycle) == {"a", "b", "c", "d"}
    assert load_problem(variables, contexts(tmp_path, ring), allow_cyclic=True).contexts
    filled = ring + "  - {name: e, variables: [smoke, lung, xray, dysp]}\n"
    assert len(load_problem(variables, contexts(tmp_path, filled)).contexts) == 5


def table(tmp_path: Path, header: str, rows: list[str]) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


GOOD = [f"{k % 3},{k}.5,{(k * 7) % 5}" for k in range(20)]


def test_a_table_is_read_in_the_order_of_the_variables(tmp_path: Path) -> None:
    found = read_table(
        table(
            tmp_path, "c,a,intervened,b", [f"{k},{k % 4},{'a' if k % 5 == 0 else ''},{-k}" for k in range(20)]
        ),
        "abc",
    )
    assert found.values[3].tolist() == [3.0, -3.0, 3.0]
    assert found.targets[:6].tolist() == [0, -1, -1, -1, -1, 0]
    assert not found.discrete
    assert np.allclose(np.diag(found.covariance()), 1.0)


@pytest.mark.parametrize(
    ("header", "rows", "line", "column", "said"),
    [
        ("a,b,c", [*GOOD, "1,x,2"], 22, "b", "not a number"),
        ("a,b,c", [*GOOD, "1,,2"], 22, "b", "not a number"),
        ("a,b,c", [*GOOD, "1,nan,2"], 22, "b", "not finite"),
        ("a,b,c", [*GOOD, "1,2"], 22, "", "2 cells under 3 columns"),
        ("a,b", GOOD, 1, "", "no column 'c'"),
        ("a,b,c,d", GOOD, 1, "d", "not a listed variable"),
        ("a,a,b,c", GOOD, 1, "a", "appears twice"),
        ("a,b,c", [f"1,{k},{k % 2}" for k in range(20)], 0, "a", "same value"),
        ("a,b,c,intervened", [*(f"{r}," for r in GOOD), "1,2,3,z"], 22, "intervened", "unknown 'z'"),
    ],
)
def test_bad_tables_are_located(
    tmp_path: Path, header: str, rows: list[str], line: int, column: str, said: str
) -> None:
    with pytest.raises(TableInvalid, match=said) as caught:
        read_table(table(tmp_path, header, rows), "abc")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(TooFewRows, match="at least 10") as caught:
        read_table(table(tmp_path, "a,b,c", GOOD[:9]), "abc")
    assert (caught.value.rows, caught.value.needed) == (9, 10)
    with pytest.raises(TableInvalid, match="empty"):
        (tmp_path / "e.csv").write_text("")
        read_table(tmp_path / "e.csv", "abc")
